"""Everything in a SYSTEM hive that names a driver, and what becomes of it when it is quarantined.

A service that is disabled while a filter list still names it gives stop code 0x7B (Microsoft
support, "Stop error 7B"), and one that a pending rename or the early-launch backup brings back was
not taken away. So all of it is one plan. What is only harmless while the driver is disabled stays
and is listed: minifilter instances, dependents, network bindings. Not listed, as it does nothing by
itself: what installs the driver again (DriverDatabase, Setup), sources of event messages.

Which control sets: the one the next boot uses, and those that Windows may fall back to (Select:
Current, Default, LastKnownGood). A set that only Failed names is never booted again.

Places: windows-boot-facts section 2; Microsoft Learn, "Device filter driver ordering" (filter
lists), "Crash dump filter drivers", "MoveFileExW" (PendingFileRenameOperations); winreg-kb, "System
keys" (SafeBoot, Select); the hives of ../shared/data.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from recoverykit.errors import FormatError
from recoverykit.formats.hive import (
    REG_DWORD,
    REG_EXPAND_SZ,
    REG_MULTI_SZ,
    REG_SZ,
    Hive,
    Key,
    fold,
)
from recoverykit.model import Decision, RegistryData
from recoverykit.repair.registry_draft import Draft

DISABLED = RegistryData(REG_DWORD, (4).to_bytes(4, "little"))
_FALL_BACK = ("Current", "Default", "LastKnownGood")
_FILTERS = ("UpperFilters", "LowerFilters")
_INSTANCES = ("Instances", "Parameters\\Instances")
_RENAMES = ("PendingFileRenameOperations", "PendingFileRenameOperations2")
_MODES = ("Minimal", "Network")
_MOST_SETS = 8
_MOST_DEVICES = 50_000  # as evidence.devices reads
_MOST_DEPENDENTS = 200
_NUL = "\0".encode("utf-16-le")


@dataclass(slots=True)
class Names:
    """What names a driver: the changes that end it, and a decision on each."""

    draft: Draft
    decisions: list[Decision] = field(default_factory=list)

    def note(self, what: str, where: str, reason: str, *, changed: bool) -> None:
        self.decisions.append(Decision(what, _shown(where), changed, _shown(reason)))


def _shown(text: str) -> str:
    """Half a surrogate pair, which names may hold, can be neither written nor printed."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def control_sets(hive: Hive, used: int) -> tuple[int, ...]:
    """The numbers of the sets to change, the one in use first."""
    numbers = [used]
    select = hive.find("Select")
    for name in _FALL_BACK if select is not None else ():
        value = select.value(name) if select is not None else None
        number = value.dword if value is not None else None
        if number is not None and 0 < number < 1000 and number not in numbers:
            numbers.append(number)
    return tuple(number for number in numbers[:_MOST_SETS] if hive.find(_set(number)) is not None)


def _set(number: int) -> str:
    return f"ControlSet{number:03}"


def disable(found: Names, hive: Hive, number: int, service: str) -> bool:
    """Start, and StartOverride which overrides it, become 4. False where there is no Start."""
    path = f"{_set(number)}\\Services\\{service}"
    key = hive.find(path)
    start = key.value("Start") if key is not None else None
    if key is None or start is None or start.type != REG_DWORD or len(start.data) != 4:
        return False
    _disable_value(found, key, "Start")
    overrides = key.subkey("StartOverride")
    for value in overrides.values() if overrides is not None else ():
        if overrides is not None and value.type == REG_DWORD and len(value.data) == 4:
            _disable_value(found, overrides, value.name)
    return True


def _disable_value(found: Names, key: Key, name: str) -> None:
    before = found.draft.value(key.path, name)
    if before is None or before == DISABLED:
        return
    found.draft.set(key.path, name, DISABLED)
    was = int.from_bytes(before.data, "little")
    found.note("service", f"{key.path}\\{name}", f"{name} {was} becomes 4 (disabled)", changed=True)


# --- filters ------------------------------------------------------------------------------


def leave_filter_lists(found: Names, hive: Hive, number: int, services: Sequence[str]) -> None:
    """Take the names out of every class and device list; an empty list goes.

    Up to Windows 7, a device that is new at boot gets its lists from CriticalDeviceDatabase.
    """
    names = {fold(name) for name in services}
    for path, levels, what in (
        (f"{_set(number)}\\Control\\Class", 1, "class filter"),
        (f"{_set(number)}\\Control\\CriticalDeviceDatabase", 1, "filter of new devices"),
        (f"{_set(number)}\\Enum", 3, "device filter"),
    ):
        for key in _below(hive.find(path), levels):
            for name in _FILTERS:
                _leave(found, key, name, names, what)


def leave_dump_filters(found: Names, hive: Hive, number: int, names: Sequence[str]) -> None:
    """Take the files out of the filters of crash dumps: no dump is written while one is missing."""
    key = hive.find(f"{_set(number)}\\Control\\CrashControl")
    if key is not None:
        _leave(found, key, "DumpFilters", {fold(name) for name in names}, "crash dump filter")


def _below(key: Key | None, levels: int) -> Iterator[Key]:
    """The keys exactly `levels` below a key.

    Raises FormatError for more than a machine has: a list that was not looked at may name it.
    """
    left = [_MOST_DEVICES]

    def descend(one: Key, depth: int) -> Iterator[Key]:
        for child in one.subkeys():
            left[0] -= 1
            if left[0] < 0:
                raise FormatError("device tree", one.offset, f"more than {_MOST_DEVICES} keys")
            if depth == 1:
                yield child
            else:
                yield from descend(child, depth - 1)

    if key is not None:
        yield from descend(key, levels)


def _leave(found: Names, key: Key, name: str, services: set[str], what: str) -> None:
    value = key.value(name)
    if value is None or value.type not in (REG_MULTI_SZ, REG_SZ, REG_EXPAND_SZ):
        return
    listed, rest = _listed(bytes(value.data), only_one=value.type != REG_MULTI_SZ)
    kept = [one for one in listed if fold(_text(one)) not in services]
    if len(kept) == len(listed):
        return
    data = RegistryData(value.type, b"".join(kept) + rest) if kept else None
    found.draft.set(key.path, name, data)
    gone = ", ".join(sorted({_text(one) for one in listed if one not in kept}))
    names = ", ".join(_text(one) for one in kept)
    rest_is = f"{names} stays" if kept else "nothing is left in the list, which goes"
    where = f"{key.path}\\{name}"
    found.note(what, where, f"{gone} is taken out; {rest_is}", changed=True)


def _listed(data: bytes, *, only_one: bool) -> tuple[list[bytes], bytes]:
    """The strings up to the empty one that ends the list, and what follows; together all of it."""
    listed: list[bytes] = []
    for piece in _pieces(data):
        if piece == _NUL or (only_one and listed):
            break
        listed.append(piece)
    return listed, data[sum(map(len, listed)) :]


def _pieces(data: bytes) -> Iterator[bytes]:
    """Strings as they stand, each with the NUL that ends it; the last one may have none."""
    start = 0
    for at in range(0, len(data) - 1, 2):
        if data[at : at + 2] == _NUL:
            yield data[start : at + 2]
            start = at + 2
    if start < len(data):
        yield data[start:]


def _text(piece: bytes) -> str:
    """A name may hold half a surrogate pair, which must not end as another name."""
    return piece[: len(piece) & ~1].decode("utf-16-le", "surrogatepass").removesuffix("\0")


# --- safe mode ----------------------------------------------------------------------------


def leave_safe_mode(found: Names, hive: Hive, number: int, names: Sequence[str]) -> None:
    """The entries of SafeBoot that let the driver load in safe mode. `names`: services, files."""
    wanted = {fold(name) for name in names}
    for mode in _MODES:
        path = f"{_set(number)}\\Control\\SafeBoot\\{mode}"
        root = hive.find(path)
        for key in root.subkeys() if root is not None else ():
            if fold(key.name) in wanted:
                found.draft.delete(key.path)
                reason = "it would let the driver load in safe mode"
                found.note("SafeBoot entry", key.path, reason, changed=True)


# --- pending renames ----------------------------------------------------------------------


def stop_renames(found: Names, hive: Hive, number: int, files: Sequence[str]) -> None:
    """Renames of the next start onto one of these files (relative to the volume)."""
    path = f"{_set(number)}\\Control\\Session Manager"
    key = hive.find(path)
    wanted = {fold(name.replace("/", "\\")) for name in files}
    wanted |= {fold("SystemRoot\\") + name.partition("\\")[2] for name in wanted}
    for name in _RENAMES if key is not None else ():
        value = key.value(name) if key is not None else None
        if key is None or value is None or value.type != REG_MULTI_SZ:
            continue
        pairs, rest = _pairs(bytes(value.data))
        kept = [pair for pair in pairs if _destination(_text(pair[1])) not in wanted]
        if len(kept) == len(pairs):
            continue
        data = b"".join(old + new for old, new in kept) + rest
        left = RegistryData(value.type, data) if data.strip(b"\0") else None
        found.draft.set(key.path, name, left)
        for old, new in pairs:
            if _destination(_text(new)) in wanted:
                reason = f"{_text(old)} would be moved there by the next start"
                found.note("pending rename", f"{key.path}\\{name}", reason, changed=True)


def _pairs(data: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """(source, destination) as they stand, and what follows them; together all of it.

    A destination may be empty, which deletes the source: so this list does not end there.
    """
    pieces = list(_pieces(data))
    pairs = list(zip(pieces[::2], pieces[1::2], strict=False))
    while pairs and not any(b"".join(pairs[-1])):
        pairs.pop()
    return pairs, data[sum(len(old) + len(new) for old, new in pairs) :]


# "!" replaces what stands there; Windows 10 and later write "*" and a number before some names.
_ROOT = re.compile(
    r"([!*]\d*(?=\\))?"
    r"((\\\?\?|\\\\\?|\\dosdevices|\\global\?\?)\\([a-z]:|volume\{[0-9a-f-]+\})\\"
    r"|(\\\?\?\\globalroot)?\\device\\harddiskvolume\d+\\)?",
    re.IGNORECASE,
)


def _destination(text: str) -> str:
    """Below the volume, folded: "!\\??\\C:\\Windows\\x.sys" is "windows\\x.sys".

    A drive letter is taken for this volume: offline nobody knows which letter it had.
    """
    root = _ROOT.match(text)
    return fold(text[root.end() if root else 0 :].lstrip("\\"))


# --- what stays ---------------------------------------------------------------------------


def list_instances(found: Names, hive: Hive, number: int, service: str) -> None:
    """A minifilter attaches by these; while its service is disabled it attaches nowhere."""
    for place in _INSTANCES:
        key = hive.find(f"{_set(number)}\\Services\\{service}\\{place}")
        for child in key.subkeys() if key is not None else ():
            altitude = child.value("Altitude")
            text = (altitude.string if altitude is not None else None) or "unknown"
            reason = f"altitude {text}; it attaches nowhere while the service is disabled"
            found.note("minifilter instance", child.path, reason, changed=False)


@dataclass(frozen=True, slots=True)
class Dependent:
    """A service that says it cannot start without another one, or its group."""

    name: str
    key: str
    start: int
    type: int
    needs: str


def dependents(hive: Hive, number: int, services: Sequence[str], group: str) -> Iterator[Dependent]:
    """Services of any kind that depend on these, or on a group that holds nothing else."""
    root = hive.find(f"{_set(number)}\\Services")
    wanted = {fold(name) for name in services}
    alone = {fold(group)} if group and _is_alone(root, wanted, group) else set()
    count = 0
    for key in root.subkeys() if root is not None else ():
        if fold(key.name) in wanted:
            continue
        for name, named in (("DependOnService", wanted), ("DependOnGroup", alone)):
            needs = next((one for one in _needs(key, name) if fold(one) in named), None)
            if needs is not None:
                yield Dependent(
                    key.name, key.path, _dword(key, "Start", 3), _dword(key, "Type", 16), needs
                )
                count += 1
                break
        if count >= _MOST_DEPENDENTS:
            return


def _is_alone(root: Key | None, services: set[str], group: str) -> bool:
    for key in root.subkeys() if root is not None else ():
        value = key.value("Group")
        same = value is not None and fold(value.string or "") == fold(group)
        if same and fold(key.name) not in services and _dword(key, "Start", 4) != 4:
            return False
    return True


def _needs(key: Key, name: str) -> tuple[str, ...]:
    """A list; some installers write a plain string where one belongs."""
    value = key.value(name)
    return () if value is None else value.strings or (value.string or "",)


def _dword(key: Key, name: str, default: int) -> int:
    value = key.value(name)
    number = value.dword if value is not None else None
    return default if number is None else number
