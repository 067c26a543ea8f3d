"""cryptography's path builder, asked what `signing.path` is asked: does a good way lead up?

Its profile is that of the CA/Browser Forum for TLS. What belongs to TLS is taken out through its
extension policies, and what Windows asks of signers of code is put in: the purpose, stated by the
signer and left open by the CAs above; digitalSignature; CAs that say that they are.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

_ANY = "2.5.29.37.0"


def leads_up(
    leaf: bytes,
    pool: Sequence[bytes],
    roots: Sequence[bytes],
    purposes: frozenset[str],
    at: datetime,
) -> bool:
    """Whether it finds a way without a flaw; all certificates are DER."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store = Store([x509.load_der_x509_certificate(each) for each in roots])
        verifier = (
            PolicyBuilder()
            .store(store)
            .time(at.astimezone(UTC).replace(tzinfo=None))
            .max_chain_depth(10)
            .extension_policies(ca_policy=_authorities(purposes), ee_policy=_signers(purposes))
            .build_client_verifier()
        )
        others = [x509.load_der_x509_certificate(each) for each in pool]
        try:
            verifier.verify(x509.load_der_x509_certificate(leaf), others)
        except VerificationError:
            return False
        return True


def _signers(purposes: frozenset[str]) -> ExtensionPolicy:
    def purpose(_: Policy, __: x509.Certificate, found: x509.ExtendedKeyUsage) -> None:
        _has(purposes, found)

    def usage(_: Policy, __: x509.Certificate, found: x509.KeyUsage | None) -> None:
        if found is not None and not (found.digital_signature or found.content_commitment):
            raise ValueError("its key may not sign")

    def constraints(_: Policy, __: x509.Certificate, found: x509.BasicConstraints | None) -> None:
        if found is not None and found.ca:
            raise ValueError("it is a CA")

    return (
        _open()
        .require_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, purpose)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, usage)
        .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, constraints)
    )


def _authorities(purposes: frozenset[str]) -> ExtensionPolicy:
    def purpose(_: Policy, __: x509.Certificate, found: x509.ExtendedKeyUsage | None) -> None:
        if found is not None:
            _has(purposes, found)

    def usage(_: Policy, __: x509.Certificate, found: x509.KeyUsage | None) -> None:
        if found is not None and not found.key_cert_sign:
            raise ValueError("it may not issue")

    def constraints(_: Policy, __: x509.Certificate, found: x509.BasicConstraints) -> None:
        if not found.ca:
            raise ValueError("it is no CA")

    return (
        _open()
        .may_be_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, purpose)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, usage)
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, constraints)
    )


def _open() -> ExtensionPolicy:
    """No policy is asked for (RFC 5280, 6.1.1), so a critical one says nothing."""

    def policies(*_: object) -> None:
        return

    return ExtensionPolicy.permit_all().may_be_present(
        x509.CertificatePolicies, Criticality.AGNOSTIC, policies
    )


def _has(purposes: frozenset[str], found: x509.ExtendedKeyUsage) -> None:
    stated = {each.dotted_string for each in found}
    if not stated & (purposes | {_ANY}):
        raise ValueError("it is for something else")
