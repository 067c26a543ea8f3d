"""A CMS message as Windows uses it: in executables, catalogs, policies and timestamps.

RFC 2315 and RFC 5652, section 5; read in place, not judged. What a signer signed is kept as it
lies there: DER would have sets sorted, and not all signers did. What a message may hold is bounded;
an attribute that is there twice is refused, as nobody could say which one counts (RFC 5652, 11).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from signing import der
from signing.certificate import DIGESTS, Scheme
from signing.der import Cursor
from signing.errors import MalformedError

SIGNED_DATA = "1.2.840.113549.1.7.2"
DATA = "1.2.840.113549.1.7.1"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SIGNING_TIME = "1.2.840.113549.1.9.5"

# Contents of PKCS #7, which are a value of their own kind; all others are octets (RFC 5652, 5.2).
_STRUCTURED = frozenset(
    (
        "1.3.6.1.4.1.311.2.1.4",  # SpcIndirectDataContent
        "1.3.6.1.4.1.311.10.1",  # certificate trust list
    )
)
_MOST_CERTIFICATES = 64
_MOST_SIGNERS = 8
_MOST_ATTRIBUTES = 32
_MOST_VALUES = 16


@dataclass(frozen=True, slots=True)
class SignerInfo:
    """One signature of a message."""

    issuer: bytes  # DER of the name; b"" where the key's identifier names the certificate
    serial: int
    key_id: bytes
    digest: str  # "sha256"; "" for one that is not known
    scheme: Scheme
    signature: bytes
    signed: bytes  # the signed attributes as the set that was signed; b"" where there are none
    attributes: Mapping[str, tuple[bytes, ...]]  # signed: values, each whole, by type
    unsigned: Mapping[str, tuple[bytes, ...]]

    def value(self, oid: str) -> bytes:
        """The one value of a signed attribute, whole; b"" where there is none or are several."""
        values = self.attributes.get(oid, ())
        return values[0] if len(values) == 1 else b""


@dataclass(frozen=True, slots=True)
class SignedData:
    content_type: str
    content: bytes  # contents of the value inside, without its header: what messageDigest is about
    content_tag: int  # 0x04, 0x30; -1 where nothing is inside
    certificates: tuple[bytes, ...]  # each whole, as it lies there
    signers: tuple[SignerInfo, ...]


def read(encoded: bytes, structure: str = "signature") -> SignedData:
    """A message whose bytes end where it ends. Raises MalformedError."""
    cursor = Cursor(encoded, structure)
    outer = cursor.enter()
    cursor.finish()
    if outer.oid() != SIGNED_DATA:
        raise outer.fail("it is another kind of message")
    explicit = outer.enter(der.context(0))
    outer.finish()
    message = explicit.enter()
    explicit.finish()
    return _signed_data(message)


def _signed_data(message: Cursor) -> SignedData:
    message.integer()  # version: 1, 3 and others by what it holds; nothing depends on it
    message.enter(der.SET)  # digestAlgorithms: each signer names its own
    content_type, tag, content = _encapsulated(message.enter())
    certificates = _certificates(message.optional(der.context(0)))
    message.optional(der.context(1))  # revocation lists: nobody vouches for how old they are
    signers = _signers(message.enter(der.SET))
    message.finish()
    return SignedData(content_type, content, tag, certificates, signers)


def _encapsulated(cursor: Cursor) -> tuple[str, int, bytes]:
    kind = cursor.oid()
    inner = cursor.optional(der.context(0))
    cursor.finish()
    if inner is None:
        return kind, -1, b""
    # The header is not digested, so nobody signed whether it is the one or the other.
    tag = der.SEQUENCE if kind in _STRUCTURED else der.OCTETS
    content = inner.contents(tag)
    inner.finish()
    return kind, tag, content


def _certificates(cursor: Cursor | None) -> tuple[bytes, ...]:
    found: list[bytes] = []
    while cursor is not None and not cursor.is_done():
        if len(found) == _MOST_CERTIFICATES:
            raise cursor.fail(f"more than {_MOST_CERTIFICATES} certificates")
        # Others than X.509's have tags of their own, and nobody uses them.
        whole = cursor.whole()
        if whole[0] == der.SEQUENCE:
            found.append(whole)
    return tuple(found)


def _signers(cursor: Cursor) -> tuple[SignerInfo, ...]:
    found: list[SignerInfo] = []
    while not cursor.is_done():
        if len(found) == _MOST_SIGNERS:
            raise cursor.fail(f"more than {_MOST_SIGNERS} signers")
        found.append(_signer(cursor.enter()))
    return tuple(found)


def signer(encoded: bytes, structure: str) -> SignerInfo:
    """A SignerInfo on its own, as a countersignature is. Raises MalformedError."""
    cursor = Cursor(encoded, structure)
    found = _signer(cursor.enter())
    cursor.finish()
    return found


def _signer(cursor: Cursor) -> SignerInfo:
    cursor.integer()
    issuer, serial, key_id = b"", 0, b""
    if cursor.peek() == der.SEQUENCE:
        sid = cursor.enter()
        issuer, serial = sid.whole(der.SEQUENCE), sid.integer()
        sid.finish()
    else:
        key_id = cursor.contents(der.context(0, constructed=False))
    digest, _ = cursor.algorithm()
    signed, attributes = _attributes(cursor, der.context(0), most_each=1)
    scheme = Scheme(*cursor.algorithm())
    signature = cursor.contents(der.OCTETS)
    _, unsigned = _attributes(cursor, der.context(1), most_each=_MOST_VALUES)
    cursor.finish()
    return SignerInfo(
        issuer=issuer,
        serial=serial,
        key_id=key_id,
        digest=DIGESTS.get(digest, ""),
        scheme=scheme,
        signature=signature,
        signed=signed,
        attributes=attributes,
        unsigned=unsigned,
    )


def _attributes(
    cursor: Cursor, tag: int, *, most_each: int
) -> tuple[bytes, dict[str, tuple[bytes, ...]]]:
    """(the set as it was signed, values by type)."""
    if cursor.peek() != tag:
        return b"", {}
    whole = cursor.whole(tag)
    inner = Cursor(whole, cursor.structure).enter(tag)
    found: dict[str, tuple[bytes, ...]] = {}
    while not inner.is_done():
        if len(found) == _MOST_ATTRIBUTES:
            raise inner.fail(f"more than {_MOST_ATTRIBUTES} attributes")
        attribute = inner.enter()
        kind = attribute.oid()
        if kind in found:
            raise inner.fail(f"attribute {kind} is there twice")
        found[kind] = _values(attribute.enter(der.SET), most_each)
        attribute.finish()
    # The field has the tag [0]; what is signed has that of a set (RFC 5652, 5.4).
    return bytes((der.SET,)) + whole[1:], found


def _values(cursor: Cursor, most: int) -> tuple[bytes, ...]:
    found: list[bytes] = []
    while not cursor.is_done():
        if len(found) == most:
            raise cursor.fail(f"an attribute with more than {most} values")
        found.append(cursor.whole())
    return tuple(found)


def octets(whole: bytes, structure: str) -> bytes:
    """The contents of an attribute's value that is an OCTET STRING. Raises MalformedError."""
    if not whole:
        raise MalformedError(structure, 0, "an attribute is missing")
    cursor = Cursor(whole, structure)
    found = cursor.contents(der.OCTETS)
    cursor.finish()
    return found


def identifier(whole: bytes, structure: str) -> str:
    """The same for an OBJECT IDENTIFIER; "" where it is missing."""
    if not whole:
        return ""
    cursor = Cursor(whole, structure)
    found = cursor.oid()
    cursor.finish()
    return found
