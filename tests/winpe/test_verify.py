from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from signing import cms, keys, manifest, tree
from signing.keys import SigningKey
from tests.conftest import REPOSITORY, need
from tests.signing.makers import Shape, certified, refused
from winpe import image as images
from winpe import tools
from winpe.errors import ImageRefusedError, MediaUsageError, MissingToolError
from winpe.verify import ImageState, verify_image

pytestmark = need("xorriso")

MADE = datetime(2026, 11, 22, 17, 30, tzinfo=UTC)
CATALOG = "boot/boot.cat"
BIOS = "boot/bios.img"
VOUCHING = (manifest.MEDIUM_MANIFEST, manifest.MEDIUM_SIGNATURE)
MBR = bytes(range(200)) * 2 + bytes(112)  # stands for GRUB's boot code
CONTENT = {
    "boot/vmlinuz": bytes(range(256)) * 500,
    "boot/initrd.img": bytes(range(255)) * 700,
    "boot/efi.img": bytes(range(251)) * 400,
    BIOS: bytes(range(253)) * 40,
    "boot/grub/grub.cfg": b"linux /boot/vmlinuz\n",
    "boot/it's 100% f\u00fcr you.txt": b"names need no escaping",
    "empty": b"",
}


def write_iso(root: Path, image: Path) -> None:
    (root.parent / "mbr").write_bytes(MBR)
    bios = f"-b {BIOS} -no-emul-boot -boot-load-size 4 -boot-info-table".split()
    efi = ["-eltorito-alt-boot", "-e", "boot/efi.img", "-no-emul-boot"]
    mbr = ["--grub2-mbr", str(root.parent / "mbr")]
    argv = ["xorriso", "-no_rc", "-as", "mkisofs", "-quiet", "-r", "-J", "-c", CATALOG]
    subprocess.run([*argv, *bios, *efi, *mbr, "-o", str(image), str(root)], check=True)


def signed_iso(root: Path, image: Path, key: SigningKey, **facts: str) -> None:
    """As winpe.iso does it: a first pass shows what xorriso writes into its own two files."""
    for path in VOUCHING:
        (root / path).write_bytes(bytes(3000))
    for _ in range(2):
        write_iso(root, image)
        with images.opened(image) as files:
            made_here = {path: files.read(path, 1 << 20) for path in (BIOS, CATALOG)}
        plain = tree.manifest_of(root, "rk-1", MADE, skip=(*VOUCHING, *made_here))
        added = [
            manifest.Entry(path, len(content), hashlib.sha256(content).hexdigest())
            for path, content in made_here.items()
        ]
        entries = tuple(sorted((*plain.entries, *added), key=lambda entry: entry.path))
        content = manifest.to_bytes(manifest.Manifest("rk-1", MADE, entries, facts))
        (root / VOUCHING[0]).write_bytes(content)
        (root / VOUCHING[1]).write_bytes(cms.sign_detached(content, key))


@pytest.fixture(scope="module")
def key() -> SigningKey:
    # RSA: its signatures have one length, so the second pass lays the image out as the first.
    return certified(Shape("Example Ltd", rsa_bits=2048))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    root = tmp_path_factory.mktemp("iso") / "root"
    for name, content in {
        **CONTENT,
        manifest.MEDIUM_CERTIFICATE: keys.certificate_pem(key.certificate),
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


@pytest.fixture(scope="module")
def good(root: Path, key: SigningKey) -> bytes:
    image = root.parent / "good.iso"
    facts = {manifest.MBR_CODE: hashlib.sha256(MBR[: manifest.MBR_CODE_SIZE]).hexdigest()}
    signed_iso(root, image, key, **facts)
    write_iso(root, image)
    return image.read_bytes()


@pytest.fixture
def image(tmp_path: Path, good: bytes) -> Path:
    (tmp_path / "recovery.iso").write_bytes(good)
    return tmp_path / "recovery.iso"


def check(image: Path, *trusted: SigningKey) -> ImageState:
    return verify_image(image, [one.certificate for one in trusted])


# --- reading ----------------------------------------------------------------------------------


def test_files_are_read_where_they_lie(image: Path) -> None:
    with images.opened(image) as files:
        names = set(files.names())
        assert {*CONTENT, CATALOG, *VOUCHING, manifest.MEDIUM_CERTIFICATE} == names
        for name, content in CONTENT.items():
            if name != BIOS:  # xorriso writes addresses into it
                assert files.read(name, 1 << 20) == content


def test_every_file_is_the_one_that_xorriso_extracts(image: Path, tmp_path: Path) -> None:
    argv = ["xorriso", "-no_rc", "-osirrox", "on", "-indev", str(image), "-extract", "/"]
    subprocess.run([*argv, str(tmp_path / "out")], check=True, capture_output=True)
    with images.opened(image) as files:
        for name in files.names():
            assert files.read(name, 1 << 20) == (tmp_path / "out" / name).read_bytes(), name


def test_a_file_in_several_pieces() -> None:
    """What xorriso reports for a file over 4 GiB."""
    report = (
        "File data lba:  0 ,       34 ,  2097151 , 5368709120 , '/huge.bin'\n"
        "File data lba:  1 ,  2097185 ,   524289 , 5368709120 , '/huge.bin'\n"
        "'/huge.bin'\n"
    )
    extents = ((34 * 2048, 2097151 * 2048), (2097185 * 2048, 524289 * 2048))
    assert images._places(report) == {"huge.bin": images.Place(5368709120, extents)}


# --- what holds -------------------------------------------------------------------------------


def test_an_image_is_what_was_signed(image: Path, key: SigningKey) -> None:
    heard: list[tuple[int, int]] = []
    state = verify_image(image, [key.certificate], lambda *at: heard.append(at))
    assert (state.image_id, state.made, state.files) == ("rk-1", MADE, len(CONTENT) + 2)
    assert state.trusted
    assert not state.development
    digits = keys.grouped(keys.fingerprint(key.certificate))
    assert state.signer == f"signed by Example Ltd, key {digits}, trusted"
    assert heard[-1] == (state.size, state.size)


def test_without_trust_it_says_so(image: Path) -> None:
    state = verify_image(image)
    assert not state.trusted
    assert state.signer.endswith("not compared with anything you trust")


def test_verifying_writes_nothing(image: Path, good: bytes) -> None:
    image.chmod(0o444)
    verify_image(image)
    assert image.read_bytes() == good


def test_a_stick_is_larger_than_its_image(image: Path, key: SigningKey) -> None:
    os.truncate(image, image.stat().st_size + (5 << 20))
    assert check(image, key).trusted


@need("losetup")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a loop device")
def test_a_block_device(image: Path, key: SigningKey) -> None:
    with loop(image) as device:
        assert check(device, key).image_id == "rk-1"


@contextmanager
def loop(image: Path) -> Iterator[Path]:
    command = ["losetup", "--find", "--show", "--read-only", str(image)]
    device = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    try:
        yield Path(device)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


# --- by hand ----------------------------------------------------------------------------------


def by_hand(folder: Path, certificate: Path) -> subprocess.CompletedProcess[str]:
    """Run the commands that docs/signing.md tells people to type."""
    _, _, rest = (REPOSITORY / "docs/signing.md").read_text().partition("```sh\n")
    listed = str(folder.parent / "listed")
    commands = rest.partition("```")[0].replace("/tmp/listed", listed)  # noqa: S108 - the docs' own
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env={**os.environ, "CERT": str(certificate)},
        capture_output=True,
        text=True,
        check=False,
    )


@need("openssl", "sha256sum", "bash")
def test_the_documented_check_by_hand(image: Path, tmp_path: Path, key: SigningKey) -> None:
    certificate = tmp_path / "kept.crt"
    certificate.write_bytes(keys.certificate_pem(key.certificate))
    folder = tmp_path / "mounted"
    argv = ["xorriso", "-no_rc", "-osirrox", "on", "-indev", str(image), "-extract", "/"]
    subprocess.run([*argv, str(folder)], check=True, capture_output=True)
    subprocess.run(["chmod", "-R", "u+w", str(folder)], check=True)
    run = by_hand(folder, certificate)
    assert (run.returncode, run.stdout) == (0, ""), run
    added = folder / "boot/added"
    added.write_bytes(b"")
    assert "boot/added" in by_hand(folder, certificate).stdout
    added.unlink()
    (folder / "boot/vmlinuz").write_bytes(b"another")
    assert "boot/vmlinuz: FAILED" in by_hand(folder, certificate).stdout
    (folder / manifest.MEDIUM_MANIFEST).write_bytes(b"{}")
    assert "verification" in by_hand(folder, certificate).stderr.lower()


# --- what does not ----------------------------------------------------------------------------


def places(image: Path) -> dict[str, images.Place]:
    with images.opened(image) as files:
        return dict(files._places)


def flip(image: Path, good: bytes, where: int, mask: int = 1) -> None:
    with image.open("r+b") as stream:
        stream.seek(where)
        stream.write(bytes([good[where] ^ mask]))


def restore(image: Path, good: bytes, where: int) -> None:
    flip(image, good, where, 0)


def test_one_flipped_byte_in_any_file_is_refused(image: Path, good: bytes, key: SigningKey) -> None:
    """First, middle and last byte of every file: manifest, signature, boot images, catalog."""
    tried = set()
    for name, place in places(image).items():
        start = place.extents[0][0]
        for where in {start, start + place.size // 2, start + place.size - 1} if place.size else ():
            flip(image, good, where)
            # A changed manifest is one that its signature does not fit, and the other way round.
            with refused(ImageRefusedError, "manifest." if name in VOUCHING else name):
                check(image, key)
            with refused(ImageRefusedError):
                verify_image(image)
            restore(image, good, where)
            tried.add(name)
    assert tried == {*places(image)} - {"empty"}
    assert check(image, key).trusted


@pytest.mark.parametrize("where", [0, 200, manifest.MBR_CODE_SIZE - 1])
def test_boot_code_is_covered(image: Path, good: bytes, key: SigningKey, where: int) -> None:
    flip(image, good, where)
    with refused(ImageRefusedError, "boot code of the master boot record"):
        check(image, key)


def test_what_xorriso_writes_behind_the_boot_code_is_not(
    image: Path, good: bytes, key: SigningKey
) -> None:
    flip(image, good, manifest.MBR_CODE_SIZE)
    assert check(image, key).trusted


def test_hostile_images_fail_in_one_way(image: Path, good: bytes) -> None:
    """Flips in the directory structures and anywhere else: refused, or the files are intact."""
    rng = random.Random(7)
    first_file = min(place.extents[0][0] for place in places(image).values())
    for number in range(60):
        where = rng.randrange(_STRUCTURES, first_file if number % 3 else len(good))
        flip(image, good, where, 1 << rng.randrange(8))
        try:
            state = verify_image(image)
        except ImageRefusedError:
            pass
        else:
            assert state.image_id == "rk-1"
        restore(image, good, where)


_STRUCTURES = 16 * 2048


def rebuilt(root: Path, change: Callable[[Path], None], image: Path) -> None:
    """Somebody changes a file and makes the image anew, without the key."""
    copy = Path(shutil.copytree(root, image.parent / "copy"))
    change(copy)
    write_iso(copy, image)


def add_file(root: Path) -> None:
    (root / "boot/added.cfg").write_bytes(b"")


def remove_file(root: Path) -> None:
    (root / "boot/grub/grub.cfg").unlink()


def add_link(root: Path) -> None:
    (root / "boot/link").symlink_to("vmlinuz")


def add_lines(root: Path) -> None:
    (root / "boot/two\nlines").write_bytes(b"")


def no_manifest(root: Path) -> None:
    (root / manifest.MEDIUM_MANIFEST).unlink()


def no_signature(root: Path) -> None:
    (root / manifest.MEDIUM_SIGNATURE).unlink()


def no_certificate(root: Path) -> None:
    (root / manifest.MEDIUM_CERTIFICATE).unlink()


def bad_certificate(root: Path) -> None:
    (root / manifest.MEDIUM_CERTIFICATE).write_bytes(b"damaged")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(add_file, "boot/added.cfg: is not in the manifest", id="extra file"),
        pytest.param(remove_file, ": ", id="missing file"),
        pytest.param(add_link, "'boot/link' on the image is not a plain file", id="link"),
        pytest.param(add_lines, "strange name", id="name of two lines"),
        pytest.param(no_manifest, "manifest.json: is missing", id="no manifest"),
        pytest.param(no_signature, "manifest.p7s: is missing", id="no signature"),
        pytest.param(no_certificate, "signing.crt: is missing", id="no certificate"),
        pytest.param(bad_certificate, "not a PEM certificate", id="damaged certificate"),
    ],
)
def test_an_image_made_anew_without_the_key(
    root: Path, good: bytes, tmp_path: Path, change: Callable[[Path], None], words: str
) -> None:
    rebuilt(root, change, tmp_path / "new.iso")
    with refused(ImageRefusedError, words):
        verify_image(tmp_path / "new.iso")


def test_signed_by_somebody_else(image: Path) -> None:
    with refused(ImageRefusedError, "signed by Example Ltd"):
        check(image, certified(Shape("Example Ltd")))
    with refused(ImageRefusedError, "no trusted certificate"):
        check(image)


def test_a_ca_may_be_trusted_instead(root: Path, tmp_path: Path) -> None:
    authority = certified(Shape("Example CA", ca=True))
    leaf = certified(Shape("Signer", rsa_bits=2048), authority)
    copy = Path(shutil.copytree(root, tmp_path / "root"))
    signed_iso(copy, tmp_path / "new.iso", leaf)
    write_iso(copy, tmp_path / "new.iso")
    state = check(tmp_path / "new.iso", authority)
    assert (state.organisation, state.trusted) == ("Signer", True)


@pytest.mark.parametrize("part", [0.02, 0.1, 0.5, 0.999])
def test_a_truncated_image(image: Path, good: bytes, part: float) -> None:
    os.truncate(image, int(len(good) * part))
    with refused(ImageRefusedError, "is cut off" if part > 0.03 else "not an ISO image"):
        verify_image(image)


def test_not_an_image(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"not an image" * 9000)
    (tmp_path / "empty").write_bytes(b"")
    for name in ("text", "empty"):
        with refused(ImageRefusedError, "is not an ISO image"):
            verify_image(tmp_path / name)
    for path in (tmp_path / "absent", tmp_path):
        with refused(MediaUsageError, str(path)):
            verify_image(path)


def test_xorriso_is_missing(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(tools, "_SBIN", "/nonexistent")
    with refused(MissingToolError, "xorriso"):
        verify_image(image)
