"""Everything in a SYSTEM hive that names a driver, and what becomes of it when it is quarantined.

A service that is disabled while a filter list still names it gives stop code 0x7B (Microsoft
support, "Stop error 7B"), and one that a pending rename or the early-launch backup brings back was
not taken away. So all of it is one plan. What is only harmless while the driver is disabled stays
and is listed: minifilter instances, dependents, network bindings.

Which control sets: the one the next boot uses, and those that Windows may fall back to (Select:
Current, Default, LastKnownGood). A set that only Failed names is never booted again.

Places: windows-boot-facts section 2; Microsoft Learn, "Device filter driver ordering" (filter
lists), "MoveFileExW" (PendingFileRenameOperations); winreg-kb, "System keys" (SafeBoot, Select).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from recoverykit.formats.hive import REG_DWORD, REG_MULTI_SZ, Hive, Key, fold
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
        self.decisions.append(Decision(what, where, changed, reason))


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
    """Take the names out of every class and device list; an empty list goes."""
    names = {fold(name) for name in services}
    for path, levels, what in (
        (f"{_set(number)}\\Control\\Class", 1, "class filter"),
        (f"{_set(number)}\\Enum", 3, "device filter"),
    ):
        for key in _below(hive.find(path), levels):
            for name in _FILTERS:
                _leave(found, key, name, names, what)


def _below(key: Key | None, levels: int) -> Iterator[Key]:
    """The keys exactly `levels` below a key, up to a number no machine has."""
    left = [_MOST_DEVICES]

    def descend(one: Key, depth: int) -> Iterator[Key]:
        for child in one.subkeys():
            left[0] -= 1
            if left[0] < 0:
                return
            if depth == 1:
                yield child
            else:
                yield from descend(child, depth - 1)

    if key is not None:
        yield from descend(key, levels)


def _leave(found: Names, key: Key, name: str, services: set[str], what: str) -> None:
    value = key.value(name)
    if value is None:
        return
    listed = value.strings or (value.string or "",)
    kept = [one for one in listed if fold(one) not in services]
    if len(kept) == len(listed):
        return
    data = RegistryData(value.type, _multi(kept)) if kept else None
    found.draft.set(key.path, name, data)
    gone = ", ".join(sorted({one for one in listed if fold(one) in services}))
    rest = f"{', '.join(kept)} stays" if kept else "nothing is left in the list, which goes"
    where = f"{key.path}\\{name}"
    found.note(what, where, f"{gone} is taken out; {rest}", changed=True)


def _multi(strings: Iterable[str]) -> bytes:
    return b"".join(text.encode("utf-16-le", "surrogatepass") + _NUL for text in strings) + _NUL


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
    for name in _RENAMES if key is not None else ():
        value = key.value(name) if key is not None else None
        if key is None or value is None or value.type != REG_MULTI_SZ:
            continue
        pairs = _pairs(bytes(value.data))
        kept = [pair for pair in pairs if _destination(pair[1]) not in wanted]
        if len(kept) == len(pairs):
            continue
        data = b"".join(old + _NUL + new + _NUL for old, new in kept) + _NUL
        found.draft.set(key.path, name, RegistryData(value.type, data) if kept else None)
        for old, new in pairs:
            if _destination(new) in wanted:
                reason = f"{_text(old)} would be moved there by the next start"
                found.note("pending rename", f"{key.path}\\{name}", reason, changed=True)


def _pairs(data: bytes) -> list[tuple[bytes, bytes]]:
    """(source, destination) as they stand; a destination may be empty, which deletes the source."""
    units = [data[at : at + 2] for at in range(0, len(data) - 1, 2)]
    strings, start = [], 0
    for at, unit in enumerate(units):
        if unit == _NUL:
            strings.append(b"".join(units[start:at]))
            start = at + 1
    if start < len(units):
        strings.append(b"".join(units[start:]))
    pairs = list(zip(strings[::2], strings[1::2], strict=False))  # less the list's own end
    while pairs and not any(pairs[-1]):
        pairs.pop()
    return pairs


def _destination(raw: bytes) -> str:
    """Below the volume, folded: "!\\??\\C:\\Windows\\x.sys" is "\\windows\\x.sys" without C:."""
    text = _text(raw).removeprefix("!")
    for prefix in ("\\??\\", "\\\\?\\", "\\DosDevices\\"):
        if fold(text).startswith(fold(prefix)):
            text = text[len(prefix) :]
    _, colon, rest = text.partition(":")
    return fold((rest if colon else text).lstrip("\\"))


def _text(raw: bytes) -> str:
    return raw.decode("utf-16-le", "surrogatepass")


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
            needs = next((one for one in _listed(key, name) if fold(one) in named), None)
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


def _listed(key: Key, name: str) -> tuple[str, ...]:
    """A list; some installers write a plain string where one belongs."""
    value = key.value(name)
    return () if value is None else value.strings or (value.string or "",)


def _dword(key: Key, name: str, default: int) -> int:
    value = key.value(name)
    number = value.dword if value is not None else None
    return default if number is None else number
