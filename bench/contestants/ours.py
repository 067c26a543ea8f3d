"""recoverykit at work, for bench/registry.py."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable
from pathlib import Path

from bench.contestants.clock import Counts, main
from recoverykit.formats.binary import from_filetime
from recoverykit.formats.hive import Hive
from recoverykit.formats.regf_log import recover

WANTED = ("Start", "Type", "ErrorControl", "ImagePath", "Group", "Tag")


def _open(path: str) -> Hive:
    with Path(path).open("rb") as file:
        return Hive(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def services(path: str) -> Counts:
    hive = _open(path)
    select = hive.find("Select")
    current = select.value("Current") if select is not None else None
    number = current.dword if current is not None else None
    assert number is not None
    key = hive.find(f"ControlSet{number:03}\\Services")
    assert key is not None
    counts: dict[str, int] = {"services": 0, "start": 0, "imagepath": 0}
    for service in key.subkeys():
        found = [value.data if value is not None else None for value in service.values_of(*WANTED)]
        counts["services"] += 1
        counts["start"] += found[0] is not None
        counts["imagepath"] += found[3] is not None
    return {**counts}


def walk(path: str) -> Counts:
    keys = values = size = 0
    for key in _open(path).walk():
        keys += 1
        _ = from_filetime(key.ticks)
        for _, _, data in key.values:
            values += 1
            size += len(data)
    return {"keys": keys, "values": values, "bytes": size}


def recovery(path: str, *logs: str) -> Callable[[], Counts]:
    contents = [(log, Path(log).read_bytes()) for log in logs]
    image = recover(Path(path).read_bytes(), contents).data
    return lambda: {"bins": hashlib.sha256(bytes(image)[4096:]).hexdigest()[:12]}


if __name__ == "__main__":
    main({"services": services, "walk": walk, "recovery": recovery})
