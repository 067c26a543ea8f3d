"""Did a trusted CA issue this certificate for signing code? (RFC 5280 section 6.)

The checks are those of cryptography's path builder: names, signature, validity of both at a given
moment, basic constraints, key usage, unknown critical extensions, key sizes. What signs media is
one step away from its CA; what signs code may have intermediate CAs between. Not handled:
revocation; SHA-1 certificates are refused by the library.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.x509 import verification as path
from cryptography.x509.oid import ExtendedKeyUsageOID

from signing import keys

_MOST_BETWEEN = 8  # more of them are free work for us; real signatures carry two or three


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
            reason = _short(exc)
        else:
            return ""
    return reason


def why_not_code_signer(
    leaf: x509.Certificate,
    between: Sequence[x509.Certificate],
    trusted: Sequence[x509.Certificate],
    *,
    at: datetime,
) -> str:
    """Why `leaf` may not sign code for those who trust `trusted`; "" if it may.

    It may where one of them issued it, directly or through certificates of `between`, which nobody
    has to trust. Whether it is one of them is the caller's question.
    """
    try:
        _verify_path(leaf, between[:_MOST_BETWEEN], trusted, at)
    except (path.VerificationError, *keys.UNREADABLE) as exc:
        return f"no certificate trusted here stands behind it ({_short(exc)})"
    return ""


def _short(exc: Exception) -> str:
    return str(exc).removeprefix("validation failed: ").partition(" (encountered")[0]


def _verify_issued(leaf: x509.Certificate, authority: x509.Certificate, at: datetime) -> None:
    _verify_path(leaf, (), (authority,), at)


def _verify_path(
    leaf: x509.Certificate,
    between: Sequence[x509.Certificate],
    trusted: Sequence[x509.Certificate],
    at: datetime,
) -> None:
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
    builder = path.PolicyBuilder().store(path.Store([*trusted])).time(at)
    builder = builder.max_chain_depth(len(between))
    builder = builder.extension_policies(ca_policy=authority_rules, ee_policy=leaf_rules)
    builder.build_client_verifier().verify(leaf, [*between])


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
