"""When something was signed: by the real files as INDEX.md has them, and by services made here.

What no timestamp may prove is in tests/signing/hostile; here is what each one says of itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest

from signing import certificate, path, signed_data, timestamp
from signing.certificate import CODE_SIGNING, Scheme
from signing.der import SET, Cursor
from signing.path import Trust
from signing.signed_data import SignerInfo
from signing.timestamp import Kind, Timestamp
from tests.builders import authorities, signed
from tests.builders.authorities import (
    NOW,
    TIME_STAMPING,
    YEAR,
    Holder,
    Shape,
    digest_info,
    ec_key,
    issue,
    raw,
    rsa_key,
)
from tests.builders.der import NULL, integer, octets, oid, sequence, tagged
from tests.builders.signed import Content, How, Later, about, attribute, countersignature, token
from tests.conftest import REAL_DATA, read_real, real
from tests.signing import real_signers

_DAY = timedelta(days=1)
THEN = NOW - 2 * YEAR
WINDOWS = Trust()

# --- real files -----------------------------------------------------------------------------

_STAMP = re.compile(r"\('(PKCS9|RFC3161)', '(\d{4}-\d\d-\d\d)'\)")
_KINDS = {"PKCS9": Kind.COUNTERSIGNATURE, "RFC3161": Kind.TOKEN}


@cache
def _index() -> dict[str, list[tuple[Kind, str]]]:
    """By file: the timestamps that INDEX.md names, which signify read; a long row is cut there."""
    place = REAL_DATA / "INDEX.md"
    if not place.is_file():
        return {}
    found = {}
    for line in place.read_text().partition("\n## signed")[2].partition("\n## ")[0].splitlines():
        name = line.strip("| ").partition(" ")[0]
        stamps = [(_KINDS[kind], day) for kind, day in _STAMP.findall(line)]
        if stamps and (REAL_DATA / "signed" / name).is_file():
            found[name] = stamps
    return found


def _stamps(file: Path) -> list[Timestamp]:
    """Of its signers, the outermost first."""
    signers = (each for each in real_signers.of_file(file) if each.purpose == CODE_SIGNING)
    return [found for each in signers for found in timestamp.of(each.made, each.pool, WINDOWS, NOW)]


@pytest.mark.skipif(not _index(), reason=f"no signed files under {REAL_DATA}")
def test_real_timestamps_are_those_of_the_index() -> None:
    assert len(_index()) > 60
    for name, expected in _index().items():
        found = [(each.kind, str(each.time)[:10]) for each in _stamps(REAL_DATA / "signed" / name)]
        assert found[: len(expected)] == expected, name


@pytest.mark.skipif(not _index(), reason=f"no signed files under {REAL_DATA}")
def test_all_real_timestamps_are_believed() -> None:
    """Whose services have run out meanwhile were good then; those of VeriSign sign digests bare."""
    bare = set()
    for each in real_signers.everybody():
        for found in timestamp.of(each.made, each.pool, WINDOWS, NOW):
            assert found.is_good, (each.file, found.reason)
            assert found.chain is not None
            assert found.chain.leaf.has_purpose(TIME_STAMPING)
            assert found.is_weak is (found.digest in ("sha1", "md5") or found.chain.is_weak)
        bare |= {each.file for value in _countersignatures(each.made) if _is_bare(each, value)}
    # osslsigncode calls these "bad signature"; gdrv.sys is of 2017: it went on after VeriSign.
    assert {"ADV64DRV.sys", "AsIO64.sys", "gdrv.sys", "Win7_amd64_pvpanic.sys"} <= bare
    assert "Win7_amd64_balloon.sys" not in bare


def _countersignatures(made: SignerInfo) -> Sequence[bytes]:
    return made.unsigned.get(timestamp.COUNTERSIGNATURE, ())


def _is_bare(of: real_signers.Signed, value: bytes) -> bool:
    made = signed_data.signer(value, "test")
    service = path.certificate_of(made, of.pool)
    assert service is not None
    return not certificate.holds(service.key, made.signature, made.signed, made.digest, made.scheme)


@pytest.mark.parametrize("sample", real("signed/saferwall_acpi.sys", "signed/ralphje_pciide.sys"))
def test_a_moment_before_a_real_timestamp_it_had_not_come_yet(sample: Path) -> None:
    each = next(iter(real_signers.of_file(sample)))
    (found,) = timestamp.of(each.made, each.pool, WINDOWS, NOW)
    assert found.time is not None
    (late,) = timestamp.of(each.made, each.pool, WINDOWS, found.time - _DAY)
    (early,) = timestamp.of(each.made, each.pool, WINDOWS, found.time - _DAY - timedelta(seconds=1))
    assert late.is_good
    assert early.reason == f"it is of {found.time.date()}, which has not come yet"
    assert early.time == found.time


# --- made here ------------------------------------------------------------------------------


@cache
def _signer(*later: Later, by: Holder | None = None) -> tuple[SignerInfo, tuple[bytes, ...]]:
    """A SignerInfo with those timestamps, and the certificates of its message."""
    holder = by or authorities.publisher()
    others = (*authorities.stamper().bag, *_weak_service().bag, *_other_service().bag)
    how = How(holder, later=later, others=others)
    message = signed_data.read(signed.message(about(signed.stub()), [how]))
    return message.signers[0], message.certificates


def _of(*later: Later, now: datetime = NOW, windows: bool = False) -> tuple[Timestamp, ...]:
    made, certificates = _signer(*later)
    trust = Trust((authorities.root().certificate,), windows=windows)
    return timestamp.of(made, path.readable(certificates), trust, now)


@cache
def _service(name: str, **changed: object) -> Holder:
    shape = Shape(name, rsa_key(7), (TIME_STAMPING,), since=NOW - 10 * YEAR)
    return issue(replace(shape, **changed), authorities.root())  # type: ignore[arg-type]


def _weak_service() -> Holder:
    return _service("Weak time", digest="sha1")


def _other_service() -> Holder:
    return _service("Other time")


def test_a_countersignature() -> None:
    (found,) = _of(countersignature(THEN))
    assert found.is_good
    assert (found.kind, found.time, found.signer) == (Kind.COUNTERSIGNATURE, THEN, "Example time")
    assert (found.digest, found.is_weak) == ("sha1", True)
    assert found.chain is not None
    assert [each.name for each in found.chain.certificates] == ["Example time", "Example root"]


def test_a_token() -> None:
    (found,) = _of(token(THEN))
    assert found.is_good
    assert (found.kind, found.time, found.signer) == (Kind.TOKEN, THEN, "Example time")
    assert (found.digest, found.is_weak) == ("sha256", False)


WEAK = {
    "countersignature of SHA-256": (countersignature(THEN, digest="sha256"), "sha256", False),
    "countersignature of SHA-1": (countersignature(THEN), "sha1", True),
    "token": (token(THEN), "sha256", False),
    "token over SHA-1": (token(THEN, imprint="sha1"), "sha1", True),
    "token signed with SHA-1": (token(THEN, digest="sha1"), "sha1", True),
    "token over SHA-512, signed with SHA-384": (
        token(THEN, imprint="sha512", digest="sha384"),
        "sha384",
        False,
    ),
    "service certified with SHA-1": (token(THEN, _weak_service()), "sha256", True),
    "bare": (countersignature(THEN, bare=True), "sha1", True),
    "bare SHA-256": (countersignature(THEN, bare=True, digest="sha256"), "sha256", False),
}


@pytest.mark.parametrize("name", WEAK)
def test_what_they_rest_on(name: str) -> None:
    later, digest, is_weak = WEAK[name]
    (found,) = _of(later)
    assert found.is_good, found.reason
    assert (found.digest, found.is_weak) == (digest, is_weak)


def test_windows_alone_believes_no_service_of_the_tests() -> None:
    made, certificates = _signer(token(THEN))
    (found,) = timestamp.of(made, path.readable(certificates), WINDOWS, NOW)
    assert not found.is_good
    assert found.reason == "no root trusted here stands behind 'Example time'"
    assert found.time == THEN  # told, but not believed


# --- several --------------------------------------------------------------------------------

EARLIER, LATER = THEN - 100 * _DAY, THEN + 100 * _DAY
SEVERAL: dict[str, tuple[tuple[Later, ...], datetime, Kind]] = {
    "two tokens: the earlier": ((token(LATER), token(EARLIER)), EARLIER, Kind.TOKEN),
    "whatever their order": ((token(EARLIER), token(LATER)), EARLIER, Kind.TOKEN),
    "a strong one before an earlier weak one": (
        (countersignature(EARLIER), token(LATER)),
        LATER,
        Kind.TOKEN,
    ),
    "two weak ones": (
        (countersignature(LATER), token(EARLIER, digest="sha1")),
        EARLIER,
        Kind.TOKEN,
    ),
    "one that is about something else": (
        (token(EARLIER, about=b"something"), countersignature(LATER)),
        LATER,
        Kind.COUNTERSIGNATURE,
    ),
    "one that has not come yet": (
        (token(NOW + YEAR, _other_service()), countersignature(LATER)),
        LATER,
        Kind.COUNTERSIGNATURE,
    ),
    "one that cannot be read": (
        (lambda _: attribute(signed.TOKEN, b"\x30\x00"), countersignature(LATER)),
        LATER,
        Kind.COUNTERSIGNATURE,
    ),
}


def _merged(later: Sequence[Later]) -> tuple[Later, ...]:
    """One attribute for each kind: an attribute may be there once, with several values."""

    def joined(signature: bytes) -> bytes:
        values = [_value(each(signature)) for each in later]
        kind = oid(signed.TOKEN)
        return sequence(kind, tagged(0x31, b"".join(value for _, value in values)))

    kinds = {_value(each(b""))[0] for each in later}
    return (joined,) if len(kinds) == 1 and len(later) > 1 else tuple(later)


def _value(encoded: bytes) -> tuple[str, bytes]:
    inner = Cursor(encoded, "test").enter()
    return inner.oid(), inner.enter(SET).rest()


@pytest.mark.parametrize("name", SEVERAL)
def test_which_of_several_is_believed(name: str) -> None:
    later, expected, kind = SEVERAL[name]
    found = _of(*_merged(later))
    assert len(found) == 2
    assert found[0].is_good
    assert (found[0].time, found[0].kind) == (expected, kind)


def test_only_the_first_few_are_looked_at() -> None:
    """Each costs as much as a signature."""
    stamps = tuple(token(THEN + number * _DAY) for number in range(9))
    found = _of(*_merged(stamps))
    assert len(found) == 3
    assert all(each.is_good for each in found)


# --- those that are not believed, each with its reason --------------------------------------


def _bad_info(*parts: bytes) -> Later:
    """A token whose contents are these."""
    service = authorities.stamper()
    content = Content(signed.TST_INFO, octets(sequence(*parts)))
    made = signed.message(content, [How(service)])
    return lambda _: attribute(signed.TOKEN, made)


_IMPRINT = sequence(authorities.digest_algorithm("sha256"), octets(bytes(32)))
_HEAD = (integer(1), oid("1.2.3.4"), _IMPRINT, integer(1))
NOT_BELIEVED: dict[str, tuple[Later, str]] = {
    "no token": (lambda _: attribute(signed.TOKEN, NULL), "cannot be read"),
    "no countersignature": (lambda _: attribute(signed.COUNTERSIGNATURE, NULL), "cannot be read"),
    "no time in it": (_bad_info(*_HEAD), "cannot be read"),
    "local time": (_bad_info(*_HEAD, tagged(0x18, b"20240101120000")), "cannot be read"),
    "a time with a zone": (_bad_info(*_HEAD, tagged(0x18, b"20240101120000+0100")), "cannot be"),
    "about another signature": (token(THEN, about=b"x"), "it is about another signature"),
    "countersignature of another": (
        countersignature(THEN, about=b"x"),
        "it is about another signature",
    ),
    "no signed attributes": (countersignature(THEN, attributes=()), "say plainly"),
    "states no time": (countersignature(None), "it states no time"),
    "another key": (
        countersignature(THEN, sign=lambda data: rsa_key(8).sign(data, "sha1")),
        "its service did not make it",
    ),
    "bare, in a token": (
        token(
            THEN,
            algorithm=sequence(oid("1.2.840.113549.1.1.1"), NULL),
            sign=lambda data: raw(authorities.stamper().key, digest_info(data, "sha256")[-32:]),
        ),
        "its service did not make it",
    ),
    "service for code": (
        token(THEN, _service("Code", purposes=(CODE_SIGNING,))),
        "the certificate of 'Code' is not for timestamps",
    ),
    "service without purpose": (
        token(THEN, _service("Anything", purposes=None)),
        "the certificate of 'Anything' does not say what for",
    ),
    "service that had run out": (
        token(THEN, _service("Former", until=THEN - _DAY)),
        f"the certificate of 'Former' ran out on {(THEN - _DAY).date()}",
    ),
    "service that had not begun": (
        token(THEN, _service("New", since=THEN + _DAY)),
        f"the certificate of 'New' began only on {(THEN + _DAY).date()}",
    ),
    "service of a stranger": (
        token(THEN, issue(Shape("Stranger", rsa_key(7), (TIME_STAMPING,)))),
        "no root trusted here stands behind 'Stranger'",
    ),
    "service that may not sign": (
        token(THEN, _service("Mute", usage=authorities.CERT_SIGN)),
        "the key of 'Mute' may not sign",
    ),
    "names another": (token(THEN, names=b"x"), "made under another certificate than it names"),
    "another kind of message": (
        token(THEN, kind=signed.DATA),
        "it is another kind of message",
    ),
    "two signers": (token(THEN, twice=True), "it does not have one signer"),
    "signed as data": (token(THEN, content_type=signed.DATA), "say plainly"),
    "its service is not in the file": (
        token(THEN, _service("Absent"), bag=()),
        "the certificate of its service is not in the file",
    ),
    "other contents": (token(THEN, message_digest=bytes(32)), "its contents are not what was"),
    "two days from now": (token(NOW + 2 * _DAY), "which has not come yet"),
}


@pytest.mark.parametrize("name", NOT_BELIEVED)
def test_not_believed(name: str) -> None:
    later, words = NOT_BELIEVED[name]
    (found,) = _of(later)
    assert not found.is_good
    assert words in found.reason


def test_what_a_service_may_do() -> None:
    """It may have run out since; it may be elliptic; it may be a few hours ahead."""
    for later in (
        token(THEN, _service("Since", until=THEN + _DAY)),
        token(THEN, _service("Elliptic", key=ec_key(8)), digest="sha384"),
        token(THEN, _service("All", purposes=(TIME_STAMPING, CODE_SIGNING))),
        token(NOW + timedelta(hours=23)),
        countersignature(THEN, digest="sha512"),
        token(THEN, by_key_id=True),
    ):
        (found,) = _of(later)
        assert found.is_good, found.reason


def test_no_timestamp() -> None:
    assert _of() == ()


def test_the_certificate_that_is_named() -> None:
    holders = [authorities.publisher(), authorities.stamper()]
    pool = path.readable(each.certificate for each in holders)
    made = SignerInfo(b"", 0, b"", "sha256", Scheme(""), b"", b"", {}, {})
    for each, expected in zip(holders, pool, strict=True):
        by_name = replace(made, issuer=each.issuer, serial=each.serial)
        assert path.certificate_of(by_name, pool) == expected
        assert path.certificate_of(replace(made, key_id=each.key_id), pool) == expected
        assert path.certificate_of(replace(by_name, serial=each.serial + 1), pool) is None
        assert path.certificate_of(replace(by_name, issuer=b""), pool) is None
    assert path.certificate_of(replace(made, key_id=bytes(20)), pool) is None
    assert path.certificate_of(made, ()) is None


@pytest.mark.parametrize("sample", real("signed/whql_virtio_w11/viostor.sys"))
def test_what_a_real_token_says(sample: Path) -> None:
    each = next(iter(real_signers.of_file(sample)))
    (value,) = each.made.unsigned[timestamp.TOKEN]
    when, digest, algorithm = timestamp.info(signed_data.read(value, "test").content)
    assert when.replace(microsecond=0) == datetime(2023, 7, 22, 11, 40, 7, tzinfo=UTC)
    assert (len(digest), algorithm) == (32, "sha256")
    assert value in read_real(sample)
