"""What the builder writes, the running system reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recoverykit import settings as runtime
from recoverykit.errors import FormatError
from signing import keys, manifest
from tests.signing.organisations import organisation
from winpe import settings
from winpe.errors import MediaUsageError
from winpe.media import Carry, Locale, Media, Network, Organisation, Wifi


def full(folder: Path) -> Media:
    drivers = folder / "good"
    (drivers / "x64").mkdir(parents=True)
    (drivers / "x64/acme.sys").write_bytes(b"driver")
    (drivers / "link.sys").symlink_to("/etc/passwd")
    certificate = folder / "ca.crt"
    certificate.write_bytes(keys.certificate_pem(organisation("RSA 2048").certificate))
    return Media(
        organisation=Organisation("Exämple Ltd", "extension 4711", (" E", "  X")),
        locale=Locale("de"),
        carry=Carry(replacements=(drivers,), trust=(certificate,)),
        network=Network(("https://repair.example",), (Wifi("Workshop", "12345678"), Wifi("Open"))),
    )


def test_everything_arrives(tmp_path: Path) -> None:
    settings.install(full(tmp_path), tmp_path / "root")

    found = runtime.load(tmp_path / "root")

    assert (found.organisation, found.contact) == ("Exämple Ltd", "extension 4711")
    assert (found.logo, found.keyboard) == ((" E", "  X"), "de")
    assert found.stations == ("https://repair.example",)
    assert found.wifi == (runtime.Wifi("Workshop", "12345678"), runtime.Wifi("Open"))
    (folder,) = found.replacements
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {"1-good/x64/acme.sys"}
    (certificate,) = found.driver_trust
    assert keys.load_certificate(certificate) == organisation("RSA 2048").certificate


def test_a_system_without_settings_has_the_defaults(tmp_path: Path) -> None:
    assert runtime.load(tmp_path) == runtime.Settings()


def test_a_recipe_without_words_says_nothing(tmp_path: Path) -> None:
    settings.install(Media(), tmp_path)
    assert runtime.load(tmp_path) == runtime.Settings(keyboard="us")


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "recoverykit.settings/2"},
        {"logo": "x"},
        {"organisation": 1},
        {"contact": "\x1b[2J"},
        {"wifi": [1]},
        {"wifi": [{"ssid": "a"}]},
        {"stations": [1]},
    ],
    ids=str,
)
def test_what_no_builder_writes_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    content = json.loads(settings.document(Media())) | change
    file = tmp_path / manifest.PAYLOAD_SETTINGS
    file.parent.mkdir(parents=True)
    for content_bytes in (json.dumps(content).encode(), b"\xff", b"[]", b"{" * 9, b"[" * 9999):
        file.write_bytes(content_bytes)
        with pytest.raises(FormatError, match="settings of the medium"):
            runtime.load(tmp_path)


def test_too_many_drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    media = full(tmp_path)
    monkeypatch.setattr(settings, "LARGEST", 3)
    with pytest.raises(MediaUsageError, match="replacement drivers may have"):
        settings.install(media, tmp_path / "root")


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("x")
    with pytest.raises(MediaUsageError, match=r"ca\.crt"):
        settings.certificate(tmp_path / "ca.crt")
