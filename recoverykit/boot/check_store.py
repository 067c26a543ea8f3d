"""Between the firmware and the loader: the lines about boot manager, boot store and its entry.

The evidence has looked at every volume that may start this Windows (`evidence.boot_files`); here
its findings become lines. Not looked at: the firmware's own variables, its Secure Boot databases,
which partition of an MBR disk is active, and boot code in front of the file system.
"""

from __future__ import annotations

from collections.abc import Sequence

from recoverykit.boot.check_line import Fault, judged, passed, skipped
from recoverykit.boot.check_machine import Machine
from recoverykit.model import BootFault, BootLoader, BootProblem, BootStore, CheckLine

FIRMWARE, MANAGER, STORE = "firmware", "boot-manager", "boot-store"
ENTRY, LOADER, OPTIONS = "boot-entry", "boot-loader", "boot-options"
NAMES = frozenset({FIRMWARE, MANAGER, STORE, ENTRY, LOADER, OPTIONS})

_LINES = {
    BootFault.ESP_UNREADABLE: MANAGER,
    BootFault.NOT_ACTIVE: MANAGER,
    BootFault.MANAGER_MISSING: MANAGER,
    BootFault.MANAGER_DAMAGED: MANAGER,
    BootFault.STORE_MISSING: STORE,
    BootFault.STORE_DAMAGED: STORE,
    BootFault.MANAGER_ENTRY_MISSING: STORE,
    BootFault.NO_LOADER: ENTRY,
    BootFault.WRONG_DEVICE: ENTRY,
    BootFault.WRONG_FIRMWARE: ENTRY,
    BootFault.LOADER_FILE_MISSING: LOADER,
    BootFault.SAFE_BOOT: OPTIONS,
    BootFault.ONE_SHOT: OPTIONS,
}
_UNSEEN = "no boot store was seen that can be read"


def lines(machine: Machine, manager: Sequence[Fault] = ()) -> tuple[CheckLine, ...]:
    """One line a step. `manager`: what else was found of the boot manager's file."""
    stores = [one for one in machine.all(BootStore) if one.role == "system"]
    problems = machine.all(BootProblem)
    seen = bool(stores or problems)
    faults: dict[str, list[Fault]] = {line: [] for line in _LINES.values()}
    faults[MANAGER] += manager
    for problem in problems:
        text = problem.text.rstrip(".")
        faults[_LINES[problem.fault]].append(Fault(text, problem.source, problem.fatal))
    return (
        _firmware(stores),
        judged(MANAGER, faults[MANAGER], _good(MANAGER, "it is there and whole", seen=seen)),
        judged(STORE, faults[STORE], _store(stores)),
        judged(ENTRY, faults[ENTRY], _entry(stores)),
        judged(LOADER, faults[LOADER], _loader(stores)),
        judged(OPTIONS, faults[OPTIONS], _good(OPTIONS, "a normal start", seen=bool(stores))),
    )


def started(machine: Machine) -> list[BootLoader]:
    """Entries that start this installation; the default ones alone where there are such."""
    stores = [one for one in machine.all(BootStore) if one.role == "system"]
    ours = [one for store in stores for one in store.loaders if one.ours and not one.recovery]
    return [one for one in ours if one.default] or ours


def _good(line: str, text: str, *, seen: bool) -> CheckLine:
    return passed(line, text) if seen else skipped(line, _UNSEEN)


def _firmware(stores: Sequence[BootStore]) -> CheckLine:
    kinds = sorted({one.firmware.upper() for one in stores})
    if not kinds:
        return skipped(FIRMWARE, _UNSEEN)
    text = f"{' and '.join(kinds)}, by where the boot store lies"
    return passed(FIRMWARE, text, (one.source for one in stores))


def _store(stores: Sequence[BootStore]) -> CheckLine:
    if not stores:
        return skipped(STORE, _UNSEEN)
    text = f"on {', '.join(sorted({one.volume for one in stores}))}"
    return passed(STORE, text, (one.source for one in stores))


def _entry(stores: Sequence[BootStore]) -> CheckLine:
    if not stores:
        return skipped(ENTRY, _UNSEEN)
    loaders = [one for store in stores for one in store.loaders if not one.recovery]
    for one in (*(one for one in loaders if one.default), *loaders):
        if one.ours:
            default = "the default entry" if one.default else "an entry, not the default one,"
            return passed(ENTRY, f"{default} starts this Windows: {one.description}", (one.source,))
    if any(one.ours is None for one in loaders):
        return skipped(ENTRY, "which partition the entries mean cannot be told here")
    return skipped(ENTRY, "no entry for this Windows was seen; another volume may have one")


def _loader(stores: Sequence[BootStore]) -> CheckLine:
    ours = [one for store in stores for one in store.loaders if one.ours and not one.recovery]
    if not ours:
        return skipped(LOADER, "no entry says which loader starts this Windows")
    text = f"{', '.join(sorted({one.path for one in ours}))} is a program for this machine"
    return passed(LOADER, text, (one.source for one in ours))
