from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recoverykit import medium
from recoverykit.errors import SignatureRefusedError
from signing import cms, keys, manifest, tree
from signing.keys import SigningKey
from tests.signing.makers import Shape, certified, refused

MADE = datetime(2026, 11, 22, 17, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return certified(Shape("Example Ltd"))


@pytest.fixture(scope="module")
def stranger() -> SigningKey:
    return certified(Shape("Example Ltd"))  # the name proves nothing


def sign(root: Path, places: tuple[str, str], key: SigningKey) -> None:
    made = tree.manifest_of(root, "rk-1", MADE, skip=(*places, *medium.GENERATED))
    content = manifest.to_bytes(made)
    (root / places[0]).parent.mkdir(parents=True, exist_ok=True)
    (root / places[0]).write_bytes(content)
    (root / places[1]).write_bytes(cms.sign_detached(content, key))


PAYLOAD = (manifest.PAYLOAD_MANIFEST, manifest.PAYLOAD_SIGNATURE)
MEDIUM = (manifest.MEDIUM_MANIFEST, manifest.MEDIUM_SIGNATURE)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, key: SigningKey) -> Path:
    """A running system (`system`) and the medium it came from (`medium`), as they are signed."""
    top = tmp_path_factory.mktemp("built")
    for name, content in {
        "system/init": b"#!/usr/bin/python3\n",
        "system/usr/bin/python3": bytes(range(256)) * 40,
        "system/usr/lib/recoverykit/cli.pyc": b"code",
        f"system/{manifest.PAYLOAD_TRUST}/example.crt": keys.certificate_pem(key.certificate),
        "medium/boot/vmlinuz": bytes(range(256)) * 50,
        "medium/boot/initrd.img": bytes(range(255)) * 60,
        "medium/boot/grub/grub.cfg": b"linux /boot/vmlinuz\n",
        f"medium/{manifest.MEDIUM_CERTIFICATE}": keys.certificate_pem(key.certificate),
    }.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content)
    (top / "system/bin").symlink_to("usr/bin")
    sign(top / "system", PAYLOAD, key)
    sign(top / "medium", MEDIUM, key)
    for name in medium.GENERATED:  # what the kernel and /init add when it starts
        (top / "system" / name).mkdir()
        (top / "system" / name / "made-at-start").write_bytes(b"")
    return top


@pytest.fixture
def top(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "top", symlinks=True))


def check_payload(top: Path) -> medium.MediumState:
    return medium.verify_payload(top / "system")


def check_medium(top: Path) -> medium.MediumState:
    anchors = [
        keys.load_certificate(path)
        for path in (top / "system" / manifest.PAYLOAD_TRUST).glob("*.crt")
    ]
    return medium.verify_medium(top / "medium", anchors)


BOTH = pytest.mark.parametrize(
    ("part", "check", "files"),
    [("system", check_payload, 5), ("medium", check_medium, 4)],
    ids=["payload", "medium"],
)
Check = Callable[[Path], medium.MediumState]


@BOTH
def test_what_is_as_signed_says_who_made_it(
    top: Path, key: SigningKey, part: str, check: Check, files: int
) -> None:
    digits = keys.fingerprint(key.certificate)
    state = check(top)
    assert (state.image_id, state.made, state.files) == ("rk-1", MADE, files)
    assert state.fingerprint == digits
    assert state.signer == f"Example Ltd, key {keys.grouped(digits)}"
    assert not state.development


def files_of(root: Path) -> list[Path]:
    found = (path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink())
    return [path for path in found if path.relative_to(root).parts[0] not in medium.GENERATED]


@BOTH
def test_one_flipped_byte_in_any_file_is_refused(
    top: Path, part: str, check: Check, files: int
) -> None:
    """Every file, manifest, signature and certificate among them: first, middle and last byte."""
    tried = 0
    for path in files_of(top / part):
        good = path.read_bytes()
        for where in {0, len(good) // 2, len(good) - 1}:
            bad = bytearray(good)
            bad[where] ^= 0x01
            path.write_bytes(bad)
            with refused(SignatureRefusedError, ""):
                check(top)
            tried += 1
        path.write_bytes(good)
    check(top)
    assert tried > 3 * files


@BOTH
def test_any_mutation_of_what_vouches_is_refused(
    top: Path, part: str, check: Check, files: int
) -> None:
    rng = random.Random(11)
    for name in PAYLOAD if part == "system" else MEDIUM:
        good = (top / part / name).read_bytes()
        for _ in range(300):
            bad = bytearray(good)
            where = rng.randrange(len(bad))
            bad[where : where + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
            if bad == good:
                continue
            (top / part / name).write_bytes(bad)
            with pytest.raises(SignatureRefusedError):
                check(top)
        (top / part / name).write_bytes(good)
    check(top)


def swap_files(root: Path) -> str:
    first, second = files_of(root)[:2]
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    return first.relative_to(root).as_posix()


def add_file(root: Path) -> str:
    (root / "added").write_bytes(b"")
    return "added"


def remove_file(root: Path) -> str:
    gone = files_of(root)[0]
    gone.unlink()
    return gone.relative_to(root).as_posix()


@BOTH
@pytest.mark.parametrize("change", [swap_files, add_file, remove_file])
def test_the_first_differing_file_is_named(
    top: Path, part: str, check: Check, files: int, change: Callable[[Path], str]
) -> None:
    named = change(top / part)
    with refused(SignatureRefusedError, f": {named}: "):
        check(top)


@BOTH
@pytest.mark.parametrize("missing", [0, 1], ids=["manifest", "signature"])
def test_without_manifest_or_signature_nothing_is_vouched_for(
    top: Path, part: str, check: Check, files: int, missing: int
) -> None:
    name = (PAYLOAD if part == "system" else MEDIUM)[missing]
    (top / part / name).unlink()
    with refused(SignatureRefusedError, f"{name}: is missing"):
        check(top)


@BOTH
def test_a_signature_by_a_stranger(
    top: Path, stranger: SigningKey, part: str, check: Check, files: int
) -> None:
    sign(top / part, PAYLOAD if part == "system" else MEDIUM, stranger)
    with pytest.raises(SignatureRefusedError, match="signed by Example Ltd") as caught:
        check(top)
    assert keys.grouped(keys.fingerprint(stranger.certificate)) in caught.value.hint


def test_no_anchor_no_trust(top: Path) -> None:
    shutil.rmtree(top / "system" / manifest.PAYLOAD_TRUST)
    with refused(SignatureRefusedError, "holds 0 trusted certificates"):
        check_payload(top)
    with refused(SignatureRefusedError, "no trusted certificate"):
        medium.verify_medium(top / "medium", [])


def test_a_damaged_anchor(top: Path) -> None:
    next((top / "system" / manifest.PAYLOAD_TRUST).glob("*.crt")).write_bytes(b"damaged")
    with refused(SignatureRefusedError, "example.crt is not a PEM certificate"):
        check_payload(top)


def test_an_added_anchor_is_found(top: Path, stranger: SigningKey) -> None:
    added = top / "system" / manifest.PAYLOAD_TRUST / "zzz.crt"
    added.write_bytes(keys.certificate_pem(stranger.certificate))
    with refused(SignatureRefusedError, "zzz.crt: is not in the manifest"):
        check_payload(top)


def test_another_image_than_the_one_that_was_started(top: Path, key: SigningKey) -> None:
    medium.verify_medium(top / "medium", [key.certificate], image_id="rk-1")
    with refused(SignatureRefusedError, "is image rk-1, but image rk-2 was started"):
        medium.verify_medium(top / "medium", [key.certificate], image_id="rk-2")


def test_a_manifest_that_is_signed_but_not_a_manifest(top: Path, key: SigningKey) -> None:
    content = b'{"format":"recoverykit.manifest/9"}\n'
    (top / "medium" / MEDIUM[0]).write_bytes(content)
    (top / "medium" / MEDIUM[1]).write_bytes(cms.sign_detached(content, key))
    with refused(SignatureRefusedError, "exactly the fields"):
        check_medium(top)


def test_the_development_key_is_told(top: Path, tmp_path: Path) -> None:
    development = keys.development(tmp_path / "config")
    sign(top / "medium", MEDIUM, development)
    assert medium.verify_medium(top / "medium", [development.certificate]).development


def test_progress_reaches_the_end(top: Path) -> None:
    heard: list[tuple[int, int]] = []
    state = medium.verify_payload(top / "system", progress=lambda *at: heard.append(at))
    assert heard[-1] == (state.size, state.size)
