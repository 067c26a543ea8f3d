"""One signature of an EFI program, as firmware looks at it.

UEFI Specification 2.10, 32.5.3.3 "UEFI Image Validation"; how it is done in
https://github.com/tianocore/edk2, SecurityPkg/Library/DxeImageVerificationLib and CryptoPkg's
Pkcs7Verify. Firmware differs from Windows: each entry of the certificate table is a signature of
its own, and those nested in one are not looked at; the way up may end at any certificate of db,
root or not, the signer's own among them; no certificate runs out, none needs a purpose, and no
timestamp is asked for.

What db allows is looked for among ways whose links are all as OpenSSL wants them. What dbx forbids
is looked for more widely: among all certificates that stand above the signer's in any way, even
where the signature does not hold. Both err on the side of "no".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from signing import certificate, der, indirect_data, path, signed_data
from signing.certificate import DIGESTS, Certificate
from signing.der import Cursor
from signing.efi_variables import PKCS7, Database
from signing.errors import MalformedError
from signing.image import PKCS_SIGNED_DATA, Entry
from signing.signed_data import SignedData, SignerInfo

EFI_GUID = 0x0EF1  # wCertificateType

_STRUCTURE = "signature"
_MOST_ABOVE = 64  # certificates looked at above one signer
# Critical extensions that OpenSSL understands (X509_supported_extension) but Windows' rules do not
# know. Name constraints are left out: it obeys them, and nobody does here.
_OPENSSL_KNOWS = frozenset(
    (
        "2.16.840.1.113730.1.1",  # Netscape's certificate type: Debian's CA for Secure Boot
        "2.5.29.31",  # cRLDistributionPoints
        "2.5.29.33",  # policyMappings
        "2.5.29.36",  # policyConstraints
        "2.5.29.54",  # inhibitAnyPolicy
        "2.5.29.15",
        "2.5.29.17",
        "2.5.29.19",
        "2.5.29.32",
        "2.5.29.37",
    )
)


@dataclass(frozen=True, slots=True)
class Message:
    """What one signature says, not judged."""

    algorithm: str  # of the program's digest: "sha256"
    digest: bytes
    holds: bool  # whether its signer made it; says nothing of the program and of trust
    signer: Certificate
    pool: tuple[Certificate, ...]  # what came with it


@dataclass(frozen=True, slots=True)
class EfiSignature:
    """One signature, and what the databases of a machine say of it."""

    signer: str  # as its certificate calls it; nobody has verified that unless `trusted_by`
    authority: str  # who issued that certificate: "Microsoft Windows Production PCA 2011"
    algorithm: str  # of the program's digest
    problem: str = ""  # clause: why it counts for nothing; "" where it holds
    trusted_by: str = ""  # the certificate of db that it leads to
    revoked_by: str = ""  # clause: what of dbx is against it
    is_elliptic: bool = False  # somebody on that way signed with ECDSA
    is_readable: bool = True


def is_looked_at(entry: Entry) -> bool:
    """Whether firmware takes an entry of the certificate table for a signature."""
    return entry.kind == PKCS_SIGNED_DATA or (
        entry.kind == EFI_GUID and entry.content[:16] == PKCS7.bytes_le
    )


def read(entry: Entry) -> Message:
    """Raises MalformedError for a message that no program could have signed."""
    content = entry.content[16:] if entry.kind == EFI_GUID else entry.content
    message = signed_data.read(der.without_filling(content, _STRUCTURE)[0], _STRUCTURE)
    if message.content_type != indirect_data.INDIRECT_DATA or message.content_tag != der.SEQUENCE:
        raise MalformedError(_STRUCTURE, 0, "it is about something else than a program")
    if len(message.signers) != 1:
        raise MalformedError(_STRUCTURE, 0, f"{len(message.signers)} signers, and not one")
    algorithm, digest = _indirect(message.content)
    made = message.signers[0]
    pool = path.readable(message.certificates)
    signer = path.certificate_of(made, pool)
    if signer is None:
        raise MalformedError(_STRUCTURE, 0, "the certificate of its signer is not in it")
    return Message(algorithm, digest, _holds(message, made, signer), signer, pool)


def _indirect(content: bytes) -> tuple[str, bytes]:
    """(algorithm, digest) of an SpcIndirectDataContent."""
    cursor = Cursor(content, _STRUCTURE)
    cursor.skip()
    info = cursor.enter()
    cursor.finish()
    oid, _ = info.algorithm()
    digest = info.contents(der.OCTETS)
    info.finish()
    algorithm = DIGESTS.get(oid, "")
    if not algorithm:
        raise MalformedError(_STRUCTURE, 0, f"a digest of an unknown kind, {oid}")
    return algorithm, digest


def _holds(message: SignedData, made: SignerInfo, signer: Certificate) -> bool:
    if not made.digest or not made.signed:
        return False
    kind = signed_data.identifier(made.value(signed_data.CONTENT_TYPE), _STRUCTURE)
    stated = signed_data.octets(made.value(signed_data.MESSAGE_DIGEST), _STRUCTURE)
    content = hashlib.new(made.digest, message.content, usedforsecurity=False).digest()
    if kind != indirect_data.INDIRECT_DATA or stated != content:
        return False
    return signer.made(made.signature, made.signed, made.digest, made.scheme)


# --- what the databases say ---------------------------------------------------------------


def judge(
    message: Message, digests: Mapping[str, bytes], db: Database, dbx: Database
) -> EfiSignature:
    """`digests`: those of the program, with that of the message's algorithm among them."""
    problem = ""
    if digests.get(message.algorithm) != message.digest:
        problem = "the program is another one than was signed"
    elif not message.holds:
        problem = "its signer did not make it"
    way = () if problem else _way(message, db)
    return EfiSignature(
        message.signer.name,
        message.signer.issuer_name,
        message.algorithm,
        problem,
        (way[-1].name or "a certificate without a name") if way else "",
        _revoked_by(message, db, dbx),
        any(isinstance(each.key, ec.EllipticCurvePublicKey) for each in way),
    )


def _way(message: Message, db: Database) -> tuple[Certificate, ...]:
    """The signer's certificate and what is above it, up to the first one of db; () if none is."""
    trusted = certificates(db)
    allowed = set(trusted)
    found = _above(message.signer, (*message.pool, *trusted), strict=True)
    for index, each in enumerate(found):
        if each in allowed:
            return found[: index + 1]
    return ()


def _revoked_by(message: Message, db: Database, dbx: Database) -> str:
    forbidden = certificates(dbx)
    known = set(forbidden)
    pool = (*message.pool, *certificates(db), *forbidden)
    for each in _above(message.signer, pool, strict=False):
        if each in known:
            return f"the certificate of '{each.name}' is revoked"
        for algorithm, revoked in dbx.revoked.items():
            digest = hashlib.new(algorithm, each.tbs, usedforsecurity=False).digest()
            if digest not in revoked:
                continue
            since = revoked[digest]
            # A timestamp from before would save it, by a service that dbt trusts. No machine is
            # known to have a dbt, and without one nothing does.
            when = f" since {since:%Y-%m-%d}" if since else ""
            return f"the certificate of '{each.name}' is revoked{when}"
    return ""


def _above(
    signer: Certificate, pool: Iterable[Certificate], *, strict: bool
) -> tuple[Certificate, ...]:
    """The signer's certificate and all that stand above it, nearest first.

    `strict`: only ways on which every issuer may issue, and no certificate asks for what OpenSSL
    does not understand.
    """
    by_subject: dict[bytes, list[Certificate]] = {}
    for each in pool:
        by_subject.setdefault(each.subject, []).append(each)
    if strict and not _is_understood(signer):
        return ()
    found = [signer]
    depths = [0]  # CAs between each of `found` and the signer
    for index, child in enumerate(found):
        for parent in by_subject.get(child.issuer, ()):
            if parent in found or len(found) >= _MOST_ABOVE:
                continue
            if strict and not _may_stand_above(parent, depths[index]):
                continue
            if certificate.issued_by(child, parent):
                found.append(parent)
                depths.append(depths[index] + 1)
    return tuple(found)


def _may_stand_above(parent: Certificate, below: int) -> bool:
    if not _is_understood(parent):
        return False
    if parent.path_length is not None and below > parent.path_length:
        return False
    # Version 1 of X.509 cannot say that it is a CA: OpenSSL believes such roots.
    return parent.may_issue or (parent.is_self_issued and not parent.is_ca)


def _is_understood(each: Certificate) -> bool:
    """Whether no critical extension asks for what OpenSSL does not know."""
    if not each.unknown:
        return True
    extensions = x509.load_der_x509_certificate(each.der).extensions
    asked = {one.oid.dotted_string for one in extensions if one.critical}
    return asked <= _OPENSSL_KNOWS


def certificates(database: Database) -> tuple[Certificate, ...]:
    """Those of a database that can be read; the firmware passes over others as well."""
    return _certificates(tuple(database.certificates))


@lru_cache(maxsize=16)
def _certificates(encoded: tuple[bytes, ...]) -> tuple[Certificate, ...]:
    trimmed: list[bytes] = []
    for each in encoded:
        try:
            trimmed.append(der.without_filling(each, "certificate")[0])
        except MalformedError:
            continue
    return path.readable(trimmed)
