from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from signing import cms, keys, renewal
from signing.errors import KeyFileError, UntrustedError
from signing.keys import SigningKey
from tests.signing.makers import NOW, YEAR, Shape, certified, refused

CONTENT = b"content"


def test_the_same_key_for_longer(key: SigningKey, tmp_path: Path) -> None:
    later = NOW + 9 * YEAR
    made = renewal.renew(key, tmp_path / "new", now=later)
    old, new = key.certificate, made.certificate
    assert (new.public_key(), new.subject) == (old.public_key(), old.subject)
    assert new.serial_number != old.serial_number
    assert new.not_valid_after_utc > old.not_valid_after_utc
    assert [each.oid for each in new.extensions] == [each.oid for each in old.extensions]
    assert keys.load(tmp_path / "new", now=later).certificate == new
    assert renewal.previous_of(tmp_path / "new") == (old,)


def test_old_media_stay_valid_and_both_trust_what_both_signed(
    key: SigningKey, tmp_path: Path
) -> None:
    new = renewal.renew(key, tmp_path / "new", new_key=True)
    assert new.certificate.public_key() != key.certificate.public_key()
    old_medium = cms.sign_detached(CONTENT, key)
    found = cms.verify_detached(CONTENT, old_medium, [key.certificate])
    assert found.certificate == key.certificate
    with pytest.raises(UntrustedError):
        cms.verify_detached(CONTENT, cms.sign_detached(CONTENT, new), [key.certificate])
    both = cms.sign_detached(CONTENT, new, key)
    for one in (key, new):
        assert cms.verify_detached(CONTENT, both, [one.certificate]).certificate == one.certificate


def test_a_renewed_certificate_is_another_one_to_those_who_pinned(
    key: SigningKey, tmp_path: Path
) -> None:
    new = renewal.renew(key, tmp_path / "new")
    with refused(UntrustedError, "not trusted here, and nobody but itself issued it"):
        cms.verify_detached(CONTENT, cms.sign_detached(CONTENT, new), [key.certificate])


def test_what_was_replaced_is_remembered(key: SigningKey, tmp_path: Path) -> None:
    first = renewal.renew(key, tmp_path / "1")
    before = renewal.previous_of(tmp_path / "1")
    renewal.renew(first, tmp_path / "2", previous=before)
    assert renewal.previous_of(tmp_path / "2") == (first.certificate, key.certificate)
    assert renewal.previous_of(tmp_path) == ()


def test_an_expired_key_can_be_renewed(tmp_path: Path) -> None:
    past = datetime.now(UTC) - keys.VALID_FOR - timedelta(days=30)
    keys.new(tmp_path / "old", "Example Ltd", passphrase=b"secret", now=past)
    with refused(KeyFileError, "expired"):
        keys.load(tmp_path / "old", b"secret")
    old = keys.pair(tmp_path / "old", b"secret")
    renewal.renew(old, tmp_path / "new", passphrase=b"secret")
    with refused(KeyFileError, "needs its passphrase"):
        keys.load(tmp_path / "new")
    found = keys.load(tmp_path / "new", b"secret")
    assert found.certificate.public_key() == old.certificate.public_key()
    assert isinstance(found.private_key, rsa.RSAPrivateKey)


def test_what_is_not_renewed(key: SigningKey, key_folder: Path, tmp_path: Path) -> None:
    authority = certified(Shape("Example CA", ca=True))
    with refused(KeyFileError, "issued by a CA", "Example CA"):
        renewal.renew(certified(Shape(), authority), tmp_path / "new")
    with refused(KeyFileError, "development key"):
        renewal.renew(keys.development(tmp_path / "config"), tmp_path / "new")
    with refused(KeyFileError, "never overwrite"):
        renewal.renew(key, key_folder)
    assert not (tmp_path / "new").exists()
