"""Which of a machine's catalogs list a file, before any signature is looked at.

Windows keeps thousands of catalogs (System32\\CatRoot), each with the digests of up to thousands of
files. They are read once, and only for their digests; a catalog's signature is verified when a file
turns out to be in it, from the bytes that `CatalogRef.read` hands out.

So the index is a hint, and vouches for nothing: the verified list has the last word
(`catalog.Catalog.find`). It keeps the first 16 bytes of each digest, which no two will share by
accident, in 4,096 buckets of bytes: 20 MB for a million members, a fifth of a dictionary.

Catalogs of the same content are read once: drivers have theirs in CatRoot and in the driver store.
What was read can be kept in a `Cache` for the next index in this process. Nothing is kept on disk:
2,000 catalogs with 80,000 entries cost 0.22 s, and 0.09 s where all was read before, as each has to
be opened and hashed all the same.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from signing import catalog
from signing.errors import MalformedError, SigningError, TamperedError

MOST_CATALOGS = 100_000
MOST_MEMBERS = 5_000_000  # of all catalogs: 100 MB of memory
DEEPEST = 8  # folders below the one given

_PREFIX = 16  # bytes of a digest that are kept
_RECORD = _PREFIX + 4  # with the number of its catalog
_BUCKETS = 4096  # by Python's own hash, whose key nobody can know: no one of them can be filled
_CHUNK = 1 << 16


class Stream(Protocol):
    """An open file, buffered or not."""

    def read(self, size: int = -1, /) -> bytes | None: ...


class Source(Protocol):
    """A file that may be a catalog."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def open(self) -> AbstractContextManager[Stream]:
        """Open it for reading. Raises OSError."""
        ...


@dataclass(frozen=True, slots=True)
class CatalogRef:
    """A catalog that was read once."""

    name: str  # of the first source with that content
    digest: bytes  # SHA-256 of its content
    source: Source

    def read(self) -> bytes:
        """Its content again. Raises OSError, TamperedError where it is not what was indexed."""
        content = _read(self.source)
        if hashlib.sha256(content).digest() != self.digest:
            raise TamperedError(self.name, "it changed after it was read first")
        return content


@dataclass(slots=True)
class Cache:
    """What was read of catalogs, by SHA-256 of their content; for one process."""

    most: int = 64 << 20  # bytes of digests; what does not fit is read again
    used: int = 0
    kept: dict[bytes, bytes] = field(default_factory=dict)

    def keep(self, content: bytes, packed: bytes) -> None:
        if self.used + len(packed) <= self.most and len(self.kept) < MOST_CATALOGS:
            self.kept[content] = packed
            self.used += len(packed)


@dataclass(frozen=True, slots=True)
class CatalogIndex:
    """Digests of files to the catalogs that list them. Made by `build`."""

    refs: tuple[CatalogRef, ...]  # in the order of their sources
    gaps: tuple[tuple[str, str], ...]  # (name, reason) of what could not be read or had no room
    members: int  # entries of all catalogs
    buckets: tuple[bytes, ...]
    are_all: bool = False  # the sources were all that a Windows has

    @property
    def is_complete(self) -> bool:
        """Whether a file that is not found is in no catalog of that Windows."""
        return self.are_all and not self.gaps

    def find(self, digest: bytes) -> tuple[CatalogRef, ...]:
        """The catalogs that list it, in the order of their sources; `digest`: SHA-1 or SHA-256."""
        if len(digest) < _PREFIX:
            return ()
        prefix = digest[:_PREFIX]
        bucket = self.buckets[hash(prefix) % _BUCKETS]
        found: set[int] = set()
        at = bucket.find(prefix)
        while at >= 0:
            if at % _RECORD == 0:
                found.add(int.from_bytes(bucket[at + _PREFIX : at + _RECORD], "big"))
            at = bucket.find(prefix, at + 1)
        return tuple(self.refs[number] for number in sorted(found))


def build(
    sources: Iterable[Source],
    *,
    cache: Cache | None = None,
    progress: Callable[[int], object] | None = None,
    are_all: bool = False,
) -> CatalogIndex:
    """Read all catalogs; `progress` is told how many were, after each.

    `are_all`: the sources are all catalogs of a Windows, and not some that somebody has at hand.

    Never raises for a catalog that cannot be read or is none: it becomes a gap.
    """
    kept = Cache() if cache is None else cache
    refs: list[CatalogRef] = []
    gaps: list[tuple[str, str]] = []
    seen: set[bytes] = set()
    buckets = [bytearray() for _ in range(_BUCKETS)]
    members = 0
    for count, source in enumerate(sources, 1):
        if count > MOST_CATALOGS:
            gaps.append((source.name, f"more than {MOST_CATALOGS:,} catalogs"))
            break
        try:
            content = _read(source)
            digest = hashlib.sha256(content).digest()
            if digest not in seen:
                packed = _packed(content, digest, kept)
                _check_room(members, packed)
                members += _add(buckets, packed, len(refs))
                refs.append(CatalogRef(source.name, digest, source))
                seen.add(digest)
        except (OSError, SigningError) as exc:
            gaps.append((source.name, _reason(exc)))
        if progress is not None:
            progress(count)
    return CatalogIndex(tuple(refs), tuple(gaps), members, tuple(_frozen(buckets)), are_all)


def _frozen(buckets: list[bytearray]) -> Iterator[bytes]:
    """One by one, so that memory never holds all of them twice."""
    buckets.reverse()
    while buckets:
        yield bytes(buckets.pop())


def _read(source: Source) -> bytes:
    parts: list[bytes] = []
    left = catalog.LARGEST + 1
    with source.open() as stream:
        while left > 0 and (data := stream.read(min(left, _CHUNK))):
            parts.append(data)
            left -= len(data)
    if left <= 0:
        raise MalformedError("catalog", catalog.LARGEST, "it is too large")
    return b"".join(parts)


def _packed(content: bytes, digest: bytes, cache: Cache) -> bytes:
    """The first bytes of the digests that a catalog lists, one behind the other."""
    if (packed := cache.kept.get(digest)) is None:
        listed = catalog.digests(catalog.inside(content))
        packed = b"".join(dict.fromkeys([each[:_PREFIX] for each in listed]))
        cache.keep(digest, packed)
    return packed


def _check_room(members: int, packed: bytes) -> None:
    if members + len(packed) // _PREFIX > MOST_MEMBERS:
        raise MalformedError("catalog", 0, f"more than {MOST_MEMBERS:,} files in all catalogs")


def _add(buckets: list[bytearray], packed: bytes, number: int) -> int:
    suffix = number.to_bytes(_RECORD - _PREFIX, "big")
    for at in range(0, len(packed), _PREFIX):
        prefix = packed[at : at + _PREFIX]
        buckets[hash(prefix) % _BUCKETS] += prefix + suffix
    return len(packed) // _PREFIX


def _reason(exc: OSError | SigningError) -> str:
    return (exc.strerror or str(exc)) if isinstance(exc, OSError) else str(exc)


# --- a folder of this host ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class File:
    """A catalog in a folder; a symbolic link is not followed, a device not waited for."""

    name: str  # its path below the folder
    path: Path

    def open(self) -> AbstractContextManager[Stream]:
        number = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise OSError("it is not a file")  # noqa: TRY301
            return os.fdopen(number, "rb", buffering=0)
        except OSError:
            os.close(number)
            raise


@dataclass(frozen=True, slots=True)
class _Unreadable:
    """A folder that was not listed: a gap like a catalog."""

    name: str
    error: OSError

    def open(self) -> AbstractContextManager[Stream]:
        raise self.error


def folder(path: Path) -> Iterator[Source]:
    """The .cat files in a folder and below it, in the order of their names."""
    return _below(path, "", 0)


def _below(path: Path, prefix: str, depth: int) -> Iterator[Source]:
    try:
        with os.scandir(path) as listing:
            entries = sorted((each.name, each.is_dir(follow_symlinks=False)) for each in listing)
    except OSError as exc:
        yield _Unreadable(prefix or str(path), exc)
        return
    for entry, is_folder in entries:
        name = f"{prefix}/{entry}" if prefix else entry
        if is_folder and depth == DEEPEST:
            yield _Unreadable(name, OSError("it lies too deep"))
        elif is_folder:
            yield from _below(path / entry, name, depth + 1)
        elif entry.lower().endswith(".cat"):
            yield File(name, path / entry)
