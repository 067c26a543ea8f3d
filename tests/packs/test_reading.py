"""Whose word a pack is: signatures, and what hostile bytes may cause."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta

import pytest

from recoverykit import packs
from recoverykit.errors import FormatError, SignatureRefusedError, UsageError
from recoverykit.packs import reading
from signing import cms, keys
from signing.errors import KeyFileError
from signing.keys import SigningKey
from tests.packs import samples
from tests.signing.makers import NOW, YEAR, Shape, certified

CONTENT = samples.FULL.encode()
MUTATIONS = 400  # a campaign may raise it


def test_a_pack_says_who_signed_it(key: SigningKey) -> None:
    pack = packs.read(CONTENT, cms.sign_detached(CONTENT, key), [key.certificate], None)
    digits = keys.grouped(keys.fingerprint(key.certificate))
    assert pack.signer == f"Example Ltd, key {digits}"
    assert pack == packs.check(CONTENT).signed(pack.signer)


def refused(content: bytes, signature: bytes, *trusted: SigningKey, at: object = None) -> str:
    anchors = [each.certificate for each in trusted]
    with pytest.raises(SignatureRefusedError) as caught:
        packs.read(content, signature, anchors, at)  # type: ignore[arg-type]
    assert caught.value.exit_code == 20
    return str(caught.value)


def test_a_stranger_with_the_same_name(key: SigningKey) -> None:
    stranger = certified(Shape("Example Ltd"))
    assert "Example Ltd" in refused(CONTENT, cms.sign_detached(CONTENT, stranger), key)


def test_nobody_trusted_nothing_read(key: SigningKey) -> None:
    assert "no trusted certificate" in refused(CONTENT, cms.sign_detached(CONTENT, key))


def test_the_signature_of_another_pack(key: SigningKey) -> None:
    other = CONTENT.replace(b"most = 3", b"most = 4")
    assert "the remediation pack is not what was signed" in refused(
        other, cms.sign_detached(CONTENT, key), key
    )


@pytest.mark.parametrize("signature", [b"", b"\0", b"-----BEGIN CMS-----", b"0" * 5000])
def test_what_is_no_signature(key: SigningKey, signature: bytes) -> None:
    refused(CONTENT, signature, key)


def test_an_expired_key_signs_nothing() -> None:
    old = certified(Shape(since=NOW - 2 * YEAR, until=NOW - YEAR))
    with pytest.raises(KeyFileError, match=r"20\d\d"):
        cms.sign_detached(CONTENT, old)


def test_a_certificate_of_a_ca_that_has_run_out() -> None:
    """What a clock that is right would say; without one (at boot) the stated time counts."""
    authority = certified(Shape("Example CA", ca=True))
    leaf = certified(Shape("Example Ltd", until=NOW + timedelta(days=1)), authority)
    signature = cms.sign_detached(CONTENT, leaf)
    assert packs.read(CONTENT, signature, [authority.certificate], None).signer
    refused(CONTENT, signature, authority, at=datetime.now(UTC) + timedelta(days=2))


def test_a_certificate_that_is_not_for_signing_code() -> None:
    from cryptography.x509.oid import ExtendedKeyUsageOID

    authority = certified(Shape("Example CA", ca=True))
    server = certified(Shape("www", purpose=ExtendedKeyUsageOID.SERVER_AUTH), authority)
    assert "code signing" in refused(CONTENT, cms.sign_detached(CONTENT, server), authority)


def test_the_signature_comes_before_the_toml(key: SigningKey) -> None:
    """Nothing of an unsigned pack is interpreted: its mistakes are not even told."""
    stranger = certified(Shape())
    for content in (b"\xff", b"format = 2", b"a = " + b"[\n" * 9000):
        refused(content, cms.sign_detached(content, stranger), key)


def test_a_signed_pack_with_a_mistake_is_refused_whole(key: SigningKey) -> None:
    content = samples.SMALL.replace("quarantine =", "obliterate =").encode()
    with pytest.raises(packs.SchemaError, match="no verb"):
        packs.read(content, cms.sign_detached(content, key), [key.certificate], None)


def test_a_pack_that_is_too_large_is_not_hashed(key: SigningKey) -> None:
    with pytest.raises(FormatError, match="larger than 64 KiB"):
        packs.read(b"#" * (reading.LARGEST + 1), b"", [key.certificate], None)


# --- hostile bytes ------------------------------------------------------------------------

WORDS = (
    *(b"[[detect]]\n", b"[[act]]\n", b"[[", b"]]", b"'", b'"', b'"""', b"\\u0000", b"\\", b"\n"),
    *(b"= ", b"{", b"}", b"[", b",", b"true", b"9" * 400, b"1e400", b"nan", b"-1", b"file = 1\n"),
    *(b"2024-02-30T00:00:00Z", b"9999-12-31T23:59:59-23:59", b"\xc3", b"\xed\xa0\x80", b"\r"),
    *(b"..\\", b"%SystemRoot%", b"a.b.c.d", b"format = 1\n", b"\0", b"all = ['rules']\n"),
)


def mutated(rng: random.Random) -> bytes:
    content = bytearray(CONTENT)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(content))
        what = rng.randrange(5)
        if what == 0:
            content[at] = rng.randrange(256)
        elif what == 1:
            content[at : at + rng.randrange(60)] = b""
        elif what == 2:
            content[at:at] = rng.choice(WORDS)
        elif what == 3:
            start = rng.randrange(len(content))
            content[at:at] = content[start : start + rng.randrange(200)]
        else:
            lines = bytes(content).split(b"\n")
            rng.shuffle(lines)
            content = bytearray(b"\n".join(lines))
    return bytes(content)


def test_mutations_are_read_or_refused_in_words() -> None:
    rng = random.Random(2024)
    said = [_said(mutated(rng)) for _ in range(MUTATIONS)]
    assert all(text.isprintable() for text in said)
    assert sum(map(bool, said)) > MUTATIONS // 2


def _said(content: bytes) -> str:
    """The refusal; "" for a pack that was read. Anything else that is raised fails the test."""
    began = time.process_time()
    try:
        packs.check(content)
    except (FormatError, UsageError) as exc:
        return str(exc)
    finally:
        assert time.process_time() - began < 2
    return ""


def test_mutations_of_what_is_signed_are_refused(key: SigningKey) -> None:
    rng = random.Random(2025)
    good = cms.sign_detached(CONTENT, key)
    for _ in range(MUTATIONS // 4):
        content, signature = bytearray(CONTENT), bytearray(good)
        spoiled = rng.choice((content, signature))
        at = rng.randrange(len(spoiled))
        spoiled[at] ^= 1 << rng.randrange(8)
        refused(bytes(content), bytes(signature), key)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\n".join(b"a" + b".b" * 1000 + b".c%d=1" % n for n in range(30)), id="keys"),
        pytest.param(
            b"\n".join(b"[a" + b".b" * 1000 + b".c%d]" % n for n in range(30)), id="heads"
        ),
        pytest.param(b"[[a" + b".b" * 1000 + b"]]\n" + b"[[a.b]]\n" * 100, id="arrays"),
        pytest.param(b"a=[" + b"{b=1},\n" * 8000 + b"]", id="inline"),
        pytest.param(b'a = """' + b"\\\n   \n" * 9000 + b'"""', id="continued"),
        pytest.param(b"format=1\n" + b"[[detect]]\n" * 5900, id="sections"),
        pytest.param(b"format=1\n" + b"".join(b"k%d=1\n" % n for n in range(7000)), id="many keys"),
    ],
)
def test_no_pack_takes_long(content: bytes) -> None:
    assert len(content) <= reading.LARGEST
    began = time.process_time()
    with pytest.raises((FormatError, UsageError)):
        packs.check(content)
    assert time.process_time() - began < 2
