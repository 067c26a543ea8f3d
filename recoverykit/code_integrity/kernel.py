"""What of one installation decides which drivers its kernel loads: `signing.kernel.Kernel`, filled.

Secure Boot: `Control\\SecureBoot\\State` is volatile (none of the five hives of Windows 8 to 10 at
hand has it, though Windows writes it on every start). So it is told by the firmware of the machine
at hand, by the loader that the boot entry names (a BIOS has none), by what Windows measured and
logged at its last starts (`evidence.secure_boot`), or not at all.

The end of cross-signed trust of April 2026 is an App Control policy, with one GUID for evaluation
and one for enforcement (Microsoft "The Windows Driver Policy"), for Windows 11 24H2 and Server 2025
on. It is found as a file below `CiPolicies\\Active`, of Windows or of the EFI system partition.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from recoverykit import installs
from recoverykit.code_integrity import Fact, Findings, boot_entry, policies, registry
from recoverykit.code_integrity.policies import Policies
from recoverykit.errors import RecoveryKitError, why
from recoverykit.evidence import files
from recoverykit.evidence import secure_boot as last_starts
from recoverykit.formats import pe, pe_resources
from recoverykit.model import Gap, Source, Volume, WindowsInstall
from signing.kernel import Kernel

# Facts beyond the fields of Kernel.
MORE = (
    *("driver_policy", "custom_signers", "upgrade_running"),
    *("s_mode", "smart_app_control", "windows_se", "debug", "loader"),
    *("hypervisor_launch", "vsm_launch", "boot_hvci"),
)
ENFORCED, EVALUATED, ABSENT = "enforced", "evaluated", "absent"  # of the fact "driver_policy"

_WINDOWS_8, _WINDOWS_10, _1607, _11_24H2 = 9200, 10240, 14393, 26100
_KERNEL_FILE = "System32/ntoskrnl.exe"
_FIRMWARE = Source("firmware")
_ENFORCED = f"{policies.DRIVER_POLICY}.cip".lower()
_EVALUATED = f"{policies.DRIVER_POLICY_EVALUATED}.cip".lower()


@dataclass(frozen=True, slots=True)
class TargetKernel:
    """A kernel, where each thing that is known of it stands, and what could not be told."""

    kernel: Kernel
    facts: tuple[Fact, ...]
    gaps: tuple[Gap, ...]
    policies: Policies = field(default=Policies(), repr=False)

    def fact(self, name: str) -> Fact | None:
        return next((fact for fact in self.facts if fact.name == name), None)


def kernel_of(
    install: WindowsInstall,
    boot_volumes: Sequence[tuple[Volume, Path]] = (),
    *,
    secure_boot: bool | None = None,
) -> TargetKernel:
    """What is known of an installation's kernel. Never raises on bad input.

    `boot_volumes`: other volumes that may hold its boot files, with where they are mounted;
    `secure_boot`: as the firmware of this very machine says, where the installation is at home.
    """
    found = Findings()
    hives = registry.Registry(install, found)
    registry.collect(hives)
    _by_its_file(install, found)
    facts, gaps = boot_entry.settings(install, boot_volumes)
    found.facts.update({fact.name: fact for fact in facts})
    found.gaps += gaps
    read = policies.read(install, boot_volumes)
    found.gaps += read.gaps
    _driver_policy(install, found, boot_volumes, read)
    asked, placed = read.hvci(found)
    registry.memory_integrity(hives, (asked, placed.place.source if placed else None))
    registry.block_list(hives)
    _whql_by_policy(found, read)
    _secure_boot(install, found, secure_boot)
    return TargetKernel(_kernel(found), tuple(found.facts.values()), tuple(found.gaps), read)


def _kernel(found: Findings) -> Kernel:
    return Kernel(
        build=found.number("build"),
        revision=found.number("revision"),
        architecture=found.text("architecture"),
        server=found.flag("server"),
        secure_boot=found.flag("secure_boot"),
        test_signing=found.flag("test_signing"),
        no_integrity_checks=found.flag("no_integrity_checks"),
        flight_signing=found.flag("flight_signing"),
        hvci=found.flag("hvci"),
        upgraded=found.flag("upgraded"),
        boot_upgraded=found.flag("boot_upgraded"),
        whql_required=found.flag("whql_required"),
        cross_signed_ended=found.flag("cross_signed_ended"),
        block_list=found.flag("block_list"),
    )


# --- the kernel's file --------------------------------------------------------------------


def _by_its_file(install: WindowsInstall, found: Findings) -> None:
    """Build and machine type by the kernel's file, where the hives do not tell them.

    The build may be lower than that of the registry, which an enablement package raises alone.
    """
    if "build" in found.facts and "architecture" in found.facts:
        return
    wanted = f"{install.folder}/{_KERNEL_FILE}"
    path = installs.driver_path(install, "", "\\" + wanted.replace("/", "\\"))[1]
    source = Source(path or wanted)
    try:
        if path is None:
            raise FileNotFoundError(errno.ENOENT, "it is missing")
        with files.opened(install, path) as file:
            image = pe.headers(file.stream)
            version = pe_resources.version(file.stream, image).version
    except (RecoveryKitError, OSError) as exc:
        reason = f"Which Windows this is cannot be told, by its kernel neither: {why(exc)}."
        found.miss(source, reason)
        return
    text = "its kernel says so"
    numbers = re.match(r"\d+\.\d+\.(\d{4,9})\.(\d{1,9})", version)
    if numbers and "build" not in found.facts:
        found.say("build", source, text, value=int(numbers[1]))
        found.say("revision", source, text, value=int(numbers[2]))
    elif "build" not in found.facts:
        found.miss(source, "Which build of Windows this is cannot be told.")
    if image.machine and "architecture" not in found.facts:
        found.say("architecture", source, text, value=image.machine)


# --- Secure Boot --------------------------------------------------------------------------


def _secure_boot(install: WindowsInstall, found: Findings, firmware: bool | None) -> None:
    name = "secure_boot"
    if found.before(_WINDOWS_8):
        found.say(name, found.facts["build"].source, "Windows before 8 has none", value=False)
        return
    if _is_bios(found):
        found.say(name, found.facts[boot_entry.LOADER].source, "a BIOS starts it", value=False)
        return
    last = _last_start(install, found)
    was_on = None if last is None else _means(found, last)
    if firmware is not None:
        found.say(name, _FIRMWARE, "the firmware of this machine says so", value=firmware)
        if last is not None and was_on is not firmware:
            now = "on now and was off" if firmware else "off now and was on"
            found.miss(last.source, f"Secure Boot is {now} when Windows was started last.")
    elif last is not None and was_on is not None:
        text = f"so it was at the start of {last.when:%Y-%m-%d %H:%M} UTC"
        found.say(name, last.source, text, value=was_on)
    else:
        found.miss(_FIRMWARE, "Whether Secure Boot is on cannot be told.")


def _is_bios(found: Findings) -> bool:
    """Whether its boot entry is one for a BIOS, and lies where a BIOS finds it."""
    loader = found.facts.get(boot_entry.LOADER)
    if loader is None or "efi/" in loader.source.path.lower():
        return False
    return found.text(boot_entry.LOADER).endswith(".exe")


def _last_start(install: WindowsInstall, found: Findings) -> last_starts.Start | None:
    """The newest start that tells something of Secure Boot."""
    starts = []
    for item in last_starts.collect(install):
        if isinstance(item, Gap):
            found.gaps.append(item)
        elif _means(found, item) is not None:
            starts.append(item)
    return max(starts, key=lambda start: start.when, default=None)


def _means(found: Findings, start: last_starts.Start) -> bool | None:
    """What a start tells of Secure Boot: without it, Microsoft's own signatures are not asked for.

    They are not either where a registry value says so; nor in test mode, which there is without
    Secure Boot only.
    """
    if start.secure_boot is not None:
        return start.secure_boot
    if start.whql is None or start.by_settings:
        return None
    if start.whql:
        return True
    return False if found.flag("upgraded") is False and not found.before(_1607) else None


# --- the end of cross-signed trust --------------------------------------------------------


def _driver_policy(
    install: WindowsInstall,
    found: Findings,
    boot_volumes: Sequence[tuple[Volume, Path]],
    read: Policies,
) -> None:
    """How far the policy is that ends the trust in cross-signed drivers."""
    if found.before(_11_24H2):
        _say_driver_policy(found, found.facts["build"].source, "this Windows has none", ABSENT)
        return
    files = {one.place.name.lower(): one.place.source for one in read.placed}
    if _ENFORCED in files:
        _say_driver_policy(found, files[_ENFORCED], "its policy file is there", ENFORCED)
        return
    folder = Source(f"{install.folder}/System32/CodeIntegrity/CiPolicies/Active")
    if not read.whole or not _is_complete(found, boot_volumes):
        found.miss(
            folder,
            "Whether cross-signed drivers are still trusted cannot be told: the"
            " policies of the EFI system partition were not seen.",
        )
    elif _EVALUATED in files:
        text = "the policy file for its evaluation is there"
        _say_driver_policy(found, files[_EVALUATED], text, EVALUATED)
    else:
        _say_driver_policy(found, folder, "it has no policy file", ABSENT)


def _say_driver_policy(found: Findings, source: Source, text: str, state: str) -> None:
    found.say("driver_policy", source, text, value=state)
    found.say("cross_signed_ended", source, text, value=state == ENFORCED)


def _whql_by_policy(found: Findings, read: Policies) -> None:
    """A policy's demand for WHQL counts whatever the registry says; Windows before 10 has none."""
    name = "whql_required"
    if found.before(_WINDOWS_10):
        found.say(
            name, found.facts["build"].source, "this Windows knows no such demand", value=False
        )
        return
    demanded, placed = read.whql(found)
    if demanded is False or placed is None:
        return
    if demanded:
        text = "this App Control policy demands it (Required:WHQL)"
        found.say(name, placed.place.source, text, value=True)
    elif not found.flag(name):
        found.facts.pop(name, None)
        reason = "Whether this policy demands signatures of Microsoft's own cannot be told."
        found.miss(placed.place.source, reason)


def _is_complete(found: Findings, boot_volumes: Sequence[tuple[Volume, Path]]) -> bool:
    """Whether every place was seen that a policy of this Windows may lie in."""
    return _is_bios(found) or any(volume.is_esp for volume, _ in boot_volumes)
