"""What a Windows executable says of its own signature. It says nothing about trust.

`examine` compares the digest that the first embedded signature names with the digest of the file,
and reads the name in the certificate that signature claims. No signature is verified, no chain is
built, no time is looked at: anybody can make a file for which the answer is "embedded". What it
tells apart is files that are as their maker left them, files that changed since, and files without
a signature of their own (which a catalog may still vouch for).

What is hashed: Microsoft "Windows Authenticode Portable Executable Signature Format" (2008).
`authenticode_message` reads the message, `authenticode_proof` judges it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from cryptography import x509
from cryptography.x509.oid import NameOID

from signing import authenticode_message, keys
from signing.authenticode_message import Message, UnreadableError

LARGEST_TABLE = 4 << 20  # page hashes of the largest drivers take a few hundred KiB

_CHUNK = 1 << 20
_HEAD = 4096
_MAX_PE_OFFSET = 0x10000


class Vouching(StrEnum):
    """What a file's own signature claims of the file."""

    EMBEDDED = "embedded"  # the digest in it is that of the file
    NONE = "none"  # there is no signature in the file
    TAMPERED = "tampered"  # the digest in it is another one
    UNREADABLE = "unreadable"  # no executable, or a signature that cannot be read


@dataclass(frozen=True, slots=True)
class Claim:
    vouching: Vouching
    signer: str = ""  # name in the certificate that is claimed; nobody has verified it
    algorithm: str = ""  # of the file's digest: "sha256"


class Stream(Protocol):
    """An open file, buffered or not."""

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def read(self, size: int = -1, /) -> bytes | None: ...


def examine(stream: Stream) -> Claim:
    """The claim of the first signature embedded in a file. Says nothing about trust.

    Reads the whole file where there is a signature. Raises OSError where it cannot be read, and
    nothing else, whatever the bytes are.
    """
    return read(stream)[0]


def read(stream: Stream) -> tuple[Claim, Message | None]:
    """The claim and the message that makes it, None where there is none that can be read.

    Raises as `examine`.
    """
    try:
        image = _image(stream)
        if image is None:
            return Claim(Vouching.NONE), None
        message = authenticode_message.read(_read(stream, image.table_at, image.table_size))
        return _claim(stream, image, message), message
    except (UnreadableError, struct.error, *keys.UNREADABLE):
        return Claim(Vouching.UNREADABLE), None


def _claim(stream: Stream, image: _Image, message: Message) -> Claim:
    attested = hashlib.new(message.signer_algorithm, message.content, usedforsecurity=False)
    intact = message.content_digest == attested.digest() and message.digest == _digest(
        stream, image, message.algorithm
    )
    vouching = Vouching.EMBEDDED if intact else Vouching.TAMPERED
    signer = name(message.certificate) if message.certificate else ""
    return Claim(vouching, signer, message.algorithm)


def name(certificate: x509.Certificate) -> str:
    """What its subject is called, fit for a screen; "" where that cannot be read."""
    try:
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except keys.UNREADABLE:
        return ""
    if not names:
        return keys.organisation(certificate)
    text = str(names[0].value)
    return "".join(letter if letter.isprintable() else "?" for letter in text).strip()


# --- the file -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Image:
    """Where in a file the bytes lie that its digest leaves out."""

    checksum_at: int
    directory_at: int  # entry of the certificate table in the optional header
    table_at: int
    table_size: int
    size: int  # of the file

    def hashed(self) -> Iterator[tuple[int, int]]:
        """(start, end) of what is hashed: all but the two fields and the table itself."""
        yield 0, self.checksum_at
        yield self.checksum_at + 4, self.directory_at
        yield self.directory_at + 8, self.table_at
        yield self.table_at + self.table_size, self.size


def _image(stream: Stream) -> _Image | None:
    """None for an executable without a signature."""
    size = stream.seek(0, 2)
    head = _read(stream, 0, _HEAD)
    start: int
    magic, start = struct.unpack_from("<2s58xI", head)
    if magic != b"MZ" or start > _MAX_PE_OFFSET:
        raise UnreadableError
    optional = _read(stream, start, 24 + 240)
    (kind,) = struct.unpack_from("<H", optional, 24)
    if optional[:4] != b"PE\0\0" or kind not in (0x10B, 0x20B):
        raise UnreadableError
    directories = 24 + (112 if kind == 0x20B else 96)
    (count,) = struct.unpack_from("<I", optional, directories - 4)
    entry = directories + 4 * 8
    at, length = struct.unpack_from("<II", optional, entry) if count > 4 else (0, 0)
    if not at or not length:
        return None
    directory_at = start + entry
    if at < directory_at + 8 or at + length > size or length > LARGEST_TABLE:
        raise UnreadableError
    return _Image(start + 24 + 64, directory_at, at, length, size)


def _digest(stream: Stream, image: _Image, algorithm: str) -> bytes:
    total: Any = hashlib.new(algorithm, usedforsecurity=False)
    for start, end in image.hashed():
        stream.seek(start)
        left = end - start
        while left > 0:
            data = stream.read(min(left, _CHUNK))
            if not data:
                raise UnreadableError
            total.update(data)
            left -= len(data)
    digest: bytes = total.digest()
    return digest


def _read(stream: Stream, offset: int, size: int) -> bytes:
    stream.seek(offset)
    return stream.read(size) or b""
