"""DER by hand (X.690), as far as signed messages need it: tag, length and content."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

NULL = b"\x05\x00"


def tagged(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + content


def sequence(*parts: bytes) -> bytes:
    return tagged(0x30, b"".join(parts))


def set_of(members: Iterable[bytes]) -> bytes:
    """In DER's order: that of the members' bytes (X.690, 11.6)."""
    return tagged(0x31, b"".join(sorted(members)))


def octets(content: bytes) -> bytes:
    return tagged(0x04, content)


def integer(number: int) -> bytes:
    return tagged(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def bmp_string(text: str) -> bytes:
    return tagged(0x1E, text.encode("utf-16-be"))


def utc_time(when: datetime) -> bytes:
    return tagged(0x17, f"{when:%y%m%d%H%M%SZ}".encode())


def oid(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    content = bytes((first * 40 + second,))
    for number in rest:
        septets = [number & 0x7F]
        while number := number >> 7:
            septets.append(0x80 | number & 0x7F)
        content += bytes(reversed(septets))
    return tagged(0x06, content)
