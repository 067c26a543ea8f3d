"""Trees that boot pass every line; what cannot be known is said; what got worse is told."""

from __future__ import annotations

import os
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest

from recoverykit import evidence
from recoverykit.boot import check
from recoverykit.boot.check import with_stores_of, worse
from recoverykit.model import CheckLine, Source
from recoverykit.vouching import Judge
from tests.boot import bootable
from tests.boot.bootable import UNCHECKED, Bootable, by_name
from tests.builders import authenticode, catalogs, pe, registry
from tests.conftest import REPOSITORY

MUTATIONS = int(os.environ.get("RECOVERYKIT_MUTATIONS", "12"))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Bootable:
    return bootable.small(tmp_path_factory.mktemp("bootable"))


# --- trees that boot ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "uefi"),
    [("x64", True), ("x64", False), ("x86", True), ("x86", False), ("arm64", True)],
)
def test_a_tree_that_boots(machine: str, uefi: bool, tmp_path: Path) -> None:
    lines = bootable.small(tmp_path, uefi=uefi, machine=machine).lines()
    assert [line for line in lines if line.ok is False or line.warning] == []
    assert [line.check for line in lines if line.ok is None] == UNCHECKED[machine]
    assert all(line.text for line in lines)


# --- which start type counts --------------------------------------------------------------

_PCI = "PCI\\VEN_1000&DEV_0054&SUBSYS_197615AD&REV_01\\3&11583659&0&A8"
_SECOND_DISK = "SCSI\\Disk&Ven_Acme&Prod_Array\\4&2509f6e&0&000000"


def two_disks(tree: Bootable) -> None:
    """A second controller with a disk of its own; nothing says on which of them Windows lies."""
    tree.delete("Enum\\STORAGE")
    values = {"Service": "LSI_SAS", "ClassGUID": bootable.SCSI_CLASS}
    tree.edit(f"Enum\\{_PCI}", {**values, "ParentIdPrefix": "4&2509f6e&0"})
    tree.edit(f"Enum\\{_SECOND_DISK}", {"Service": "disk", "ClassGUID": bootable.DISK_CLASS})


def test_of_two_disks_one_must_be_within_reach(sound: Bootable, tmp_path: Path) -> None:
    tree = sound.copy(tmp_path)
    scene = replace(tree.scene, windows=replace(tree.scene.windows, identity="", offset=0))
    tree = replace(tree, scene=scene)
    two_disks(tree)
    line = by_name(tree.lines())["storage-chain"]
    assert line.ok is True
    assert "which of 2 disks" in line.text
    tree.edit("Services\\LSI_SAS", {"Start": 4})
    assert by_name(tree.lines())["storage-chain"].ok is True
    tree.edit("Services\\storahci", {"Start": 4})
    line = by_name(tree.lines())["storage-chain"]
    assert line.ok is False
    assert "LSI_SAS" in line.text
    assert "storahci" in line.text


def test_another_hardware_configuration(sound: Bootable, tmp_path: Path) -> None:
    """An override counts for the configuration it is made for."""
    tree = sound.copy(tmp_path)
    tree.edit("Services\\storahci\\StartOverride", {"1": 3})
    assert by_name(tree.lines())["storage-chain"].ok is True
    tree.edits([registry.change("HardwareConfig", {"LastId": 1})])
    assert by_name(tree.lines())["storage-chain"].ok is False


def test_a_driver_the_hardware_promotes(sound: Bootable, tmp_path: Path) -> None:
    """Windows started from a USB disk: its drivers are on demand, and loaded all the same."""
    tree = sound.copy(tmp_path)
    tree.edit("Services\\storahci", {"Start": 3, "BootFlags": 0x14})
    assert by_name(tree.lines())["storage-chain"].ok is False
    key = f"HardwareConfig\\{bootable.HARDWARE}"
    tree.edits([registry.change(key, {"BootDriverFlags": 0x1C})])
    lines = by_name(tree.lines())
    assert lines["storage-chain"].ok is True
    assert "30 boot-start" in lines["boot-drivers"].text


def test_a_driver_switched_off_by_its_override_is_not_missed(
    sound: Bootable, tmp_path: Path
) -> None:
    """As Windows does it with every controller a machine does not have."""
    tree = sound.copy(tmp_path)
    tree.edit("Services\\stornvme\\StartOverride", {"0": 3})
    tree.file("stornvme.sys").unlink()
    assert [one for one in tree.lines() if one.ok is False or one.warning] == []


# --- what cannot be known -----------------------------------------------------------------


def test_a_folder_alone(sound: Bootable) -> None:
    """Nothing is known of its disk: that nobody looked at what starts this Windows is said."""
    install = replace(sound.install, volume=replace(sound.install.volume, disk=None, identity=""))
    found = evidence.collect(install)
    judge = Judge(install, trust=sound.trust)
    lines = by_name(check.check(install, found, judge=judge, free=bootable.ROOM))
    for name in ("firmware", "boot-manager", "boot-store", "boot-entry", "boot-loader"):
        assert (lines[name].ok, lines[name].warning) == (None, False)
        assert lines[name].text
    assert [line.check for line in lines.values() if line.ok is False] == []


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("disk.sys", ["driver-images", "driver-imports", "driver-signatures"]),
        (
            "ntoskrnl.exe",
            ["kernel", "kernel-modules", "driver-imports", "driver-signatures"],
        ),
        ("ci.dll", ["kernel-modules", "driver-signatures"]),
        ("smss.exe", ["session-files"]),
    ],
)
def test_a_file_that_only_the_disk_could_show(
    name: str, lines: list[str], sound: Bootable, tmp_path: Path
) -> None:
    """ntfs-3g shows what CompactOS compressed as a link; a mounted folder has nothing else."""
    tree = sound.copy(tmp_path)
    tree.file(name).unlink()
    tree.file(name).symlink_to("unsupported reparse tag 0x80000017")
    install = replace(tree.install, volume=replace(tree.install.volume, path=tree.root))
    boot = tree.scene.boot_volumes
    found = evidence.collect(install, boot, [tree.scene.system, tree.scene.windows])
    judge = Judge(install, boot, tree.trust)
    seen = check.check(install, found, boot_volumes=boot, judge=judge, free=bootable.ROOM)
    assert [line for line in seen if line.ok is False or line.warning] == []
    assert [line.check for line in seen if line.ok is None] == [*lines, "beyond-this-check"]


def test_a_hal_that_only_forwards(sound: Bootable, tmp_path: Path) -> None:
    tree = sound.copy(tmp_path)
    image = pe.driver(None, exports=["HalMakeBeep", "KeQueryPerformanceCounter"])
    tree.put(tree.file("hal.dll"), authenticode.signed(image, authenticode.publisher()))
    assert by_name(tree.lines())["kernel-modules"].ok is True


def test_a_link_that_leads_elsewhere_is_not_followed(sound: Bootable, tmp_path: Path) -> None:
    tree = sound.copy(tmp_path)
    tree.file("disk.sys").rename(tree.file("other.sys"))
    tree.file("disk.sys").symlink_to("other.sys")
    assert [line.check for line in tree.lines() if line.ok is False] == ["boot-drivers"]


def test_signers_that_no_kernel_knows(sound: Bootable, tmp_path: Path) -> None:
    """While a catalog cannot be read it may list them; then nothing else is left."""
    tree = replace(sound.copy(tmp_path), trust=())
    line = by_name(tree.lines())["driver-signatures"]
    assert line.ok is None
    assert "not all catalogs of that Windows could be read" in line.text
    empty = catalogs.catalog([], authenticode.publisher())
    tree.put(tree.root / bootable.CATALOGS / "nt5.cat", empty)
    line = by_name(tree.lines())["driver-signatures"]
    assert line.ok is False
    assert "no root known here stands behind its signer, and testsigning is off" in line.text


def test_without_evidence_nothing_passes_that_needs_it(sound: Bootable) -> None:
    lines = by_name(check.check(sound.install, (), free=bootable.ROOM))
    for name in ("boot-drivers", "filters", "storage-chain", "boot-store", "software-hive"):
        assert lines[name].ok is not True


def test_every_line_is_documented(sound: Bootable) -> None:
    page = (REPOSITORY / "docs" / "boot-check.md").read_text("utf-8")
    for line in sound.lines():
        assert f"| `{line.check}` |" in page
    rows = [row for row in page.splitlines() if row.startswith("| `")]
    assert len(rows) == len(sound.lines())


def test_free_space_is_asked_of_the_file_system(sound: Bootable) -> None:
    lines = by_name(check.check(sound.install, ()))
    assert "MiB are free" in lines["free-space"].text


# --- before and after ---------------------------------------------------------------------

_A, _B = Source("a.sys"), Source("hive", key="Services\\b")


def good() -> CheckLine:
    return CheckLine("drivers", ok=True, text="text")


def bad(*sources: Source) -> CheckLine:
    return CheckLine("drivers", ok=False, text="text", sources=sources)


def odd() -> CheckLine:
    return CheckLine("drivers", ok=None, text="text", sources=(_A,), warning=True)


def unseen() -> CheckLine:
    return CheckLine("drivers", ok=None, text="text")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (good(), good(), ""),
        (bad(_A), good(), ""),
        (good(), odd(), ""),
        (good(), unseen(), ""),
        (good(), bad(_A), "fails now: text"),
        (odd(), bad(_A), "fails now: text"),
        (unseen(), bad(_A), ""),  # it could not be looked at before
        (bad(_A), bad(_A), ""),
        (bad(_A, _B), bad(_B), ""),
        (bad(_A), bad(_A, _B), "for more than before: Services\\b"),
        (bad(replace(_A, offset=5)), bad(replace(_A, offset=9)), ""),
        (None, bad(_A), "fails now: text"),
    ],
)
def test_what_got_worse(before: CheckLine | None, after: CheckLine, words: str) -> None:
    found = worse((before,) if before else (), (after,))
    assert len(found) == bool(words)
    assert all(words in sentence and "line drivers" in sentence for sentence in found)


def test_a_real_repair_gone_wrong(sound: Bootable, tmp_path: Path) -> None:
    tree = sound.copy(tmp_path)
    before = tree.lines()
    assert worse(before, before) == ()
    tree.edit("Services\\EhStorClass", {"Start": 4})
    once = tree.lines()
    (sentence,) = worse(before, once)
    assert "line filters" in sentence
    tree.edit("Services\\fvevol", {"Start": 4})
    (sentence,) = worse(once, tree.lines())
    assert "for more than before" in sentence


# --- hostile bytes ------------------------------------------------------------------------

_VICTIMS = ("disk.sys", "ntoskrnl.exe", "ci.dll", "storahci.sys")


def mutated(data: bytes, rng: random.Random) -> bytes:
    """A few bytes, near the beginning as often as anywhere, or the end gone."""
    bad = bytearray(data)
    for _ in range(rng.randrange(1, 12)):
        near = rng.choice((512, 4096, len(bad)))
        bad[rng.randrange(min(near, len(bad)))] = rng.choice((0, 0xFF, 0x80, rng.randrange(256)))
    return bytes(bad[: rng.choice((len(bad), len(bad), rng.randrange(len(bad))))])


def test_mutated_trees_never_raise(sound: Bootable, tmp_path: Path) -> None:
    """Hive, store and programs: whatever they hold, the same lines come, and soon."""
    rng = random.Random(20261124)
    tree = sound.copy(tmp_path)
    names = [one.check for one in tree.lines()]
    victims = [tree.system, tree.scene.store_path, *(tree.file(one) for one in _VICTIMS)]
    whole = {path: path.read_bytes() for path in victims}
    for number in range(MUTATIONS):
        path = victims[number % len(victims)]
        tree.put(path, mutated(whole[path], rng))
        begun = time.process_time()
        assert [one.check for one in tree.lines()] == names
        assert time.process_time() - begun < 5
        tree.put(path, whole[path])


def test_what_was_seen_of_boot_stores_stands_after_a_repair() -> None:
    """Their volumes are not opened again: what failed there still fails, and nothing is healed."""
    before = (
        CheckLine("boot-store", ok=False, text="it is damaged"),
        CheckLine("kernel", ok=False, text="it is missing"),
    )
    after = (
        CheckLine("boot-store", ok=None, text="no boot store was seen that can be read"),
        CheckLine("kernel", ok=True, text="it is there"),
    )
    assert with_stores_of(before, after) == (before[0], after[1])
    assert with_stores_of((), after) == after
