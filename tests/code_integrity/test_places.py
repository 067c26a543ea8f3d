"""Drivers, catalogs and policies of an installation: each once, in order, and no further."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from recoverykit import evidence
from recoverykit.code_integrity import places
from recoverykit.code_integrity.places import (
    CatalogPlace,
    CatalogRole,
    DriverPlace,
    DriverRole,
    PolicyPlace,
    PolicyRole,
)
from recoverykit.errors import FormatError, TargetRefusedError
from recoverykit.model import Gap, StartType
from tests.boot.bootable import CATALOGS, CONFIG, SYSTEM32, Bootable
from tests.boot.test_check_real import HIVES, RealHive, around, need
from tests.builders import registry

DRIVERS = f"{SYSTEM32}/drivers"
STORE = f"{SYSTEM32}/DriverStore/FileRepository"
OTHER_CATALOGS = f"{SYSTEM32}/CatRoot/{{127D0A1D-4EF2-11D1-8608-00C04FC295EE}}"


def drivers(tree: Bootable) -> tuple[list[DriverPlace], list[Gap]]:
    found = list(places.drivers_of(tree.install))
    assert all(gap.reason.endswith(".") for gap in found if isinstance(gap, Gap))
    return (
        [item for item in found if isinstance(item, DriverPlace)],
        [item for item in found if isinstance(item, Gap)],
    )


def by_path(tree: Bootable) -> dict[str, DriverPlace]:
    found, _ = drivers(tree)
    known = {item.path: item for item in found}
    assert len(known) == len(found)
    return known


# --- drivers ------------------------------------------------------------------------------


def test_drivers_of_services_come_first_and_in_order(tree: Bootable) -> None:
    tree.put(tree.root / f"{DRIVERS}/idle.sys", b"MZ")
    tree.put(tree.root / f"{STORE}/acme.inf_amd64_1/acme.sys", b"MZ")
    found, gaps = drivers(tree)
    assert gaps == []
    roles = [item.role for item in found]
    assert roles == sorted(roles, key=list(DriverRole).index)
    starts = [item.start for item in found if item.role is DriverRole.SERVICE and item.start]
    assert starts == sorted(starts, key=list(StartType).index)
    assert set(starts) == {StartType.BOOT, StartType.SYSTEM, StartType.DEMAND}
    assert found == drivers(tree)[0]


def test_what_is_told_of_a_driver(tree: Bootable) -> None:
    found = by_path(tree)
    disk = found[f"{DRIVERS}/disk.sys"]
    assert (disk.start, disk.services, disk.role) == (
        StartType.BOOT,
        ("disk",),
        DriverRole.SERVICE,
    )
    assert disk.inode == (tree.root / disk.path).stat().st_ino
    library = found[f"{DRIVERS}/storport.sys"]
    assert (library.start, library.services, library.role) == (None, (), DriverRole.FOLDER)


def test_a_file_of_two_services(tree: Bootable) -> None:
    tree.edit("Services\\Zeta", {"Type": 1, "Start": 4, "ImagePath": "System32\\drivers\\disk.sys"})
    tree.edit("Services\\beep", {"Start": 4})
    found = by_path(tree)
    assert found[f"{DRIVERS}/disk.sys"].services == ("disk", "Zeta")
    assert found[f"{DRIVERS}/disk.sys"].start is StartType.BOOT
    assert found[f"{DRIVERS}/beep.sys"].start is StartType.DISABLED


def test_the_start_that_counts_on_this_machine(tree: Bootable) -> None:
    tree.edit("Services\\vmci\\StartOverride", {"0": 3})
    assert by_path(tree)[f"{DRIVERS}/vmci.sys"].start is StartType.DEMAND


def test_a_service_whose_file_is_elsewhere_or_missing(tree: Bootable) -> None:
    tree.put(tree.root / "Program Files/Acme/acme.sys", b"MZ")
    image = registry.expand("\\??\\C:\\Program Files\\Acme\\acme.sys")
    tree.edit("Services\\Acme", {"Type": 1, "Start": 3, "ImagePath": image})
    tree.edit("Services\\Gone", {"Type": 1, "Start": 3})
    found = by_path(tree)
    assert found["Program Files/Acme/acme.sys"].services == ("Acme",)
    assert not any("Gone" in item.services for item in found.values())


def test_folders_below(tree: Bootable) -> None:
    for path in ("wd/WdFilter.sys", "a/b/c/d/deep.sys", "a/b/c/d/e/f/too deep.sys", "x/note.txt"):
        tree.put(tree.root / DRIVERS / path, b"MZ")
    tree.put(tree.root / f"{STORE}/acme.inf_amd64_1/amd64/ACME.SYS", b"MZ")
    found = by_path(tree)
    assert found[f"{DRIVERS}/wd/WdFilter.sys"].role is DriverRole.FOLDER
    assert found[f"{STORE}/acme.inf_amd64_1/amd64/ACME.SYS"].role is DriverRole.STORE
    assert f"{DRIVERS}/a/b/c/d/deep.sys" in found
    assert not any("too deep" in path or "note" in path for path in found)


def test_evidence_at_hand_is_used(tree: Bootable) -> None:
    known = evidence.collect_for_a_start(tree.install, tree.scene.boot_volumes)
    assert list(places.drivers_of(tree.install, known)) == list(places.drivers_of(tree.install))


def test_hard_links_are_told(tree: Bootable) -> None:
    other = tree.root / f"{STORE}/acme.inf_amd64_1/disk.sys"
    other.parent.mkdir(parents=True)
    os.link(tree.root / f"{DRIVERS}/disk.sys", other)
    found = by_path(tree)
    names = (f"{DRIVERS}/disk.sys", f"{STORE}/acme.inf_amd64_1/disk.sys")
    assert len({found[name].inode for name in names}) == 1


# --- what must not be opened --------------------------------------------------------------


def test_links_are_not_followed(tree: Bootable, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "evil.sys").write_bytes(b"MZ")
    (tree.root / DRIVERS / "linked").symlink_to(outside)
    (tree.root / DRIVERS / "linked.sys").symlink_to(outside / "evil.sys")
    (tree.root / DRIVERS / "loop").symlink_to(tree.root / DRIVERS)
    os.mkfifo(tree.root / DRIVERS / "pipe.sys")
    assert not any("evil" in path or "link" in path or "pipe" in path for path in by_path(tree))


def test_what_windows_compressed_is_there(tree: Bootable) -> None:
    """ntfs-3g shows it as a link that leads nowhere."""
    (tree.root / DRIVERS / "packed.sys").symlink_to("unsupported reparse tag 0x80000017")
    (tree.root / DRIVERS / "symlink.sys").symlink_to("unsupported reparse tag 0xa000000c")
    found = by_path(tree)
    assert f"{DRIVERS}/packed.sys" in found
    assert f"{DRIVERS}/symlink.sys" not in found


def test_a_folder_that_is_a_link(tree: Bootable, tmp_path: Path) -> None:
    (tree.root / STORE).parent.mkdir()
    (tree.root / STORE).symlink_to(tmp_path)
    _, gaps = drivers(tree)
    (gap,) = gaps
    assert "was not followed" in gap.reason


def test_a_folder_that_is_a_file(tree: Bootable) -> None:
    tree.put(tree.root / STORE, b"")
    _, gaps = drivers(tree)
    (gap,) = gaps
    assert gap.source.path == STORE
    assert gap.reason == "This folder cannot be listed: Not a directory."


def test_no_drivers_folder(tree: Bootable) -> None:
    install = tree.install
    (tree.root / DRIVERS).rename(tree.root / "elsewhere")
    found = list(places.drivers_of(install))
    assert {item.source.path for item in found if isinstance(item, Gap)} == {
        "Windows/System32/drivers",
        "Windows/System32/DriverStore/FileRepository",
    }
    assert not any(isinstance(item, DriverPlace) for item in found)


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(b"regf" * 3000)])
def test_no_hive(change: Callable[[Path], object], tree: Bootable) -> None:
    install = tree.install
    tree.put(tree.system, tree.system.read_bytes())
    change(tree.system)
    found = list(places.drivers_of(install))
    assert any(
        isinstance(item, Gap) and item.reason.startswith("Which drivers Windows starts")
        for item in found
    )
    roles = {item.role for item in found if isinstance(item, DriverPlace)}
    assert roles == {DriverRole.FOLDER}


def test_the_end_of_a_walk(tree: Bootable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MAX_DRIVERS", 3)
    _, gaps = drivers(tree)
    assert [gap.reason for gap in gaps if "more than" in gap.reason] == [
        "There are more than 3 such files; the rest was left."
    ]
    monkeypatch.setattr(places, "MAX_DRIVERS", 1000)
    monkeypatch.setattr(places, "_MAX_FOLDERS", 2)
    for number in range(5):
        (tree.root / DRIVERS / str(number)).mkdir()
    _, gaps = drivers(tree)
    assert sum("folders; the rest was left" in gap.reason for gap in gaps) == 1


# --- catalogs -----------------------------------------------------------------------------


def test_catalogs(tree: Bootable) -> None:
    for path in (
        f"{CATALOGS}/Package_1.cat",
        f"{CATALOGS}/oem3.CAT",
        f"{CATALOGS}/note.txt",
        f"{OTHER_CATALOGS}/app.cat",
        f"{STORE}/acme.inf_amd64_1/acme.cat",
        "Windows/WinSxS/Catalogs/0123.cat",
    ):
        tree.put(tree.root / path, b"0\x82")
    kernel = [f"{CATALOGS}/{name}" for name in ("Package_1.cat", "nt5.cat", "oem3.CAT")]
    found = list(places.catalogs_of(tree.install))
    assert found == [CatalogPlace(path, CatalogRole.KERNEL) for path in kernel]
    others = list(places.catalogs_of(tree.install, CatalogRole))
    assert others == [
        *found,
        CatalogPlace(f"{OTHER_CATALOGS}/app.cat", CatalogRole.OTHER),
        CatalogPlace(f"{STORE}/acme.inf_amd64_1/acme.cat", CatalogRole.STORE),
        CatalogPlace("Windows/WinSxS/Catalogs/0123.cat", CatalogRole.SERVICING),
    ]


def test_no_catalogs(tree: Bootable) -> None:
    (tree.root / CATALOGS / "nt5.cat").unlink()
    assert list(places.catalogs_of(tree.install)) == []
    (tree.root / CATALOGS).rmdir()
    (gap,) = places.catalogs_of(tree.install, CatalogRole)  # the others need not be there
    assert isinstance(gap, Gap)
    assert gap.reason == "This folder is missing."


def test_catalogs_behind_a_link(tree: Bootable) -> None:
    (tree.root / CATALOGS).rename(tree.root / "moved")
    (tree.root / CATALOGS).symlink_to(tree.root / "moved")
    (gap,) = places.catalogs_of(tree.install)
    assert isinstance(gap, Gap)
    assert "was not followed" in gap.reason


# --- policies -----------------------------------------------------------------------------

POLICIES = (
    ("own", "CodeIntegrity/driversipolicy.p7b", PolicyRole.BLOCK_LIST),
    ("own", "CodeIntegrity/SIPOLICY.P7B", PolicyRole.SINGLE),
    ("own", "CodeIntegrity/RvkSiPolicy.p7b", PolicyRole.REVOKED),
    ("own", "CodeIntegrity/ATPSiPolicy.p7b", PolicyRole.OTHER),
    ("own", "CodeIntegrity/CiPolicies/Active/{1}.cip", PolicyRole.ACTIVE),
    ("efi", "EFI/Microsoft/Boot/SiPolicy.p7b", PolicyRole.SINGLE),
    ("efi", "EFI/Microsoft/Boot/SkuSiPolicy.p7b", PolicyRole.SKU),
    ("efi", "EFI/Microsoft/Boot/winsipolicy.p7b", PolicyRole.S_MODE),
    ("efi", "EFI/Microsoft/Boot/CIPolicies/Active/{2}.CIP", PolicyRole.ACTIVE),
    ("efi", "Boot/SkuSiPolicy.p7b", PolicyRole.SKU),
)


def put(tree: Bootable, where: str, path: str, content: bytes) -> None:
    base = tree.root / SYSTEM32 if where == "own" else tree.scene.folder
    tree.put(base / path, content)


@pytest.mark.parametrize(("where", "path", "role"), POLICIES, ids=[row[1] for row in POLICIES])
def test_policies(where: str, path: str, role: PolicyRole, tree: Bootable) -> None:
    put(tree, where, path, b"policy")
    (found,) = places.policies_of(tree.install, tree.scene.boot_volumes)
    assert isinstance(found, PolicyPlace)
    prefix = f"{SYSTEM32}/" if where == "own" else "disk.img#1:/"
    assert (found.source.path, found.role) == (prefix + path, role)
    assert found.name == path.rsplit("/", 1)[-1]
    assert places.read_policy(tree.install, found) == b"policy"


def test_other_files_are_no_policies(tree: Bootable) -> None:
    for path in ("bootcat.cache", "driver.stl", "CiPolicies/Active/x.txt", "CiPolicies/y.cip"):
        put(tree, "own", f"CodeIntegrity/{path}", b"x")
    put(tree, "own", "CodeIntegrity/other.p7b", b"x")
    assert list(places.policies_of(tree.install, tree.scene.boot_volumes)) == []


def test_policies_of_windows_alone(tree: Bootable) -> None:
    put(tree, "own", "CodeIntegrity/SiPolicy.p7b", b"x")
    put(tree, "efi", "EFI/Microsoft/Boot/SiPolicy.p7b", b"x")
    own = ((tree.scene.windows, tree.root),)
    assert len(list(places.policies_of(tree.install, own))) == 1
    assert len(list(places.policies_of(tree.install, (*own, *tree.scene.boot_volumes)))) == 2


def test_policy_behind_a_link(tree: Bootable, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    folder = tree.root / SYSTEM32 / "CodeIntegrity"
    (folder / "SiPolicy.p7b").symlink_to(tmp_path / "secret")
    assert list(places.policies_of(tree.install)) == []
    (folder / "CiPolicies").symlink_to(tmp_path)
    (gap,) = places.policies_of(tree.install)
    assert isinstance(gap, Gap)
    assert "was not followed" in gap.reason


def test_policy_that_became_a_link(tree: Bootable, tmp_path: Path) -> None:
    put(tree, "efi", "EFI/Microsoft/Boot/SiPolicy.p7b", b"x")
    (found,) = places.policies_of(tree.install, tree.scene.boot_volumes)
    assert isinstance(found, PolicyPlace)
    path = tree.scene.folder / found.path
    path.unlink()
    path.symlink_to(tmp_path)
    with pytest.raises(TargetRefusedError):
        places.read_policy(tree.install, found)


@pytest.mark.parametrize("where", ["own", "efi"])
def test_policy_that_is_too_long(
    where: str, tree: Bootable, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "CodeIntegrity/SiPolicy.p7b" if where == "own" else "EFI/Microsoft/Boot/SiPolicy.p7b"
    put(tree, where, path, b"12345")
    monkeypatch.setattr(places, "MAX_POLICY", 4)
    (found,) = places.policies_of(tree.install, tree.scene.boot_volumes)
    assert isinstance(found, PolicyPlace)
    with pytest.raises(FormatError):
        places.read_policy(tree.install, found)


def test_more_policies_than_there_are(tree: Bootable, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        put(tree, "own", f"CodeIntegrity/CiPolicies/Active/{{{number}}}.cip", b"x")
    monkeypatch.setattr(places, "MAX_POLICIES", 3)
    found = list(places.policies_of(tree.install))
    assert len([item for item in found if isinstance(item, PolicyPlace)]) == 3
    assert isinstance(found[-1], Gap)


# --- real hives ---------------------------------------------------------------------------


@pytest.mark.parametrize("hive", HIVES, ids=[one.name for one in HIVES])
def test_real_hives(hive: RealHive, tmp_path: Path) -> None:
    """Every file of a driver service is there, once, with the earliest of its starts."""
    need(hive.name)
    tree = around(hive, tmp_path)
    found = by_path(tree)
    services = {name for item in found.values() for name in item.services}
    assert len(services) > 250
    early = [item for item in found.values() if item.start is StartType.BOOT]
    assert 30 < len(early) < 120
    assert (tree.root / CONFIG / "SYSTEM").is_file()
    assert list(found.values()) == drivers(tree)[0]
    install = replace(tree.install, mount=tmp_path / "gone")
    assert not any(isinstance(item, DriverPlace) for item in places.drivers_of(install))
