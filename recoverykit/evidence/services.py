"""Driver services of the control set that the next boot uses.

Registry layout: libyal winreg-kb "System keys"; windows-boot-facts.md section 2. Kernel drivers,
file-system drivers and recognizers only: user-mode services start after the boot is over. Keys
without Type or Start are not services Windows would start, and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator

from recoverykit import installs
from recoverykit.errors import FormatError
from recoverykit.formats.hive import Hive, Key
from recoverykit.model import Evidence, Gap, Service, Source, StartType, WindowsInstall

_DRIVER_TYPES = (1, 2, 8)  # kernel driver, file-system driver, recognizer
_STARTS = (
    StartType.BOOT,
    StartType.SYSTEM,
    StartType.AUTO,
    StartType.DEMAND,
    StartType.DISABLED,
)


def time_zone_bias(install: WindowsInstall, hive: Hive) -> int | None:
    """Minutes to add to the machine's local time for UTC; None where the hive does not say."""
    try:
        key = hive.find(f"{install.control_set_key}\\Control\\TimeZoneInformation")
        value = key.value("ActiveTimeBias") if key else None
        minutes = value.dword if value else None
    except FormatError:
        return None
    if minutes is None:
        return None
    signed = minutes - (1 << 32) if minutes >= 1 << 31 else minutes
    return signed if abs(signed) <= 24 * 60 else None


def collect(install: WindowsInstall, hive: Hive) -> Iterator[Evidence]:
    """Every driver service; a damaged key is a Gap and the rest goes on."""
    path = f"{install.control_set_key}\\Services"
    try:
        root = hive.find(path)
        if root is None:
            yield Gap(Source(install.system_hive, key=path), "the key is missing")
            return
        for key in root.subkeys():
            try:
                service = _service(install, key)
            except FormatError as exc:
                yield Gap(Source(install.system_hive, key.offset, key.path), str(exc))
                continue
            if service is not None:
                yield service
    except FormatError as exc:
        yield Gap(Source(install.system_hive, key=path), f"not all services were read: {exc}")


def _service(install: WindowsInstall, key: Key) -> Service | None:
    type_, start = _dword(key, "Type"), _dword(key, "Start")
    if type_ not in _DRIVER_TYPES or start is None or start >= len(_STARTS):
        return None
    image_path = _string(key, "ImagePath")
    driver, path = installs.driver_path(install, key.name, image_path)
    return Service(
        source=Source(install.system_hive, key.offset, key.path),
        name=key.name,
        start=_STARTS[start],
        type=type_,
        error_control=_dword(key, "ErrorControl") or 0,
        driver=driver,
        path=path,
        image_path=image_path,
        group=_string(key, "Group"),
        last_written=key.last_written,
        start_override=_overrides(key),
        tag=_dword(key, "Tag"),
        boot_flags=_dword(key, "BootFlags") or 0,
        depends_on=(
            *_strings(key, "DependOnService"),
            *(f"+{group}" for group in _strings(key, "DependOnGroup")),
        ),
    )


def _overrides(key: Key) -> tuple[tuple[str, int], ...]:
    overrides = key.subkey("StartOverride")
    if overrides is None:
        return ()
    read = ((value.name, value.dword) for value in overrides.values())
    return tuple((name, number) for name, number in read if number is not None)


def _dword(key: Key, name: str) -> int | None:
    value = key.value(name)
    return value.dword if value else None


def _strings(key: Key, name: str) -> tuple[str, ...]:
    """A list; some installers write a plain string where one belongs."""
    value = key.value(name)
    if value is None:
        return ()
    return tuple(part for part in value.strings or (value.string or "",) if part)


def _string(key: Key, name: str) -> str:
    value = key.value(name)
    return (value.string or "") if value else ""
