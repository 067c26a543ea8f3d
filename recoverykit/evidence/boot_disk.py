"""Disks, volumes and storage controllers, and every device they hang on, up to the root.

Sources: devpkey.h (DEVPKEY_Device_LastKnownParent is {83da6326-97a6-4088-9453-a1923f573b29}, 10;
LastArrivalDate 102, LastRemovalDate 103), libyal winreg-kb "System keys", and real hives: since
Windows 8 such a property is `Enum\\<instance>\\Properties\\{guid}\\000A`, default value, whose type
is 0xFFFF0000 plus the property's. Older Windows keeps no parent: there the instance's name begins
with the ParentIdPrefix of its parent, and a USB disk's with the serial number of its USB device.
`Device Parameters\\Partmgr\\DiskId` is the GUID by which volume names name their disk.

A parent that two devices could be, or none, is left open: `diagnosis.boot_path` then takes the
widest view.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from recoverykit.diagnosis import knowledge
from recoverykit.errors import FormatError
from recoverykit.evidence import device_keys
from recoverykit.formats import device_id, partition_names
from recoverykit.formats.hive import Hive, Key, Value
from recoverykit.model import (
    DeviceNode,
    Evidence,
    Gap,
    Known,
    MountedVolume,
    NodeKind,
    Source,
    WindowsInstall,
)

_RECORDS = "{83da6326-97a6-4088-9453-a1923f573b29}"
_PARENT, _ARRIVED, _LEFT = "000A", "0066", "0067"
_TYPED = 0xFFFF_0000
_STRING, _FILETIME = 0x12, 0x10  # DEVPROP_TYPE_*
_REMOVED = 0x2  # CONFIGFLAG_REMOVED
_TOP = ("root", "htree", "acpi_hal", "acpi")  # firmware and root devices: nothing above matters
_SEEDS = (NodeKind.DISK, NodeKind.VOLUME, NodeKind.CONTROLLER)
MAX_NODES = 5_000  # disks ever seen and what they hang on: tens on most machines
_MAX_MOUNTED = 5_000


@cache
def _kinds() -> dict[str, NodeKind]:
    rows = (line.split(" ", 2) for line in knowledge.lines("storage-classes.txt"))
    return {guid: NodeKind(kind) for guid, kind, _ in rows}


@dataclass(frozen=True, slots=True)
class _Instance:
    """What is read of every device, before it is known which of them matter."""

    device: str
    key: Key
    class_guid: str
    service: str
    prefix: str
    problem: int

    @property
    def kind(self) -> NodeKind:
        return _kinds().get(self.class_guid, NodeKind.OTHER)


def collect(install: WindowsInstall, hive: Hive) -> Iterator[Evidence]:
    """Mounted volumes and device nodes. Never raises on bad input: what is lost is a Gap."""
    yield from _mounted(install, hive)
    found = list(_instances(install, hive))
    yield from (item for item in found if isinstance(item, Gap))
    tree = _Tree(item for item in found if not isinstance(item, Gap))
    pending = [one for one in tree.all.values() if one.kind in _SEEDS]
    seen = {one.device.casefold() for one in pending}
    for number, one in enumerate(pending):  # grows while it is walked
        if number >= MAX_NODES:
            reason = f"more than {MAX_NODES} storage devices: the rest was not followed"
            yield Gap(Source(install.system_hive, key=one.key.path), reason)
            return
        try:
            node = _node(install, tree, one)
        except FormatError as exc:
            yield Gap(Source(install.system_hive, one.key.offset, one.key.path), str(exc))
            continue
        yield node
        above = tree.all.get(node.parent.casefold())
        if above is not None and above.device.casefold() not in seen:
            seen.add(above.device.casefold())
            pending.append(above)


def _mounted(install: WindowsInstall, hive: Hive) -> Iterator[Evidence]:
    try:
        key = hive.find("MountedDevices")
        for number, value in enumerate(key.values() if key else ()):
            if number >= _MAX_MOUNTED:
                return
            identity = partition_names.mounted(value.data)
            if identity:
                source = Source(install.system_hive, value.offset, f"MountedDevices\\{value.name}")
                yield MountedVolume(source, value.name, identity)
    except FormatError as exc:
        yield Gap(Source(install.system_hive, key="MountedDevices"), str(exc))


def _instances(install: WindowsInstall, hive: Hive) -> Iterator[_Instance | Gap]:
    for item in device_keys.instances(install, hive):
        if isinstance(item, Gap):
            yield item
            continue
        device, key = item
        names = ("ClassGUID", "Service", "ParentIdPrefix", "ConfigFlags")
        try:
            guid, service, prefix, flags = key.values_of(*names)
            problem = (flags.dword if flags else None) or 0
            texts = _text(guid).lower(), _text(service), _text(prefix).casefold()
        except FormatError as exc:
            yield Gap(Source(install.system_hive, key.offset, key.path), str(exc))
            continue
        yield _Instance(device, key, *texts, problem)


class _Tree:
    """Every device by its path, and by how its children's instances begin."""

    def __init__(self, instances: Iterable[_Instance]) -> None:
        self.all: dict[str, _Instance] = {}
        self._above: dict[str, list[_Instance]] = {}
        for one in instances:
            self.all[one.device.casefold()] = one
            if one.prefix:
                self._above.setdefault(one.prefix, []).append(one)
            if device_id.enumerator(one.device) == "usb":
                serial = f"usb:{device_id.instance(one.device).casefold()}"
                self._above.setdefault(serial, []).append(one)

    def parent(self, one: _Instance) -> tuple[str, Known]:
        """The device it hangs on, and how that is known."""
        recorded = _recorded(one.key, _PARENT, _STRING)
        if recorded is not None:
            name = recorded.decode("utf-16-le", "replace").partition("\0")[0]
            if name and name.casefold() != one.device.casefold():
                return name, Known.PARENT
        for wanted in self._names(one):
            found = [above for above in self._above.get(wanted, ()) if above is not one]
            if found:
                return (found[0].device, Known.PREFIX) if len(found) == 1 else ("", Known.GUESS)
        return "", Known.TOP if device_id.enumerator(one.device) in _TOP else Known.GUESS

    def _names(self, one: _Instance) -> Iterator[str]:
        yield from device_id.prefixes(one.device)
        if device_id.enumerator(one.device) == "usbstor":
            yield f"usb:{device_id.instance(one.device).casefold().rpartition('&')[0]}"


def _node(install: WindowsInstall, tree: _Tree, one: _Instance) -> DeviceNode:
    parent, known = tree.parent(one)
    disk, start = "", None
    if one.kind is NodeKind.VOLUME:
        disk, start = device_id.volume(one.device) or ("", None)
    partitions: tuple[str, ...] = ()
    if one.kind is NodeKind.DISK:
        disk, partitions = _partmgr(one.key)
    return DeviceNode(
        source=Source(install.system_hive, one.key.offset, one.key.path),
        device=one.device,
        kind=one.kind,
        service=one.service,
        class_guid=one.class_guid,
        parent=parent,
        known=known,
        disk=disk,
        start=start,
        partitions=partitions,
        problem=one.problem,
        removed=_is_removed(one),
    )


def _partmgr(disk: Key) -> tuple[str, tuple[str, ...]]:
    """(the disk's GUID, its partitions) as the partition manager noted them."""
    key = _at(disk, "Device Parameters", "Partmgr")
    if key is None:
        return "", ()
    guid, table = key.values_of("DiskId", "PartitionTableCache")
    try:
        partitions = partition_names.kept(table.data) if table else ()
    except FormatError:
        partitions = ()  # only a note of Windows' own: volumes name the disk as well
    return _text(guid).lower(), partitions


def _is_removed(one: _Instance) -> bool:
    """By its flags, or because it left later than it last came."""
    if one.problem & _REMOVED:
        return True
    left, arrived = (_recorded(one.key, name, _FILETIME) for name in (_LEFT, _ARRIVED))
    if left is None or arrived is None or not len(left) == len(arrived) == 8:
        return False
    return int.from_bytes(left, "little") > int.from_bytes(arrived, "little")


def _recorded(key: Key, name: str, kind: int) -> bytes | None:
    """A device property of that type; None where it is not recorded."""
    found = _at(key, "Properties", _RECORDS, name)
    value = found.value("") if found else None
    return value.data if value is not None and value.type == _TYPED | kind else None


def _at(key: Key, *names: str) -> Key | None:
    found: Key | None = key
    for name in names:
        found = found.subkey(name) if found else None
    return found


def _text(value: Value | None) -> str:
    return (value.string or "") if value else ""
