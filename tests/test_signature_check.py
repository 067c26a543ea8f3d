"""`recoverykit verify` as a person uses it: files, packages, and all drivers of a Windows."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from tests.boot import bootable
from tests.boot.bootable import Bootable
from tests.builders import authenticode, catalogs, pe
from tests.builders.catalogs import Member
from tests.conftest import REPOSITORY, real
from tests.signing.makers import Shape, certified

DRIVERS = "Windows/system32/drivers"
CATALOGS = "Windows/system32/CatRoot/{F750E6C3-38EE-11D1-85E5-00C04FC295EE}"
WHQL = real("signed/whql_virtio_w11/viostor.sys")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "recoverykit", "verify", *map(str, arguments)]
    return subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def verified(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """(exit code, the one part of the JSON)."""
    done = run(*arguments, "--json")
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert document["schema"] == "recoverykit.signatures/1"
    assert document["exit_code"] == done.returncode
    (found,) = document["verified"]
    return done.returncode, found


def _listed(content: bytes, name: str, *, image: bool = True) -> list[Member]:
    digest = catalogs.file_digest(content, "sha256") if image else sha256(content).digest()
    return [Member(digest, name, image=image)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trust") / "root.pem"
    pem = authenticode.root().certificate.public_bytes(serialization.Encoding.PEM)
    path.write_bytes(pem)
    return path


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A driver package: a file without a signature of its own, its INF, its catalog, a remark."""
    folder = tmp_path / "package"
    (folder / "amd64").mkdir(parents=True)
    driver, inf = pe.driver({"CompanyName": "Acme"}), b"[Version]\r\nCatalogFile=acme.cat\r\n"
    members = [*_listed(driver, "acme.sys"), *_listed(inf, "acme.inf", image=False)]
    (folder / "amd64" / "acme.sys").write_bytes(driver)
    (folder / "acme.inf").write_bytes(inf)
    (folder / "acme.cat").write_bytes(catalogs.catalog(members, authenticode.publisher()))
    (folder / "readme.txt").write_text("not asked")
    return folder


# --- files --------------------------------------------------------------------------------


def test_a_package_through_its_catalog(package: Path, root: Path) -> None:
    code, found = verified(package, "--trust", root)
    passes = {Path(each["path"]).name: each["passes"] for each in found["files"]}
    assert (code, passes) == (0, {"acme.cat": "yes", "acme.inf": "yes", "acme.sys": "yes"})
    (driver,) = (each for each in found["files"] if each["path"].endswith("acme.sys"))
    (signature,) = driver["signatures"]
    assert (signature["origin"], signature["catalog"]) == ("catalog", "acme.cat")
    assert found["catalogs"] == 1


def test_without_trust_nobody_stands_behind_it(package: Path) -> None:
    code, found = verified(package)
    assert code == 20
    assert {each["class"] for each in found["files"]} == {"untrusted"}


def test_a_file_of_the_package_that_was_changed(package: Path, root: Path) -> None:
    driver = package / "amd64" / "acme.sys"
    content = bytearray(driver.read_bytes())
    content[-1] ^= 1
    driver.write_bytes(content)
    code, found = verified(package, "--trust", root)
    (told,) = (each for each in found["files"] if each["passes"] != "yes")
    assert (code, told["path"], told["class"]) == (3, str(driver), "unsigned")


def test_catalogs_that_lie_elsewhere(package: Path, root: Path, tmp_path: Path) -> None:
    away = tmp_path / "catalogs"
    away.mkdir()
    shutil.move(package / "acme.cat", away / "acme.cat")
    assert run(package, "--trust", root).returncode == 3
    assert run(package, "--trust", root, "--catalogs", away).returncode == 0


def test_text_for_a_technician(package: Path, root: Path) -> None:
    signed = package / "good.sys"
    signed.write_bytes(authenticode.signed(pe.driver(None), authenticode.publisher()))
    bad = package / "bad.sys"
    bad.write_bytes(signed.read_bytes()[:-8] + b"\xff" * 8)
    flipped = bytearray(signed.read_bytes())
    flipped[0x401] ^= 1
    (package / "flipped.sys").write_bytes(flipped)
    done = run(package, "--trust", root, "--details")
    assert done.returncode == 20
    first, *_ = done.stdout.splitlines()
    assert re.fullmatch(r"FAIL  .*(bad|flipped)\.sys", first)
    assert "tampered: the file is not what was signed" in done.stdout
    assert f"ok    {signed}" in done.stdout
    assert "embedded: trusted here, SHA256, by Test publisher; under Test root" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("6 files: 4 pass (4 trusted here); 2 FAIL")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing was named to verify"),
        (["/nowhere/acme.sys"], "/nowhere/acme.sys is no file, or cannot be read"),
        (["README.md", "--trust", "README.md"], "README.md"),
        (["README.md", "--block-list", "README.md"], "README.md is no block list"),
        (["--target", "/nowhere"], "/nowhere"),
        (["README.md", "--target", "/nowhere"], "/nowhere"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_help_teaches() -> None:
    done = run("--help")
    for word in ("catalogs", "timestamps", "Exit code 20", "recoverykit verify --target"):
        assert word in " ".join(done.stdout.split())


def test_a_list_of_hashes(tmp_path: Path, root: Path) -> None:
    file = tmp_path / "acme.sys"
    file.write_bytes(authenticode.signed(pe.driver(None), authenticode.publisher()))
    listed = tmp_path / "bad.sha256"
    listed.write_text(f"# ours\n{sha256(file.read_bytes()).hexdigest()}  acme.sys\n")
    code, found = verified(file, "--trust", root, "--block-list", listed)
    (told,) = found["files"]
    assert (code, told["passes"], told["advised"]["list"]) == (20, "no", "bad.sha256")
    assert (told["denied"], found["block_lists"]) == (None, ["bad.sha256"])
    assert verified(file, "--trust", root)[0] == 0


@pytest.mark.parametrize("sample", WHQL)
def test_a_real_driver(sample: Path) -> None:
    code, found = verified(sample)
    (file,) = found["files"]
    assert (code, file["class"], file["machine"]) == (0, "attestation", "x64")
    (signature,) = file["signatures"]
    assert signature["signer"]["name"] == "Microsoft Windows Hardware Compatibility Publisher"
    assert signature["timestamps"][0]["time"] == "2023-07-22T11:40:07Z"
    (counts,) = (chain for chain in signature["chains"] if chain["counts"])
    assert (counts["store"], counts["faults"]) == ("kernel", [])


@pytest.mark.parametrize("sample", real("signed/winefi_bootmgfw.efi"))
@pytest.mark.parametrize("dbx", real("signed/dbx/amd64_DBXUpdate.bin"))
def test_a_program_for_firmware(sample: Path, dbx: Path) -> None:
    """A boot manager of 2020: signed by a CA that PCs have; revoked by nothing in that dbx."""
    code, found = verified(sample)
    (file,) = found["files"]
    assert (code, file["secure_boot"]["starts"]) == (3, "unknown")
    code, found = verified(sample, "--firmware", dbx)
    (file,) = found["files"]
    assert (code, file["secure_boot"]["starts"], file["class"]) == (0, "yes", "inbox")
    assert file["secure_boot"]["signatures"][0]["trusted_by"].endswith("Production PCA 2011")
    assert "program for firmware; signed 2020-09-02" in run(sample).stdout


def test_firmware_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "dbx").write_bytes(b"nothing")
    for path, said in (("dbx", "is no dbx"), ("", "holds neither"), ("nowhere", "cannot be read")):
        done = run("README.md", "--firmware", tmp_path / path)
        assert done.returncode == 2
        assert said in done.stderr


def test_nothing_in_a_folder_is_passed_over_in_silence(package: Path, root: Path) -> None:
    """Wiped drivers, pipes, links: each is told, and none hides the others."""
    (package / "wiped.sys").write_bytes(bytes(65536))
    (package / "empty.dll").write_bytes(b"")
    os.mkfifo(package / "pipe.sys")
    (package / "link.sys").symlink_to("acme.inf")
    code, found = verified(package, "--trust", root)
    passes = {Path(each["path"]).name: each["passes"] for each in found["files"]}
    assert code == 3
    assert (passes["wiped.sys"], passes["empty.dll"], passes["acme.sys"]) == (
        "unknown",
        "unknown",
        "yes",
    )
    assert {Path(gap["path"]).name for gap in found["gaps"]} == {"pipe.sys", "link.sys"}
    flipped = bytearray(authenticode.signed(pe.driver(None), authenticode.publisher()))
    flipped[0x401] ^= 1
    (package / "z.sys").write_bytes(flipped)
    assert verified(package, "--trust", root)[0] == 20


def test_a_folder_with_nothing_to_verify_and_one_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("nothing")
    for arguments in ([tmp_path], ["README.md", "--catalogs", tmp_path / "nowhere"]):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert "Traceback" not in done.stderr


def test_a_catalog_that_is_damaged_fails(package: Path, root: Path) -> None:
    whole = (package / "acme.cat").read_bytes()
    (package / "acme.cat").write_bytes(whole[:-20])
    code, found = verified(package / "acme.cat", "--trust", root)
    assert (code, found["files"][0]["passes"]) == (20, "no")


def test_a_file_too_large_to_be_one(tmp_path: Path) -> None:
    with (tmp_path / "huge.sys").open("wb") as stream:
        stream.truncate(300 << 30)
    code, found = verified(tmp_path / "huge.sys")
    assert (code, found["files"][0]["passes"]) == (3, "unknown")
    assert "300 GiB" in found["files"][0]["reason"]


@pytest.mark.parametrize(
    "sample",
    real(
        "signed/legacy_sha1/WinRing0_3ec5ad51e6879464dfbccb9f4ed76c6325056a42548d5994ba869da9c4c039a8.sys"
    ),
)
def test_a_public_ca_is_for_no_driver(sample: Path) -> None:
    code, found = verified(sample)
    assert (code, found["files"][0]["class"]) == (20, "publisher")


def test_output_that_cannot_be_written() -> None:
    argv = [sys.executable, "-m", "recoverykit", "verify", "README.md"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            argv, cwd=REPOSITORY, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_program_that_we_signed_ourselves(root: Path, tmp_path: Path) -> None:
    """Whether a machine's firmware knows that key nobody has told us."""
    program = bytearray(pe.driver(None))
    start = int.from_bytes(program[60:64], "little")
    program[start + 24 + 68 : start + 24 + 70] = (10).to_bytes(2, "little")  # an EFI application
    file = tmp_path / "ours.efi"
    file.write_bytes(authenticode.signed(bytes(program), authenticode.publisher()))
    for arguments, word in (
        ([file], "db has that was not read"),
        ([file, "--trust", root], "that you do"),
    ):
        code, found = verified(*arguments)
        assert (code, found["files"][0]["passes"]) == (3, "unknown")
        assert word in found["files"][0]["reason"]


# --- a target -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Bootable:
    """All its drivers are signed by the tests' publisher; BIOS, so that it is one volume."""
    tree = bootable.small(tmp_path_factory.mktemp("windows"), uefi=False)
    (tree.root / CATALOGS / "nt5.cat").unlink()  # a stub; here catalogs are read
    tree.put(tree.root / "Boot" / "BCD", tree.scene.store_path.read_bytes())
    made = catalogs.catalog(_listed(b"nothing", "nothing", image=False), authenticode.publisher())
    tree.put(tree.root / CATALOGS / "nothing.cat", made)
    return tree


@pytest.fixture
def tree(sound: Bootable, tmp_path: Path) -> Bootable:
    return sound.copy(tmp_path)


def test_all_drivers_of_a_windows(tree: Bootable, root: Path) -> None:
    code, found = verified("--target", tree.root, "--trust", root)
    assert code == 0, [each for each in found["files"] if each["passes"] != "yes"]
    assert len(found["files"]) > 30
    assert {each["class"] for each in found["files"]} == {"organisation"}
    starts = [each["start"] for each in found["files"]]
    assert starts[0] == "boot"  # what is started earliest comes first
    assert {"name", "value", "path", "key", "how"} == set(found["kernel"][0])
    assert found["install"]["build"].startswith("19045")


def test_what_that_kernel_does_not_load(tree: Bootable, root: Path) -> None:
    drivers = tree.root / DRIVERS
    stranger = certified(Shape("Stranger", rsa_bits=2048))
    tree.put(drivers / "disk.sys", authenticode.signed(pe.driver(None), stranger))
    tree.put(drivers / "beep.sys", pe.driver(None))
    changed = bytearray((drivers / "null.sys").read_bytes())
    changed[0x401] ^= 1
    tree.put(drivers / "null.sys", bytes(changed))
    code, found = verified("--target", tree.root, "--trust", root)
    told = {
        each["path"].rpartition("/")[2]: (each["class"], each["passes"], each["start"])
        for each in found["files"]
        if each["passes"] != "yes"
    }
    assert code == 20
    assert told["null.sys"] == ("tampered", "no", "system")
    assert told["beep.sys"] == ("unsigned", "no", "system")
    assert told["disk.sys"][0] == "self-signed"
    done = run("--target", tree.root, "--trust", root)
    assert "FAIL  Windows/system32/drivers/null.sys" in done.stdout
    assert "ok    " not in done.stdout  # only how many
    assert "it is not signed, and no catalog of that Windows lists it" in " ".join(
        done.stdout.split()
    )


def test_through_the_catalogs_of_the_target(tree: Bootable, root: Path) -> None:
    driver = pe.driver({"CompanyName": "Acme"})
    tree.put(tree.root / DRIVERS / "acme.sys", driver)
    code, _ = verified("--target", tree.root, "--trust", root)
    assert code == 20
    listing = catalogs.catalog(_listed(driver, "acme.sys"), authenticode.publisher())
    tree.put(tree.root / CATALOGS / "oem1.cat", listing)
    code, found = verified("--target", tree.root, "--trust", root)
    assert code == 0
    assert found["catalogs"] == 2


def test_a_damaged_catalog_is_told_and_decides_nothing(tree: Bootable, root: Path) -> None:
    tree.put(tree.root / DRIVERS / "acme.sys", pe.driver(None))
    tree.put(tree.root / CATALOGS / "oem1.cat", b"\x30\x82\xff\xff damaged")
    code, found = verified("--target", tree.root, "--trust", root)
    (told,) = (each for each in found["files"] if each["passes"] != "yes")
    assert (code, told["passes"]) == (3, "unknown")
    assert any(gap["path"].endswith("oem1.cat") for gap in found["gaps"])


@pytest.mark.parametrize("late", real("signed/legacy_sha1/gdrv.sys"))
@pytest.mark.parametrize("other", real("signed/virtio_old/Win7_x86_balloon.sys"))
def test_a_file_for_a_target(tree: Bootable, late: Path, other: Path) -> None:
    """Would that Windows load this replacement?"""
    code, found = verified(late, "--target", tree.root)
    (file,) = found["files"]
    assert (code, file["class"], file["loads"]["demand"]) == (0, "cross-signed", "yes")
    assert "Secure Boot is off" in file["reason"]  # this one starts by BIOS
    tree.edit("Control\\CI\\Policy", {"WhqlSettings": 2})
    code, found = verified(late, "--target", tree.root)
    assert (code, found["files"][0]["loads"]["boot"]) == (20, "no")
    code, found = verified(other, "--target", tree.root)
    assert (code, found["files"][0]["loads"]["boot"]) == (20, "no")
    assert "made for x86 machines" in found["files"][0]["reason"]


def test_nothing_is_changed(tree: Bootable, root: Path) -> None:
    def state() -> dict[str, tuple[int, int]]:
        return {
            str(path): (path.lstat().st_mtime_ns, path.lstat().st_size)
            for path in tree.root.rglob("*")
        }

    before = state()
    assert run("--target", tree.root, "--trust", root).returncode in (0, 3)
    assert state() == before
