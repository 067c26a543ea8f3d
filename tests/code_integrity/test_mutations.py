"""Damaged hives, boot stores and logs: never raised, in bounded time, and no field of its own type.

A suite's share here; a campaign sets MUTATIONS.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from recoverykit.code_integrity import kernel as kernels
from recoverykit.code_integrity import places
from recoverykit.evidence import secure_boot
from recoverykit.model import Gap
from signing.kernel import Kernel
from tests.boot.bootable import CONFIG, Bootable
from tests.builders import measured_boot, mutate, registry
from tests.code_integrity.conftest import options, software

MUTATIONS = int(os.environ.get("RECOVERYKIT_MUTATIONS", "60"))
SECONDS = 5.0  # CPU of one case; an undamaged tree takes a hundredth of one

_FLAGS = (
    *("server", "secure_boot", "test_signing", "no_integrity_checks", "flight_signing"),
    *("hvci", "upgraded", "block_list"),
)


@pytest.fixture
def full(tree: Bootable) -> Bootable:
    """A tree that says something wherever we look."""
    scenario = "Control\\DeviceGuard\\Scenarios\\HypervisorEnforcedCodeIntegrity"
    for key, values in (
        ("Control\\CI\\Policy", {"UpgradedSystem": 1, "WhqlSettings": 1, "SkuPolicyRequired": 0}),
        ("Control\\CI\\Config", {"VulnerableDriverBlocklistEnable": 1}),
        (scenario, {"Enabled": 1}),
    ):
        tree.edits([registry.change(f"ControlSet001\\{key}", values)])
    software(tree, {"CurrentBuild": "26100", "UBR": 4652, "InstallationType": "Client"})
    options(tree, {0x16000049: True, 0x12000030: "X", 0x250000F0: 1})
    log = measured_boot.agile((*measured_boot.FIRMWARE, measured_boot.secure_boot(b"\1")))
    tree.put(tree.root / "Windows" / secure_boot.MEASURED / "1.log", log)
    return tree


def check(tree: Bootable, path: Path, damaged: bytes) -> kernels.TargetKernel:
    """What is made of a tree with one damaged file."""
    path.write_bytes(damaged)
    started = time.process_time()
    try:
        install = tree.install
    except AssertionError:  # no Windows is found any more, or one more
        install = replace(tree.scene.install, build="26100.1")
    found = kernels.kernel_of(install, tree.scene.boot_volumes)
    kernel = found.kernel
    assert all(getattr(kernel, name) in (True, False, None) for name in _FLAGS)
    assert kernel.build is None or kernel.build >= 0
    assert all(gap.reason for gap in found.gaps)
    drivers = list(places.drivers_of(install))
    paths = [item.path for item in drivers if not isinstance(item, Gap)]
    assert len(set(paths)) == len(paths)
    assert time.process_time() - started < SECONDS
    return found


@pytest.mark.parametrize("name", ["SYSTEM", "SOFTWARE", "BCD"])
def test_hives(name: str, full: Bootable) -> None:
    path = full.scene.store_path if name == "BCD" else full.root / CONFIG / name
    whole = path.read_bytes()
    full.put(path, whole)
    sound = kernels.kernel_of(full.install, full.scene.boot_volumes).kernel
    assert (sound.test_signing, sound.hvci, sound.secure_boot) == (True, True, True)
    seen: set[Kernel] = set()
    for damaged in mutate.mutants(whole, name, MUTATIONS):
        seen.add(check(full, path, damaged).kernel)
    assert len(seen) > 1  # the damage was of a kind that matters
