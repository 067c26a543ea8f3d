"""Signed messages and executables, in which everything can be wrong by itself.

CMS (RFC 2315, RFC 5652 section 5) as "Windows Authenticode Portable Executable Signature Format"
(2008) uses it, countersignatures (RFC 2985, 5.3.6), tokens (RFC 3161, 2.4.2), nested signatures
(Microsoft's attribute 1.3.6.1.4.1.311.2.4.1), page hashes (as osslsigncode documents them) and the
certificate table ("PE Format"). From these documents, without a line of signing/.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.builders import authorities, pe
from tests.builders.authorities import Holder, digest_algorithm, signature_algorithm
from tests.builders.der import NULL, integer, octets, oid, sequence, set_of, tagged

SIGNED_DATA, DATA = "1.2.840.113549.1.7.2", "1.2.840.113549.1.7.1"
INDIRECT_DATA, PE_IMAGE = "1.3.6.1.4.1.311.2.1.4", "1.3.6.1.4.1.311.2.1.15"
TRUST_LIST, TST_INFO = "1.3.6.1.4.1.311.10.1", "1.2.840.113549.1.9.16.1.4"
CONTENT_TYPE, MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
SIGNING_TIME, COUNTERSIGNATURE = "1.2.840.113549.1.9.5", "1.2.840.113549.1.9.6"
NESTED, TOKEN = "1.3.6.1.4.1.311.2.4.1", "1.3.6.1.4.1.311.3.3.1"
SIGNING_CERTIFICATE_2 = "1.2.840.113549.1.9.16.2.47"
_PAGE_HASHES = {"sha1": "1.3.6.1.4.1.311.2.3.1", "sha256": "1.3.6.1.4.1.311.2.3.2"}
_PAGE_HASH_CLASS = bytes.fromhex("a6b586d5b4a12466ae05a217da8e60d6")
_PAGE = 4096

Attribute = bytes  # DER
Later = Callable[[bytes], Attribute]  # an unsigned attribute, made when the signature is known


def attribute(kind: str, *values: bytes) -> Attribute:
    return sequence(oid(kind), set_of(values))


# --- messages -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class How:
    """How one signer signs; what is not given is as it should be."""

    by: Holder
    digest: str = "sha256"
    names_digest: str = ""  # that it says it used
    algorithm: bytes = b""  # of the signature
    content_type: str = ""  # that the attributes claim
    message_digest: bytes = b""
    attributes: tuple[Attribute, ...] | None = None  # all signed ones; () for none at all
    further: tuple[Attribute, ...] = ()  # signed
    later: tuple[Later, ...] = ()  # unsigned
    sign: Callable[[bytes], bytes] | None = None
    by_key_id: bool = False
    serial: int = 0
    others: tuple[bytes, ...] = ()  # certificates to send along, as of timestamp services


@dataclass(frozen=True, slots=True)
class Content:
    """What a message is about: its kind, and the value itself."""

    kind: str
    value: bytes  # DER, whole

    @property
    def digested(self) -> bytes:
        """Without its header (RFC 5652, 5.4)."""
        return self.value[_header_size(self.value) :]


def message(
    content: Content,
    signers: Sequence[How],
    certificates: Iterable[bytes] | None = None,
    *,
    kind: str = "",
    lists: bytes = b"",
) -> bytes:
    """A message; the certificates, in that order, are those of its signers where none are given.

    `kind`: of its contents, as it says; `lists`: in the place of revocation lists.
    """
    if certificates is None:
        sent = {each for how in signers for each in (*how.by.bag, *how.others)}
        certificates = sorted(sent)
    algorithms = {digest_algorithm(how.names_digest or how.digest) for how in signers}
    bag = b"".join(certificates)
    body = sequence(
        integer(1),
        set_of(algorithms),
        sequence(oid(kind or content.kind), tagged(0xA0, content.value)),
        tagged(0xA0, bag) if bag else b"",
        tagged(0xA1, lists) if lists else b"",
        set_of(signer(content.digested, content.kind, how) for how in signers),
    )
    return sequence(oid(SIGNED_DATA), tagged(0xA0, body))


def signer(digested: bytes, kind: str, how: How) -> bytes:
    """A SignerInfo over these bytes."""
    attributes = how.attributes
    if attributes is None:
        done = how.message_digest or _digest(digested, how.digest)
        attributes = (
            attribute(CONTENT_TYPE, oid(how.content_type or kind)),
            attribute(MESSAGE_DIGEST, octets(done)),
            *how.further,
        )
    signed = set_of(attributes)
    data = signed if attributes else digested
    made = how.sign(data) if how.sign else how.by.key.sign(data, how.digest)
    unsigned = [each(made) for each in how.later]
    identity = (
        tagged(0x80, how.by.key_id)
        if how.by_key_id
        else sequence(how.by.issuer, integer(how.serial or how.by.serial))
    )
    return sequence(
        integer(3 if how.by_key_id else 1),
        identity,
        digest_algorithm(how.names_digest or how.digest),
        b"\xa0" + signed[1:] if attributes else b"",
        how.algorithm or signature_algorithm(how.by.key, how.digest),
        octets(made),
        b"\xa1" + set_of(unsigned)[1:] if unsigned else b"",
    )


def _digest(data: bytes, name: str) -> bytes:
    return hashlib.new(name, data, usedforsecurity=False).digest()


def _header_size(value: bytes) -> int:
    return 2 + (value[1] & 0x7F if value[1] & 0x80 else 0)


def fixed(made: Attribute) -> Later:
    """One that does not depend on the signature."""
    return lambda _: made


def nested(*messages: bytes) -> Later:
    return lambda _: attribute(NESTED, *messages)


# --- timestamps ---------------------------------------------------------------------------


def countersignature(
    when: datetime | None, by: Holder | None = None, *, bare: bool = False, **changed: Any
) -> Later:
    """PKCS #9; `bare`: the digest signed without its DigestInfo, as VeriSign's services did.

    `about`: other bytes than the signature; further arguments are those of `How`.
    """
    return lambda signature: _countersignature(signature, when, by, bare, dict(changed))


def _countersignature(
    signature: bytes,
    when: datetime | None,
    by: Holder | None,
    bare: bool,
    changed: dict[str, Any],
) -> Attribute:
    holder = by or authorities.stamper()
    about = changed.pop("about", signature)
    further = (attribute(SIGNING_TIME, _utc(when)),) if when else ()
    arguments: dict[str, Any] = {"by": holder, "digest": "sha1", "further": further} | changed
    how = How(**arguments)
    if bare:
        arguments["sign"] = lambda data: authorities.raw(holder.key, _digest(data, how.digest))
        arguments["algorithm"] = sequence(oid("1.2.840.113549.1.1.1"), NULL)
        how = How(**arguments)
    return attribute(COUNTERSIGNATURE, signer(about, DATA, how))


def token(when: datetime, by: Holder | None = None, **changed: Any) -> Later:
    """RFC 3161, in Microsoft's attribute.

    `about`: other bytes than the signature; `imprint`: the digest used for them; `kind`: of the
    content; `twice`: two signers; `names`: the certificate (DER) that its attribute names; further
    arguments are those of `How`.
    """
    return lambda signature: attribute(TOKEN, _token(signature, when, by, dict(changed)))


def _token(signature: bytes, when: datetime, by: Holder | None, changed: dict[str, Any]) -> bytes:
    holder = by or authorities.stamper()
    about, imprint = changed.pop("about", signature), changed.pop("imprint", "sha256")
    names, twice = changed.pop("names", holder.certificate), changed.pop("twice", False)
    kind, bag = changed.pop("kind", ""), changed.pop("bag", None)
    info = sequence(
        integer(1),
        oid("1.3.6.1.4.1.99999.1"),
        sequence(digest_algorithm(imprint), octets(_digest(about, imprint))),
        integer(4711),
        tagged(0x18, f"{when:%Y%m%d%H%M%S}Z".encode()),
    )
    named = sequence(sequence(sequence(octets(_digest(names, "sha256")))))
    arguments: dict[str, Any] = {
        "by": holder,
        "further": (attribute(SIGNING_CERTIFICATE_2, named),),
    } | changed
    how = How(**arguments)
    return message(Content(TST_INFO, octets(info)), [how] * (1 + bool(twice)), bag, kind=kind)


def _utc(when: datetime) -> bytes:
    return tagged(0x17, f"{when:%y%m%d%H%M%SZ}".encode())


# --- executables --------------------------------------------------------------------------


def places(image: bytes) -> tuple[int, int]:
    """Where the checksum and the directory entry of the certificate table lie."""
    (start,) = struct.unpack_from("<I", image, 60)
    (magic,) = struct.unpack_from("<H", image, start + 24)
    return start + 88, start + 24 + (112 if magic == 0x20B else 96) + 32


def file_digest(image: bytes, algorithm: str) -> bytes:
    """The digest of an executable without a table, its size a multiple of eight."""
    checksum, entry = places(image)
    hashed = image[:checksum] + image[checksum + 4 : entry] + image[entry + 8 :]
    return _digest(hashed, algorithm)


def about(
    image: bytes,
    algorithm: str = "sha256",
    *,
    digest: bytes = b"",
    names_digest: str = "",
    subject: str = PE_IMAGE,
    pages: str = "",
    table: bytes | None = None,
) -> Content:
    """SpcIndirectDataContent of an executable.

    `names_digest`: the algorithm that it names; `pages`: that of its page hashes, whose `table` may
    be another one than it should.
    """
    link = tagged(0xA2, tagged(0x80, b""))
    if pages:
        stored = octets(page_table(image, pages) if table is None else table)
        inside = set_of([sequence(oid(_PAGE_HASHES[pages]), set_of([stored]))])
        link = tagged(0xA1, octets(_PAGE_HASH_CLASS) + octets(inside))
    data = sequence(oid(subject), sequence(b"\x03\x01\x00", tagged(0xA0, link)))
    named = digest_algorithm(names_digest or algorithm)
    hashed = octets(digest or file_digest(image, algorithm))
    return Content(INDIRECT_DATA, sequence(data, sequence(named, hashed)))


def page_table(image: bytes, algorithm: str) -> bytes:
    """(offset, digest) of the headers and of each page of each section, and an end."""
    checksum, entry = places(image)
    start = checksum - 88
    count, optional = struct.unpack_from("<H12xH", image, start + 6)
    (headers,) = struct.unpack_from("<I", image, start + 84)
    head = image[:checksum] + image[checksum + 4 : entry] + image[entry + 8 : headers]
    made = struct.pack("<I", 0) + _digest(head + bytes(-headers % _PAGE), algorithm)
    end = headers
    for number in range(count):
        size, at = struct.unpack_from("<II", image, start + 24 + optional + 40 * number + 16)
        for offset in range(at, at + size, _PAGE):
            page = image[offset : min(offset + _PAGE, at + size)].ljust(_PAGE, b"\0")
            made += struct.pack("<I", offset) + _digest(page, algorithm)
        end = at + size
    return made + struct.pack("<I", end) + bytes(hashlib.new(algorithm).digest_size)


def stub(code: bytes = b"", *, machine: str = "x64") -> bytes:
    """An executable to sign, its size a multiple of eight."""
    image = pe.driver({"FileVersion": "1.2.3.4"}, machine=machine, padding=code)
    return image + bytes(-len(image) % 8)


def entry(content: bytes, *, kind: int = 2, length: int = 0, revision: int = 0x0200) -> bytes:
    """One WIN_CERTIFICATE, filled up to eight bytes."""
    filled = content + bytes(-len(content) % 8)
    return struct.pack("<IHH", length or 8 + len(filled), revision, kind) + filled


def with_table(image: bytes, table: bytes, *, at: int = 0, size: int = 0) -> bytes:
    """The executable with that table behind it, and what its headers say of it."""
    _, place = places(image)
    named = struct.pack("<II", at or len(image), size or len(table))
    return pe.with_checksum(image[:place] + named + image[place + 8 :] + table)


def signed(image: bytes, *messages: bytes) -> bytes:
    """An executable with these messages in its table."""
    return with_table(image, b"".join(map(entry, messages)))


def good(image: bytes | None = None, how: How | None = None, algorithm: str = "sha256") -> bytes:
    """An executable that a publisher signed as it should be."""
    whole = stub() if image is None else image
    return signed(whole, message(about(whole, algorithm), [how or How(authorities.publisher())]))
