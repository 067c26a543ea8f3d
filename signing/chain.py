"""Did a trusted CA issue this certificate for signing code? (RFC 5280 section 6, one step long.)

The checks are those of cryptography's path builder: names, signature, validity of both at a given
moment, basic constraints, key usage, unknown critical extensions, key sizes. Not handled:
intermediate CAs and revocation; SHA-1 certificates are refused by the library.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from cryptography import x509
from cryptography.x509 import verification as path
from cryptography.x509.oid import ExtendedKeyUsageOID

from signing import keys


def why_not_issued(
    leaf: x509.Certificate, authorities: Iterable[x509.Certificate], *, at: datetime
) -> str:
    """Why none of `authorities` vouches for `leaf` at that moment; "" if one does."""
    reason = "its certificate is not trusted here, and no trusted CA issued it"
    for authority in authorities:
        try:
            if authority.subject != leaf.issuer:
                continue
            _verify_issued(leaf, authority, at)
        except (path.VerificationError, *keys.UNREADABLE) as exc:
            reason = str(exc).removeprefix("validation failed: ").partition(" (encountered")[0]
        else:
            return ""
    return reason


def _verify_issued(leaf: x509.Certificate, authority: x509.Certificate, at: datetime) -> None:
    authority_rules = path.ExtensionPolicy.permit_all().require_present(
        x509.BasicConstraints,
        path.Criticality.AGNOSTIC,
        None,  # that it is a CA, the library asks
    )
    authority_rules = authority_rules.may_be_present(
        x509.KeyUsage, path.Criticality.AGNOSTIC, _require_issuing
    )
    leaf_rules = path.ExtensionPolicy.permit_all().require_present(
        x509.ExtendedKeyUsage, path.Criticality.AGNOSTIC, _require_code_signing
    )
    builder = path.PolicyBuilder().store(path.Store([authority])).time(at).max_chain_depth(0)
    builder = builder.extension_policies(ca_policy=authority_rules, ee_policy=leaf_rules)
    builder.build_client_verifier().verify(leaf, [])


def _require_issuing(
    _policy: path.Policy, _certificate: x509.Certificate, usage: x509.KeyUsage | None
) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("the trusted certificate may not issue others")


def _require_code_signing(
    _policy: path.Policy, _certificate: x509.Certificate, usage: x509.ExtendedKeyUsage
) -> None:
    # An organisation's CA also issues for web servers: those must not sign media.
    if ExtendedKeyUsageOID.CODE_SIGNING not in usage:
        raise ValueError("the signer's certificate is not for code signing")
