"""One key of each kind that signs programs: made once, RSA 4096 takes its time."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from signing import keys
from signing.keys import PrivateKey, SigningKey

RSA_KINDS = ("RSA 2048", "RSA 3072", "RSA 4096")
KINDS = (*RSA_KINDS, "P-256", "P-384")


@cache
def organisation(kind: str, number: int = 1) -> SigningKey:
    """A key as `keys new` would make it of that kind; another `number` is another key."""
    name = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"Example {number}, {kind}")]
    private = _private(kind)
    return SigningKey(private, keys.self_signed(private, x509.Name(name), datetime.now(UTC)))


def _private(kind: str) -> PrivateKey:
    family, _, size = kind.partition(" ")
    if family == "RSA":
        return rsa.generate_private_key(65537, int(size))
    return ec.generate_private_key({"P-256": ec.SECP256R1, "P-384": ec.SECP384R1}[kind]())
