"""DER seen from outside: what lies where in a value (X.690, 8.1). For DER that is as it should be.

An independent reading for tests that change signed files; recursive and trusting, unlike
signing.der, which reads what strangers wrote.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """A value: offsets of its tag, of its contents and of its end."""

    data: bytes
    start: int
    body: int
    end: int

    @property
    def tag(self) -> int:
        return self.data[self.start]

    @property
    def whole(self) -> bytes:
        return self.data[self.start : self.end]

    @property
    def contents(self) -> bytes:
        return self.data[self.body : self.end]

    def children(self) -> list[Node]:
        return list(_within(self.data, self.body, self.end))

    def at(self, *path: int) -> Node:
        """A value inside by its place: at(1, 0) is the first of the second."""
        found = self
        for place in path:
            found = found.children()[place]
        return found


def node(data: bytes, at: int = 0) -> Node:
    length, body = data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length, body = int.from_bytes(data[body : body + count], "big"), body + count
    return Node(data, at, body, body + length)


def _within(data: bytes, at: int, end: int) -> Iterator[Node]:
    while at < end:
        found = node(data, at)
        yield found
        at = found.end
