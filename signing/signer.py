"""Somebody who can sign, wherever the private key is, and why nobody has to trust the answer.

A key in a file (`signing.keys`, `signing.pkcs12`) and one that never leaves its HSM (a command of
the organisation's, `winpe.external_signer`) look the same from here: a certificate, the CAs to send
along, and an answer to "sign this". Every answer is verified against the certificate before it is
used: a faulty token, a command that signs with another key, and a fault in an RSA computation
(which would give the key away) all end here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from signing import keys
from signing.errors import KeyFileError


class Signer(Protocol):
    """`keys.SigningKey` is one."""

    @property
    def certificate(self) -> x509.Certificate: ...

    @property
    def others(self) -> tuple[x509.Certificate, ...]:
        """The CAs between the certificate and what others trust, to be sent along."""

    def sign(self, data: bytes, digest: str) -> bytes:
        """RSA PKCS #1 v1.5, or ECDSA (DER, or r and s one behind the other), over `data`.

        `digest`: "sha256", "sha384" or "sha512". Raises KeyFileError.
        """


def signature(signer: Signer, data: bytes, digest: str) -> bytes:
    """Have `data` signed. What comes back holds: PKCS #1 v1.5, or ECDSA in DER.

    Raises KeyFileError, also where what the signer made does not verify.
    """
    made = signer.sign(data, digest)
    public = signer.certificate.public_key()
    for candidate in _readings(made, public):
        if _holds(candidate, public, data, keys.DIGESTS[digest]):
            return candidate
    raise KeyFileError(
        f"the signature that was made for {keys.organisation(signer.certificate) or 'the signer'}"
        " does not verify with the signer's certificate",
        hint="do the private key and the certificate belong together?",
    )


def _readings(made: bytes, public: object) -> Iterator[bytes]:
    """The signature as it came, and, from tokens that join r and s, in DER."""
    yield made
    if isinstance(public, ec.EllipticCurvePublicKey):
        half = (public.curve.key_size + 7) // 8
        if len(made) == 2 * half:
            r, s = (int.from_bytes(part, "big") for part in (made[:half], made[half:]))
            yield utils.encode_dss_signature(r, s)


def _holds(made: bytes, public: object, data: bytes, digest: hashes.HashAlgorithm) -> bool:
    try:
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(made, data, padding.PKCS1v15(), digest)
        elif isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(made, data, ec.ECDSA(digest))
        else:
            return False
    except (InvalidSignature, *keys.UNREADABLE):
        return False
    return True
