"""Windows catalogs (.cat): which files a publisher vouches for, by their digests.

A catalog is a CMS message (`signed_data`) over a certificate trust list. Sources: the list and its
members: [MS-CAESO] and the Windows SDK's wincrypt.h (CTL_INFO, CTL_ENTRY), wintrust.h
(CAT_NAMEVALUE, CAT_MEMBERINFO) and mscat.h (the two versions, kinds of attributes); what a tag is,
and which digests each version holds: Microsoft, "MakeCat". What they leave open, as the choice in
the member information of version 2, is as in real catalogs (tests/signing/test_catalog.py).

A member is found by its tag, which must be something that can be made from the file: its digest, in
version 1 as text. A member with another tag (a name, as MakeCat allows) is found by nobody who has
only the file, and one whose tag contradicts the digest beside it is true of no file: both vouch for
nothing here. Executables count by their Authenticode digest, other files by all of their bytes;
kinds with rules of their own (cabinets) are told as "other", and how they are hashed is not ours.

Nothing here says who signed a catalog, or whether. Not read: attributes that MakeCat marks as not
authenticated, which would lie outside what is signed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from signing import der, indirect_data, signed_data
from signing.der import Cursor
from signing.errors import MalformedError
from signing.indirect_data import INDIRECT_DATA, PE_IMAGE, IndirectData, PageHashes

TRUST_LIST = "1.3.6.1.4.1.311.10.1"  # szOID_CTL, the content type of the message
LARGEST = 32 << 20  # those of Windows' own packages take up to about 20 MB
MOST_MEMBERS = 500_000  # in one catalog

_CATALOG_LIST = "1.3.6.1.4.1.311.12.1.1"
_VERSIONS = {"1.3.6.1.4.1.311.12.1.2": 1, "1.3.6.1.4.1.311.12.1.3": 2}
_NAME_VALUE = "1.3.6.1.4.1.311.12.2.1"
_MEMBER_INFO, _MEMBER_INFO_2 = "1.3.6.1.4.1.311.12.2.2", "1.3.6.1.4.1.311.12.2.3"
_DATA_ASCII = 0x1_0000  # CRYPTCAT_ATTR_DATAASCII: the value is text
_IMAGE_TYPE = "{C689AAB8-8E78-11D0-8C47-00C04FC295EE}"  # CRYPT_SUBJTYPE_PE_IMAGE
_FLAT_TYPE = "{DE351A42-8E59-11D0-8C47-00C04FC295EE}"  # CRYPT_SUBJTYPE_FLAT_IMAGE
_BY_SIZE = {20: "sha1", 32: "sha256"}  # MakeCat knows no others
_HEX_SIZES = {82: 40, 130: 64}  # bytes of a tag in UTF-16 with its NUL: digits
_MOST_ATTRIBUTES = 64  # of one member
_MOST_LIST_ATTRIBUTES = 100_000  # a package for many devices names each of them
_MOST_SYSTEMS = 64
_LONGEST_TEXT = 8192  # bytes of a name or value; what is longer is cut
_SYSTEM = re.compile(r"\s*2:([0-9]{1,5})\.([0-9]{1,5})\s*")
_STRUCTURE = "catalog"
# AlgorithmIdentifier of SHA-256 and the header of the digest that follows it.
_SHA256 = bytes.fromhex("0609608648016503040201 0500 0420")

Kind = Literal["image", "flat", "other"]


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a catalog."""

    tag: bytes  # as it lies there
    digests: Mapping[str, bytes]  # by algorithm; none where the member vouches for nothing
    kind: Kind
    attributes: tuple[tuple[str, str], ...]  # (name, value), fit for a screen
    pages: tuple[PageHashes, ...]
    problem: str  # a clause: why there are no digests; "" where there are

    def value(self, name: str) -> str:
        """Of the first attribute with that name; "" where there is none."""
        return next((value for each, value in self.attributes if each == name), "")

    @property
    def name(self) -> str:
        """What the file was called when the catalog was made, where it says."""
        return self.value("File")

    @property
    def systems(self) -> frozenset[tuple[int, int]]:
        return systems(self.value("OSAttr"))


@dataclass(frozen=True, slots=True)
class Catalog:
    """The list inside a catalog. Members are read when they are asked for."""

    content: bytes  # the list without its header, as `SignedData.content` has it
    version: int  # 1 or 2
    identifier: bytes
    when: datetime  # UTC; what its maker's clock said
    attributes_at: int  # in the content
    places: Mapping[bytes, int]  # where the (first) member of a digest lies in the content
    starts: tuple[int, ...]  # of all members

    def find(self, digest: bytes) -> Member | None:
        """The member that vouches for a file with that digest. Raises MalformedError."""
        start = self.places.get(digest, -1)
        if start < 0:
            return None
        member = self._member(start)
        return member if digest in member.digests.values() else None

    def members(self) -> Iterator[Member]:
        """All of them, those that vouch for nothing as well. Raises MalformedError."""
        return map(self._member, self.starts)

    def attributes(self) -> tuple[tuple[str, str], ...]:
        """(name, value) of the whole catalog: "HWID1", "OS"... Raises MalformedError."""
        return _list_attributes(Cursor(self.content, _STRUCTURE, self.attributes_at))

    def systems(self) -> frozenset[tuple[int, int]]:
        """Those it names as a whole. Raises MalformedError."""
        return systems(dict(reversed(self.attributes())).get("OSAttr", ""))

    def is_for(self, member: Member, version: tuple[int, int]) -> bool | None:
        """Whether the publisher meant it for Windows of that version ((10, 0)); None: unsaid.

        That is what a driver package was tested on, and asked when one is installed (softpub.h,
        DRIVER_VER_INFO). Raises MalformedError.
        """
        named = member.systems or self.systems()
        return version in named if named else None

    def _member(self, start: int) -> Member:
        return _member(Cursor(self.content, _STRUCTURE, start).enter(), self.version)


def systems(text: str) -> frozenset[tuple[int, int]]:
    """(major, minor) of each Windows NT in an OSAttr ("2:6.1,2:10.0"); what is unclear is not
    among them. 2 is VER_PLATFORM_WIN32_NT."""
    matches = map(_SYSTEM.fullmatch, text.split(",", _MOST_SYSTEMS))
    return frozenset((int(each[1]), int(each[2])) for each in matches if each)


# --- the list -----------------------------------------------------------------------------


def inside(encoded: bytes) -> bytes:
    """The list inside a catalog's message, whoever signed it; certificates are not looked at.

    Raises MalformedError for another kind of message, or one that does not end where it says.
    """
    cursor = Cursor(encoded, _STRUCTURE)
    outer = cursor.enter()
    cursor.finish()
    if outer.oid() != signed_data.SIGNED_DATA:
        raise outer.fail("it is another kind of message")
    message = outer.enter(der.context(0)).enter()
    message.integer()
    message.enter(der.SET)
    holder = message.enter()
    if holder.oid() != TRUST_LIST:
        raise holder.fail("its message holds no list")
    return holder.enter(der.context(0)).contents(der.SEQUENCE)


def read(content: bytes) -> Catalog:
    """The list of a catalog, from `SignedData.content` or `inside`. Raises MalformedError."""
    cursor, version, identifier, when = _head(content)
    members = _members(cursor)
    places: dict[bytes, int] = {}
    starts: list[int] = []
    for start, digest, other in _walk(content, members.at, members.end, version):
        starts.append(start)
        for each in (digest, other):
            if each:
                places.setdefault(each, start)
    return Catalog(
        content=content,
        version=version,
        identifier=identifier,
        when=when,
        attributes_at=cursor.at,
        places=places,
        starts=tuple(starts),
    )


def digests(content: bytes) -> list[bytes]:
    """What an index needs: the digests that a list names, by tags and beside them.

    `Catalog.find` has the last word, as members are not read here. Raises MalformedError.
    """
    cursor, version, _, _ = _head(content)
    members = _members(cursor)
    walk = _walk(content, members.at, members.end, version)
    return [each for _, digest, other in walk for each in (digest, other) if each]


def _head(content: bytes) -> tuple[Cursor, int, bytes, datetime]:
    """(a cursor before the members, version, identifier, time)."""
    cursor = Cursor(content, _STRUCTURE)
    cursor.optional(der.INTEGER)  # of the format; catalogs leave it out, as all that is optional
    if cursor.enter().oid() != _CATALOG_LIST:
        raise cursor.fail("it is a list of something else")
    identifier = cursor.contents(der.OCTETS) if cursor.peek() == der.OCTETS else b""
    cursor.optional(der.INTEGER)  # a number in a row of lists
    when = cursor.time()
    if cursor.peek() in (der.UTC_TIME, der.TIME):
        cursor.skip()  # when the next one was to come
    version = _VERSIONS.get(cursor.algorithm()[0], 0)
    if not version:
        raise cursor.fail("its members are of a version that is not known")
    return cursor, version, identifier, when


def _members(cursor: Cursor) -> Cursor:
    """Their sequence, which an empty list may lack."""
    return cursor.optional(der.SEQUENCE) or Cursor(b"", _STRUCTURE)


def _walk(data: bytes, at: int, end: int, version: int) -> Iterator[tuple[int, bytes, bytes]]:
    """(start, digest that the tag is, SHA-256 digest beside it) of each member; b"" for none.

    Only extents and tags are looked at: a machine's catalogs have some hundred thousand members.
    """
    count = 0
    while at < end:
        start, count = at, count + 1
        if count > MOST_MEMBERS:
            raise MalformedError(_STRUCTURE, at, f"more than {MOST_MEMBERS:,} members")
        at, tag = _extent(data, start, end)
        digest = tag if version == 2 and len(tag) in _BY_SIZE else _of_text(tag, version)
        other = b""
        if len(digest) == 20 and (found := data.find(_SHA256, start, at)) >= 0:
            found += len(_SHA256)
            other = data[found : found + 32] if found + 32 <= at else b""
        yield start, digest, other


def _extent(data: bytes, at: int, end: int) -> tuple[int, bytes]:
    """(end, tag) of the member that begins there.

    Written out for speed, for lengths as members have them; what is unusual is `Cursor`'s.
    """
    if at + 6 <= end and data[at] == der.SEQUENCE:
        length, body = data[at + 1], at + 2
        if length == 0x82:
            length, body = data[at + 2] << 8 | data[at + 3], at + 4
        elif length == 0x81:
            length, body = data[at + 2], at + 3
        elif length > 0x7F:
            length = 0
        stop, size = body + length, data[body + 1]
        if data[body] == der.OCTETS and size < 0x80 and body + 2 + size <= stop <= end:
            return stop, data[body + 2 : body + 2 + size]
    cursor = Cursor(data, _STRUCTURE, at, end)
    member = cursor.enter()
    return cursor.at, member.contents(der.OCTETS)


def _of_text(tag: bytes, version: int) -> bytes:
    """The digest that a tag of version 1 spells out; b"" where it spells none."""
    digits = _HEX_SIZES.get(len(tag), 0) if version == 1 else 0
    if not digits or any(tag[1::2]) or tag[-2]:
        return b""
    try:
        return bytes.fromhex(tag[: 2 * digits : 2].decode("ascii"))
    except ValueError:
        return b""


def _list_attributes(cursor: Cursor) -> tuple[tuple[str, str], ...]:
    extensions = cursor.optional(der.context(0))
    cursor.finish()
    found: list[tuple[str, str]] = []
    each = extensions.enter() if extensions is not None else None
    while each is not None and not each.is_done():
        if len(found) == _MOST_LIST_ATTRIBUTES:
            raise each.fail(f"more than {_MOST_LIST_ATTRIBUTES:,} attributes")
        extension = each.enter()
        kind = extension.oid()
        extension.optional(der.BOOLEAN)
        value = extension.contents(der.OCTETS)
        if kind == _NAME_VALUE:
            found.append(_name_value(Cursor(value, _STRUCTURE).enter()))
    return tuple(found)


# --- a member -----------------------------------------------------------------------------


def _member(cursor: Cursor, version: int) -> Member:
    tag = cursor.contents(der.OCTETS)
    attributes = cursor.enter(der.SET)
    cursor.finish()
    named: list[tuple[str, str]] = []
    single: dict[str, Cursor] = {}
    count = 0
    while not attributes.is_done():
        attribute, count = attributes.enter(), count + 1
        kind, value = attribute.oid(), attribute.enter(der.SET)
        if count > _MOST_ATTRIBUTES or kind in single:
            raise attribute.fail("a member with too many attributes")
        if kind == _NAME_VALUE:
            named.append(_name_value(value.enter()))
        else:
            single[kind] = value
    indirect = _indirect(single.get(INDIRECT_DATA))
    digests, problem = _digests(tag, version, indirect)
    return Member(
        tag=tag,
        digests=digests,
        kind=_kind(single, indirect),
        attributes=tuple(named),
        pages=indirect.pages if indirect else (),
        problem=problem,
    )


def _indirect(value: Cursor | None) -> IndirectData | None:
    if value is None:
        return None
    found = indirect_data.read(value.contents(der.SEQUENCE), _STRUCTURE)
    value.finish()
    return found


def _digests(
    tag: bytes, version: int, indirect: IndirectData | None
) -> tuple[dict[str, bytes], str]:
    """(by algorithm, why there are none)."""
    digest = tag if version == 2 else _of_text(tag, version)
    algorithm = _BY_SIZE.get(len(digest), "")
    if not algorithm:
        return {}, "its tag is not a digest of the file"
    found = {algorithm: digest}
    if indirect is None or indirect.algorithm not in _BY_SIZE.values():
        return found, ""
    if found.setdefault(indirect.algorithm, indirect.digest) != indirect.digest:
        return {}, "its tag and the digest beside it differ"
    return found, ""


def _kind(single: Mapping[str, Cursor], indirect: IndirectData | None) -> Kind:
    """By the member information; a member without it is judged by its indirect data."""
    if (value := single.get(_MEMBER_INFO)) is not None:
        kind = _text(value.enter().contents(der.BMP), "utf-16-be").upper()
        return "image" if kind == _IMAGE_TYPE else "flat" if kind == _FLAT_TYPE else "other"
    if (value := single.get(_MEMBER_INFO_2)) is not None:
        tag = value.peek()
        return "image" if tag == 0x80 else "flat" if tag == 0x82 else "other"
    return "image" if indirect is not None and indirect.subject == PE_IMAGE else "other"


def _name_value(cursor: Cursor) -> tuple[str, str]:
    """CAT_NAMEVALUE; bytes that are no text are shown in hexadecimal."""
    name = _text(cursor.contents(der.BMP), "utf-16-be")
    flags = cursor.integer()
    value = cursor.contents(der.OCTETS)
    cursor.finish()
    if flags & _DATA_ASCII:
        return name, _text(value, "utf-16-le")
    plain = value[:_LONGEST_TEXT].decode("latin-1")
    return name, plain if plain.isascii() and plain.isprintable() else value[:_LONGEST_TEXT].hex()


def _text(encoded: bytes, encoding: str) -> str:
    text = encoded[:_LONGEST_TEXT].decode(encoding, "replace").rstrip("\0")
    return "".join(each if each.isprintable() else "?" for each in text)
