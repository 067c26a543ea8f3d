"""Who signs a medium, and whom the medium trusts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from signing import keys, renewal
from signing.keys import SigningKey
from tests.signing.makers import refused
from tests.signing.organisations import organisation
from winpe import signers, system
from winpe.errors import MediaUsageError


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    old = organisation("RSA 2048")
    keys.store(old, tmp_path / "old", None)
    renewal.renew(old, tmp_path / "new")
    return tmp_path


def certificates(*found: SigningKey) -> tuple[object, ...]:
    return tuple(each.certificate for each in found)


def test_a_renewed_key_trusts_what_it_replaced(folders: Path) -> None:
    new = keys.load(folders / "new")
    found = signers.load(folders / "new")
    assert found.certificate == new.certificate
    assert found.trusted == certificates(new, organisation("RSA 2048"))
    both = signers.load(folders / "new", folders / "old")
    assert len(both.all) == 2
    assert both.trusted == found.trusted  # each once


def test_the_medium_is_given_all_of_them(folders: Path) -> None:
    place = folders / "payload"
    place.mkdir()
    system._write_trust(place, signers.load(folders / "new"))
    from recoverykit import medium

    assert {*medium.anchors(place)} == {*signers.load(folders / "new").trusted}


def test_no_time_before_a_certificate_began(folders: Path) -> None:
    found = signers.load(folders / "new", folders / "old")
    begins = max(each.certificate.not_valid_before_utc for each in found.all)
    now = datetime.now(UTC)
    assert found.signing_time(now) == now
    assert found.signing_time(datetime(2020, 1, 1, tzinfo=UTC)) == begins
    assert found.signing_time(begins + timedelta(1)) == begins + timedelta(1)


def test_a_second_needs_a_first(folders: Path) -> None:
    with refused(MediaUsageError, "--second needs --keys"):
        signers.default(folders / "old")
    with refused(MediaUsageError, "the same certificate"):
        signers.load(folders / "old", folders / "old")
