"""Block lists of one Windows and of ours: in force, heeded, or damaged and told."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from recoverykit.code_integrity import Fact, lists, policies
from recoverykit.code_integrity.kernel import TargetKernel
from recoverykit.code_integrity.lists import Lists, of_target
from recoverykit.errors import UsageError
from recoverykit.model import Source
from signing.block_list import Identity
from signing.ci_rules import Policy
from signing.hash_list import HashList
from signing.kernel import Kernel
from tests.boot.bootable import SYSTEM32, Bootable
from tests.builders.ci_policy import compiled, wrapped
from tests.builders.ci_policy_xml import ALLOW_ALL, Parts, policy
from tests.conftest import real
from tests.signing.makers import refused

FOLDER = f"{SYSTEM32}/CodeIntegrity"
BAD, OTHER, LAST = (hashlib.sha256(each).digest() for each in (b"bad", b"other", b"last"))
MICROSOFTS = f"{FOLDER}/driversipolicy.p7b"
OWN = f"{FOLDER}/SiPolicy.p7b"
ACTIVE = f"{FOLDER}/CiPolicies/Active/{{a244370e-44c9-4c06-b551-f6016e563076}}.cip"


def denying(digest: bytes, *options: str) -> bytes:
    """A policy that lets everything load but that one file; as it lies on a disk."""
    rule = f'<Deny ID="ID_DENY_1" Hash="{digest.hex().upper()}" />'
    given = options or ("Enabled:Unsigned System Integrity Policy",)
    parts = Parts(rules=ALLOW_ALL + rule, files=("ID_ALLOW_ALL", "ID_DENY_1"), options=given)
    return compiled(policy(parts))


def target(**facts: bool | None) -> TargetKernel:
    more = tuple(
        Fact(name, value, Source("SYSTEM")) for name, value in facts.items() if value is not None
    )
    return TargetKernel(Kernel(), more, ())


def on(
    tree: Bootable, kernel: TargetKernel | None = None, ours: Sequence[Policy | HashList] = ()
) -> Lists:
    read = policies.read(tree.install, tree.scene.boot_volumes)
    return of_target(replace(kernel or target(), policies=read), ours)


def says(found: Lists, digest: bytes) -> tuple[bool, bool]:
    """(denied, advised) of a file with that digest."""
    identity = Identity({"sha256": digest}, {}, None, ())
    return found.denied(identity) is not None, found.advised(identity) is not None


def test_a_windows_without_lists(tree: Bootable) -> None:
    found = on(tree)
    assert (found.enforced, found.heeded, found.gaps) == ((), (), ())
    assert says(found, BAD) == (False, False)


FORCE = {
    True: ((True, False), (False, False)),
    False: ((False, False), (False, False)),
    None: ((False, True), (False, False)),
}


@pytest.mark.parametrize("force", FORCE)
@pytest.mark.parametrize("is_signed", [False, True])
def test_microsofts_list_in_force_or_not(
    tree: Bootable, force: bool | None, is_signed: bool
) -> None:
    content = denying(BAD)
    tree.put(tree.root / MICROSOFTS, wrapped(content) if is_signed else content)
    found = on(tree, target(block_list=force))
    assert (says(found, BAD), says(found, OTHER)) == FORCE[force]
    assert found.gaps == ()


@pytest.mark.parametrize("place", [OWN, ACTIVE])
def test_an_organisations_own_are_in_force(tree: Bootable, place: str) -> None:
    tree.put(tree.root / place, denying(BAD))
    found = on(tree, target(block_list=False))
    assert says(found, BAD) == (True, False)


def test_s_mode(tree: Bootable) -> None:
    tree.put(tree.root / FOLDER / "WinSiPolicy.p7b", denying(BAD))
    assert says(on(tree), BAD) == (False, False)
    assert says(on(tree, target(s_mode=False)), BAD) == (False, False)
    assert says(on(tree, target(s_mode=True)), BAD) == (True, False)


@pytest.mark.parametrize(
    "name", ["RvkSiPolicy.p7b", "SkuSiPolicy.p7b", "other.p7b", "SiPolicy.txt"]
)
def test_others_are_not_judged(tree: Bootable, name: str) -> None:
    tree.put(tree.root / FOLDER / name, denying(BAD))
    assert says(on(tree), BAD) == (False, False)


def test_a_policy_that_only_audits(tree: Bootable) -> None:
    """The kernel tells, and loads it: so it is not denied."""
    tree.put(tree.root / OWN, denying(BAD, "Enabled:Audit Mode"))
    assert says(on(tree), BAD) == (False, False)


def test_several_lists(tree: Bootable) -> None:
    tree.put(tree.root / MICROSOFTS, denying(BAD))
    tree.put(tree.root / OWN, denying(OTHER))
    tree.put(tree.root / ACTIVE, denying(LAST))
    found = on(tree, target(block_list=True))
    assert len(found.enforced) == 3
    assert [says(found, each) for each in (BAD, OTHER, LAST)] == [(True, False)] * 3
    unknown = on(tree, target())
    assert [says(unknown, each)[0] for each in (BAD, OTHER, LAST)] == [False, True, True]


def test_ours_are_heeded_beside_them(tree: Bootable) -> None:
    tree.put(tree.root / OWN, denying(OTHER))
    ours = on(tree).enforced
    tree.put(tree.root / OWN, denying(BAD))
    found = on(tree, ours=ours)
    assert [says(found, each) for each in (BAD, OTHER)] == [(True, False), (False, True)]


DAMAGED = {
    "empty": b"",
    "text": b"no policy at all",
    "cut": denying(BAD)[:-40],
    "another message": wrapped(denying(BAD), kind=bytes.fromhex("06092a864886f70d010701")),
}


@pytest.mark.parametrize("place", [MICROSOFTS, OWN, ACTIVE])
@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_policy_is_told_and_denies_nothing(tree: Bootable, place: str, name: str) -> None:
    tree.put(tree.root / place, DAMAGED[name])
    found = on(tree, target(block_list=True))
    (gap,) = found.gaps
    assert gap.source.path == place
    assert gap.reason.startswith("This policy cannot be read: ")
    assert gap.reason.endswith(".")
    assert (found.enforced, found.heeded) == ((), ())


def test_a_damaged_policy_beside_good_ones(tree: Bootable) -> None:
    tree.put(tree.root / MICROSOFTS, b"damaged")
    tree.put(tree.root / OWN, denying(BAD))
    found = on(tree, target(block_list=True))
    assert says(found, BAD) == (True, False)
    assert len(found.gaps) == 1


def test_a_damaged_list_that_is_not_in_force_is_no_gap(tree: Bootable) -> None:
    tree.put(tree.root / MICROSOFTS, b"damaged")
    assert on(tree, target(block_list=False)).gaps == ()


def test_policies_of_the_boot_volume(tree: Bootable) -> None:
    assert tree.scene.boot_volumes
    _, mount = tree.scene.boot_volumes[0]
    place = mount / "EFI/Microsoft/Boot/SiPolicy.p7b"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(denying(BAD))
    found = on(tree)
    assert says(found, BAD) == (True, False)
    place.write_bytes(b"damaged")
    (gap,) = on(tree).gaps
    assert gap.source.path.endswith(":/EFI/Microsoft/Boot/SiPolicy.p7b")


@pytest.mark.parametrize("sample", real("signed/winefi_winsipolicy.p7b"))
def test_a_real_policy(sample: Path, tree: Bootable) -> None:
    tree.put(tree.root / FOLDER / "WinSiPolicy.p7b", sample.read_bytes())
    found = on(tree, target(s_mode=True))
    assert len(found.enforced) == 1
    assert says(found, BAD) == (False, False)
    assert all(gap.reason.endswith(".") for gap in found.gaps)


# --- lists that a person names, or that lie in a folder -------------------------------------


def test_lists_of_every_kind_from_files(tmp_path: Path) -> None:
    rule = f'<Deny ID="ID_DENY_1" Hash="{OTHER.hex().upper()}" />'
    parts = Parts(rules=ALLOW_ALL + rule, files=("ID_ALLOW_ALL", "ID_DENY_1"))
    contents = {
        "a.cip": denying(BAD),
        "b.xml": policy(parts),
        "c.sha256": LAST.hex().encode() + b"  some.sys\n",
        "d.p7b": wrapped(denying(BAD)),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    paths = list(lists.in_folder(tmp_path))
    assert [each.name for each in paths] == sorted(contents)
    read = lists.from_files(paths)
    found = Lists(heeded=read)
    for digest in (BAD, OTHER):
        assert says(found, digest) == (False, True)
    whole = Identity({"flat-sha256": LAST}, {}, None, ())
    assert found.advised(whole) is not None
    assert says(found, hashlib.sha256(b"good").digest()) == (False, False)
    assert all(lists.described(each) for each in read)


def test_other_files_of_a_folder_are_no_lists(tmp_path: Path) -> None:
    for name in ("readme.md", "driver.sys", "noending"):
        (tmp_path / name).write_bytes(b"")
    assert list(lists.in_folder(tmp_path)) == []
    assert list(lists.in_folder(tmp_path / "missing")) == []


def test_lists_that_cannot_be_read(tmp_path: Path) -> None:
    place = tmp_path / "list.xml"
    with refused(UsageError, "list.xml cannot be read"):
        lists.from_files([place])
    for content in (b"", b"<html></html>", b"\0" * 100, b"not a digest"):
        place.write_bytes(content)
        with refused(UsageError, "is no block list"):
            lists.from_files([place])
    with place.open("wb") as stream:
        stream.truncate(lists.LARGEST + 1)
    with refused(UsageError, "which no block list has"):
        lists.from_files([place])


def test_ours_mean_it_in_audit_mode_as_well(tmp_path: Path) -> None:
    (tmp_path / "a.cip").write_bytes(denying(BAD, "Enabled:Audit Mode"))
    read = lists.from_files([tmp_path / "a.cip"])
    assert says(Lists(heeded=read), BAD) == (False, True)
    assert says(replace(Lists(), enforced=read), BAD) == (False, False)  # type: ignore[arg-type]
