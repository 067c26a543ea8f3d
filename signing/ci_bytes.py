"""The bytes of a binary Code Integrity policy, read front to back (layout: `ci_policy`)."""

from __future__ import annotations

import struct
import uuid

from signing import ci_rules
from signing.errors import MalformedError

STRUCTURE = "code integrity policy"


class Reader:
    """A place in the bytes. Every read is checked against the end."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def fail(self, problem: str) -> MalformedError:
        return MalformedError(STRUCTURE, self.at, problem)

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise self.fail(f"{size} bytes are wanted, {len(self.data) - self.at} are left")
        piece = self.data[self.at : end]
        self.at = end
        return piece

    def number(self) -> int:
        at = self.at
        if at + 4 > len(self.data):
            raise self.fail("it ends in a number")
        self.at = at + 4
        return int.from_bytes(self.data[at : at + 4], "little")

    def long(self) -> int:
        return int.from_bytes(self.take(8), "little")

    def version(self) -> ci_rules.Version:
        return ci_rules.version(self.long())

    def guid(self) -> str:
        return f"{{{str(uuid.UUID(bytes_le=self.take(16))).upper()}}}"

    def counted(self) -> bytes:
        size = self.number()
        piece = self.take(size)
        self.take(-size & 3)
        return piece

    def text(self) -> str:
        start = self.at
        raw = self.counted()
        if self.number() != 0:
            raise MalformedError(STRUCTURE, start, "a text without its end")
        if not raw:
            return ""
        try:
            return raw.decode("utf-16-le")
        except UnicodeDecodeError as error:
            raise MalformedError(STRUCTURE, start, "a text that is no UTF-16") from error

    def count(self, each: int) -> int:
        """How many follow, of which each takes at least so many bytes."""
        count = self.number()
        self.check(count, each)
        return count

    def check(self, count: int, each: int) -> None:
        if count * each > len(self.data) - self.at:
            raise self.fail(f"{count} entries do not fit in what is left")

    def indices(self, limit: int, what: str) -> tuple[int, ...]:
        count = self.count(4)
        found = struct.unpack_from(f"<{count}I", self.data, self.at)
        for index in found:
            if index >= limit:
                raise self.fail(f"{what} {index} of {limit}")
        self.at += 4 * count
        return found
