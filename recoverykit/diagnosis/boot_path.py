"""From the volume Windows boots from to the root of the device tree: who must work for it. Pure.

Which disk: one whose kept table has the partition's identity, or one of whose volumes begins where
the partition does; where neither can be asked, every disk that is not gone. Where several answer,
all of them count. From each such disk upwards by the parents that `evidence.boot_disk` found.

The path is doubtful, and then as wide as every storage device of the machine, where a step is not
recorded, where the tree was not read in whole, where Windows knows this partition under no name (a
copied disk), or where a disk is a virtual one, whose backing (a VHD's disk, a pool's members, a
network) the tree does not tell. Not told by any registry: hardware that was changed since Windows
last ran.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from recoverykit.diagnosis import knowledge
from recoverykit.model import (
    BootPath,
    DeviceNode,
    DeviceUse,
    Evidence,
    FilterUse,
    Gap,
    Known,
    MountedVolume,
    NodeKind,
    PathNode,
    Source,
    WindowsInstall,
)

VOLUME = "the volume Windows boots from"
DISK = "the boot disk"
CONTROLLER = "the storage controller of the boot disk"
BUS = "a bus the boot disk hangs on"

_DIGITS = 21  # of 64 bits
_STEPS = 64  # from a disk upwards; real paths have at most a dozen
# What hangs on the root is software, but for the firmware's and the hypervisors' buses.
_SOFTWARE = ("root", "htree")
_FIRMWARE = ("acpi", "acpi_hal", "pci_hal", "vmbus", "xenevtchn")
_NETWORK = "{4d36e972-e325-11ce-bfc1-08002be10318}"
_ISCSI = ("iscsiprt", "msiscsi")


def boot_path(evidence: Sequence[Evidence], install: WindowsInstall | None = None) -> BootPath:
    """The devices Windows reaches its volume through, as far as the evidence tells."""
    tree = _Tree.of(evidence)
    disks, doubt = _boot_disks(tree, install)
    volumes = _volumes(tree, disks, install)
    nodes = [_node(tree, one, VOLUME, one.known) for one in volumes]
    for disk in disks:
        steps, missing = _upwards(tree, disk)
        nodes += steps
        doubt = doubt or missing
    if doubt:
        nodes += _guesses(tree, evidence, {node.device.casefold() for node in nodes})
    return BootPath(tuple(disk.device for disk in disks), _once(nodes), doubt)


@dataclass(frozen=True, slots=True)
class _Tree:
    nodes: dict[str, DeviceNode]  # by instance path, case-folded
    names: frozenset[str]  # identities of partitions Windows gave names to
    device_filters: dict[str, list[str]]
    class_filters: dict[str, list[str]]
    damaged: bool

    @classmethod
    def of(cls, evidence: Sequence[Evidence]) -> _Tree:
        nodes: dict[str, DeviceNode] = {}
        names: set[str] = set()
        filters: dict[str, dict[str, list[str]]] = {"device": {}, "class": {}}
        damaged = False
        for item in evidence:
            if isinstance(item, DeviceNode):
                nodes.setdefault(item.device.casefold(), item)
            elif isinstance(item, MountedVolume):
                names.add(item.identity)
            elif isinstance(item, FilterUse):
                owners = filters.setdefault(item.scope, {})
                owners.setdefault(item.owner.casefold(), []).append(item.service)
            elif isinstance(item, Gap):
                damaged = damaged or item.source.key.casefold().split("\\")[1:2] == ["enum"]
        return cls(nodes, frozenset(names), filters["device"], filters["class"], damaged)

    def of_kind(self, kind: NodeKind) -> list[DeviceNode]:
        return [node for node in self.nodes.values() if node.kind is kind]


# --- which disk ---------------------------------------------------------------------------


def _boot_disks(tree: _Tree, install: WindowsInstall | None) -> tuple[list[DeviceNode], str]:
    """(the disks it may be, why they may not be all)."""
    disks = tree.of_kind(NodeKind.DISK)
    if not disks:
        return [], "the registry shows no disk"
    if tree.damaged:
        return disks, "a part of the device tree could not be read"
    identity = install.volume.identity if install else ""
    if not identity or install is None:
        return _present(disks), ""
    if tree.names and identity not in tree.names:
        return disks, "Windows knows the volume under no name: its disk was copied or changed"
    start = _start(install)
    beginning = [one for one in tree.of_kind(NodeKind.VOLUME) if one.start == start is not None]
    wanted = {volume.disk for volume in beginning if volume.disk}
    found = [disk for disk in disks if identity in disk.partitions or disk.disk in wanted]
    if found or start is None:
        return found or _present(disks), ""
    return disks, "no disk of the registry has a volume in this place"


def _present(disks: list[DeviceNode]) -> list[DeviceNode]:
    """Those that are not gone. Windows before 8 did not boot from USB, and records no parents."""
    there = [disk for disk in disks if not disk.removed] or disks
    old = all(disk.known is not Known.PARENT for disk in there)
    inside = [disk for disk in there if not disk.device.casefold().startswith("usbstor\\")]
    return inside if old and inside else there


def _start(install: WindowsInstall) -> int | None:
    """Where the volume begins on its disk; None where nobody told."""
    volume = install.volume
    kind, _, rest = volume.identity.partition(":")
    offset = rest.rpartition(":")[2]
    if kind == "mbr" and offset.isascii() and offset.isdecimal() and len(offset) < _DIGITS:
        return int(offset)
    return volume.start or volume.offset or None


def _volumes(
    tree: _Tree, disks: list[DeviceNode], install: WindowsInstall | None
) -> list[DeviceNode]:
    """The boot volume on these disks, or all of their volumes where it cannot be told."""
    known = {disk.disk for disk in disks if disk.disk}
    volumes = [one for one in tree.of_kind(NodeKind.VOLUME) if one.disk in known]
    start = _start(install) if install else None
    return [one for one in volumes if one.start == start] or volumes


# --- upwards ------------------------------------------------------------------------------


def _upwards(tree: _Tree, disk: DeviceNode) -> tuple[list[PathNode], str]:
    """The disk and everything above it, and why that may not be all of it."""
    nodes = [_node(tree, disk, DISK, disk.known)]
    seen = {disk.device.casefold()}
    below, one = disk, disk
    while one.known in (Known.PARENT, Known.PREFIX):
        parent = tree.nodes.get(one.parent.casefold())
        if parent is None:
            if one.parent.casefold().startswith("htree\\"):
                break  # the root itself is not read
            return nodes, f"{one.parent} was not found, on which {one.device} hangs"
        if parent.device.casefold() in seen or len(nodes) > _STEPS:
            return nodes, f"the devices above {disk.device} do not end"
        seen.add(parent.device.casefold())
        below, one = one, parent
        nodes.append(_node(tree, one, _role(one, below), one.known))
    if one.known is Known.GUESS:
        return nodes, f"what {one.device} hangs on is not recorded"
    if _is_software(one):
        return nodes, f"{disk.device} is a virtual disk, whose own disk is not recorded"
    return nodes, ""


def _role(one: DeviceNode, below: DeviceNode) -> str:
    """Whatever a disk hangs on drives it, whatever class it is in: USB disks, third-party buses."""
    return CONTROLLER if below.kind is NodeKind.DISK or one.kind is NodeKind.CONTROLLER else BUS


def _is_software(top: DeviceNode) -> bool:
    """Whether a path ends in a device that neither firmware nor a hypervisor made."""
    enumerator, _, rest = top.device.casefold().partition("\\")
    if enumerator in _SOFTWARE:
        return rest.partition("\\")[0] not in _FIRMWARE
    return top.known is Known.PARENT and enumerator not in _FIRMWARE


def _node(tree: _Tree, one: DeviceNode, role: str, known: Known) -> PathNode:
    filters = (
        *tree.device_filters.get(one.device.casefold(), ()),
        *tree.class_filters.get(one.class_guid.casefold(), ()),
    )
    return PathNode(
        one.source,
        one.device,
        one.service,
        one.class_guid,
        role,
        known,
        tuple(dict.fromkeys(filters)),
    )


def _once(nodes: Iterable[PathNode]) -> tuple[PathNode, ...]:
    """Disks share what is above them."""
    return tuple({node.device.casefold(): node for node in reversed(list(nodes))}.values())[::-1]


# --- where it is not known ----------------------------------------------------------------


def _guesses(tree: _Tree, evidence: Sequence[Evidence], told: set[str]) -> Iterator[PathNode]:
    """Every storage device that is not known to be gone, and of iSCSI every network card."""
    words = dict(_words())
    if any(node.service.casefold() in _ISCSI for node in tree.nodes.values()):
        words[_NETWORK] = "network cards"
    for item in evidence:
        if not isinstance(item, DeviceUse | DeviceNode):
            continue
        name, kind = item.device.casefold(), words.get(item.class_guid.casefold())
        node = tree.nodes.get(name)
        if kind is None or name in told or (node is not None and node.removed):
            continue
        told.add(name)
        guess = node or _unplaced(item.source, item)
        role = f"one of the {kind}, perhaps on the way to the boot disk"
        yield _node(tree, guess, role, Known.GUESS)


def _unplaced(source: Source, use: DeviceUse | DeviceNode) -> DeviceNode:
    return DeviceNode(source, use.device, NodeKind.OTHER, use.service, use.class_guid)


@cache
def _words() -> dict[str, str]:
    """Storage classes, and what their devices are called."""
    rows = (line.split(" ", 2) for line in knowledge.lines("storage-classes.txt"))
    return {guid: words.removeprefix("the ") for guid, _, words in rows}


def is_storage_class(guid: str) -> bool:
    """Whether a class lies on the way to disks on some machine."""
    return guid.casefold() in _words()
