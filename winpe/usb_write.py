"""Writing a stick so that it never looks whole before it is, and reading back what it kept.

    1. the old partition tables are overwritten with zeros, at both ends
    2. marks all over the device: one that is smaller than it says returns the wrong ones
    3. everything but the first MiB and the table at the end
    4. read back, past every cache of this machine, and compared by SHA-256
    5. the table at the end, the first MiB without its first sector, then that sector; read back

Cut anywhere before the very last write, the device has no boot sector and no partition table: it
starts nothing, and nobody takes it for a medium. What a drive keeps in caches of its own, and says
it has written, no program can know.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from winpe.progress import Progress
from winpe.usb_device import BLOCK, SECTOR, Device, buffer
from winpe.usb_errors import ReadBackError, StickError, StoppedError

HEAD = 1 << 20  # bytes at the start that are written last
_TAIL = 1 << 20  # where a backup GPT may lie
_MARKS, _MARK = 32, 4096
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a file that goes to one place of the device, in bytes; places are whole sectors."""

    source: Path
    start: int
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class Layout:
    """What a stick shall hold."""

    head: bytes  # HEAD bytes for offset 0
    body: tuple[Segment, ...]  # behind the head
    tail: bytes = b""  # for the very end

    @property
    def size(self) -> int:
        """Bytes that are written in all."""
        return len(self.head) + len(self.tail) + sum(part.size for part in self.body)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long it took, in seconds."""

    write: float
    read: float


def write(layout: Layout, device: Device, progress: Progress) -> Timing:
    """Make the stick. Raises StickError, of which StoppedError after Ctrl-C."""
    try:
        return _write(layout, device, progress)
    except KeyboardInterrupt as exc:
        raise _stopped(device) from exc


def _stopped(device: Device) -> StoppedError:
    """What a person who stopped it must know. It may have been whole already: then not any more."""
    try:
        device.put(bytes(SECTOR), 0)
        device.flush()
    except (StickError, KeyboardInterrupt):
        return StoppedError(f"stopped: {device.path} is in an unknown state. Do not start from it")
    return StoppedError(
        f"stopped: {device.path} is blank now. It starts nothing, and what was on it is lost",
        hint="write it again, or format it for another use",
    )


def _write(layout: Layout, device: Device, progress: Progress) -> Timing:
    _wipe(device)
    _probe(device)
    with ThreadPoolExecutor(1) as pool:
        progress.stage("Writing")
        began = time.monotonic()
        meant = _copy(layout, device, pool, progress)
        device.flush()
        wrote = time.monotonic() - began
        progress.stage("Reading back")
        began = time.monotonic()
        if _digest(layout, device, pool, progress) != meant:
            raise _differs(layout, device)
        read = time.monotonic() - began
    progress.stage("Writing the boot sector")
    _finish(layout, device)
    progress.done()
    return Timing(wrote, read)


def _wipe(device: Device) -> None:
    device.put(bytes(min(HEAD, device.size)), 0)
    device.put(bytes(min(_TAIL, device.size)), max(0, device.size - _TAIL))
    device.flush()


def _probe(device: Device) -> None:
    """Raise ReadBackError where two places of the device are one, or a place keeps nothing.

    Sticks with a forged capacity let addresses begin again at zero, or drop what is beyond.
    """
    secret = secrets.token_bytes(16)
    step = device.size // _MARKS // _MARK * _MARK
    marks = {number * step: _mark(secret, number) for number in range(1, _MARKS) if step}
    for offset, content in marks.items():
        device.put(content, offset)
    device.flush()
    for offset, content in marks.items():
        if device.get(_MARK, offset) != content:
            raise ReadBackError(
                f"{device.path} says it holds {device.size / _MB:,.0f} MB, but does not keep what "
                f"is written at {offset / _MB:,.0f} MB: it is a fake, or worn",
                hint="take another stick",
            )


def _mark(secret: bytes, number: int) -> bytes:
    return hashlib.shake_128(secret + number.to_bytes(4)).digest(_MARK)


def _copy(layout: Layout, device: Device, pool: ThreadPoolExecutor, progress: Progress) -> bytes:
    """Write the body; the SHA-256 of what was sent, hashed while the device is busy."""
    digest = hashlib.sha256()
    report = _Speed(layout, progress)
    with buffer(BLOCK) as memory:
        for chunk in _chunks(layout):
            part = memory[: chunk.padded]
            _load(chunk, part)
            hashed = pool.submit(digest.update, part)
            device.write(part, chunk.offset)
            hashed.result()
            report(chunk.size)
    return digest.digest()


def _digest(layout: Layout, device: Device, pool: ThreadPoolExecutor, progress: Progress) -> bytes:
    """The SHA-256 of what the device returns; one block is read while the one before is hashed."""
    digest = hashlib.sha256()
    report = _Speed(layout, progress)
    hashed: Future[None] | None = None
    with buffer(BLOCK) as one, buffer(BLOCK) as other:
        try:
            for chunk in _chunks(layout):
                part = one[: chunk.padded]
                device.read(part, chunk.offset)
                if hashed:
                    hashed.result()
                hashed = pool.submit(digest.update, part)
                one, other = other, one
                report(chunk.size)
        finally:
            if hashed:
                hashed.result()
    return digest.digest()


def _differs(layout: Layout, device: Device) -> ReadBackError:
    """Name the first byte that is not as it was sent."""
    with buffer(BLOCK) as memory, buffer(BLOCK) as kept:
        for chunk in _chunks(layout):
            sent, returned = memory[: chunk.padded], kept[: chunk.padded]
            _load(chunk, sent)
            device.read(returned, chunk.offset)
            at = first_difference(bytes(sent), bytes(returned))
            if at is not None:
                return _worn(device, chunk.offset + at)
    return ReadBackError(
        f"{device.path} returned different bytes at first and the right ones now",
        hint="the stick, its cable or its socket is not to be trusted: take another one",
    )


def _worn(device: Device, offset: int) -> ReadBackError:
    return ReadBackError(
        f"{device.path} does not keep what is written to it: the first difference is at byte "
        f"{offset:,}. It is worn or fake",
        hint="take another stick; this one was left blank, so nobody starts from it",
    )


def first_difference(one: bytes, other: bytes) -> int | None:
    """The index of the first byte that differs; None when all are the same."""
    if one == other:
        return None
    low, high = 0, max(len(one), len(other))
    while high - low > 1:  # the first `low` bytes are the same, the first `high` are not
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _finish(layout: Layout, device: Device) -> None:
    end = device.size - len(layout.tail)
    if layout.tail:
        device.put(layout.tail, end)
    device.put(layout.head[SECTOR:], SECTOR)
    device.flush()
    device.put(layout.head[:SECTOR], 0)
    device.flush()
    written = ((0, layout.head), (end, layout.tail))
    for offset, content in written:
        if not content:
            continue
        at = first_difference(content, device.get(len(content), offset))
        if at is not None:
            device.put(bytes(SECTOR), 0)  # nobody shall start from it
            device.flush()
            raise _worn(device, offset + at)


@dataclass(frozen=True, slots=True)
class _Chunk:
    source: Path
    descriptor: int
    start: int
    size: int
    offset: int

    @property
    def padded(self) -> int:
        return -(-self.size // SECTOR) * SECTOR


def _chunks(layout: Layout) -> Iterator[_Chunk]:
    for part in layout.body:
        descriptor = os.open(part.source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            for at in range(0, part.size, BLOCK):
                size = min(BLOCK, part.size - at)
                yield _Chunk(part.source, descriptor, part.start + at, size, part.offset + at)
        finally:
            os.close(descriptor)


def _load(chunk: _Chunk, into: memoryview) -> None:
    """Fill `into` from the file, with zeros behind its end."""
    done = 0
    while done < chunk.size:
        want = into[done : chunk.size]
        count = os.preadv(chunk.descriptor, [want], chunk.start + done)
        if not count:
            raise ReadBackError(f"{chunk.source} became shorter while it was written")
        done += count
    into[chunk.size :] = bytes(len(into) - chunk.size)


class _Speed:
    """Tells `progress` how far it is, and how fast."""

    def __init__(self, layout: Layout, progress: Progress) -> None:
        self._total = sum(part.size for part in layout.body)
        self._tell: Callable[[int, int, str], None] = progress
        self._done, self._began = 0, time.monotonic()

    def __call__(self, more: int) -> None:
        self._done += more
        spent = max(time.monotonic() - self._began, 1e-6)
        self._tell(self._done, self._total, f"{self._done / spent / _MB:6.1f} MB/s")
