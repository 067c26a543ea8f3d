"""The organisation's signing key: a PKCS#8 private key and a self-signed X.509 certificate.

RFC 5958 and RFC 5280, in PEM, as `signing.key` and `signing.crt` in a folder of their own. The
certificate is the trust anchor itself: no CA stands behind it and it may issue nothing. Keys come
into being as a whole folder or not at all, and nothing that exists is ever overwritten.
Refused on loading: keys that do not fit their certificate, RSA below 2048 bits, kinds other than
RSA and ECDSA, and certificates that have run out.

Two more files may lie beside them: `chain.crt`, the CAs between the certificate and what others
trust, which go into what is signed; and `previous.crt`, which `renewal` writes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from signing import folder
from signing.errors import KeyFileError

PRIVATE_KEY = "signing.key"
CERTIFICATE = "signing.crt"
CHAIN = "chain.crt"
PREVIOUS = "previous.crt"
DEVELOPMENT = "development-key"  # folder below the user's configuration folder

# Firmware decides the kind of key: UEFI's db must be able to take this certificate later (Secure
# Boot), and firmware in the field verifies RSA with SHA-256; ECDSA and SHA-384 are rare there.
# 3072 bits is what NIST SP 800-57 asks of a key that shall last beyond 2030.
RSA_BITS = 3072
SMALLEST_RSA_BITS = 2048
VALID_FOR = timedelta(days=3653)
CLOCK_SKEW = timedelta(days=1)  # the key must work at once on a host whose clock is behind

_DEVELOPMENT_UNIT = "recoverykit development key"
LARGEST_FILE = 64 * 1024
MOST_CERTIFICATES = 16  # in one file

# Everything cryptography raises for certificates and keys that it cannot read or use.
UNREADABLE = (
    ValueError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and the certificate that shows its public half."""

    private_key: PrivateKey = field(repr=False)
    certificate: x509.Certificate
    others: tuple[x509.Certificate, ...] = ()  # CAs to send along

    def sign(self, data: bytes, digest: str) -> bytes:
        """As `signer.Signer.sign`; the same bytes for the same data (ECDSA: RFC 6979)."""
        algorithm = DIGESTS[digest]
        if isinstance(self.private_key, rsa.RSAPrivateKey):
            return self.private_key.sign(data, padding.PKCS1v15(), algorithm)
        return self.private_key.sign(data, ec.ECDSA(algorithm, deterministic_signing=True))


# --- making ---------------------------------------------------------------------------------


def new(
    directory: Path,
    organisation: str,
    *,
    passphrase: bytes | None = None,
    now: datetime | None = None,
) -> SigningKey:
    """Make the organisation's key in `directory`, which must not exist yet or be empty.

    Raises KeyFileError, having left nothing behind.
    """
    return _make(directory, organisation, "", passphrase, now)


def development(config_dir: Path, *, now: datetime | None = None) -> SigningKey:
    """This user's development key: made on first use, the same one ever after.

    Raises KeyFileError.
    """
    directory = config_dir / DEVELOPMENT
    if not os.path.lexists(directory):
        try:
            return _make(directory, "development key of this user", _DEVELOPMENT_UNIT, None, now)
        except KeyFileError:
            if not os.path.lexists(directory):
                raise
            # Another process was quicker. Its folder appeared complete, so it can be loaded.
    return load(directory, now=now)


def _make(
    directory: Path, organisation: str, unit: str, passphrase: bytes | None, now: datetime | None
) -> SigningKey:
    _refuse_bad_arguments(organisation, passphrase)
    folder.refuse_occupied(directory)
    private = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    key = SigningKey(private, _certificate(private, organisation, unit, now or datetime.now(UTC)))
    store(key, directory, passphrase)
    return key


def _refuse_bad_arguments(organisation: str, passphrase: bytes | None) -> None:
    # 64 is ub-organization-name of RFC 5280; longer names make other tools refuse the certificate.
    if not 1 <= len(organisation) <= 64 or not organisation.isprintable():
        raise KeyFileError(f"an organisation's name has 1 to 64 characters, not {organisation!r}")
    if passphrase == b"":
        raise KeyFileError("an empty passphrase protects nothing", hint="leave it out, or give one")


def _certificate(
    private: rsa.RSAPrivateKey, organisation: str, unit: str, now: datetime
) -> x509.Certificate:
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)]
    if unit:
        subject.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    subject.append(x509.NameAttribute(NameOID.COMMON_NAME, "recovery media signing"))
    return self_signed(private, x509.Name(subject), now)


def self_signed(private: PrivateKey, subject: x509.Name, now: datetime) -> x509.Certificate:
    """A certificate that is trusted itself: for signing code, issuing nothing, for ten years."""
    public = private.public_key()
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(private, hashes.SHA256())
    )


def store(
    key: SigningKey,
    directory: Path,
    passphrase: bytes | None,
    previous: Sequence[x509.Certificate] = (),
) -> None:
    """Write a key's folder, which must not exist yet or be empty: all or nothing.

    Raises KeyFileError.
    """
    protection = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    private = key.private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection
    )
    files = {PRIVATE_KEY: folder.File(private, 0o600)}
    for name, found in (
        (CERTIFICATE, [key.certificate]),
        (CHAIN, key.others),
        (PREVIOUS, previous),
    ):
        if found:
            files[name] = folder.File(b"".join(map(certificate_pem, found)), 0o644)
    folder.make(directory, files)


# --- reading --------------------------------------------------------------------------------


def load(
    directory: Path, passphrase: bytes | None = None, *, now: datetime | None = None
) -> SigningKey:
    """The key in `directory`, ready to sign. Raises KeyFileError."""
    key = pair(directory, passphrase)
    refuse_expired(key.certificate, now or datetime.now(UTC))
    return key


def pair(directory: Path, passphrase: bytes | None = None) -> SigningKey:
    """The key in `directory`, even one that has expired. Raises KeyFileError."""
    certificate = load_certificate(directory / CERTIFICATE)
    private = _load_private(directory / PRIVATE_KEY, passphrase)
    if private.public_key() != certificate.public_key():
        raise KeyFileError(
            f"{directory}: {PRIVATE_KEY} and {CERTIFICATE} do not belong together",
            hint="put back the pair that was made together",
        )
    return SigningKey(private, certificate, beside(directory, CHAIN))


def beside(directory: Path, name: str) -> tuple[x509.Certificate, ...]:
    """The certificates of a further file of that folder; none where it is not there.

    Raises KeyFileError.
    """
    path = directory / name
    return tuple(_certificates(read_file(path), str(path))) if os.path.lexists(path) else ()


def needs_passphrase(directory: Path) -> bool:
    """Whether `load` wants one, so that a person is asked only then. Raises KeyFileError."""
    return b"ENCRYPTED" in read_file(
        directory / PRIVATE_KEY
    )  # PKCS #8's or OpenSSL's own PEM label


def refuse_expired(certificate: x509.Certificate, now: datetime) -> None:
    """Raise KeyFileError unless `now` lies in the certificate's validity."""
    first = certificate.not_valid_before_utc
    last = certificate.not_valid_after_utc
    if now > last:
        raise KeyFileError(
            f"the signing certificate expired on {last:%Y-%m-%d}",
            hint="renew it (build_media.py keys renew OLD NEW) and sign with the new one; "
            "media already made stay valid",
        )
    if now < first:
        raise KeyFileError(
            f"the signing certificate is valid from {first:%Y-%m-%d %H:%M} UTC on only",
            hint="is this computer's clock right?",
        )


def load_certificate(path: Path) -> x509.Certificate:
    """The one PEM certificate in `path`. Raises KeyFileError."""
    return read_certificate(read_file(path), str(path))


def read_certificate(content: bytes, name: str) -> x509.Certificate:
    """The one PEM certificate in these bytes; errors call them `name`. Raises KeyFileError."""
    found = _certificates(content, name)
    if len(found) != 1:
        raise KeyFileError(f"{name} holds {len(found)} certificates, but must hold one")
    return found[0]


def _certificates(content: bytes, name: str) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(content)
        for each in found:
            refuse_kind(each, name)
    except UNREADABLE as exc:
        raise KeyFileError(f"{name} is not a PEM certificate that can be read") from exc
    if len(found) > MOST_CERTIFICATES:
        raise KeyFileError(f"{name} holds {len(found)} certificates, over {MOST_CERTIFICATES}")
    return found


def refuse_kind(certificate: x509.Certificate, name: str) -> None:
    """Raise KeyFileError for a kind of key that signs nothing here, UNREADABLE for damage."""
    public = certificate.public_key()
    _ = certificate.subject, certificate.issuer  # decoded late: a damaged name is found here
    small = isinstance(public, rsa.RSAPublicKey) and public.key_size < SMALLEST_RSA_BITS
    if small or not isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise KeyFileError(
            f"{name}: only RSA keys of {SMALLEST_RSA_BITS} bits or more and ECDSA keys can sign"
        )


def _load_private(path: Path, passphrase: bytes | None) -> PrivateKey:
    content = read_file(path)
    try:
        private = serialization.load_pem_private_key(content, passphrase)
    except TypeError as exc:  # what cryptography raises for one passphrase too few or too many
        problem = "needs its passphrase" if passphrase is None else "has no passphrase"
        raise KeyFileError(f"{path} {problem}") from exc
    except UNREADABLE as exc:
        problem = "is damaged" if passphrase is None else "does not open with this passphrase"
        raise KeyFileError(f"{path} {problem}") from exc
    if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise KeyFileError(f"{path}: only RSA and ECDSA keys can sign media")
    return private


def read_file(path: Path) -> bytes:
    """A key file; none is larger than is read. Raises KeyFileError."""
    try:
        with path.open("rb") as stream:
            return stream.read(LARGEST_FILE)
    except FileNotFoundError as exc:
        raise KeyFileError(
            f"{path} does not exist", hint="build_media.py keys new DIR makes a key"
        ) from exc
    except OSError as exc:
        raise KeyFileError(f"{path} cannot be read: {exc.strerror}") from exc


# --- telling certificates apart -------------------------------------------------------------


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate's DER, 64 lower-case hex digits (as `openssl x509` shows it)."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def grouped(digits: str) -> str:
    """A fingerprint for the screen: groups of four, for people who compare it by eye."""
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))


def organisation(certificate: x509.Certificate) -> str:
    """The name the certificate gives its owner, fit for a screen; "" if none can be read.

    A claim: only trust in this very certificate makes it more.
    """
    try:
        subject = certificate.subject
    except ValueError:
        return ""
    for oid in (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME):
        for attribute in subject.get_attributes_for_oid(oid):
            text = str(attribute.value)
            # Escape sequences in a stranger's certificate must not reach a terminal.
            return "".join(letter if letter.isprintable() else "?" for letter in text)
    return ""


def is_development(certificate: x509.Certificate) -> bool:
    """Whether `development` made this one: it vouches for a build host's user, for nobody else."""
    units = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    return any(unit.value == _DEVELOPMENT_UNIT for unit in units)


def certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
