"""Keys and certificates for tests: good ones, and each kind of bad one by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from signing.keys import PrivateKey, SigningKey

NOW = datetime.now(UTC).replace(microsecond=0)
YEAR = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Shape:
    """How a certificate differs from a good one."""

    name: str = "Example Ltd"
    ca: bool | None = False  # None: no basic constraints at all
    purpose: x509.ObjectIdentifier | None = ExtendedKeyUsageOID.CODE_SIGNING
    since: datetime = NOW - YEAR
    until: datetime = NOW + YEAR
    issues: bool = True  # a CA: whether its key usage allows what CAs do
    rsa_bits: int = 0  # 0: ECDSA on P-256, which is quick to make


def certified(shape: Shape, issuer: SigningKey | None = None) -> SigningKey:
    """A key with a certificate of that shape, self-signed or from `issuer`."""
    private: PrivateKey = (
        rsa.generate_private_key(65537, shape.rsa_bits)
        if shape.rsa_bits
        else ec.generate_private_key(ec.SECP256R1())
    )
    public = private.public_key()
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, shape.name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(shape.since)
        .not_valid_after(shape.until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    if issuer:
        key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(
            issuer.certificate.public_key()  # type: ignore[arg-type]  # RSA or ECDSA here
        )
        builder = builder.add_extension(key_id, critical=False)
    if shape.ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(shape.ca, None), critical=True)
    if shape.ca:
        flags = dict.fromkeys(_USAGES, False) | {"key_cert_sign": shape.issues, "crl_sign": True}
        builder = builder.add_extension(x509.KeyUsage(**flags), critical=True)
    elif shape.purpose:
        builder = builder.add_extension(x509.ExtendedKeyUsage([shape.purpose]), critical=False)
    signer = issuer.private_key if issuer else private
    return SigningKey(private, builder.sign(signer, hashes.SHA256()))


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@contextmanager
def refused(kind: type[Exception], *words: str) -> Iterator[None]:
    """Exactly that error, and a message that says these words."""
    with pytest.raises(kind) as caught:
        yield
    assert type(caught.value) is kind, f"{type(caught.value).__name__}: {caught.value}"
    for word in words:
        assert word in str(caught.value), str(caught.value)
