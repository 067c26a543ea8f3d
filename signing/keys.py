"""The organisation's signing key: a PKCS#8 private key and a self-signed X.509 certificate.

RFC 5958 and RFC 5280, in PEM, as `signing.key` and `signing.crt` in a folder of their own. The
certificate is the trust anchor itself: no CA stands behind it and it may issue nothing. Keys come
into being as a whole folder or not at all, and nothing that exists is ever overwritten.
Refused on loading: keys that do not fit their certificate, RSA below 2048 bits, kinds other than
RSA and ECDSA, and certificates that have run out.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from signing.errors import KeyFileError

PRIVATE_KEY = "signing.key"
CERTIFICATE = "signing.crt"
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


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and the certificate that shows its public half."""

    private_key: PrivateKey = field(repr=False)
    certificate: x509.Certificate


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
    _refuse_occupied(directory)
    private = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    key = SigningKey(private, _certificate(private, organisation, unit, now or datetime.now(UTC)))
    _store(key, directory, passphrase)
    return key


def _refuse_bad_arguments(organisation: str, passphrase: bytes | None) -> None:
    # 64 is ub-organization-name of RFC 5280; longer names make other tools refuse the certificate.
    if not 1 <= len(organisation) <= 64 or not organisation.isprintable():
        raise KeyFileError(f"an organisation's name has 1 to 64 characters, not {organisation!r}")
    if passphrase == b"":
        raise KeyFileError("an empty passphrase protects nothing", hint="leave it out, or give one")


def _refuse_occupied(directory: Path) -> None:
    try:
        occupied = any(directory.iterdir())
    except FileNotFoundError:
        return
    except NotADirectoryError as exc:
        raise _occupied(directory) from exc
    except OSError as exc:
        raise KeyFileError(f"{directory} cannot be read: {exc.strerror}") from exc
    if occupied:
        raise _occupied(directory)


def _occupied(directory: Path) -> KeyFileError:
    return KeyFileError(
        f"{directory} is not an empty folder: keys never overwrite anything",
        hint="name a folder that does not exist yet",
    )


def _certificate(
    private: rsa.RSAPrivateKey, organisation: str, unit: str, now: datetime
) -> x509.Certificate:
    subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)]
    if unit:
        subject.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    subject.append(x509.NameAttribute(NameOID.COMMON_NAME, "recovery media signing"))
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
        .subject_name(x509.Name(subject))
        .issuer_name(x509.Name(subject))
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


def _store(key: SigningKey, directory: Path, passphrase: bytes | None) -> None:
    """Write both files into a hidden neighbour, then rename it: one step, all or nothing."""
    protection = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    private = key.private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection
    )
    target = Path(os.path.realpath(directory))
    staging: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))  # 0700
        _create(staging / PRIVATE_KEY, private, 0o600)
        _create(staging / CERTIFICATE, certificate_pem(key.certificate), 0o644)
        _sync(staging)
        # A folder cannot replace one that has something in it: the kernel refuses to overwrite.
        staging.replace(target)
        _sync(target.parent)
    except OSError as exc:
        if exc.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise _occupied(directory) from exc
        raise KeyFileError(f"cannot make keys in {directory}: {exc.strerror}") from exc
    finally:
        if staging is not None:  # already renamed when all went well
            shutil.rmtree(staging, ignore_errors=True)


def _create(path: Path, content: bytes, mode: int) -> None:
    """The mode is there from the first byte: nobody can open the file before it is private."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- reading --------------------------------------------------------------------------------


def load(
    directory: Path, passphrase: bytes | None = None, *, now: datetime | None = None
) -> SigningKey:
    """The key in `directory`, ready to sign. Raises KeyFileError."""
    certificate = load_certificate(directory / CERTIFICATE)
    private = _load_private(directory / PRIVATE_KEY, passphrase)
    if private.public_key() != certificate.public_key():
        raise KeyFileError(
            f"{directory}: {PRIVATE_KEY} and {CERTIFICATE} do not belong together",
            hint="put back the pair that was made together",
        )
    key = SigningKey(private, certificate)
    refuse_expired(key, now or datetime.now(UTC))
    return key


def needs_passphrase(directory: Path) -> bool:
    """Whether `load` wants one, so that a person is asked only then. Raises KeyFileError."""
    return b"ENCRYPTED" in _read(directory / PRIVATE_KEY)  # PKCS #8's or OpenSSL's own PEM label


def refuse_expired(key: SigningKey, now: datetime) -> None:
    """Raise KeyFileError unless `now` lies in the certificate's validity."""
    first = key.certificate.not_valid_before_utc
    last = key.certificate.not_valid_after_utc
    if now > last:
        raise KeyFileError(
            f"the signing certificate expired on {last:%Y-%m-%d}",
            hint="make new keys (build_media.py keys new DIR) and sign with those; "
            "media already made stay valid",
        )
    if now < first:
        raise KeyFileError(
            f"the signing certificate is valid from {first:%Y-%m-%d %H:%M} UTC on only",
            hint="is this computer's clock right?",
        )


def load_certificate(path: Path) -> x509.Certificate:
    """The one PEM certificate in `path`. Raises KeyFileError."""
    return read_certificate(_read(path), str(path))


def read_certificate(content: bytes, name: str) -> x509.Certificate:
    """The one PEM certificate in these bytes; errors call them `name`. Raises KeyFileError."""
    try:
        found = x509.load_pem_x509_certificates(content)
        public = found[0].public_key()
        found[0].subject, found[0].issuer  # decoded late: a damaged name is found here
    except UNREADABLE as exc:
        raise KeyFileError(f"{name} is not a PEM certificate that can be read") from exc
    if len(found) != 1:
        raise KeyFileError(f"{name} holds {len(found)} certificates, but must hold one")
    small = isinstance(public, rsa.RSAPublicKey) and public.key_size < SMALLEST_RSA_BITS
    if small or not isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise KeyFileError(
            f"{name}: only RSA keys of {SMALLEST_RSA_BITS} bits or more and ECDSA keys can sign"
        )
    return found[0]


def _load_private(path: Path, passphrase: bytes | None) -> PrivateKey:
    content = _read(path)
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


def _read(path: Path) -> bytes:
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
