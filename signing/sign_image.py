"""Signing executables for Secure Boot: EFI programs, boot loaders, unified kernel images.

Sources: Microsoft "Windows Authenticode Portable Executable Signature Format" (2008); "PE Format",
"The Attribute Certificate Table" and "CheckSum"; UEFI 2.10, 32.5 (a signature per table entry,
each checked on its own). Bytes in, bytes out. Each signer makes an entry of its own, so keys lie
side by side: firmware that knows one of them starts the program. (Windows has another way of
holding two, a signature nested in the first; firmware does not look there.)

The digest is of the whole file. Firmware hashes headers, then sections, then what lies behind them;
both are the same only where nothing lies between. So refused are: bytes between sections, and, as
nobody could say what is being signed there, anything behind the last section but symbols that the
header names and the zeros that fill a file up. Not made: page hashes, catalogs.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives.asymmetric import rsa

from signing import image as images
from signing import indirect_data, keys, sign_message, signed_data
from signing.cms_layout import Algorithm
from signing.der import without_filling
from signing.errors import MalformedError, SigningError
from signing.image import Image
from signing.sign_message import Stamp, attribute, tlv
from signing.signer import Signer

LARGEST = 1 << 30
MACHINES = ("x86", "x64", "arm64")
SUBSYSTEMS_OF_EFI = range(10, 14)  # application, boot and runtime driver, ROM
_INDIRECT_DATA = x509.ObjectIdentifier(indirect_data.INDIRECT_DATA)
_PE_IMAGE = x509.ObjectIdentifier("1.3.6.1.4.1.311.2.1.15")
_OPUS_INFO = x509.ObjectIdentifier("1.3.6.1.4.1.311.2.1.12")
_REVISION = 0x0200
_EMPTY_SEQUENCE = b"\x30\x00"
# SpcPeImageData as signtool writes it: no flags; the file's name is an empty string.
_PE_IMAGE_DATA = bytes.fromhex("3009 030100 a004a2028000")
_MOST_ENTRIES = 16  # as many as `image.entries` reads


class Existing(StrEnum):
    """What becomes of signatures that are already there."""

    REFUSE = "refuse"
    APPEND = "append"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class How:
    existing: Existing = Existing.REFUSE
    digest: str = "sha256"  # what all firmware knows
    signing_time: datetime | None = None  # None: none is stated, and the bytes can be made again
    stamp: Stamp | None = None


@asn1.sequence
class _DigestInfo:
    algorithm: Algorithm
    digest: bytes


@asn1.sequence
class _About:
    type: x509.ObjectIdentifier
    value: asn1.TLV


@asn1.sequence
class _IndirectData:
    data: _About
    digest: _DigestInfo


def sign(content: bytes, signers: Sequence[Signer], how: How = How()) -> bytes:
    """The executable with a signature by each of `signers`, checksum and all.

    Raises MalformedError for what is no executable, SigningError for one that cannot be signed so
    that everybody agrees on it, KeyFileError for a signer who cannot; what `how.stamp` raises.
    """
    now = datetime.now(UTC)
    for signer in signers:
        keys.refuse_expired(signer.certificate, now)
    # (1) What the file is, and whether its digest means the same to everybody.
    read = images.read(io.BytesIO(content))
    _refuse_odd(content, read)
    # (2) Without its table, or with the entries that stay.
    kept = _kept(content, read, how.existing)
    body = content[: read.table_at] if read.is_signed else content
    body += bytes(-len(body) % 8)  # hashed: the table begins at a multiple of 8
    body = body[: read.directory_at] + bytes(8) + body[read.directory_at + 8 :]
    # (3) Each signature is over the same digest: none covers another.
    signed = images.read(io.BytesIO(body))
    digest = images.digests(io.BytesIO(body), signed, [how.digest])[how.digest]
    messages = [_message(digest, signer, how) for signer in signers]
    # (4) The table, its entry in the header, the checksum of all.
    table = b"".join([*kept, *map(_entry, messages)])
    return _assembled(body, table, read)


def refuse_other_programs(content: bytes) -> None:
    """Raise SigningError for a program that is not for firmware: Windows wants more than this."""
    if images.read(io.BytesIO(content)).subsystem not in SUBSYSTEMS_OF_EFI:
        raise SigningError("this is a program of Windows, not one that firmware starts")


def is_seldom_verified(certificates: Sequence[x509.Certificate]) -> bool:
    """Whether no key is RSA. OVMF, as Debian 12 and 13 build it, refuses ECDSA, by whomever."""
    return not any(isinstance(each.public_key(), rsa.RSAPublicKey) for each in certificates)


def _refuse_odd(content: bytes, read: Image) -> None:
    if len(content) > LARGEST:
        raise SigningError(f"{len(content):,} bytes are more than the {LARGEST:,} that are signed")
    if read.machine not in MACHINES:
        raise SigningError(f"the executable is for {read.machine}, not for {', '.join(MACHINES)}")
    if not read.directory_at:
        raise SigningError("the executable's header has no place for a signature")
    end = read.headers_size
    for section in read.sections:
        if section.start != end:
            raise SigningError(
                f"{section.start - end} bytes at {end:#x} of the executable belong to no section:"
                " firmware would not hash them, and others would"
            )
        end = section.start + section.size
    stop = read.table_at if read.is_signed else read.size
    if any(content[max(end, _symbols_end(content, read)) : stop]):
        raise SigningError(
            f"there are {stop - end:,} bytes behind the last section that no header speaks of",
            hint="what was appended to the file would be signed with it; remove it first",
        )
    if read.is_signed and read.table_at + read.table_size != read.size:
        raise SigningError("there are bytes behind the executable's signature")


def _symbols_end(content: bytes, read: Image) -> int:
    """Where the COFF symbols and their strings end, which binutils leave; 0 without any."""
    start = read.checksum_at - 64 - 24
    at: int
    count: int
    at, count = struct.unpack_from("<II", content, start + 12)
    strings = at + 18 * count
    if not at or not count or strings + 4 > len(content):
        return 0
    return strings + int.from_bytes(content[strings : strings + 4], "little")


def _kept(content: bytes, read: Image, existing: Existing) -> list[bytes]:
    """The entries that stay in the table, each with what fills it up."""
    if not read.is_signed or existing is Existing.REPLACE:
        return []
    if existing is Existing.REFUSE:
        raise SigningError(
            "the executable is signed already",
            hint="add a signature beside it (--append), or put ours in its place (--replace)",
        )
    if read.table_at % 8:  # what fills that up would be hashed, and no signature there hold then
        raise SigningError("the signatures there do not begin where one can be added")
    found = images.entries(io.BytesIO(content), read)
    if len(found) >= _MOST_ENTRIES:
        raise SigningError(f"the executable has {len(found)} signatures already")
    for entry in found:
        _refuse_broken(content, read, entry)
    raw = (struct.pack("<IHH", 8 + len(e.content), e.revision, e.kind) + e.content for e in found)
    return [entry + bytes(-len(entry) % 8) for entry in raw]


def _refuse_broken(content: bytes, read: Image, entry: images.Entry) -> None:
    """Somebody changed the file since, or the signature: not what ours should stand beside."""
    if entry.kind != images.PKCS_SIGNED_DATA:
        return
    hint = "put ours in its place (--replace), if you trust the file"
    try:
        encoded, _ = without_filling(entry.content, "signature")
        named = indirect_data.read(signed_data.read(encoded).content)
        known = images.digests(io.BytesIO(content), read, [named.algorithm or "sha256"])
    except MalformedError as exc:
        raise SigningError(f"a signature that is there cannot be read: {exc}", hint=hint) from exc
    if named.digest != known.get(named.algorithm):
        raise SigningError("a signature that is there was made for other bytes", hint=hint)


def _message(digest: bytes, signer: Signer, how: How) -> bytes:
    algorithm = sign_message.digest_algorithm(how.digest)
    # An SpcAttributeTypeAndOptionalValue holds its value bare.
    about = _About(type=_PE_IMAGE, value=tlv(_PE_IMAGE_DATA))
    named = _IndirectData(data=about, digest=_DigestInfo(algorithm=algorithm, digest=digest))
    encoded = asn1.encode_der(named)
    # PKCS #7 digests the contents of the value, without its tag and length.
    content = sign_message.Content(_INDIRECT_DATA, _contents(encoded), encoded)
    # The document requires the attribute; it may be empty.
    opus = attribute(_OPUS_INFO, _EMPTY_SEQUENCE)
    made = sign_message.How(how.digest, how.signing_time, (opus,), stamp=how.stamp)
    return sign_message.message(content, [signer], made)


def _contents(der: bytes) -> bytes:
    header = 2 + (der[1] & 0x7F if der[1] & 0x80 else 0)
    return der[header:]


def _entry(message: bytes) -> bytes:
    """A WIN_CERTIFICATE; its length counts what fills it up, as signtool has it."""
    filled = message + bytes(-len(message) % 8)
    return struct.pack("<IHH", 8 + len(filled), _REVISION, images.PKCS_SIGNED_DATA) + filled


def _assembled(body: bytes, table: bytes, read: Image) -> bytes:
    if len(table) > images.LARGEST_TABLE:
        raise SigningError(f"signatures of {len(table):,} bytes are more than anybody reads")
    whole = bytearray(body + table)
    struct.pack_into("<II", whole, read.directory_at, len(body), len(table))
    struct.pack_into("<I", whole, read.checksum_at, 0)
    struct.pack_into("<I", whole, read.checksum_at, checksum(whole))
    return bytes(whole)


def checksum(blank: bytes | bytearray) -> int:
    """PE's checksum of a file whose own field is zero: 16-bit words added with carry, and its size.

    The words' sum with end-around carry is the number they form, modulo 65535: one division.
    """
    number = int.from_bytes(blank, "little")
    total = number % 0xFFFF or (0xFFFF if number else 0)
    return total + len(blank)
