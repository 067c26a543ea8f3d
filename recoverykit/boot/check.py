"""Walk the boot manager's and loader's job offline and say pass or fail, line by line. Reads only.

The order is that of a boot: firmware and boot store, the SYSTEM hive and its control set, kernel
and drivers in load order, the way to Windows' own disk, and what the volume must offer. What is
looked at, what fails and what only warns: docs/boot-check.md, line by line. A line that fails means
that this Windows will not start; what no boot fails for is a warning; and what was not looked at is
said, in a line of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from recoverykit import installs
from recoverykit.boot import (
    check_drivers,
    check_filters,
    check_hives,
    check_kernel,
    check_machine,
    check_policy,
    check_storage,
    check_store,
    esp,
)
from recoverykit.boot.check_drivers import Drivers
from recoverykit.boot.check_files import Files
from recoverykit.boot.check_line import Fault, skipped
from recoverykit.diagnosis.boot_path import boot_path
from recoverykit.errors import RecoveryKitError
from recoverykit.evidence.modules import Modules
from recoverykit.model import CheckLine, Evidence, Service, Source, Volume, WindowsInstall
from recoverykit.vouching import Judge, Standing

BEYOND = "beyond-this-check"
_BEYOND = (
    "the firmware's boot variables and Secure Boot lists, boot code in front of the file system, "
    "whether policies that name what may load name these files, "
    "hardware changed since the last start"
)

# Services every Windows has: that one is missing or disabled is said once, not for every filter.
_TOLD = check_machine.folded((*check_hives.STORAGE_ROLES, "volume"))


def check(
    install: WindowsInstall,
    evidence: Sequence[Evidence],
    *,
    boot_volumes: Sequence[tuple[Volume, Path]] = (),
    judge: Judge | None = None,
    free: int | None = None,
) -> tuple[CheckLine, ...]:
    """Every line of the boot check for one installation, in the order of a boot.

    `evidence`: what `evidence.collect_for_a_start` finds, or more; `boot_volumes`: other volumes
    of the disk that may hold its boot files, with where they are mounted; `judge`: of
    signatures (None: one that trusts nobody beside Microsoft); `free`: bytes free on the volume,
    asked of the file system where it is None. Never raises on bad input.
    """
    machine = check_machine.know(install, evidence)
    services = machine.all(Service)
    judge = judge or Judge(install, boot_volumes)
    files = Files(install, Modules(install, services), judge)
    path = boot_path(machine.evidence, install)
    needed = check_storage.needed(machine, path)
    loaders = [files.place(one.path.replace("\\", "/")) for one in check_store.started(machine)]
    drivers = Drivers(machine, files, needed, tuple(path for path in loaders if path))
    tampered = [*_managers(boot_volumes, judge)]
    return (
        *check_store.lines(machine, tampered),
        *check_hives.lines(machine),
        *check_kernel.lines(files),
        *check_drivers.lines(drivers),
        check_filters.line(machine, path, _TOLD),
        check_storage.line(machine, path),
        check_policy.integrity(files),
        check_policy.space(install, free),
        skipped(BEYOND, f"not looked at: {_BEYOND}"),
    )


def with_stores_of(
    before: Sequence[CheckLine], after: Sequence[CheckLine]
) -> tuple[CheckLine, ...]:
    """The lines of `after`, but those about boot stores and boot managers of `before`. Pure."""
    kept = {line.check: line for line in before if line.check in check_store.NAMES}
    return tuple(kept.get(line.check, line) for line in after)


def worse(before: Sequence[CheckLine], after: Sequence[CheckLine]) -> tuple[str, ...]:
    """What a change made worse: a sentence for each line that fails and did not, or for more.

    A line that could not be checked before and fails now was not made worse by the change: it can
    only be seen now. Pure.
    """
    earlier = {line.check: line for line in before}
    return tuple(
        sentence
        for line in after
        if line.ok is False and (sentence := _worse(earlier.get(line.check), line))
    )


def _worse(before: CheckLine | None, after: CheckLine) -> str:
    if before is None or before.ok or before.warning:
        return f"The boot check's line {after.check} fails now: {after.text}."
    if before.ok is None:
        return ""
    known = {(source.path, source.key) for source in before.sources}
    new = [one for one in after.sources if (one.path, one.key) not in known]
    if not new:
        return ""
    named = ", ".join(dict.fromkeys(one.key or one.path for one in new))
    return f"The boot check's line {after.check} fails for more than before: {named}."


def _managers(volumes: Sequence[tuple[Volume, Path]], judge: Judge) -> Iterator[Fault]:
    """Boot managers that are not what was signed. Whether they are there the evidence says."""
    for volume, mount in volumes:
        try:
            found = installs.locate(mount, esp.EFI_MANAGER)
            if found is None:
                continue
            with installs.on_disk(mount, found).open("rb") as stream:
                standing, word = judge.standing(stream)
        except (RecoveryKitError, OSError):
            continue
        if standing is Standing.TAMPERED:
            yield Fault(f"bootmgfw.efi: {word}", Source(f"{volume.name}:/{found}"))
