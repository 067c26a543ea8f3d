from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from signing import cms, keys
from signing import cms_layout as layout
from signing.errors import KeyFileError, SigningError, TamperedError, UntrustedError
from signing.keys import SigningKey
from tests.conftest import need
from tests.signing.makers import NOW, YEAR, Shape, certified, refused

CONTENT = b'{"format":"recoverykit.manifest/1"}\r\n\x00\xff'
OTHER_TYPE = x509.ObjectIdentifier("1.2.840.113549.1.7.5")
SHA1 = x509.ObjectIdentifier("1.3.14.3.2.26")


@pytest.fixture(scope="module")
def signature(key: SigningKey) -> bytes:
    return cms.sign_detached(CONTENT, key)


@pytest.fixture(scope="module")
def stranger() -> SigningKey:
    return certified(Shape("Somebody Else"))


def verify(signature: bytes, *trusted: SigningKey, now: datetime | None = None) -> cms.Signed:
    return cms.verify_detached(CONTENT, signature, [one.certificate for one in trusted], now=now)


# --- what holds -----------------------------------------------------------------------------


def test_our_signature_holds(key: SigningKey) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    signed = verify(cms.sign_detached(CONTENT, key), key)
    assert signed.certificate == key.certificate
    assert signed.signing_time is not None
    assert before <= signed.signing_time <= datetime.now(UTC)


def test_any_of_the_trusted_will_do(
    key: SigningKey, stranger: SigningKey, signature: bytes
) -> None:
    assert verify(signature, stranger, key).certificate == key.certificate


def test_an_ecdsa_key_signs_too(stranger: SigningKey) -> None:
    signed = verify(cms.sign_detached(CONTENT, stranger), stranger)
    assert signed.certificate == stranger.certificate


def test_a_pinned_certificate_holds_whatever_the_clock_says(
    key: SigningKey, signature: bytes
) -> None:
    for now in (NOW - 50 * YEAR, NOW + 50 * YEAR):
        assert verify(signature, key, now=now).certificate == key.certificate


def test_an_expired_key_does_not_sign() -> None:
    expired = certified(Shape(since=NOW - 2 * YEAR, until=NOW - YEAR))
    with refused(KeyFileError, "expired"):
        cms.sign_detached(CONTENT, expired)


def test_several_signers_and_any_of_them_will_do(key: SigningKey, stranger: SigningKey) -> None:
    signature = cms.sign_detached(CONTENT, key, stranger)
    for one in (key, stranger):
        assert verify(signature, one).certificate == one.certificate
    with refused(UntrustedError, "signed by"):
        verify(signature, certified(Shape("Nobody")))
    many = [certified(Shape(f"Signer {number}")) for number in range(cms.MOST_SIGNERS + 1)]
    assert verify(cms.sign_detached(CONTENT, *many[1:]), many[3]).certificate == (
        many[3].certificate
    )
    with refused(SigningError, "9 signers"):
        verify(cms.sign_detached(CONTENT, *many), many[0])


def test_the_same_bytes_for_the_same_time(key: SigningKey, stranger: SigningKey) -> None:
    made = [cms.sign_detached(CONTENT, key, stranger, signing_time=NOW) for _ in range(2)]
    assert made[0] == made[1] != cms.sign_detached(CONTENT, key, stranger, signing_time=NOW - YEAR)
    assert verify(made[0], key).signing_time == NOW


@pytest.mark.parametrize("depth", [1, 2])
def test_cas_go_along(depth: int) -> None:
    root = certified(Shape("Root", ca=True))
    between = [certified(Shape("CA 0", ca=True), root)]
    between += [certified(Shape("CA 1", ca=True), between[0])][: depth - 1]
    leaf = certified(Shape("Leaf"), between[-1])
    whole = replace(leaf, others=tuple(one.certificate for one in between))
    signature = cms.sign_detached(CONTENT, whole)
    for trusted in (root, leaf, between[0]):  # a root, pinned, a CA on the way
        assert verify(signature, trusted).certificate == leaf.certificate
    with refused(UntrustedError, "not trusted here"):
        verify(cms.sign_detached(CONTENT, leaf), root)  # without them nobody can know
    with refused(UntrustedError, "signed by Leaf"):
        verify(signature, certified(Shape("Root", ca=True)))


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(Shape("CA", ca=False), id="no CA"),
        pytest.param(Shape("CA", ca=True, issues=False), id="may not issue"),
        pytest.param(Shape("CA", ca=True, until=NOW - YEAR / 2), id="expired"),
    ],
)
def test_cas_that_may_not_stand_between(between: Shape) -> None:
    root = certified(Shape("Root", ca=True))
    middle = certified(between, root)
    leaf = certified(Shape("Leaf"), middle)
    signature = cms.sign_detached(CONTENT, replace(leaf, others=(middle.certificate,)))
    with pytest.raises(SigningError):
        verify(signature, root)


def test_an_issuer_whose_name_is_written_in_the_old_way() -> None:
    """Its bytes are repeated, not written anew: iPXE and others compare bytes."""
    root = certified(Shape("Root", ca=True))
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Ex\xe4mple", _type=_ASN1Type.T61String),
            x509.NameAttribute(NameOID.COMMON_NAME, "Example", _type=_ASN1Type.BMPString),
        ]
    )
    old = certified(Shape("Leaf"), root)
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=old.certificate.subject,
        public_key=old.certificate.public_key(),
        serial_number=5,
        not_valid_before=NOW - YEAR,
        not_valid_after=NOW + YEAR,
    )
    leaf = replace(old, certificate=builder.sign(root.private_key, hashes.SHA256()))
    signature = cms.sign_detached(CONTENT, leaf)
    assert signature.count(layout.issuer_of(leaf.certificate)) == 2  # certificate, and its name
    assert verify(signature, leaf).certificate == leaf.certificate


def test_no_certificate_that_leads_nowhere(key: SigningKey) -> None:
    """Neither a stranger's, nor a twin that claims to have issued a key that is its own issuer."""
    for other in (certified(Shape("A CA", ca=True)), certified(Shape("Example Ltd", ca=True))):
        signature = cms.sign_detached(CONTENT, replace(key, others=(other.certificate,)))
        with refused(SigningError, "none of its signers uses"):
            verify(signature, key)


# --- what does not --------------------------------------------------------------------------


def test_other_content(key: SigningKey, signature: bytes) -> None:
    for content in (b"", CONTENT + b"\n", CONTENT[:-1], CONTENT.replace(b"1", b"2")):
        with refused(TamperedError, "manifest.json: is not what was signed"):
            cms.verify_detached(content, signature, [key.certificate], name="manifest.json")


def test_nobody_is_trusted(signature: bytes) -> None:
    with refused(UntrustedError, "no trusted certificate"):
        verify(signature)


def test_a_stranger_is_named(key: SigningKey, stranger: SigningKey, signature: bytes) -> None:
    with pytest.raises(UntrustedError, match="signed by Example Ltd") as caught:
        verify(signature, stranger)
    assert keys.grouped(keys.fingerprint(key.certificate)) in caught.value.hint


def test_a_namesake_is_a_stranger(key: SigningKey, signature: bytes) -> None:
    with refused(UntrustedError, "signed by Example Ltd"):
        verify(signature, certified(Shape("Example Ltd")))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        pytest.param(lambda _: b"", "damaged", id="empty"),
        pytest.param(lambda good: good[:-1], "damaged", id="cut off"),
        pytest.param(lambda good: good + b"\0", "ExtraData", id="trailing byte"),
        pytest.param(lambda good: good + good, "ExtraData", id="twice"),
        pytest.param(lambda good: good + bytes(1 << 16), "none needs over", id="too large"),
        pytest.param(lambda good: b"0\x80" + good[4:] + b"\0\0", "damaged", id="BER"),
        pytest.param(lambda _: b"0" * 60_000, "damaged", id="deep nesting"),
    ],
)
def test_not_one_der_signature(
    key: SigningKey, signature: bytes, bad: Callable[[bytes], bytes], words: str
) -> None:
    with refused(SigningError, words):
        verify(bad(signature), key)


# --- made by hand: right signatures over wrong structures -------------------------------------


def rebuilt(
    signature: bytes,
    key: SigningKey,
    change: Callable[[cms._SignedData, layout.SignerInfo], None],
) -> bytes:
    """The same message after `change`, its attributes signed again by the true key."""
    outer = asn1.decode_der(cms._ContentInfo, signature)
    signer = outer.content.signers.as_list()[0]
    change(outer.content, signer)
    assert isinstance(key.private_key, rsa.RSAPrivateKey)
    if signer.signed is not None:
        data = asn1.encode_der(signer.signed)
        signer.signature = key.private_key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    outer.content.signers = asn1.SetOf([signer])
    return asn1.encode_der(outer)


def attribute(oid: x509.ObjectIdentifier, *values: object) -> layout.Attribute:
    tlvs = [asn1.decode_der(asn1.TLV, asn1.encode_der(value)) for value in values]
    return layout.Attribute(type=oid, values=asn1.SetOf(tlvs))


def without(signer: layout.SignerInfo, oid: x509.ObjectIdentifier) -> list[layout.Attribute]:
    assert signer.signed is not None
    return [found for found in signer.signed.as_list() if found.type != oid]


def no_content_type(_: cms._SignedData, signer: layout.SignerInfo) -> None:
    signer.signed = asn1.SetOf(without(signer, layout.CONTENT_TYPE))


def other_content_type(_: cms._SignedData, signer: layout.SignerInfo) -> None:
    rest = without(signer, layout.CONTENT_TYPE)
    signer.signed = asn1.SetOf([*rest, attribute(layout.CONTENT_TYPE, OTHER_TYPE)])


def no_digest(_: cms._SignedData, signer: layout.SignerInfo) -> None:
    signer.signed = asn1.SetOf(without(signer, layout.MESSAGE_DIGEST))


def second_digest(_: cms._SignedData, signer: layout.SignerInfo) -> None:
    assert signer.signed is not None
    extra = attribute(layout.MESSAGE_DIGEST, bytes(32))
    signer.signed = asn1.SetOf([*signer.signed.as_list(), extra])


def digest_of_two_values(_: cms._SignedData, signer: layout.SignerInfo) -> None:
    rest = without(signer, layout.MESSAGE_DIGEST)
    both = attribute(layout.MESSAGE_DIGEST, bytes(32), bytes(31) + b"\1")
    signer.signed = asn1.SetOf([*rest, both])


def no_attributes(_: cms._SignedData, signer: layout.SignerInfo) -> None:
    signer.signed = None


def unsigned_attribute(_: cms._SignedData, signer: layout.SignerInfo) -> None:
    signer.unsigned = asn1.SetOf([attribute(OTHER_TYPE, b"x")])


def weak_digest(message: cms._SignedData, signer: layout.SignerInfo) -> None:
    signer.digest = layout.Algorithm(algorithm=SHA1, parameters=None)
    message.digests = asn1.SetOf([signer.digest])


def unused_digest(message: cms._SignedData, _: layout.SignerInfo) -> None:
    sha1 = layout.Algorithm(algorithm=SHA1, parameters=None)
    message.digests = asn1.SetOf([*message.digests.as_list(), sha1])


def wrong_signature_kind(_: cms._SignedData, signer: layout.SignerInfo) -> None:
    sha512 = x509.ObjectIdentifier("1.2.840.113549.1.1.13")
    signer.algorithm = layout.Algorithm(algorithm=sha512, parameters=None)


def other_message_version(message: cms._SignedData, _: layout.SignerInfo) -> None:
    message.version = 3


def other_signer_version(_: cms._SignedData, signer: layout.SignerInfo) -> None:
    signer.version = 3


def content_inside(message: cms._SignedData, _: layout.SignerInfo) -> None:
    message.encapsulated = cms._Encapsulated(content_type=layout.DATA, content=CONTENT)


def other_kind_of_content(message: cms._SignedData, _: layout.SignerInfo) -> None:
    message.encapsulated = cms._Encapsulated(content_type=OTHER_TYPE, content=None)


def unused_certificate(message: cms._SignedData, _: layout.SignerInfo) -> None:
    assert message.certificates is not None
    extra = certified(Shape("Passenger")).certificate
    message.certificates = asn1.SetOf([*message.certificates.as_list(), extra])


def revocation_list(message: cms._SignedData, _: layout.SignerInfo) -> None:
    authority = certified(Shape(ca=True))
    builder = x509.CertificateRevocationListBuilder().issuer_name(authority.certificate.subject)
    builder = builder.last_update(NOW).next_update(NOW + YEAR)
    message.crls = asn1.SetOf([builder.sign(authority.private_key, hashes.SHA256())])


def no_time(_: cms._SignedData, signer: layout.SignerInfo) -> None:
    signer.signed = asn1.SetOf(without(signer, layout.SIGNING_TIME))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(no_content_type, "does not say what", id="no content type"),
        pytest.param(other_content_type, "another type", id="another content type"),
        pytest.param(no_digest, "does not say what", id="no message digest"),
        pytest.param(second_digest, "more than once", id="two message digests"),
        pytest.param(digest_of_two_values, "more than once", id="digest of two values"),
        pytest.param(no_attributes, "no signed attributes", id="no signed attributes"),
        pytest.param(unsigned_attribute, "unsigned attributes", id="unsigned attribute"),
        pytest.param(weak_digest, "other than SHA-256", id="SHA-1"),
        pytest.param(unused_digest, "do not use", id="unused digest"),
        pytest.param(wrong_signature_kind, "does not fit", id="digests that disagree"),
        pytest.param(other_message_version, "version 3", id="message version"),
        pytest.param(other_signer_version, "version 3", id="signer version"),
        pytest.param(content_inside, "not a detached one", id="content inside"),
        pytest.param(other_kind_of_content, "plain data", id="other encapsulated type"),
        pytest.param(unused_certificate, "none of its signers uses", id="unused certificate"),
        pytest.param(revocation_list, "revocation lists", id="revocation list"),
    ],
)
def test_rightly_signed_but_wrongly_built(
    key: SigningKey,
    signature: bytes,
    change: Callable[[cms._SignedData, layout.SignerInfo], None],
    words: str,
) -> None:
    with refused(SigningError, words):
        verify(rebuilt(signature, key, change), key)


def test_rebuilding_without_a_change_changes_nothing(key: SigningKey, signature: bytes) -> None:
    assert rebuilt(signature, key, lambda *_: None) == signature


def test_no_signer_at_all(key: SigningKey, signature: bytes) -> None:
    outer = asn1.decode_der(cms._ContentInfo, signature)
    outer.content.signers = asn1.SetOf([])
    with refused(SigningError, "0 signers"):
        verify(asn1.encode_der(outer), key)


def test_only_a_pinned_signer_need_not_say_when(key: SigningKey, signature: bytes) -> None:
    timeless = rebuilt(signature, key, no_time)
    assert verify(timeless, key).signing_time is None


# --- several signers ------------------------------------------------------------------------


def signed_by(*signers: SigningKey) -> bytes:
    builder = pkcs7.PKCS7SignatureBuilder().set_data(CONTENT)
    for one in signers:
        builder = builder.add_signer(one.certificate, one.private_key, hashes.SHA256())
    options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
    return builder.sign(serialization.Encoding.DER, options)


def test_one_trusted_signer_of_two_is_enough(key: SigningKey, stranger: SigningKey) -> None:
    both = signed_by(stranger, key)
    assert verify(both, key).certificate == key.certificate
    assert verify(both, stranger).certificate == stranger.certificate
    with refused(UntrustedError):
        verify(both, certified(Shape("Third")))


def test_every_signature_present_must_hold(key: SigningKey, stranger: SigningKey) -> None:
    outer = asn1.decode_der(cms._ContentInfo, signed_by(stranger, key))
    for signer in outer.content.signers.as_list():
        damaged = bytearray(signer.signature)
        damaged[-1] ^= 1
        original, signer.signature = signer.signature, bytes(damaged)
        outer.content.signers = asn1.SetOf(outer.content.signers.as_list())
        for trusted in (key, stranger):
            with refused(SigningError, "does not hold"):
                verify(asn1.encode_der(outer), trusted)
        signer.signature = original


def test_too_many_signers(stranger: SigningKey) -> None:
    others = [certified(Shape(f"Signer {number}")) for number in range(cms.MOST_SIGNERS)]
    with refused(SigningError, "9 signers"):
        verify(signed_by(stranger, *others), stranger)


# --- issued by a trusted CA -----------------------------------------------------------------

TLS = ExtendedKeyUsageOID.SERVER_AUTH


def test_a_ca_vouches_for_the_certificates_it_issued() -> None:
    authority = certified(Shape("Example CA", ca=True))
    leaf = certified(Shape("Signer"), authority)
    signed = verify(cms.sign_detached(CONTENT, leaf), authority, now=NOW)
    assert signed.certificate == leaf.certificate


@pytest.mark.parametrize(
    ("authority", "leaf", "words"),
    [
        pytest.param(Shape("X", ca=False), Shape(), "cA must be asserted", id="not a CA"),
        pytest.param(Shape("X", ca=None), Shape(), "basicConstraints", id="says nothing of CA"),
        pytest.param(Shape("X", ca=True), Shape(purpose=TLS), "not for code", id="web server"),
        pytest.param(Shape("X", ca=True), Shape(purpose=None), "2.5.29.37", id="no purpose"),
        pytest.param(
            Shape("X", ca=True, until=NOW - timedelta(days=9)), Shape(), "valid", id="CA expired"
        ),
        pytest.param(
            Shape("X", ca=True, issues=False), Shape(), "may not issue", id="CA for nothing"
        ),
        pytest.param(Shape("X", ca=True), Shape(ca=True), "2.5.29.37", id="a CA itself"),
    ],
)
def test_a_ca_does_not_vouch_for(authority: Shape, leaf: Shape, words: str) -> None:
    above = certified(authority)
    with refused(UntrustedError, words):
        verify(cms.sign_detached(CONTENT, certified(leaf, above)), above)


def test_a_ca_of_the_same_name_does_not_vouch() -> None:
    leaf = certified(Shape(), certified(Shape("Example CA", ca=True)))
    with refused(UntrustedError):
        verify(cms.sign_detached(CONTENT, leaf), certified(Shape("Example CA", ca=True)))


def test_a_ca_vouches_directly_or_not_at_all() -> None:
    top = certified(Shape("Top CA", ca=True))
    middle = certified(Shape("Middle CA", ca=True), top)
    leaf = certified(Shape(), middle)
    with refused(UntrustedError):
        verify(cms.sign_detached(CONTENT, leaf), top)
    signed = verify(cms.sign_detached(CONTENT, leaf), middle)
    assert signed.certificate == leaf.certificate


def test_no_bit_of_an_issued_certificate_is_free() -> None:
    """Not even the count of unused bits of its signature, which the CA did not sign."""
    authority = certified(Shape("Example CA", ca=True))
    even = (certified(Shape(), authority) for _ in range(64))
    leaf = next(one for one in even if one.certificate.signature[-1] & 1 == 0)
    signature = cms.sign_detached(CONTENT, leaf)
    cut = b"\x01" + leaf.certificate.signature
    with refused(SigningError, "its signature is cut"):
        verify(signature.replace(b"\x00" + leaf.certificate.signature, cut), authority)


def test_an_issued_certificate_is_judged_at_the_signing_time() -> None:
    """At boot no clock is read; a build host's clock counts, unless it is behind."""
    authority = certified(Shape("Example CA", ca=True, until=NOW + 9 * YEAR))
    signature = cms.sign_detached(CONTENT, certified(Shape(), authority))
    for now in (None, NOW - 50 * YEAR, NOW):
        assert verify(signature, authority, now=now).signing_time is not None
    with refused(UntrustedError, "valid"):
        verify(signature, authority, now=NOW + 2 * YEAR)


def test_a_certificate_that_was_expired_when_it_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    authority = certified(Shape("Example CA", ca=True))
    leaf = certified(Shape(since=NOW - YEAR, until=NOW - timedelta(days=1)), authority)
    monkeypatch.setattr(keys, "refuse_expired", lambda *_: None)  # a signer without our scruples
    with refused(UntrustedError, "valid"):
        verify(cms.sign_detached(CONTENT, leaf), authority)


def test_an_issued_certificate_without_signing_time(key: SigningKey) -> None:
    authority = certified(Shape("Example CA", ca=True))
    leaf = certified(Shape(rsa_bits=2048), authority)
    timeless = rebuilt(cms.sign_detached(CONTENT, leaf), leaf, no_time)
    with refused(UntrustedError, "does not say when"):
        verify(timeless, authority)


# --- openssl: an independent implementation ---------------------------------------------------


def openssl(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["openssl", "cms", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    (tmp_path / "F").write_bytes(CONTENT)
    return tmp_path


def put(folder: Path, name: str, key: SigningKey) -> None:
    (folder / f"{name}.crt").write_bytes(keys.certificate_pem(key.certificate))
    (folder / f"{name}.key").write_bytes(
        key.private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@need("openssl")
def test_openssl_verifies_ours(desk: Path, key: SigningKey, signature: bytes) -> None:
    put(desk, "C", key)
    (desk / "S").write_bytes(signature)
    command = "-verify -binary -inform DER -in S -content F -CAfile C.crt -purpose any -out out"
    run = openssl(desk, *command.split())
    assert run.returncode == 0, run.stderr
    assert (desk / "out").read_bytes() == CONTENT
    (desk / "F").write_bytes(CONTENT + b"x")
    assert openssl(desk, *command.split()).returncode != 0


@need("openssl")
@pytest.mark.parametrize(
    "options",
    ["", "-md sha384", "-md sha512", "-keyid", "-nocerts", "-nosmimecap", "-nocerts -keyid"],
    ids=lambda text: text or "plain",
)
@pytest.mark.parametrize("bits", [0, 2048], ids=["ECDSA", "RSA"])
def test_we_verify_openssls(desk: Path, options: str, bits: int) -> None:
    key = certified(Shape(rsa_bits=bits))
    put(desk, "C", key)
    command = f"-sign -binary -outform DER -in F -signer C.crt -inkey C.key -out S {options}"
    assert openssl(desk, *command.split()).returncode == 0
    assert verify((desk / "S").read_bytes(), key).certificate == key.certificate


@need("openssl")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param("-md sha1", "other than SHA-256", id="SHA-1"),
        pytest.param("-noattr", "no signed attributes", id="no attributes"),
        pytest.param("-nodetach", "not a detached one", id="attached"),
        pytest.param("-nodetach -stream", "damaged", id="BER"),
        pytest.param("-keyopt rsa_padding_mode:pss", "damaged", id="RSA-PSS"),
        pytest.param("-econtent_type pkcs7-digestData", "version 3", id="other content"),
    ],
)
def test_we_refuse_some_of_openssls(desk: Path, options: str, words: str) -> None:
    key = certified(Shape(rsa_bits=2048))
    put(desk, "C", key)
    command = f"-sign -binary -outform DER -in F -signer C.crt -inkey C.key -out S {options}"
    run = openssl(desk, *command.split())
    assert run.returncode == 0, run.stderr
    with refused(SigningError, words):
        verify((desk / "S").read_bytes(), key)


@need("openssl")
def test_openssl_and_we_agree_on_a_ca(desk: Path) -> None:
    authority = certified(Shape("Example CA", ca=True))
    put(desk, "CA", authority)
    put(desk, "C", certified(Shape(), authority))
    sign = "-sign -binary -outform DER -in F -signer C.crt -inkey C.key -certfile CA.crt -out S"
    assert openssl(desk, *sign.split()).returncode == 0
    check = "-verify -binary -inform DER -in S -content F -CAfile CA.crt -purpose any -out out"
    assert openssl(desk, *check.split()).returncode == 0
    signed = verify((desk / "S").read_bytes(), authority)
    assert keys.organisation(signed.certificate) == "Example Ltd"


# --- hostile bytes ----------------------------------------------------------------------------


def mutated(good: bytes, rng: random.Random) -> bytes:
    bad = bytearray(good)
    for _ in range(rng.randrange(1, 4)):
        where = rng.randrange(len(bad) + 1)
        match rng.randrange(5):
            case 0:
                bad[where : where + 1] = bytes([rng.randrange(256)])
            case 1:
                bad[where:where] = rng.randbytes(rng.randrange(1, 9))
            case 2:
                del bad[where : where + rng.randrange(1, 9)]
            case 3:  # swap in another part of the same message: plausible bytes, wrong place
                other = rng.randrange(len(good))
                size = rng.randrange(1, 64)
                bad[where : where + size] = good[other : other + size]
            case _:
                del bad[where:]
        bad = bad or bytearray(b"0")
    return bytes(bad)


@pytest.fixture(scope="module")
def samples(key: SigningKey, signature: bytes) -> list[tuple[bytes, list[x509.Certificate]]]:
    """Pinned RSA, pinned ECDSA, two signers, issued by a CA."""
    other = certified(Shape("Other"))
    authority = certified(Shape("Example CA", ca=True))
    leaf = certified(Shape("Signer"), authority)
    return [
        (signature, [key.certificate]),
        (cms.sign_detached(CONTENT, other), [other.certificate]),
        (signed_by(key, other), [other.certificate, key.certificate]),
        (cms.sign_detached(CONTENT, leaf), [authority.certificate]),
    ]


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # a flip makes it negative
def test_every_flipped_bit_is_refused(
    samples: list[tuple[bytes, list[x509.Certificate]]],
) -> None:
    tried = 0
    for good, trusted in samples[:2]:
        for bit in range(len(good) * 8):
            bad = bytearray(good)
            bad[bit // 8] ^= 1 << bit % 8
            with pytest.raises(SigningError):
                cms.verify_detached(CONTENT, bytes(bad), trusted)
            tried += 1
    assert tried > 15_000


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_mutations_are_refused_in_one_way(
    samples: list[tuple[bytes, list[x509.Certificate]]],
) -> None:
    rng = random.Random(20261122)
    for number in range(6_000):
        good, trusted = samples[number % len(samples)]
        bad = mutated(good, rng)
        if bad != good:
            with pytest.raises(SigningError):
                cms.verify_detached(CONTENT, bad, trusted)
