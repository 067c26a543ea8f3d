"""What a machine's firmware trusts: the UEFI variables db, dbx, dbt, dbr, KEK and PK.

UEFI Specification 2.10, section 32.4.1 "Signature Database" (EFI_SIGNATURE_LIST and the types of
signatures) and 8.2.2 "Using the EFI_VARIABLE_AUTHENTICATION_2 descriptor"; the kernel's
Documentation/filesystems/efivarfs.rst for the four bytes of attributes that Linux puts in front.

A dbx of some hundred entries is asked for each file, so everything that is asked for lies in
dictionaries. Offsets in errors count from the beginning of the lists.

Strict, as firmware is that takes such a list (edk2's CheckSignatureListFormat): sizes that do not
go into each other, a known type with another size than its own, bytes behind the last list.
Not done here: whether the signature of an update holds, which is for the firmware that takes it.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache

from signing.errors import MalformedError

LARGEST = 4 << 20  # of a database; firmware has some 64 KiB for each

GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")  # PK, KEK
IMAGE_SECURITY = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")  # db, dbx, dbt, dbr
# As the files in /sys/firmware/efi/efivars are called.
FILES = {
    **{name: f"{name}-{IMAGE_SECURITY}" for name in ("db", "dbx", "dbt", "dbr")},
    **{name: f"{name}-{GLOBAL}" for name in ("KEK", "PK", "SecureBoot", "SetupMode")},
}
MICROSOFT = uuid.UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")  # as owner of entries

_STRUCTURE = "signature list"
_UPDATE = "update of a signature database"
_LIST = struct.Struct("<16sIII")
_TIME = struct.Struct("<HBBBBBxIhBx")
_UPDATE_HEAD = struct.Struct("<16sIHH16s")  # EFI_TIME, WIN_CERTIFICATE_UEFI_GUID
_OWNER = 16
_EFI_GUID_CERTIFICATE = 0x0EF1
_REVISION = 0x0200
_ATTRIBUTES = 0xFF  # all bits that UEFI 2.10 has for the attributes of a variable
PKCS7 = uuid.UUID("4aafd29d-68df-49ee-8aa9-347d375665a7")  # as kind of a signature


class Kind(StrEnum):
    """What the entries of a list are."""

    SHA1 = "sha1"  # digests of executables
    SHA224 = "sha224"
    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"
    X509 = "x509"  # certificates, DER
    X509_SHA256 = "x509-sha256"  # digest of what a certificate's issuer signed, and since when
    X509_SHA384 = "x509-sha384"
    X509_SHA512 = "x509-sha512"
    RSA2048 = "rsa2048"  # a modulus
    RSA2048_SHA1 = "rsa2048-sha1"
    RSA2048_SHA256 = "rsa2048-sha256"
    EXTERNAL = "external-management"
    OTHER = "other"  # a type that UEFI 2.10 does not have


# Type, kind, size of an entry without its owner (0: any).
_TYPES: tuple[tuple[str, Kind, int], ...] = (
    ("826ca512-cf10-4ac9-b187-be01496631bd", Kind.SHA1, 20),
    ("0b6e5233-a65c-44c9-9407-d9ab83bfc8bd", Kind.SHA224, 28),
    ("c1c41626-504c-4092-aca9-41f936934328", Kind.SHA256, 32),
    ("ff3e5307-9fd0-48c9-85f1-8ad56c701e01", Kind.SHA384, 48),
    ("093e0fae-a6c4-4f50-9f1b-d41e2b89c19a", Kind.SHA512, 64),
    ("a5c059a1-94e4-4aa7-87b5-ab155c2bf072", Kind.X509, 0),
    ("3bd2a492-96c0-4079-b420-fcf98ef103ed", Kind.X509_SHA256, 32 + 16),
    ("7076876e-80c2-4ee6-aad2-28b349a6865b", Kind.X509_SHA384, 48 + 16),
    ("446dbf63-2502-4cda-bcfa-2465d2b0fe9d", Kind.X509_SHA512, 64 + 16),
    ("3c5766e8-269c-4e34-aa14-ed776e85b3b6", Kind.RSA2048, 256),
    ("67f8444f-8743-48f1-a328-1eaab8736080", Kind.RSA2048_SHA1, 256),
    ("e2b36190-879b-4a3d-ad8d-f2e7bba32784", Kind.RSA2048_SHA256, 256),
    ("452e8ced-dfff-4b8c-ae01-5118862e682c", Kind.EXTERNAL, 1),
)
_KINDS = {uuid.UUID(text).bytes_le: (kind, size) for text, kind, size in _TYPES}
_GUIDS = {kind: uuid.UUID(text) for text, kind, _ in _TYPES}
_SIZES = {kind: size for _, kind, size in _TYPES}
_IMAGE_DIGESTS = (Kind.SHA1, Kind.SHA224, Kind.SHA256, Kind.SHA384, Kind.SHA512)
_CERTIFICATE_DIGESTS = (Kind.X509_SHA256, Kind.X509_SHA384, Kind.X509_SHA512)


@dataclass(frozen=True, slots=True)
class Entry:
    """One EFI_SIGNATURE_DATA."""

    kind: Kind
    owner: uuid.UUID  # who put it there; nobody verifies that
    data: bytes


@dataclass(frozen=True, slots=True)
class SignatureList:
    """One EFI_SIGNATURE_LIST. Its entries are all of one size."""

    type: uuid.UUID
    entries: tuple[Entry, ...]
    header: bytes = b""  # no type that is known has one

    def to_bytes(self) -> bytes:
        """Raises MalformedError where the entries are none, or not of one size."""
        sizes = {len(entry.data) for entry in self.entries}
        if len(sizes) != 1:
            raise MalformedError(_STRUCTURE, 0, f"entries of {len(sizes)} sizes")
        size = _OWNER + sizes.pop()
        total = _LIST.size + len(self.header) + size * len(self.entries)
        parts = [_LIST.pack(self.type.bytes_le, total, len(self.header), size), self.header]
        for entry in self.entries:
            parts += entry.owner.bytes_le, entry.data
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Database:
    """The value of a variable: lists, and what of them is asked for. Empty: it holds nothing."""

    lists: tuple[SignatureList, ...]
    # By algorithm ("sha256") and digest of an executable.
    hashes: Mapping[str, Mapping[bytes, Entry]] = field(repr=False, compare=False)
    certificates: Mapping[bytes, Entry] = field(repr=False, compare=False)  # by DER
    # By algorithm and digest of what a certificate's issuer signed: revoked since then, in UTC.
    # None: always.
    revoked: Mapping[str, Mapping[bytes, datetime | None]] = field(repr=False, compare=False)

    @classmethod
    def of(cls, lists: Iterable[SignatureList]) -> Database:
        kept = tuple(lists)
        hashes: dict[str, dict[bytes, Entry]] = {}
        certificates: dict[bytes, Entry] = {}
        revoked: dict[str, dict[bytes, datetime | None]] = {}
        for entry in (entry for each in kept for entry in each.entries):
            if entry.kind in _IMAGE_DIGESTS:
                hashes.setdefault(entry.kind.value, {})[entry.data] = entry
            elif entry.kind is Kind.X509:
                certificates[entry.data] = entry
            elif entry.kind in _CERTIFICATE_DIGESTS:
                _revoke(revoked.setdefault(entry.kind.value.partition("-")[2], {}), entry.data)
        return cls(kept, hashes, certificates, revoked)

    def __iter__(self) -> Iterator[Entry]:
        return (entry for each in self.lists for entry in each.entries)

    def __add__(self, other: Database) -> Database:
        """What a variable holds after `other` was appended to it."""
        return Database.of((*self.lists, *other.lists))

    def to_bytes(self) -> bytes:
        """Raises MalformedError for a list without entries."""
        return b"".join(each.to_bytes() for each in self.lists)


@dataclass(frozen=True, slots=True)
class Update:
    """A database as it is sent to firmware: signed by the owner of a key above it."""

    made: datetime  # UTC; firmware takes none that is older than what it has
    signature: bytes  # PKCS #7, of the one encoding or the other; verified by nobody here
    database: Database


@dataclass(frozen=True, slots=True)
class Variable:
    """A file of efivarfs."""

    attributes: int
    data: bytes


# --- reading ------------------------------------------------------------------------------


def read(data: bytes) -> Database:
    """A database in any of its three forms: as lists, as a signed update, as a file of efivarfs.

    Raises MalformedError.
    """
    if _is_update(data):
        return read_update(data).database
    if len(data) >= 4 and data[:16] not in _KINDS and data[1:4] == b"\0\0\0":
        return read_lists(read_variable(data).data)
    return read_lists(data)


def read_variable(data: bytes) -> Variable:
    """Raises MalformedError for what is no file of efivarfs."""
    if len(data) < 4:
        raise MalformedError("firmware variable", 0, "it is shorter than its attributes")
    (attributes,) = struct.unpack_from("<I", data)
    if attributes & ~_ATTRIBUTES or not attributes:
        raise MalformedError("firmware variable", 0, f"attributes {attributes:#x} do not exist")
    return Variable(attributes, data[4:])


def read_update(data: bytes) -> Update:
    """An EFI_VARIABLE_AUTHENTICATION_2 with its lists, as DBXUpdate.bin is. Raises MalformedError.

    The signature is handed out as it lies there, and says nothing by being there.
    """
    if len(data) < _UPDATE_HEAD.size:
        raise MalformedError(_UPDATE, 0, "it ends too early")
    time, length, revision, kind, guid = _UPDATE_HEAD.unpack_from(data)
    if (revision, kind, guid) != (_REVISION, _EFI_GUID_CERTIFICATE, PKCS7.bytes_le):
        raise MalformedError(_UPDATE, 16, "it is not signed as UEFI asks for")
    if not _UPDATE_HEAD.size - 16 < length <= len(data) - 16:
        raise MalformedError(_UPDATE, 16, f"a signature of {length:,} bytes")
    made = _moment(time)
    if made is None or any(_TIME.unpack(time)[6:]) or time[7] or time[15]:
        raise MalformedError(_UPDATE, 0, "its time is none")
    end = 16 + length
    return Update(made, data[_UPDATE_HEAD.size : end], read_lists(data[end:]))


def read_lists(data: bytes) -> Database:
    """EFI_SIGNATURE_LISTs, one behind the other; no bytes are an empty database.

    Raises MalformedError.
    """
    if len(data) > LARGEST:
        raise MalformedError(_STRUCTURE, 0, f"{len(data):,} bytes are more than firmware keeps")
    lists: list[SignatureList] = []
    at = 0
    while at < len(data):
        if len(data) - at < _LIST.size:
            raise MalformedError(_STRUCTURE, at, f"{len(data) - at} bytes are left over")
        guid, total, header, size = _LIST.unpack_from(data, at)
        _check(guid, total, header, size, at, len(data))
        body = data[at + _LIST.size + header : at + total]
        entries = tuple(_entries(_KINDS.get(guid, (Kind.OTHER, 0))[0], body, size))
        start = at + _LIST.size
        lists.append(SignatureList(_uuid(guid), entries, data[start : start + header]))
        at += total
    return Database.of(lists)


def _check(guid: bytes, total: int, header: int, size: int, at: int, end: int) -> None:
    kind, wanted = _KINDS.get(guid, (Kind.OTHER, 0))
    if not _LIST.size <= total <= end - at:
        raise MalformedError(_STRUCTURE, at + 16, f"a list of {total:,} bytes")
    if header > total - _LIST.size or (header and kind is not Kind.OTHER):
        raise MalformedError(_STRUCTURE, at + 20, f"a header of {header:,} bytes")
    if size <= _OWNER:
        raise MalformedError(_STRUCTURE, at + 24, f"entries of {size} bytes")
    if wanted and size != _OWNER + wanted:
        raise MalformedError(_STRUCTURE, at + 24, f"{kind} entries of {size} bytes")
    if (total - _LIST.size - header) % size:
        raise MalformedError(_STRUCTURE, at + 16, f"it holds no whole number of {size} bytes")


def _entries(kind: Kind, body: bytes, size: int) -> Iterator[Entry]:
    for owner, data in struct.iter_unpack(f"16s{size - _OWNER}s", body):
        yield Entry(kind, _uuid(owner), data)


@lru_cache(maxsize=64)
def _uuid(encoded: bytes) -> uuid.UUID:
    return uuid.UUID(bytes_le=encoded)


def _is_update(data: bytes) -> bool:
    if len(data) < _UPDATE_HEAD.size:
        return False
    _, _, revision, kind, guid = _UPDATE_HEAD.unpack_from(data)
    return bool((revision, kind, guid) == (_REVISION, _EFI_GUID_CERTIFICATE, PKCS7.bytes_le))


def _revoke(known: dict[bytes, datetime | None], data: bytes) -> None:
    """The earliest time counts where a certificate is there twice."""
    digest, since = data[:-16], _moment(data[-16:])
    before = known.get(digest, since)
    known[digest] = min(before, since) if before and since else None


def _moment(time: bytes) -> datetime | None:
    """An EFI_TIME in UTC. None for zeros, and for what is no time."""
    year, month, day, hour, minute, second, nanosecond, _, _ = _TIME.unpack(time)
    try:
        return datetime(year, month, day, hour, minute, second, nanosecond // 1000, tzinfo=UTC)
    except ValueError:
        return None


# --- making -------------------------------------------------------------------------------


def certificate_lists(owner: uuid.UUID, certificates: Iterable[bytes]) -> Database:
    """A database of these certificates (DER). Each has a list of its own, as no two are as long."""
    return Database.of(_list(Kind.X509, owner, (encoded,)) for encoded in certificates)


def digest_list(owner: uuid.UUID, algorithm: str, digests: Iterable[bytes]) -> Database:
    """A database of executables, by their Authenticode digests ("sha256").

    Raises MalformedError where a digest has another size than the algorithm's, or there is none.
    """
    kept = tuple(digests)
    kind = Kind(algorithm)
    if not kept or kind not in _IMAGE_DIGESTS or any(len(each) != _SIZES[kind] for each in kept):
        raise MalformedError(_STRUCTURE, 0, f"no digests of {algorithm}")
    return Database.of((_list(kind, owner, kept),))


def _list(kind: Kind, owner: uuid.UUID, data: tuple[bytes, ...]) -> SignatureList:
    return SignatureList(_GUIDS[kind], tuple(Entry(kind, owner, each) for each in data))
