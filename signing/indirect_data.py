"""SpcIndirectDataContent: the digest of a file, and by what rules it was made.

Microsoft "Windows Authenticode Portable Executable Signature Format" (2008), "Authenticode-Specific
Structures". It is the content of an executable's signature, and an attribute of a catalog's member.
What a link or a moniker inside says is not looked at, but for the page hashes of an executable.
"""

from __future__ import annotations

from dataclasses import dataclass

from signing import der
from signing.certificate import DIGESTS
from signing.der import Cursor

INDIRECT_DATA = "1.3.6.1.4.1.311.2.1.4"
PE_IMAGE = "1.3.6.1.4.1.311.2.1.15"  # SPC_PE_IMAGE_DATA_OBJID

_PAGE_HASHES = {"1.3.6.1.4.1.311.2.3.1": "sha1", "1.3.6.1.4.1.311.2.3.2": "sha256"}
_PAGE_HASH_CLASS = bytes.fromhex("a6b586d5b4a12466ae05a217da8e60d6")  # of the serialized object
_SIZES = {"md5": 16, "sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}
_MOST_TABLES = 4
_STRUCTURE = "indirect data"


@dataclass(frozen=True, slots=True)
class PageHashes:
    """Digests of each page of an executable, as `image.page_hashes` makes them."""

    algorithm: str  # "sha1", "sha256"
    table: bytes


@dataclass(frozen=True, slots=True)
class IndirectData:
    subject: str  # OID of the kind of file
    algorithm: str  # "sha256"; "" for one that is not known
    digest: bytes
    pages: tuple[PageHashes, ...]  # of an executable


def read(content: bytes, structure: str = _STRUCTURE) -> IndirectData:
    """From the contents of its SEQUENCE. Raises MalformedError, also for a digest of a size that
    its algorithm does not make."""
    cursor = Cursor(content, structure)
    subject = cursor.enter()
    message = cursor.enter()
    cursor.finish()
    kind = subject.oid()
    pages = _image(subject) if kind == PE_IMAGE and not subject.is_done() else ()
    oid, _ = message.algorithm()
    digest = message.contents(der.OCTETS)
    message.finish()
    algorithm = DIGESTS.get(oid, "")
    if algorithm and len(digest) != _SIZES[algorithm]:
        raise message.fail(f"a {algorithm} digest of {len(digest)} bytes")
    return IndirectData(kind, algorithm, digest, pages)


def _image(subject: Cursor) -> tuple[PageHashes, ...]:
    """Out of SpcPeImageData: flags and SpcLink, whose moniker holds what is wanted."""
    inner = subject.enter()
    inner.optional(der.BIT_STRING)
    explicit = inner.optional(der.context(0))
    if explicit is None or explicit.peek() != der.context(1):
        return ()
    moniker = explicit.enter(der.context(1))
    if moniker.contents(der.OCTETS) != _PAGE_HASH_CLASS:
        return ()
    tables = Cursor(moniker.contents(der.OCTETS), "page hashes").enter(der.SET)
    found: list[PageHashes] = []
    while not tables.is_done():
        if len(found) == _MOST_TABLES:
            raise tables.fail(f"more than {_MOST_TABLES} tables")
        attribute = tables.enter()
        algorithm = _PAGE_HASHES.get(attribute.oid(), "")
        table = attribute.enter(der.SET).contents(der.OCTETS)
        if algorithm:
            found.append(PageHashes(algorithm, table))
    return tuple(found)
