"""Remediation packs at the desk: checked, signed, carried only if the medium would take them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from recoverykit import remedy
from signing import cms, keys, manifest
from signing.keys import SigningKey
from tests.packs import samples
from tests.signing.makers import NOW, YEAR, Shape, certified
from tests.winpe.test_cli import build_media
from winpe import packs
from winpe.errors import ImageRefusedError, MediaUsageError


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return certified(Shape("Example Ltd"))


@pytest.fixture(scope="module")
def key_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys") / "example"
    keys.new(folder, "Example Ltd")
    return folder


@pytest.fixture
def pack(tmp_path: Path, key: SigningKey) -> Path:
    path = tmp_path / "desk/july.toml"
    path.parent.mkdir()
    path.write_bytes(samples.JULY.read_bytes())
    packs.sign(path, key)
    return path


def test_a_pack_is_signed_and_carried(pack: Path, key: SigningKey, tmp_path: Path) -> None:
    (carried,) = packs.carried([pack], key.certificate)
    assert sorted(carried.files) == ["july.toml", "july.toml.p7s"]
    root = tmp_path / "payload"
    packs.install([carried], root)
    (root / manifest.PAYLOAD_TRUST).mkdir(parents=True)
    anchor = keys.certificate_pem(key.certificate)
    (root / manifest.PAYLOAD_TRUST / "example.crt").write_bytes(anchor)
    (found,) = remedy.carried(root)  # the runtime's own reader
    assert found.pack.id == "crowdstrike-2024-07-19"


def test_signing_again_replaces_the_signature(pack: Path) -> None:
    other = certified(Shape("Another Ltd"))
    packs.sign(pack, other)
    assert len(packs.carried([pack], other.certificate)) == 1
    assert sorted(path.name for path in pack.parent.iterdir()) == ["july.toml", "july.toml.p7s"]


def test_a_medium_takes_only_what_it_would_trust(pack: Path, key: SigningKey) -> None:
    stranger = certified(Shape("Example Ltd"))
    with pytest.raises(ImageRefusedError, match="Example Ltd") as caught:
        packs.carried([pack], stranger.certificate)
    assert caught.value.exit_code == 20
    assert "keys sign" in caught.value.hint
    pack.write_bytes(pack.read_bytes() + b"# changed\n")
    with pytest.raises(ImageRefusedError, match="is not what was signed"):
        packs.carried([pack], key.certificate)


def test_a_pack_with_mistakes_is_not_signed(pack: Path, key: SigningKey) -> None:
    pack.write_text(samples.SMALL.replace("quarantine", "burn") + "[only]\n")
    before = pack.with_name("july.toml.p7s").read_bytes()
    with pytest.raises(MediaUsageError) as caught:
        packs.sign(pack, key)
    assert str(caught.value).count("\n  ") == 3
    assert pack.with_name("july.toml.p7s").read_bytes() == before


def test_an_expired_key_signs_no_pack(pack: Path) -> None:
    from signing.errors import KeyFileError

    old = certified(Shape(since=NOW - 2 * YEAR, until=NOW - YEAR))
    with pytest.raises(KeyFileError):
        packs.sign(pack, old)


def _unsigned(pack: Path) -> None:
    pack.with_name("july.toml.p7s").unlink()


def _no_toml(pack: Path) -> None:
    pack.write_bytes(b"= = =")


def _large(pack: Path) -> None:
    pack.write_bytes(b"#" * 70_000)


def _gone(pack: Path) -> None:
    pack.unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_unsigned, "july.toml.p7s cannot be read"),
        (_no_toml, "not TOML"),
        (_large, "larger than"),
        (_gone, "cannot be read"),
    ],
)
def test_what_is_not_carried(pack: Path, key: SigningKey, spoil: object, said: str) -> None:
    spoil(pack)  # type: ignore[operator]
    with pytest.raises(MediaUsageError, match=said) as caught:
        packs.carried([pack], key.certificate)
    assert caught.value.exit_code == 2


def signed(folder: Path, name: str, text: str, key: SigningKey) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.with_name(f"{name}.p7s").write_bytes(cms.sign_detached(text.encode(), key))
    return path


def test_names_and_ids_are_unique(tmp_path: Path, key: SigningKey) -> None:
    one = signed(tmp_path / "a", "one.toml", samples.SMALL, key)
    two = signed(tmp_path / "b", "two.toml", samples.SMALL, key)
    with pytest.raises(MediaUsageError, match="two packs have the id acme"):
        packs.carried([one, two], key.certificate)
    other = samples.SMALL.replace('"acme"', '"other"')
    same = signed(tmp_path / "c", "one.toml", other, key)
    with pytest.raises(MediaUsageError, match=r"different files named one\.toml"):
        packs.carried([one, same], key.certificate)
    odd = signed(tmp_path / "d", "a b.toml", other, key)
    with pytest.raises(MediaUsageError, match="the name of a pack"):
        packs.carried([odd], key.certificate)


def test_the_drivers_it_installs_come_along(tmp_path: Path, key: SigningKey) -> None:
    content = b"a driver"
    digest = hashlib.sha256(content).hexdigest()
    act = f'[[act]]\nreplace = "it"\nwith = "acme.sys"\nsha256 = "{digest}"\n'
    text = samples.SMALL.replace(samples.ACT, act)
    path = signed(tmp_path / "desk", "acme.toml", text, key)
    with pytest.raises(MediaUsageError, match=r"acme\.sys cannot be read"):
        packs.carried([path], key.certificate)
    path.with_name("acme.sys").write_bytes(b"another")
    with pytest.raises(MediaUsageError, match="is not the file that it names"):
        packs.carried([path], key.certificate)
    path.with_name("acme.sys").write_bytes(content)
    (carried,) = packs.carried([path], key.certificate)
    assert carried.files["acme.sys"] == content


# --- the command line ---------------------------------------------------------------------


def test_check_and_sign(tmp_path: Path, key_folder: Path) -> None:
    path = tmp_path / "july.toml"
    path.write_bytes(samples.JULY.read_bytes())
    code, text = build_media("pack", "check", path)
    assert (code, "crowdstrike-2024-07-19: no mistakes" in text) == (0, True), text
    code, text = build_media("keys", "sign", path, "--keys", key_folder)
    assert (code, "july.toml.p7s" in text) == (0, True), text
    trusted = keys.load_certificate(key_folder / keys.CERTIFICATE)
    assert packs.carried([path], trusted)
    path.write_text(samples.SMALL.replace("quarantine", "burn"))
    code, text = build_media("pack", "check", path)
    assert (code, "Traceback" in text) == (2, False), text
    assert "act[1].burn: unknown key" in text
    code, text = build_media("keys", "sign", path, "--keys", key_folder)
    assert code == 2
    image = tmp_path / "x.iso"
    code, text = build_media("iso", "-o", image, "--keys", key_folder, "--pack", path)
    assert (code, image.exists(), "act[1].burn" in text) == (2, False, True), text


def test_a_stranger_s_pack_stops_the_build(pack: Path, key_folder: Path, tmp_path: Path) -> None:
    image = tmp_path / "x.iso"
    code, text = build_media("iso", "-o", image, "--keys", key_folder, "--pack", pack)
    assert (code, image.exists()) == (20, False), text
    assert "hint: sign it with the key of this medium" in text
