"""What ntfs-3g wrote to its image, write by write, and the image as it stood after any of them.

A process that is killed leaves in the image all it has written and nothing else: a prefix of its
sequence of writes. So a sequence is recorded once, by strace(1), and every prefix is built from it.
ntfs-3g 2022.10.3 writes with pwrite64 only, one at a time (one thread), and keeps no cache of its
own but that of a resident attribute, which the sequence shows like everything else.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.repair import ntfs

SECTOR = 512
_STRACE = ["strace", "-qq", "-xx", "-s", str(1 << 25), "-e"]
_CALLS = "trace=pwrite64,pwritev,write,fsync,fdatasync,ftruncate,fallocate"
_WRITE = re.compile(rb'pwrite64\(\d+, "((?:\\x[0-9a-f]{2})*)", (\d+), (\d+)\) += (\d+)')
_SYNC = re.compile(rb"(?:fsync|fdatasync)\(\d+\) += 0")


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes that went to the image; none: everything so far was made durable (fsync)."""

    at: int
    content: bytes = field(repr=False)

    @property
    def is_sync(self) -> bool:
        return not self.content


@dataclass(frozen=True, slots=True)
class Recording:
    base: Path  # the image before the first write
    writes: tuple[Write, ...]

    @property
    def cuts(self) -> int:
        """How many prefixes differ: one for every write, and the whole."""
        return sum(not one.is_sync for one in self.writes) + 1

    def build(self, image: Path, writes: Sequence[Write]) -> Path:
        """The image with some of the writes."""
        shutil.copy(self.base, image)
        with image.open("r+b") as stream:
            for write in writes:
                stream.seek(write.at)
                stream.write(write.content)
        return image

    def cut(self, number: int) -> list[Write]:
        """The first `number` writes."""
        return [one for one in self.writes if not one.is_sync][:number]

    def torn(self, number: int, sectors: int) -> list[Write]:
        """The first `number` writes, and of the next its first sectors."""
        write = [one for one in self.writes if not one.is_sync][number]
        return [*self.cut(number), Write(write.at, write.content[: _until(write, sectors)])]

    def tears(self, number: int) -> int:
        """In how many ways the write after `number` can be torn."""
        write = [one for one in self.writes if not one.is_sync][number]
        return (write.at + len(write.content) - 1) // SECTOR - write.at // SECTOR

    def since_sync(self, number: int) -> int:
        """How many of the first `number` writes were followed by no fsync yet."""
        since, seen = 0, 0
        for one in self.writes:
            if seen == number:
                break
            since = 0 if one.is_sync else since + 1
            seen += not one.is_sync
        return since


def _until(write: Write, sectors: int) -> int:
    """Bytes up to the end of a sector of the disk, not of the write."""
    return (write.at // SECTOR + sectors) * SECTOR - write.at


@contextmanager
def recording(
    image: Path, base: Path, *, first: Callable[[Path], object] = lambda _: None
) -> Iterator[tuple[ntfs.Mounted, Callable[[], Recording]]]:
    """Mount an image under strace, having done `first` to it and copied it to `base`.

    What is written from then on, unmounting included, is to be asked for after the block.
    """
    log = base.with_name(f"{base.name}.strace")
    command = [*_STRACE, _CALLS, "-o", str(log)]
    first(image)
    shutil.copy(image, base)
    with ntfs.mounted(image, under=command) as volume:
        yield volume, lambda: Recording(base, tuple(read(log)))


def read(log: Path) -> Iterator[Write]:
    """The writes of a log. Raises ValueError for a call that is not understood."""
    for line in log.read_bytes().splitlines():
        if found := _WRITE.match(line):
            content = bytes.fromhex(found[1].replace(b"\\x", b"").decode())
            if not len(content) == int(found[2]) == int(found[4]):
                raise ValueError("a write that was not whole")
            yield Write(int(found[3]), content)
        elif _SYNC.match(line):
            yield Write(0, b"")
        elif not line.startswith((b"write(", b"---", b"+++")):
            raise ValueError(f"not understood: {line[:80]!r}")
