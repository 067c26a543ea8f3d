"""Keys that arrive as one file: PKCS #12 (RFC 7292), as CAs and Windows hand them out (.p12, .pfx).

Read, never written. The chain that lies in the file goes along with what the key signs; a root in
it does not, as nobody trusts a root because it was sent.
"""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from signing import keys
from signing.errors import KeyFileError
from signing.keys import SigningKey

SUFFIXES = (".p12", ".pfx")
_NO_PASSPHRASE = (None, b"")  # both mean none, and files come with either


def load(path: Path, passphrase: bytes | None = None, *, now: datetime | None = None) -> SigningKey:
    """The key in that file, ready to sign. Raises KeyFileError."""
    key = read(keys.read_file(path), str(path), passphrase)
    keys.refuse_expired(key.certificate, now or datetime.now(UTC))
    return key


def needs_passphrase(path: Path) -> bool:
    """Whether `load` wants one, as far as can be told. Raises KeyFileError for no file."""
    content = keys.read_file(path)
    return all(_opened(content, each) is None for each in _NO_PASSPHRASE)


def read(content: bytes, name: str, passphrase: bytes | None) -> SigningKey:
    """The key in these bytes; errors call them `name`. Raises KeyFileError."""
    tries = (passphrase,) if passphrase else _NO_PASSPHRASE
    found = next((each for one in tries if (each := _opened(content, one))), None)
    if found is None:
        problem = "does not open with this passphrase" if passphrase else "needs its passphrase"
        raise KeyFileError(f"{name} {problem}, or is no PKCS #12 file that can be read")
    private, certificate = found.key, found.cert
    if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        kind = "no private key" if private is None else "a key that is neither RSA nor ECDSA"
        raise KeyFileError(f"{name} holds {kind}")
    if certificate is None:
        raise KeyFileError(f"{name} holds no certificate for its key")
    others = [each.certificate for each in found.additional_certs]
    if len(others) > keys.MOST_CERTIFICATES:
        raise KeyFileError(f"{name} holds {len(others)} certificates of CAs")
    try:
        for one in (certificate.certificate, *others):
            keys.refuse_kind(one, name)
        between = tuple(one for one in others if one.subject != one.issuer)
    except keys.UNREADABLE as exc:
        raise KeyFileError(f"{name} holds a certificate that cannot be read") from exc
    return SigningKey(private, certificate.certificate, between)


def _opened(content: bytes, passphrase: bytes | None) -> pkcs12.PKCS12KeyAndCertificates | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of BER, in which Windows and browsers write them
            return pkcs12.load_pkcs12(content, passphrase)
    except (TypeError, *keys.UNREADABLE):
        return None
