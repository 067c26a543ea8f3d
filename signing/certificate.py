"""What a certificate says, read once (RFC 5280), and whether a key made a signature.

cryptography reads the certificate; here its facts lie ready in the words that chains and policies
ask for. The same few hundred certificates stand behind thousands of files, so they are kept.

A signature is judged for the algorithm its message names. SHA-1 and MD5 are verified like any
other: whether they are worth anything is for those who ask (`weak`). RSA with PKCS #1 v1.5 or PSS
and ECDSA over the curves of NIST; anything else does not hold.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import NameOID

from signing import der, keys
from signing.errors import MalformedError, SigningError

LARGEST = 32 << 10  # no certificate is as large; lists of names can make them long
CODE_SIGNING = "1.3.6.1.5.5.7.3.3"
TIME_STAMPING = "1.3.6.1.5.5.7.3.8"
ANY_PURPOSE = "2.5.29.37.0"
DIGESTS = {
    "1.2.840.113549.2.5": "md5",
    "1.3.14.3.2.26": "sha1",
    "2.16.840.1.101.3.4.2.1": "sha256",
    "2.16.840.1.101.3.4.2.2": "sha384",
    "2.16.840.1.101.3.4.2.3": "sha512",
}
STRONG = frozenset(("sha256", "sha384", "sha512"))
_KEPT = 4096

_HASHES: dict[str, hashes.HashAlgorithm] = {
    "md5": hashes.MD5(),  # noqa: S303  (old signatures must be told from changed files)
    "sha1": hashes.SHA1(),  # noqa: S303
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
# Signature algorithms: (kind of key, digest that it fixes; "": the one named beside it).
_PSS = "1.2.840.113549.1.1.10"
_SCHEMES = {
    "1.2.840.113549.1.1.1": ("rsa", ""),
    "1.2.840.113549.1.1.4": ("rsa", "md5"),
    "1.2.840.113549.1.1.5": ("rsa", "sha1"),
    "1.3.14.3.2.29": ("rsa", "sha1"),  # sha1WithRSASignature of OIW, by makecert
    "1.2.840.113549.1.1.11": ("rsa", "sha256"),
    "1.2.840.113549.1.1.12": ("rsa", "sha384"),
    "1.2.840.113549.1.1.13": ("rsa", "sha512"),
    _PSS: ("pss", ""),
    "1.2.840.10045.2.1": ("ecdsa", ""),
    "1.2.840.10045.4.1": ("ecdsa", "sha1"),
    "1.2.840.10045.4.3.2": ("ecdsa", "sha256"),
    "1.2.840.10045.4.3.3": ("ecdsa", "sha384"),
    "1.2.840.10045.4.3.4": ("ecdsa", "sha512"),
}
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_SMALLEST_RSA, _LARGEST_RSA = 1024, 8192  # bits; CAs have up to 4096, and larger ones cost time
_LARGEST_EXPONENT = (
    1 << 32
)  # CryptoAPI has no room for more (RSAPUBKEY); one of any size costs 10 ms
# Extensions that are looked at or that ask for nothing; another critical one is not understood.
_KNOWN_CRITICAL = frozenset(
    (
        "2.5.29.15",  # keyUsage
        "2.5.29.19",  # basicConstraints
        "2.5.29.37",  # extKeyUsage
        "2.5.29.32",  # certificatePolicies: no policy is asked for
        "2.5.29.14",
        "2.5.29.35",
        "2.5.29.17",
        "1.3.6.1.4.1.311.21.1",  # CA version
        "2.5.29.1",  # authorityKeyIdentifier of the days before RFC 2459, of Microsoft's oldest
        "2.5.29.10",  # Microsoft's basicConstraints of those days
        "2.5.29.4",  # keyUsageRestriction of those days
    )
)


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a signature was made: the OID its message names, with that one's parameters."""

    oid: str
    parameters: bytes = b""


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """A certificate and its facts; two are the same where their bytes are."""

    der: bytes
    subject: bytes  # DER of the name
    issuer: bytes
    serial: int
    name: str  # of the subject, fit for a screen
    issuer_name: str
    not_before: datetime  # UTC
    not_after: datetime
    purposes: frozenset[str] | None  # EKU OIDs; None: it does not say, so any
    is_ca: bool
    is_constrained: bool  # it says whether it is a CA
    may_issue: bool  # a CA whose key usage, where it has one, allows it
    may_sign: bool  # the same for signing
    path_length: int | None
    key_id: bytes
    authority_key_id: bytes
    unknown: str  # OID of a critical extension that is not understood, or ""
    digest: str  # that its issuer signed: "sha1"; "" where it is not known
    scheme: Scheme
    signature: bytes
    tbs: bytes  # what its issuer signed
    key: PublicKeyTypes
    is_usual: bool  # of a kind and size that is asked; another key makes nothing that holds

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)

    @property
    def is_self_issued(self) -> bool:
        return self.subject == self.issuer

    def fingerprint(self, algorithm: str = "sha256") -> str:
        return hashlib.new(algorithm, self.der, usedforsecurity=False).hexdigest()

    def is_valid_at(self, moment: datetime) -> bool:
        return self.not_before <= moment <= self.not_after

    def made(self, signature: bytes, data: bytes, digest: str, scheme: Scheme) -> bool:
        """Whether its key made a signature, as `holds`."""
        return self.is_usual and _holds(self.key, signature, data, digest, scheme)

    def has_purpose(self, oid: str) -> bool:
        """Whether its own EKU extension allows it; without that extension anything is allowed."""
        return self.purposes is None or oid in self.purposes or ANY_PURPOSE in self.purposes


@lru_cache(maxsize=_KEPT)
def read(encoded: bytes) -> Certificate:
    """Raises MalformedError for bytes that are no certificate of X.509, or one with a key or an
    extension that cannot be read."""
    if len(encoded) > LARGEST:
        raise MalformedError("certificate", 0, f"{len(encoded):,} bytes are more than one has")
    try:
        with warnings.catch_warnings():  # old ones have serial numbers and names frowned upon
            warnings.simplefilter("ignore")
            return _read(x509.load_der_x509_certificate(encoded), encoded)
    except SigningError:
        raise
    # TypeError: a name of another kind of string than cryptography has for it.
    except (TypeError, *keys.UNREADABLE) as exc:
        raise MalformedError("certificate", 0, str(exc).partition("\n")[0][:200]) from None


def _read(found: x509.Certificate, encoded: bytes) -> Certificate:
    algorithm, issuer, subject = _slices(encoded)
    oid, parameters = der.Cursor(algorithm, "certificate").algorithm()
    digest = _SCHEMES.get(oid, ("", ""))[1]
    if oid == _PSS:
        digest = _pss(parameters)[0]
    constraints = usage = None
    purposes: frozenset[str] | None = None
    key_id = authority = b""
    unknown = ""
    for extension in found.extensions:
        value, which = extension.value, extension.oid.dotted_string
        if isinstance(value, x509.BasicConstraints):
            constraints = value
        elif isinstance(value, x509.KeyUsage):
            usage = value
        elif isinstance(value, x509.ExtendedKeyUsage):
            purposes = frozenset(item.dotted_string for item in value)
        elif isinstance(value, x509.SubjectKeyIdentifier):
            key_id = value.digest
        elif isinstance(value, x509.AuthorityKeyIdentifier):
            authority = value.key_identifier or b""
        elif extension.critical and which not in _KNOWN_CRITICAL:
            unknown = which
    is_ca = bool(constraints and constraints.ca)
    key = found.public_key()
    return Certificate(
        der=encoded,
        subject=subject,
        issuer=issuer,
        serial=found.serial_number,
        name=shown(found.subject),
        issuer_name=shown(found.issuer),
        not_before=found.not_valid_before_utc,
        not_after=found.not_valid_after_utc,
        purposes=purposes,
        is_ca=is_ca,
        is_constrained=constraints is not None,
        may_issue=is_ca and (usage is None or usage.key_cert_sign),
        may_sign=usage is None or usage.digital_signature or usage.content_commitment,
        path_length=constraints.path_length if constraints else None,
        key_id=key_id,
        authority_key_id=authority,
        unknown=unknown,
        digest=digest,
        scheme=Scheme(oid, parameters),
        signature=found.signature,
        tbs=found.tbs_certificate_bytes,
        key=key,
        is_usual=_is_usual(key),
    )


def _slices(encoded: bytes) -> tuple[bytes, bytes, bytes]:
    """How the issuer signed, its name and the subject's, as they lie there.

    The first is stated twice, once outside of what was signed (RFC 5280, 4.1.1.2). Where both
    differ somebody changed the certificate, so that its thumbprint is another one; or where the
    signature is said to end within a byte.
    """
    cursor = der.Cursor(encoded, "certificate").enter()
    tbs = cursor.enter()
    tbs.optional(der.context(0))  # version
    tbs.skip()  # serial number
    stated = cursor.whole(der.SEQUENCE)
    if tbs.whole(der.SEQUENCE) != stated:
        raise cursor.fail("its algorithm is not the one that was signed")
    if not cursor.contents(der.BIT_STRING).startswith(b"\0"):
        raise cursor.fail("a signature that ends within a byte")
    issuer = tbs.whole(der.SEQUENCE)
    tbs.skip()  # validity
    return stated, issuer, tbs.whole(der.SEQUENCE)


def shown(name: x509.Name) -> str:
    """What somebody is called, fit for a screen: common name, else unit, else organisation."""
    for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.ORGANIZATION_NAME):
        if found := name.get_attributes_for_oid(oid):
            text = str(found[0].value)
            return "".join(each if each.isprintable() else "?" for each in text).strip()
    return ""


def issued_by(child: Certificate, parent: Certificate) -> bool:
    """Whether the key of `parent` signed `child`. Nothing is said of names, times or purposes."""
    return _issued_by(child, parent)


@lru_cache(maxsize=_KEPT)
def _issued_by(child: Certificate, parent: Certificate) -> bool:
    return parent.made(child.signature, child.tbs, child.digest, child.scheme)


@lru_cache(maxsize=_KEPT)
def issued_by_key(child: Certificate, public: bytes) -> bool:
    """The same for a key without a certificate (SubjectPublicKeyInfo, DER)."""
    try:
        key = serialization.load_der_public_key(public)
    except keys.UNREADABLE:
        return False
    return holds(key, child.signature, child.tbs, child.digest, child.scheme)


def holds(key: PublicKeyTypes, signature: bytes, data: bytes, digest: str, scheme: Scheme) -> bool:
    """Whether `key` made `signature` over `data`, digested with `digest` ("sha256").

    False for what is not known here as well: a kind of key, a curve, a digest.
    """
    return _is_usual(key) and _holds(key, signature, data, digest, scheme)


def _holds(key: PublicKeyTypes, signature: bytes, data: bytes, digest: str, scheme: Scheme) -> bool:
    kind, fixed = _SCHEMES.get(scheme.oid, ("", ""))
    algorithm = _HASHES.get(digest)
    if algorithm is None or fixed not in ("", digest):
        return False
    try:
        if isinstance(key, rsa.RSAPublicKey):
            if kind == "rsa":
                key.verify(signature, data, padding.PKCS1v15(), algorithm)
                return True
            return kind == "pss" and _pss_holds(key, signature, data, digest, scheme)
        if isinstance(key, ec.EllipticCurvePublicKey) and kind == "ecdsa":
            key.verify(signature, data, ec.ECDSA(algorithm))
            return True
    except (InvalidSignature, MalformedError, *keys.UNREADABLE):
        return False
    return False


def _is_usual(key: PublicKeyTypes) -> bool:
    """Of a kind and a size that signers have; others cost seconds, or prove nothing."""
    if isinstance(key, rsa.RSAPublicKey):
        is_sized = _SMALLEST_RSA <= key.key_size <= _LARGEST_RSA
        return is_sized and key.public_numbers().e < _LARGEST_EXPONENT
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES)


def bare_digest(key: PublicKeyTypes, signature: bytes, expected: bytes) -> bool:
    """Whether an RSA key signed the digest itself, without the DigestInfo of PKCS #1 around it.

    The services of VeriSign and Symantec did, until 2019 at least. Fit for nothing but their
    countersignatures.
    """
    if not isinstance(key, rsa.RSAPublicKey) or not _is_usual(key):
        return False
    try:
        return key.recover_data_from_signature(signature, padding.PKCS1v15(), None) == expected
    except (InvalidSignature, *keys.UNREADABLE):
        return False


def _pss_holds(
    key: rsa.RSAPublicKey, signature: bytes, data: bytes, digest: str, scheme: Scheme
) -> bool:
    named, mask, salt = _pss(scheme.parameters)
    # RFC 4056, 3: both are one, or SHA-1 could be called SHA-256.
    if named != digest or mask not in _HASHES:
        return False
    wanted = padding.PSS(padding.MGF1(_HASHES[mask]), salt)
    key.verify(signature, data, wanted, _HASHES[digest])
    return True


def _pss(parameters: bytes) -> tuple[str, str, int]:
    """(digest, digest of the mask, length of the salt) of RSASSA-PSS-params (RFC 4055, 3.1)."""
    digest, mask, salt = "sha1", "sha1", 20
    cursor = der.Cursor(parameters, "parameters of RSA-PSS").enter()
    if (inner := cursor.optional(der.context(0))) is not None:
        digest = DIGESTS.get(inner.algorithm()[0], "")
    if (inner := cursor.optional(der.context(1))) is not None:
        generator = der.Cursor(inner.algorithm()[1], "parameters of RSA-PSS")
        mask = DIGESTS.get(generator.algorithm()[0], "")
    if (inner := cursor.optional(der.context(2))) is not None:
        salt = inner.integer()
    if not 0 <= salt <= 512:
        raise MalformedError("parameters of RSA-PSS", 0, f"a salt of {salt} bytes")
    return digest, mask, salt
