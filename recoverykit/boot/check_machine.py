"""What the boot check knows of a machine: its hive, its drivers, and which of them matter.

Start types are those that count for this hardware. `StartOverride` of a service holds one for each
hardware configuration, whose number is `LastId` of `HardwareConfig` in the SYSTEM hive; drivers
whose BootFlags meet the configuration's BootDriverFlags are started by the loader whatever their
Start says. Sources: windows-boot-facts.md, section 2; Microsoft "Specifying driver load order"; the
values of the seven real hives at hand fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from recoverykit import installs
from recoverykit.boot import load_order
from recoverykit.boot.load_order import LoadOrder
from recoverykit.errors import FormatError, RecoveryKitError, why
from recoverykit.formats.hive import Hive, fold
from recoverykit.model import (
    Evidence,
    HiveHealth,
    HiveState,
    Service,
    Source,
    StartType,
    WindowsInstall,
)

STARTS = tuple(StartType)
SEVERE = 2  # ErrorControl from which on a driver that fails to load ends the boot

Item = TypeVar("Item", bound=Evidence)


@dataclass(frozen=True, slots=True)
class Machine:
    """One installation, as far as its registry can be read."""

    install: WindowsInstall
    evidence: tuple[Evidence, ...]
    hive: Hive | None = None
    trouble: str = ""  # one clause why there is no hive
    services: Mapping[str, Service] = field(default_factory=dict)  # drivers, by folded name
    order: LoadOrder = field(default_factory=LoadOrder)
    hardware: int = 0  # number of the hardware configuration
    promoted: int = 0  # its BootDriverFlags

    @property
    def control_set(self) -> str:
        return self.install.control_set_key

    @property
    def blind(self) -> str:
        """Why nothing can be said of its drivers, "" where something can."""
        if self.hive is None:
            return "the SYSTEM hive cannot be used"
        return "" if self.services else "no driver services are known"

    def all(self, kind: type[Item]) -> list[Item]:
        """The evidence of one kind."""
        return [item for item in self.evidence if isinstance(item, kind)]

    def source(self, key: str) -> Source:
        """A place in the SYSTEM hive, below the control set."""
        return Source(self.install.system_hive, key=f"{self.control_set}\\{key}")

    def service(self, name: str) -> Service | None:
        return self.services.get(fold(name))

    def start(self, service: Service) -> StartType:
        """When this machine starts a driver."""
        for name, number in service.start_override:
            if name == str(self.hardware) and number < len(STARTS):
                return STARTS[number]
        if service.boot_flags & self.promoted and service.start is not StartType.DISABLED:
            return StartType.BOOT
        return service.start

    def early(self, *starts: StartType) -> tuple[Service, ...]:
        """Drivers of these start types in load order; without any, of both early ones."""
        found = load_order.sort(
            ((service, self.start(service)) for service in self.services.values()), self.order
        )
        return tuple(item for item in found if not starts or self.start(item) in starts)

    def has_key(self, path: str) -> bool:
        """Whether a key of the control set exists; one that is damaged does not."""
        try:
            return self.hive is not None and bool(self.hive.find(f"{self.control_set}\\{path}"))
        except FormatError:
            return False


def know(install: WindowsInstall, evidence: Sequence[Evidence]) -> Machine:
    """Read what the check needs beyond the evidence. Never raises on bad input."""
    known = tuple(evidence)
    services = {fold(item.name): item for item in known if isinstance(item, Service)}
    damage = _damage(install, known)
    if damage:  # what can still be read of it, Windows will not read
        return Machine(install, known, trouble=damage, services=services)
    try:
        hive, _ = installs.read_hive(install, install.system_hive)
    except (RecoveryKitError, OSError) as exc:
        return Machine(install, known, trouble=why(exc), services=services)
    machine = Machine(install, known, hive, services=services)
    hardware, promoted = _hardware(hive)
    return Machine(install, known, hive, "", services, _order(machine), hardware, promoted)


def _damage(install: WindowsInstall, evidence: Iterable[Evidence]) -> str:
    for item in evidence:
        if isinstance(item, HiveState) and item.source.path == install.system_hive:
            return item.text if item.health is HiveHealth.DAMAGED else ""
    return ""


def text(hive: Hive, path: str, name: str) -> str:
    """A string value; "" where it is absent. Raises FormatError."""
    key = hive.find(path)
    value = key.value(name) if key else None
    return (value.string if value else None) or ""


def number(hive: Hive, path: str, name: str) -> int | None:
    """A DWORD value; None where it is absent. Raises FormatError."""
    key = hive.find(path)
    value = key.value(name) if key else None
    return value.dword if value else None


def folded(names: Iterable[str]) -> frozenset[str]:
    return frozenset(fold(name) for name in names)


def _hardware(hive: Hive) -> tuple[int, int]:
    """(number, BootDriverFlags) of the configuration the machine was last started with."""
    try:
        last = number(hive, "HardwareConfig", "LastId") or 0
        current = text(hive, "HardwareConfig", "LastConfig")
        flags = number(hive, f"HardwareConfig\\{current}", "BootDriverFlags") if current else 0
    except FormatError:
        return 0, 0
    return last, flags or 0


def _order(machine: Machine) -> LoadOrder:
    try:
        return load_order.read(machine.hive, machine.control_set) if machine.hive else LoadOrder()
    except FormatError:
        return LoadOrder()
