"""The files of an ISO image, or of a stick it was written to, read where they lie.

xorriso says which blocks each file has (`-report_lba`), and the bytes are then read straight from
the image: nothing is mounted, extracted or copied. Names are those of ISO 9660 with Rock Ridge, as
Linux and GRUB see them. Refused: links, devices and names over several lines, which our media do
not have.
"""

from __future__ import annotations

import io
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from signing.errors import TamperedError
from signing.manifest import Stream
from winpe import tools
from winpe.errors import ImageRefusedError, MediaUsageError, ToolError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK = 2048
_DESCRIPTOR = 16 * BLOCK
_IDENTIFIER = b"\x01CD001\x01"  # a primary volume descriptor, ECMA-119 8.4
_VOLUME_SIZE = 80  # in that descriptor, in blocks
_EXTENT = re.compile(r"File data lba: +\d+ , +(\d+) , +(\d+) , +(\d+) , (.+)")
_CATALOG = re.compile(r"El Torito catalog +: (\d+) +(\d+)")
_CATALOG_PATH = re.compile(r"El Torito cat path : (.+)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file lies."""

    size: int  # bytes
    extents: tuple[tuple[int, int], ...]  # (offset, length) in bytes, whole blocks


class Image:
    """An opened image; `signing.manifest.Files`."""

    def __init__(self, descriptor: int, places: Mapping[str, Place]) -> None:
        self._descriptor, self._places = descriptor, places

    def names(self) -> Iterator[str]:
        return iter(self._places)

    def is_link(self, path: str) -> bool:
        """Never: an image with links is not opened."""
        return path not in self._places

    def open(self, path: str) -> Stream:
        return _Content(self._descriptor, self._places[path])

    def read(self, path: str, limit: int) -> bytes:
        """At most `limit` bytes and one more. Raises TamperedError."""
        if path not in self._places:
            raise TamperedError(path, "is missing")
        try:
            with self.open(path) as stream:
                return _read(stream, limit + 1)
        except OSError as exc:
            raise TamperedError(path, f"cannot be read: {exc.strerror}") from exc

    def head(self, size: int) -> bytes:
        """The first bytes of the image itself. Raises TamperedError."""
        try:
            return os.pread(self._descriptor, size, 0)
        except OSError as exc:
            raise TamperedError("the first sector", f"cannot be read: {exc.strerror}") from exc


@contextmanager
def opened(path: Path) -> Iterator[Image]:
    """The image or block device at `path`. Raises MediaUsageError, ImageRefusedError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as exc:
        raise MediaUsageError(f"{path} cannot be opened: {exc.strerror}") from exc
    try:
        _check_whole(path, descriptor)
        yield Image(descriptor, _list(path))
    finally:
        os.close(descriptor)


def _check_whole(path: Path, descriptor: int) -> None:
    """Raise unless an ISO image is there, all of it: downloads and copies stop half-way."""
    try:
        head = os.pread(descriptor, BLOCK, _DESCRIPTOR)
        present = os.lseek(descriptor, 0, os.SEEK_END)
    except OSError as exc:
        raise MediaUsageError(f"{path} cannot be read: {exc.strerror}") from exc
    if len(head) < BLOCK or not head.startswith(_IDENTIFIER):
        raise ImageRefusedError(f"{path} is not an ISO image, or its first part is damaged")
    expected = int.from_bytes(head[_VOLUME_SIZE : _VOLUME_SIZE + 4], "little") * BLOCK
    if present < expected:
        raise ImageRefusedError(
            f"{path} is cut off: it has {present:,} of {expected:,} bytes",
            hint="copy or download it again",
        )


def _list(path: Path) -> dict[str, Place]:
    """What xorriso finds on the image."""
    # -no_rc: the user's start-up file must not change what we see. stdio: lets xorriso read a
    # stick as it reads a file, instead of looking for a CD drive.
    argv = ["xorriso", "-no_rc", "-indev", f"stdio:{path.absolute()}"]
    argv += ["-report_el_torito", "plain", "-find", "/", "-exec", "report_lba", "--"]
    argv += ["-find", "/", "-not", "-type", "d", "-exec", "echo", "--"]
    try:
        output = tools.run(argv)
    except ToolError as exc:
        raise ImageRefusedError(f"the list of files on {path} is damaged: {exc}") from exc
    return _places(output.decode(errors="surrogateescape"))


def _places(report: str) -> dict[str, Place]:
    places: dict[str, Place] = {}
    names: list[str] = []
    catalog = (0, 0)
    for line in report.split("\n"):
        if found := _EXTENT.fullmatch(line):
            _add(places, _name(found[4]), int(found[3]), (int(found[1]), int(found[2])))
        elif found := _CATALOG.fullmatch(line):
            catalog = (int(found[1]), int(found[2]))
        elif found := _CATALOG_PATH.fullmatch(line):
            # The boot catalog is a file for everybody but xorriso, which makes it anew each time.
            _add(places, found[1].removeprefix("/"), catalog[1] * BLOCK, catalog)
        elif line.startswith("'"):
            names.append(_name(line))
        elif line and not line.startswith(("El Torito", "Report layout")):
            raise ImageRefusedError(f"the image has a file with a strange name: {line!r}")
    for name in sorted(names):
        if name not in places:
            raise ImageRefusedError(f"{name!r} on the image is not a plain file")
    return places


def _add(places: dict[str, Place], name: str, size: int, blocks: tuple[int, int]) -> None:
    """A file over 4 GiB comes in several pieces, one after the other."""
    before = places[name].extents if name in places else ()
    places[name] = Place(size, (*before, (blocks[0] * BLOCK, blocks[1] * BLOCK)))


def _name(quoted: str) -> str:
    try:
        (name,) = shlex.split(quoted)
    except ValueError as exc:
        raise ImageRefusedError(f"the image has a file with a strange name: {quoted!r}") from exc
    return name.removeprefix("/")


class _Content(io.RawIOBase):
    """One file's bytes, straight from the image."""

    def __init__(self, descriptor: int, place: Place) -> None:
        self._descriptor, self._extents, self._left = descriptor, list(place.extents), place.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        if not self._extents or not self._left:
            return 0
        start, length = self._extents[0]
        view = memoryview(buffer)
        wanted = min(len(view), length, self._left)
        read = os.preadv(self._descriptor, [view[:wanted]], start)
        self._left -= read
        if read == length:
            del self._extents[0]
        else:
            self._extents[0] = (start + read, length - read)
        return read


def _read(stream: Stream, limit: int) -> bytes:
    content = bytearray()
    while block := stream.read(limit - len(content)):
        content += block
    return bytes(content)
