"""In which order the sectors of a changed hive are written, so that no cut ever tears it.

A hive is never replaced by a rename: ntfs-3g's is not atomic, and leaves a moment without any hive.
It is written in place, each 512-byte sector old or new when the power goes, in one of two ways.

*Numbers only* (a Start value): first the bins, then the base block. Every mixture can be started
from. Of a clean hive each number is old or new, and each is sound. Of a dirty one the header still
says so: whoever reads it replays the same pages of the logs over ours.

*Through the log* (anything that moves a cell), as Windows flushes a hive (msuhanov/regf, "Dirty
state of a hive"):

    1. settle   a dirty hive gets the pages its logs hold; its header becomes clean last of all.
                Until then the same logs make the same hive of every mixture
    2. grow     the file gets the bins that lie behind its end, which the old header does not count.
                Where there is no room for them, nothing has happened yet
    3. log      the pages of the new hive go to a log, which a clean hive does not look at
    4. dirty    one sector: the header now asks for that log. From here on the hive is the new one,
                for us and for Windows, wherever its pages stand
    5. pages    are written over the old ones
    6. clean    one sector: the header no longer needs the log

Taking it back (`back`) goes the same way from the new hive to the recovered old one, then gives the
log its old bytes, then the header, then the stale pages that the old logs cover. At every cut of
either way the files, read with their logs, are the old hive or the new one, and `back` can be
called again.

The log has the format of the logs that stand there: the newer one if one of them has it, since a
Windows that knows it would look at that one first. Where there is none to go by it is the older
one, which all Windows since 2000 apply (the kernels of Windows 10 still have the code for it). A
`.LOG` beside `.LOG1` and `.LOG2` is a relic of the installation image and says nothing, but beside
two empty ones it is a boot store's (msuhanov/regf, "Multiple transaction log files").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from recoverykit.errors import FormatError
from recoverykit.formats import regf_log
from recoverykit.formats.hive_files import (
    FilePatch,
    HiveFiles,
    Patched,
    Piece,
    difference,
    patches,
    rewound,
)
from recoverykit.formats.log_write import bitmap_log, entry_log
from recoverykit.formats.regf import BASE_BLOCK_SIZE, LOG_NEW, PAGE, SECTOR, BaseBlock, stamped
from recoverykit.formats.regf_log import Recovery

_WRAP = 0xFFFF_FFFF
_BOOT_STORE = 3  # minor version

Writes = tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Step:
    """What is done to one file, all of it durable before the next step begins."""

    file: str
    writes: Writes = ()  # (offset, bytes); what lies beyond the end makes the file longer
    size: int | None = None  # the file is cut to this length
    remove: bool = False


@dataclass(frozen=True)  # without slots, for what is kept of it
class Saving:
    """How a hive is saved."""

    before: HiveFiles
    steps: tuple[Step, ...]

    @cached_property
    def after(self) -> HiveFiles:
        """The files when all steps are done."""
        files = self.before
        for step in self.steps:
            files = applied(files, step)
        return files


def save(
    files: HiveFiles, found: Recovery, image: bytes | Patched, *, numbers_only: bool
) -> Saving:
    """Write `image`, a changed copy of `found.data` (what the files say), over the files.

    `image` and `numbers_only` as `hive_edit.Edited` has them. Raises FormatError where a damaged
    header makes it impossible to write safely.
    """
    if isinstance(image, Patched):
        if numbers_only and image.before is files.hive and _sound(files.hive):
            return Saving(files, _split(files.name, image.pieces))
        image = image.whole()
    in_place = numbers_only and len(image) == len(files.hive) and _sound(files.hive)
    steps = _in_place(files, image) if in_place else _through_log(files, found, image)
    return Saving(files, steps)


def record(saving: Saving) -> tuple[FilePatch, ...]:
    """What `back` needs."""
    touched: dict[str, list[tuple[int, int]]] = {}
    for step in saving.steps:
        written = ((offset, len(data)) for offset, data in step.writes)
        touched.setdefault(step.file, []).extend(written)
    return patches(saving.before, saving.after, touched)


def back(now: HiveFiles, kept: Sequence[FilePatch]) -> tuple[Step, ...] | None:
    """How to take a save back: from what it left, or left half done, or an undo left half done.

    `kept` is the `record` of the save. None if the files are none of these: somebody else has
    written to them since.
    """
    before = rewound(now, kept, forward=False)
    after = rewound(now, kept, forward=True)
    if before is None or after is None:
        return None
    if now == before:
        return ()
    if all(patch.name == now.name or not patch.pieces for patch in kept):
        return _in_place_back(now, before, kept)
    return _through_log_back(now, before, after)


def applied(files: HiveFiles, step: Step) -> HiveFiles:
    """The files after a step."""
    if step.remove:
        return files.having(step.file, None)
    content = bytearray(files.content(step.file) or b"")
    for offset, data in step.writes:
        content.extend(bytes(max(offset + len(data) - len(content), 0)))
        content[offset : offset + len(data)] = data
    if step.size is not None:
        del content[step.size :]
    return files.having(step.file, bytes(content))


def _sound(hive: bytes) -> bool:
    try:
        return BaseBlock.parse(hive).checksum_ok
    except FormatError:
        return False


# --- numbers only -------------------------------------------------------------------------


def _in_place(files: HiveFiles, image: bytes) -> tuple[Step, ...]:
    return _split(files.name, difference(files.hive, image))


def _in_place_back(
    now: HiveFiles, before: HiveFiles, kept: Sequence[FilePatch]
) -> tuple[Step, ...] | None:
    pieces = next(patch.pieces for patch in kept if patch.name == now.name)
    if not all(_mixed(now.hive, piece) for piece in pieces):
        return None
    return tuple(reversed(_split(now.name, difference(now.hive, before.hive))))


def _split(name: str, pieces: Sequence[Piece]) -> tuple[Step, ...]:
    """The bins, then the base block."""
    writes = [(piece.offset, piece.after) for piece in pieces]
    groups = (
        tuple(write for write in writes if write[0] >= BASE_BLOCK_SIZE),
        tuple(write for write in writes if write[0] < BASE_BLOCK_SIZE),
    )
    return tuple(Step(name, group) for group in groups if group)


def _mixed(hive: bytes, piece: Piece) -> bool:
    """Whether each byte is the old or the new one; sectors may be torn themselves."""
    found = hive[piece.offset : piece.offset + len(piece.before)]
    return found in (piece.before, piece.after) or all(
        byte in (old, new) for byte, old, new in zip(found, piece.before, piece.after, strict=True)
    )


# --- through the log ----------------------------------------------------------------------


def _through_log(files: HiveFiles, found: Recovery, image: bytes) -> tuple[Step, ...]:
    steps = list(_settle(files, found))
    for step in steps:
        files = applied(files, step)
    return (*steps, *_change(files, found.sequence, image))


def _settle(files: HiveFiles, found: Recovery) -> Iterator[Step]:
    """Make the hive's own file what it is with its logs."""
    if not found.recovered:
        return
    whole = bytes(found.data)
    pages = tuple(_bins_differing(files.hive, whole))
    if pages:
        step = Step(files.name, pages)
        _require_same(applied(files, step), whole)
        yield step
    yield Step(files.name, ((0, whole[:SECTOR]),))


def _require_same(files: HiveFiles, whole: bytes) -> None:
    """With all pages written and the header still the old one, the logs must mean the same.

    Of a damaged header Windows and we know the log by a time stamp in the first page, which is one
    of those; a mixture has the old first page or the new one, and no third.
    """
    again = _recovered(files)
    if again is None or bytes(again.data)[BASE_BLOCK_SIZE:] != whole[BASE_BLOCK_SIZE:]:
        raise FormatError(
            "hive header",
            0,
            "it is damaged in a way that makes writing to this hive unsafe",
            hint="Let Windows repair the hive, or restore it from a backup.",
        )


def _change(files: HiveFiles, sequence: int, image: bytes) -> Iterator[Step]:
    """From a clean hive to `image`, through a log. `sequence`: the highest there is."""
    if files.hive[SECTOR:BASE_BLOCK_SIZE] != image[SECTOR:BASE_BLOCK_SIZE]:
        raise FormatError("hive header", SECTOR, "differs beyond its first sector")
    head, number = files.hive[:SECTOR], (sequence + 1) & _WRAP
    following = (number + 1) & _WRAP
    size = int.from_bytes(image[40:44], "little")
    pages = tuple(_pages_differing(files.hive, image[: BASE_BLOCK_SIZE + size]))
    log = _log_name(files)
    if _newer_format(files, log):
        content = entry_log(head, number, size, pages)
    else:
        content = bitmap_log(head, following, size, pages)
    # Remnants behind our entry must not continue it, whatever numbers a lost write left in them.
    behind = len(files.content(log) or b"") - len(content)
    content += bytes(min(max(behind, 0), SECTOR))
    if len(image) > len(files.hive):
        yield Step(files.name, ((len(files.hive), image[len(files.hive) :]),))
    yield Step(log, ((0, content),))
    yield Step(files.name, ((0, stamped(head, following, number)),))
    writes = tuple((BASE_BLOCK_SIZE + offset, data) for offset, data in pages)
    yield Step(files.name, (*writes, *_beyond(files.hive, image, size)))
    yield Step(files.name, ((0, stamped(image, following, following)),))


def _beyond(hive: bytes, image: bytes, size: int) -> Iterator[tuple[int, bytes]]:
    """What an image holds behind its bins; the bins themselves are in the log."""
    end = BASE_BLOCK_SIZE + size
    if image[end:] != hive[end : len(image)]:
        yield end, image[end:]


def _pages_differing(hive: bytes, image: bytes) -> Iterator[tuple[int, bytes]]:
    """Runs of pages that differ, by their offset from the first bin."""
    start = None
    for offset in range(BASE_BLOCK_SIZE, len(image) + 1, PAGE):
        same = offset >= len(image) or (
            hive[offset : offset + PAGE] == image[offset : offset + PAGE]
        )
        if start is None and not same:
            start = offset
        elif start is not None and same:
            yield start - BASE_BLOCK_SIZE, image[start:offset]
            start = None


def _bins_differing(hive: bytes, image: bytes) -> Iterator[tuple[int, bytes]]:
    for piece in difference(hive, image):
        if piece.offset >= BASE_BLOCK_SIZE:
            yield piece.offset, piece.after


def _log_name(files: HiveFiles) -> str:
    """The log that Windows would look at."""
    single = next((name for name in files.logs if name.upper().endswith(".LOG")), None)
    pair = sorted(name for name in files.logs if name != single)
    boot_store = int.from_bytes(files.hive[24:28], "little") <= _BOOT_STORE
    if single and (not pair or (boot_store and not any(files.logs[n].strip(b"\0") for n in pair))):
        return single
    if pair and pair[0].endswith("1"):
        return pair[0]
    # Windows makes its own when it next loads the hive; boot stores have one log, without number.
    return files.name + (".LOG" if boot_store and not pair else ".LOG1")


def _newer_format(files: HiveFiles, log: str) -> bool:
    """Whether one of the logs that are used as `log` is has it."""
    single = log.upper().endswith(".LOG")
    for name, content in files.logs.items():
        with suppress(FormatError):
            base = BaseBlock.parse(content)
            used = base.checksum_ok and name.upper().endswith(".LOG") == single
            if used and base.file_type == LOG_NEW:
                return True
    return False


# --- and back -----------------------------------------------------------------------------


def _through_log_back(
    now: HiveFiles, before: HiveFiles, after: HiveFiles
) -> tuple[Step, ...] | None:
    old = _recovered(before)
    if old is None:
        return None
    steps = _mend(now, before, after, bytes(old.data))
    for step in steps:
        now = applied(now, step)
    found = _recovered(now)
    if found is None:
        return None
    more: tuple[Step, ...] = ()
    if _same(bytes(found.data), after.hive):
        more = _through_log(now, found, bytes(old.data))
    elif not _same(bytes(found.data), bytes(old.data)):
        return None
    elif now.hive[:SECTOR] != before.hive[:SECTOR] or now.logs != before.logs:
        more = tuple(_settle(now, found))
    for step in more:
        now = applied(now, step)
    return (*steps, *more, *_reset(now, before))


def _mend(now: HiveFiles, before: HiveFiles, after: HiveFiles, whole: bytes) -> tuple[Step, ...]:
    """A header that is torn itself, which disks do not do: it was being written while the bins were
    wholly the old ones or the new ones."""
    if _sound(now.hive) or now.hive[:SECTOR] == before.hive[:SECTOR]:
        return ()
    for image in (whole, after.hive):
        repaired = now.having(now.name, image[:SECTOR] + now.hive[SECTOR:])
        if _same(repaired.hive, image):
            return (Step(now.name, ((0, image[:SECTOR]),)),)
    return ()


def _reset(now: HiveFiles, before: HiveFiles) -> Iterator[Step]:
    """From the recovered old hive, clean, to the very bytes there were."""
    for name in sorted({*now.logs, *before.logs}):
        yield from _rewrite(name, now.content(name), before.content(name))
    if now.hive[:SECTOR] != before.hive[:SECTOR]:
        yield Step(now.name, ((0, before.hive[:SECTOR]),))
    pages = tuple(
        write
        for write in _bins_differing(now.hive, before.hive[: len(now.hive)])
        if write[0] < len(before.hive)
    )
    if pages:
        yield Step(now.name, pages)
    if len(now.hive) > len(before.hive):
        yield Step(now.name, size=len(before.hive))


def _rewrite(name: str, now: bytes | None, before: bytes | None) -> Iterator[Step]:
    if now == before:
        return
    if before is None:
        yield Step(name, remove=True)
        return
    writes = tuple(
        (piece.offset, piece.after) for piece in difference(now or b"", before) if piece.after
    )
    yield Step(name, writes, size=len(before))


def _recovered(files: HiveFiles) -> Recovery | None:
    try:
        return regf_log.recover(files.hive, sorted(files.logs.items()))
    except FormatError:
        return None


def _same(left: bytes, right: bytes) -> bool:
    """Whether two whole hives have the same bins; what lies behind them means nothing."""
    end = BASE_BLOCK_SIZE + int.from_bytes(right[40:44], "little")
    same_size = left[40:44] == right[40:44] and len(left) >= end
    return same_size and left[BASE_BLOCK_SIZE:end] == right[BASE_BLOCK_SIZE:end]
