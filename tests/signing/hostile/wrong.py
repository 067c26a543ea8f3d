"""One way of being bad, and what may be said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from signing.kernel import Kind
from tests.builders.signed import Content, How, message

TAMPERED, UNREADABLE, UNTRUSTED = (Kind.TAMPERED,), (Kind.UNREADABLE,), (Kind.UNTRUSTED,)
LATE = (Kind.ORGANISATION,)  # of a good class, but it may replace nothing


@dataclass(frozen=True, slots=True)
class Wrong:
    """`kinds`: what it may be called; `words` are in what is said of it."""

    name: str
    make: Callable[[Content], bytes]
    kinds: tuple[Kind, ...]
    words: str = ""

    def __str__(self) -> str:
        return self.name


def by(kinds: tuple[Kind, ...], words: str, **hows: How) -> Iterator[Wrong]:
    """Messages with one signer each."""
    for name, how in hows.items():
        yield of(name.replace("_", " "), how, kinds, words)


def of(name: str, how: How, kinds: tuple[Kind, ...], words: str = "") -> Wrong:
    return Wrong(name, lambda content: message(content, [how]), kinds, words)
