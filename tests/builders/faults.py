"""What goes wrong with a Windows, injected as a real machine would hold it afterwards.

Every function changes a mounted installation (`Windows`) or an image with the host's tools and
hivex. What is injected is what such a machine's files say; that our diagnosis finds it is for the
tests to show, and is not arranged here.
"""

from __future__ import annotations

import errno
import os
import struct
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from io import BytesIO, FileIO
from pathlib import Path

from tests.builders import bootlog, events, evtx, history, registry
from tests.builders.disk import MIB, DiskImage, Partition
from tests.builders.winbytes import HIVE
from tests.builders.windows import CONFIG, HIDDEN_SYSTEM, Windows, third_party
from tests.conftest import REAL_DATA, read_real
from tests.independent import registry as independent

DRIVER_IRQL_NOT_LESS_OR_EQUAL = 0xD1
SYSTEM_THREAD_EXCEPTION = 0x1000007E
_ACME = "Acme Security GmbH"
_DISK_CLASS = "{4d36e967-e325-11ce-bfc1-08002be10318}"
_KERNEL_ADDRESS = 0xFFFF_F802_1A35_11C4


@dataclass(frozen=True, slots=True)
class Broken:
    """What was put into the installation, for a test to look for."""

    service: str
    driver: str  # file name
    path: Path
    key: str  # of the service, below the hive's root


def healthy(windows: Windows) -> None:
    """Nothing: `populate` makes a healthy machine, noise and all."""


def boot_start_driver_crashes(
    windows: Windows,
    service: str = "acmeflt",
    *,
    company: str = _ACME,
    bugcheck: int = DRIVER_IRQL_NOT_LESS_OR_EQUAL,
    crashes: int = len(history.CRASHES),
    logged: bool = True,
) -> Broken:
    """A boot-start driver installed in the last good session crashes every boot since.

    Now and then a boot comes far enough to log the crash before it; the boot log ends with the
    driver. `logged=False`: no boot came that far, so the logs end with the last good session.
    """
    broken = install_driver(windows, service, company=company)
    installed = events.service_installed(
        history.FAULT_INSTALLED, service, f"system32\\drivers\\{broken.driver}"
    )
    past = _during_last_session(windows.past, installed)
    if logged:
        past = past.then(_crash_events(past, bugcheck, crashes), _crash_blocks(windows, broken))
    windows.write_logs(past)
    return broken


def install_driver(
    windows: Windows,
    service: str,
    *,
    company: str = _ACME,
    start: int = 0,
    group: str = "Extended Base",
    when: datetime = history.FAULT_INSTALLED,
) -> Broken:
    """A third-party driver's file and service key, as its installer leaves them."""
    name = f"{service}.sys"
    path = windows.driver(name, when, third_party(company, f"{service} filter driver", "3.1.7.0"))
    key = f"{windows.control_set}\\Services\\{service}"
    values: dict[str, registry.Entry] = {
        "Type": 1,
        "Start": start,
        "ErrorControl": 1,
        "ImagePath": registry.expand(f"system32\\drivers\\{name}"),
        "DisplayName": f"{service} filter driver",
        "Group": group,
    }
    _edit(windows, [registry.change(key, values, when)])
    return Broken(service, name, path, key)


def driver_in_class_filter(windows: Windows, service: str = "acmeflt") -> Broken:
    """The same fault in a driver that is also a lower filter of every disk."""
    broken = boot_start_driver_crashes(windows, service)
    key = f"{windows.control_set}\\Control\\Class\\{_DISK_CLASS}"
    lower = independent.key(windows.system, key).values.get("LowerFilters")
    names = [] if lower is None else _names(lower[1])
    change = registry.change(key, {"LowerFilters": [*names, service]}, history.FAULT_INSTALLED)
    _edit(windows, [change])
    return broken


def inbox_driver_crashes(windows: Windows, service: str = "vdrvroot") -> Broken:
    """Crashes right after one of Windows' own boot drivers: never to be quarantined."""
    driver = f"{service}.sys"
    path = windows.root / "System32/drivers" / driver
    key = f"{windows.control_set}\\Services\\{service}"
    broken = Broken(service, driver, path, key)
    past = windows.past.then(
        _crash_events(windows.past, DRIVER_IRQL_NOT_LESS_OR_EQUAL, len(history.CRASHES)),
        _crash_blocks(windows, broken),
    )
    windows.write_logs(past)
    return broken


def truncated_hive(windows: Windows, keep: float = 0.4) -> None:
    """The SYSTEM hive lost its end, as after a bad sector or a torn copy."""
    os.truncate(windows.system, int(windows.system.stat().st_size * keep) & ~0xFFF)


def dirty_hive_without_logs(windows: Windows) -> None:
    """Sequence numbers differ and the logs are empty: the newest data is lost."""
    with windows.system.open("r+b") as file:
        head = bytearray(file.read(512))
        struct.pack_into("<I", head, 4, struct.unpack_from("<I", head, 8)[0] + 1)
        checksum = 0
        for (word,) in struct.iter_unpack("<I", head[:508]):
            checksum ^= word
        struct.pack_into("<I", head, 508, checksum)
        file.seek(0)
        file.write(head)


def full_volume(windows: Windows) -> None:
    """Not a cluster left for a before-image."""
    filler = windows.volume / "Users" / "video.mp4"
    with filler.open("wb", buffering=0) as file:
        for size in (MIB, 4096):
            while _fits(file, bytes(size)):
                pass


def _fits(file: FileIO, block: bytes) -> bool:
    try:
        return file.write(block) == len(block)
    except OSError as error:
        assert error.errno == errno.ENOSPC, error  # noqa: PT017  (what we are waiting for)
        return False


def hibernated(windows: Windows, size: int = 4 * MIB) -> None:
    """hiberfil.sys with the head of a resumable image, as Fast Startup leaves it."""
    image = b"HIBR".ljust(4096, b"\0") + bytes(size - 4096)
    windows.put("../hiberfil.sys", image, history.LAST_SHUTDOWN, HIVE, HIDDEN_SYSTEM)


# --- whole images -------------------------------------------------------------------------


def bitlocker_volume(
    disk: DiskImage, partition: Partition, name: str = "bitlk-aes-xts-128.img"
) -> str:
    """Put a real BitLocker volume into the partition; returns the sample's name."""
    archive = REAL_DATA / "disk" / "bitlk-images.tar.xz"
    with tarfile.open(fileobj=BytesIO(read_real(archive))) as tar:
        member = next(entry for entry in tar if entry.name.endswith(name))
        source = tar.extractfile(member)
        assert source is not None
        with disk.path.open("r+b") as target:
            for offset in range(0, min(member.size, partition.size), MIB):
                block = source.read(MIB)
                if block.strip(b"\0"):
                    target.seek(partition.offset + offset)
                    target.write(block)
    return member.name


def same_identity(disk: DiskImage, source: Partition, target: Partition) -> None:
    """Copy a volume over its neighbour, as a careless clone does: one serial number, twice."""
    assert source.size == target.size
    with disk.path.open("r+b") as file:
        for offset in range(0, source.size, MIB):
            file.seek(source.offset + offset)
            block = file.read(MIB)
            file.seek(target.offset + offset)
            file.write(block)


# --- parts --------------------------------------------------------------------------------


def _during_last_session(past: history.History, event: evtx.Event) -> history.History:
    """Slip an event in before the last session's end (its last three records)."""
    head, end = past.events[:-3], past.events[-3:]
    return replace(past, events=(*head, event, *end))


def _crash_events(past: history.History, bugcheck: int, count: int) -> Iterable[evtx.Event]:
    parameters = (0xFFFF_8A0C_4F21_D000, 2, 0, _KERNEL_ADDRESS)
    for when in history.CRASHES[:count]:
        up = when + timedelta(minutes=1, seconds=4)
        yield from history.crashed(past, up, when, bugcheck, parameters)


def _crash_blocks(windows: Windows, broken: Broken) -> list[bootlog.Block]:
    """The last boots' logs: as far as the driver, and no further."""
    loaded = _up_to(windows.loaded, broken)
    return [
        bootlog.Block(windows.past.local(when - timedelta(seconds=9)), loaded, noise=())
        for when in history.CRASHES
    ]


def _up_to(loaded: tuple[str, ...], broken: Broken) -> tuple[str, ...]:
    """Boot-start drivers come in group order; a new one's group is near the end of it."""
    names = [path.rsplit("\\", 1)[-1].lower() for path in loaded]
    if broken.driver.lower() in names:
        return loaded[: names.index(broken.driver.lower()) + 1]
    last = names.index("vmstorfl.sys") if "vmstorfl.sys" in names else names.index("disk.sys")
    return (*loaded[: last + 1], f"\\SystemRoot\\system32\\drivers\\{broken.driver}")


def _names(hexadecimal: str) -> list[str]:
    decoded = bytes.fromhex(hexadecimal).decode("utf-16-le")
    return [name for name in decoded.split("\0") if name]


def _edit(windows: Windows, changes: list[dict[str, object]]) -> None:
    """Through hivex, and with the hive's time as it would be: that of the last shutdown."""
    independent.edit(windows.system, changes)
    if windows.ntfs:
        windows.put(f"{CONFIG}/SYSTEM", windows.system.read_bytes(), history.LAST_SHUTDOWN, HIVE)
    else:
        stamp = history.LAST_SHUTDOWN.timestamp()
        os.utime(windows.system, (stamp, stamp))
