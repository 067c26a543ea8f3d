"""Block lists of one Windows and of ours: in force, heeded, or damaged and told."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from recoverykit.code_integrity import Fact, lists, policies
from recoverykit.code_integrity.kernel import TargetKernel
from recoverykit.code_integrity.lists import Lists, of_target
from recoverykit.errors import UsageError
from recoverykit.model import Source
from recoverykit.vouching import Judge, Standing
from signing import image
from signing.block_list import Identity, Link, Signer
from signing.ci_rules import Policy
from signing.hash_list import HashList
from signing.kernel import Kernel
from tests.boot.bootable import SYSTEM32, Bootable
from tests.builders.ci_policy import compiled, wrapped
from tests.builders.ci_policy_xml import ALLOW_ALL, Parts, policy
from tests.code_integrity.conftest import version
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


# --- policies that let only load what they name ---------------------------------------------

CERTIFICATE = hashlib.sha256(b"CA").digest()
GOOD = hashlib.sha256(b"good").digest()
DRIVERS_2026 = "{8F9CB695-5D48-48D6-A329-7202B44607E3}"
SAC = "{0283AC0F-FFF1-49AE-ADA1-8A933130CAD6}"
VBS = "{A072029F-588B-4B5E-B7F9-05AAD67DF687}"
OWN_ID = "{12345678-2222-3333-4444-555555555555}"


def only(digest: bytes, *options: str, guid: str = OWN_ID, base: str = "") -> bytes:
    """A policy that lets one file load, or supplements another one."""
    return compiled(
        policy(
            Parts(
                rules=f'<Allow ID="ID_ALLOW_1" Hash="{digest.hex().upper()}" />',
                files=("ID_ALLOW_1",),
                options=("Enabled:Unsigned System Integrity Policy", *options),
                head=f"<VersionEx>1.0.0.0</VersionEx><PolicyID>{guid}</PolicyID>"
                f"<BasePolicyID>{base or guid}</BasePolicyID>",
                attributes='PolicyType="Supplemental Policy"' if base else "",
            )
        )
    )


def cip(tree: Bootable, content: bytes, guid: str = OWN_ID) -> None:
    tree.put(tree.root / FOLDER / "CiPolicies/Active" / f"{guid}.cip", content)


def doubt(found: Lists, digest: bytes, purposes: frozenset[str] = frozenset()) -> str:
    signer = Signer("Some Ltd", (Link({"sha256": CERTIFICATE}, "Some Ltd"),), purposes)
    reason = found.unsure(Identity({"sha256": digest}, {}, None, (signer,)))
    assert not reason.endswith(".")
    assert found.is_restrictive or not reason
    return reason


def test_what_a_policy_names_and_what_it_does_not(tree: Bootable) -> None:
    cip(tree, only(GOOD))
    found = on(tree)
    assert doubt(found, GOOD) == ""
    assert doubt(found, OTHER) == (
        f"policy {OWN_ID} lets only load what it names, and it does not name this one"
    )
    assert says(found, OTHER) == (False, False)
    (gap,) = found.gaps
    assert gap.reason.endswith("it lets only load what it names.")


@pytest.mark.parametrize("options", [("Enabled:Audit Mode",), ()])
def test_supplements_and_audits(tree: Bootable, options: tuple[str, ...]) -> None:
    cip(tree, only(GOOD, "Enabled:Allow Supplemental Policies", *options))
    assert bool(doubt(on(tree), OTHER)) is not bool(options)
    more = "{12345678-2222-3333-4444-666666666666}"
    cip(tree, only(OTHER, guid=more, base=OWN_ID), more)
    assert doubt(on(tree), OTHER) == ""
    assert bool(doubt(on(tree), LAST)) is not bool(options)


def test_all_policies_in_force_must_name_it(tree: Bootable) -> None:
    cip(tree, only(GOOD))
    tree.put(tree.root / OWN, only(OTHER, guid="{A244370E-44C9-4C06-B551-F6016E563076}"))
    assert all(doubt(on(tree), each) for each in (GOOD, OTHER))


def test_lists_that_let_others_load_leave_no_doubt(tree: Bootable) -> None:
    tree.put(tree.root / OWN, denying(BAD))
    tree.put(tree.root / MICROSOFTS, only(GOOD))  # of whatever shape, it is a block list
    found = on(tree, target(block_list=True))
    assert not found.is_restrictive
    assert doubt(found, OTHER) == ""


def test_policies_that_lie_on_every_windows_11(tree: Bootable) -> None:
    for guid in (SAC, VBS, "{1283AC0F-FFF1-49AE-ADA1-8A933130CAD6}"):
        cip(tree, only(GOOD, guid=guid), guid)
    assert doubt(on(tree), OTHER) == ""
    assert doubt(on(tree, target(smart_app_control=False)), OTHER) == ""
    assert SAC in doubt(on(tree, target(smart_app_control=True)), OTHER)
    assert doubt(on(tree, target(smart_app_control=True)), GOOD) == ""


def test_a_policy_that_cannot_be_read_may_forbid_anything(tree: Bootable) -> None:
    cip(tree, b"damaged")
    assert doubt(on(tree), GOOD) == (
        f"the policy {OWN_ID}.cip cannot be read, so what it lets load is not known"
    )
    (tree.root / FOLDER / "CiPolicies/Active" / f"{OWN_ID}.cip").unlink()
    cip(tree, b"damaged", SAC)
    assert doubt(on(tree), GOOD) == ""  # it is not in force


def test_a_policy_that_asks_for_ev_certificates(tree: Bootable) -> None:
    tree.put(tree.root / OWN, denying(BAD, "Required:EV Signers"))
    found = on(tree)
    assert "EV certificates" in doubt(found, GOOD)
    for purpose in ("10.3.6", "61.4.1", "10.3.39"):
        assert doubt(found, GOOD, frozenset({f"1.3.6.1.4.1.311.{purpose}"})) == ""


@pytest.mark.parametrize("ended", [True, False, None])
def test_the_policy_of_2026(tree: Bootable, ended: bool | None) -> None:
    """It asks nothing of other drivers, and names cross-signed ones that go on."""
    cip(tree, only(GOOD, guid=DRIVERS_2026), DRIVERS_2026)
    found = on(tree, target(cross_signed_ended=ended))
    assert doubt(found, OTHER) == ""
    asked = [found.excepted(Identity({"sha256": each})) for each in (GOOD, OTHER)]
    assert asked == ([None, None] if ended is False else [True, False])


def test_without_that_policy(tree: Bootable) -> None:
    assert on(tree).excepted(Identity({"sha256": GOOD})) is None
    cip(tree, b"damaged", DRIVERS_2026)
    found = on(tree, target(cross_signed_ended=True))
    assert found.excepted(Identity({"sha256": GOOD})) is None
    assert doubt(found, GOOD) == ""
    assert len(found.gaps) == 1


@pytest.mark.parametrize("sample", real("signed/saferwall_acpi.sys"))
def test_the_verdict_of_a_tree_with_such_a_policy(sample: Path, tree: Bootable) -> None:
    def standing() -> tuple[Standing, str]:
        judge = Judge(tree.install, tree.scene.boot_volumes)
        return judge.standing(io.BytesIO(sample.read_bytes()))

    assert standing()[0] is Standing.VOUCHED
    cip(tree, only(GOOD))
    state, word = standing()
    assert state is Standing.NOT_CHECKED
    assert word == f"policy {OWN_ID} lets only load what it names, and it does not name this one"
    stream = io.BytesIO(sample.read_bytes())
    digest = image.digests(stream, image.read(stream), ["sha256"])["sha256"]
    cip(tree, only(digest))
    assert standing()[0] is Standing.VOUCHED


@pytest.mark.parametrize("sample", real("signed/legacy_sha1/AsIO64.sys"))
def test_a_cross_signed_driver_in_2026(sample: Path, tree: Bootable) -> None:
    """Its certificate is from before July 2015; no entry of the tree asks for less."""
    version(tree, 26100)
    tree.edit("Control\\ProductOptions", {"ProductType": "WinNT"})
    stream = io.BytesIO(sample.read_bytes())
    digest = image.digests(stream, image.read(stream), ["sha256"])["sha256"]
    put = tree.root / FOLDER / "CiPolicies/Active" / f"{DRIVERS_2026}.cip"
    for content, expected, words in (
        (None, Standing.VOUCHED, "with a certificate from before July 2015"),
        # It would be refused, if the catalogs of this tree could be read.
        (only(OTHER, guid=DRIVERS_2026), Standing.NOT_CHECKED, "has ended the trust in those"),
        (only(digest, guid=DRIVERS_2026), Standing.VOUCHED, "from before July 2015"),
        (b"damaged", Standing.NOT_CHECKED, "whether it allows this one is not known"),
    ):
        if content is not None:
            tree.put(put, content)
        state, word = Judge(tree.install, tree.scene.boot_volumes).standing(stream)
        assert (state, words in word) == (expected, True), word


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
