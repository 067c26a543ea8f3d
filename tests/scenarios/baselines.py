"""What today's tools would answer, on the same trees. Nothing of recoverykit is used here.

- last loaded: the last BOOTLOG_LOADED lines of the last block of ntbtlog.txt (forum advice);
- top of stack: the module at the crash address, else the first ones on the raw stack of the newest
  small dump, the kernel included (BlueScreenView);
- newest third-party driver: by file time, of files in System32/drivers and the Driver Store that
  have no twin in WinSxS (autoruns sorted by date).

Each gives up to three file names, the best first, none where it has nothing to go by. They know no
other kind of trouble than a driver, and cannot say that a machine is healthy but by silence.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

Answer = tuple[str, ...]


def last_loaded(root: Path) -> Answer:
    path = root / "Windows/ntbtlog.txt"
    if not path.is_file():
        return ()
    lines = path.read_bytes().decode("utf-16", "replace").splitlines()
    loaded = [line for line in lines if line.startswith("BOOTLOG_LOADED")]
    names = [line.rsplit("\\", 1)[-1].strip().lower() for line in reversed(loaded[-3:])]
    return tuple(names)


def newest_third_party(root: Path) -> Answer:
    system = root / "Windows/System32"
    found = []
    for folder in (system / "drivers", system / "DriverStore/FileRepository"):
        for path in folder.rglob("*.[sS][yY][sS]") if folder.is_dir() else ():
            status = path.stat()
            if status.st_nlink == 1:
                found.append((status.st_mtime, path.name.lower()))
    found.sort(reverse=True)
    return tuple(dict.fromkeys(name for _time, name in found))[:3]


def top_of_stack(root: Path) -> Answer:
    folder = root / "Windows/Minidump"
    dumps = sorted(folder.glob("*.dmp"), key=lambda path: path.stat().st_mtime)
    if not dumps:
        return ()
    data = dumps[-1].read_bytes()
    modules = list(_modules(data))
    words = [*_parameters(data), *_stack(data)]
    hits = [name for word in words for name, base, size in modules if base <= word < base + size]
    return tuple(dict.fromkeys(hits))[:3]


CONTESTANTS: dict[str, Callable[[Path], Answer]] = {
    "last-loaded": last_loaded,
    "top-of-stack": top_of_stack,
    "newest-third-party": newest_third_party,
}


# --- small dumps, as the WDK's ntiodump.h lays them out -----------------------------------


def _wide(data: bytes) -> bool:
    return data[4:8] == b"DU64"


def _parameters(data: bytes) -> tuple[int, ...]:
    if _wide(data):
        return struct.unpack_from("<4Q", data, 0x40)
    return struct.unpack_from("<4I", data, 0x2C)


def _triage(data: bytes) -> tuple[int, ...]:
    return struct.unpack_from("<18I", data, 0x2000 if _wide(data) else 0x1000)


def _stack(data: bytes) -> tuple[int, ...]:
    start, size = _triage(data)[10:12]
    code = "Q" if _wide(data) else "I"
    count = size // struct.calcsize(code)
    return struct.unpack_from(f"<{count}{code}", data, start)


def _modules(data: bytes) -> Iterator[tuple[str, int, int]]:
    start, count = _triage(data)[12:14]
    step, base_at, code = (0x90, 0x38, "<QQI") if _wide(data) else (0x4C, 0x1C, "<III")
    for number in range(count):
        entry = start + step * number
        (name_at,) = struct.unpack_from("<I", data, entry)
        (length,) = struct.unpack_from("<I", data, name_at)
        name = data[name_at + 4 : name_at + 4 + 2 * length].decode("utf-16-le")
        base, _entry_point, size = struct.unpack_from(code, data, entry + base_at)
        yield name.rsplit("\\", 1)[-1].lower(), base, size
