"""Recovery of a dirty hive from its transaction logs, in memory.

Layout and rules: msuhanov/regf, "Windows registry file format specification", sections "Format of
transaction log files", "Dirty state of a hive" and "Multiple transaction log files". Both formats:
a bitmap of dirty pages (`DIRT`, up to Windows 8) and a chain of hashed entries (`HvLE`, since 8.1).

We are stricter than Windows in three places, because what comes out is written to somebody's only
disk: a log that names another hive is refused; of a pair of logs, entries may begin later than the
hive expects only where both together prove a partial reconciliation (msuhanov, "Missing log entries
for a dirty primary file"); and the result must be a sound chain of bins, where Windows would put
empty ones in place of the damaged ("self-healing"). Where the header is damaged, Windows applies
the latest log alone; we apply the one before it too if no entry is missing in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from recoverykit.errors import FormatError
from recoverykit.formats.binary import Buffer, as_image
from recoverykit.formats.log_entry import (
    Chain,
    Log,
    UnusableLogError,
    numbers,
    read_chain,
    replay,
    second_sector,
)
from recoverykit.formats.regf import (
    BASE_BLOCK_SIZE,
    LOG_NEW,
    LOG_OLD,
    LOG_OLD_2000,
    PRIMARY,
    SECTOR,
    BaseBlock,
    bins,
    seal,
)

_HALF = 0x8000_0000  # sequence numbers wrap: a difference of half the range or more is negative
_PAIR = (".LOG1", ".LOG2")
LOGS = (".LOG", *_PAIR)  # what the names of a hive's logs end with


@dataclass(frozen=True, slots=True)
class Recovery:
    """A hive image that can be read, and how it came to be."""

    data: Buffer  # the hive image; the primary itself where nothing had to be recovered
    recovered: bool  # pages of a log were applied
    dirty: bool  # the primary was dirty
    applied: tuple[str, ...]  # sentences: what was applied
    refused: tuple[str, ...]  # sentences: what was not, and why
    sequence: int  # the highest sequence number in hive and logs; a save must go beyond it


def recover(primary: Buffer, logs: Sequence[tuple[str, Buffer]]) -> Recovery:
    """Make a dirty hive whole; a clean one is returned as it is, its logs ignored as Windows does.

    `logs` are (name, content) of .LOG1 and .LOG2, or of .LOG. Raises FormatError if the hive is
    dirty and no log can make it whole, or if it is no hive at all.
    """
    base = _primary_base(primary)
    valid, refused = _valid(logs)
    sequence = _highest(base, valid)
    if base is not None and base.clean:
        return Recovery(
            primary, recovered=False, dirty=False, applied=(), refused=(), sequence=sequence
        )
    fitting = []
    for log in valid:
        reason = _foreign(primary, base, log)
        if reason:
            refused.append(f"{log.name}: {reason}")
        else:
            fitting.append(log)
    trusted = base if base is not None and base.checksum_ok else None
    try:
        image, applied, notes = _apply(primary, trusted, fitting)
    except UnusableLogError as refusal:
        reasons = [*refused, *filter(None, [str(refusal)])] or ["there is none"]
        raise _unusable(base, reasons) from refusal
    return Recovery(
        bytes(image),
        recovered=True,
        dirty=True,
        applied=tuple(applied),
        refused=(*refused, *notes),
        sequence=sequence,
    )


def _unusable(base: BaseBlock | None, reasons: Sequence[str]) -> FormatError:
    if base is None or not base.checksum_ok:
        state = "its header is damaged"
    else:
        state = f"sequence numbers {base.primary_sequence} and {base.secondary_sequence}"
    return FormatError(
        "hive",
        0,
        f"the hive is dirty ({state}) and has no usable log ({'; '.join(reasons)}): "
        "nothing in it can be trusted",
        hint="Windows wrote its last changes only to the .LOG files beside the hive: they are "
        "needed, from the same moment. Else restore the hive from a backup.",
    )


# --- which logs may be used ---------------------------------------------------------------


def _primary_base(primary: Buffer) -> BaseBlock | None:
    """The primary's header; None where a log may still replace it."""
    try:
        base = BaseBlock.parse(primary)
    except FormatError:
        if bytes(primary[BASE_BLOCK_SIZE : BASE_BLOCK_SIZE + 4]) != b"hbin":
            raise
        return None
    if base.checksum_ok and base.file_type != PRIMARY:
        raise FormatError("hive header", 28, "this is a transaction log, not a hive")
    return base


def _valid(logs: Sequence[tuple[str, Buffer]]) -> tuple[list[Log], list[str]]:
    """The logs that are whole by themselves, and a sentence for each that is not."""
    valid: list[Log] = []
    refused = []
    paired = False
    for name, content in logs:
        data = as_image(content)[:]
        if not data.strip(b"\0"):
            refused.append(f"{name}: empty")
            continue
        paired |= name.upper().endswith(_PAIR)
        try:
            base = BaseBlock.parse(data)
        except FormatError as error:
            refused.append(f"{name}: {error.problem}")
            continue
        if not base.clean:
            refused.append(f"{name}: its header is damaged or was being written")
        elif base.file_type not in (LOG_OLD, LOG_OLD_2000, LOG_NEW):
            refused.append(f"{name}: not a transaction log")
        else:
            valid.append(Log(name, data, base))
    if not paired:
        return valid, refused
    pair = [log for log in valid if log.name.upper().endswith(_PAIR)]
    # Beside LOG1 and LOG2, a LOG is a relic of the installation image.
    refused += [f"{log.name}: Windows no longer uses it here" for log in valid if log not in pair]
    return pair, refused


def _foreign(primary: Buffer, base: BaseBlock | None, log: Log) -> str:
    """Why this log cannot be one of this hive; "" if it can."""
    theirs = log.base
    if base is None or not base.checksum_ok:
        # A damaged header proves nothing, but what is left of it, or the copy of the time in the
        # first bin, agrees with the log's only if they belong together.
        copy = int.from_bytes(bytes(primary[BASE_BLOCK_SIZE + 20 : BASE_BLOCK_SIZE + 28]), "little")
        times = {copy, base.last_written if base is not None else 0} - {0}
        same = base is not None and base.manager == theirs.manager and any(theirs.manager)
        agrees = same or theirs.last_written in times
        return "" if agrees else "nothing in the damaged hive shows that this log belongs to it"
    if theirs.manager != base.manager and any(theirs.manager) and any(base.manager):
        return "it belongs to another hive (other resource manager)"
    name, other = (
        text.rpartition("\\")[2].casefold() for text in (base.file_name, theirs.file_name)
    )
    if name and other and name != other:
        return f"it belongs to another hive ({theirs.file_name})"
    if theirs.root_cell != base.root_cell:
        return "it belongs to another hive (other root key)"
    if theirs.last_written != base.last_written:
        return "its time stamp is not the hive's"
    return ""


def _highest(base: BaseBlock | None, logs: Sequence[Log]) -> int:
    """The latest sequence number: also in logs that are not ours, as Windows will look at those."""
    found: list[int] = []
    if base is not None and base.checksum_ok:
        found += [base.secondary_sequence, base.primary_sequence]
    for log in logs:
        found.append(log.base.primary_sequence)
        if log.base.file_type == LOG_NEW:
            found += numbers(log)
    return max(found, key=lambda number: _ahead(number, found[0]), default=0)


# --- applying them ------------------------------------------------------------------------


def _apply(
    primary: Buffer, base: BaseBlock | None, logs: Sequence[Log]
) -> tuple[bytearray, list[str], list[str]]:
    """The whole hive, what was applied, what was not. `base` is None if it cannot be trusted."""
    new = [log for log in logs if log.base.file_type == LOG_NEW]
    old = [log for log in logs if log.base.file_type != LOG_NEW]
    if new:
        image, applied, notes = _apply_entries(primary, base, new)
        notes += [f"{log.name}: older than the other log's format" for log in old]
    elif old:
        image, applied, notes = _apply_bitmap(primary, base, old)
    else:
        raise UnusableLogError
    size = int.from_bytes(image[40:44], "little")
    try:
        for _ in bins(image, size):
            pass
    except FormatError as error:
        raise UnusableLogError(f"with them applied, it still is no sound hive: {error}") from error
    return image, applied, notes


def _start(primary: Buffer, base: BaseBlock | None, log: Log) -> bytearray:
    """A copy of the primary to write on, its header replaced by the log's where it is damaged."""
    image = bytearray(primary)
    if base is None:
        image[:SECTOR] = log.data[:SECTOR]
    return image


def _ahead(number: int, reference: int) -> int:
    """How far `number` lies after `reference`, wrapping around; negative: before it."""
    return (number - reference + _HALF & 0xFFFF_FFFF) - _HALF


def _apply_entries(
    primary: Buffer, base: BaseBlock | None, logs: Sequence[Log]
) -> tuple[bytearray, list[str], list[str]]:
    notes: list[str] = []
    chains = [read_chain(log) for log in _in_order(base, logs, notes)]
    notes += [f"{chain.log.name}: {chain.complaint}" for chain in chains if chain.complaint]
    chains = _connected(chains, latest=base is None, notes=notes)
    if not any(chain.entries for chain in chains):
        raise UnusableLogError("; ".join([*notes, "no entry can be applied"]))
    if base is not None and _missing(base, chains):
        before = chains[0].first - 1 & 0xFFFF_FFFF
        missing = f"entries {base.secondary_sequence} to {before} are missing"
        raise UnusableLogError("; ".join([*notes, missing]))
    image = _start(primary, base, chains[-1].log)
    room = len(image) + sum(len(chain.log.data) for chain in chains)
    applied = []
    for chain in chains:
        replay(image, chain, room)
        if chain.entries:
            last = chain.entries[-1].sequence
            applied.append(f"{chain.log.name}: entries {chain.first} to {last}")
    return image, applied, notes


def _missing(base: BaseBlock, chains: Sequence[Chain]) -> bool:
    """Whether entries that the hive needs may be in a log that we do not have.

    Windows begins a log anew, while the header's numbers stay behind, only after it has written
    what the log held to the bins. That one log begins late proves it unless there should be two.
    """
    (first, *others) = chains
    paired = first.log.name.upper().endswith(_PAIR)
    return first.first != base.secondary_sequence and paired and not others


def _in_order(base: BaseBlock | None, logs: Sequence[Log], notes: list[str]) -> list[Log]:
    """The logs that are not stale, oldest first."""

    def first(log: Log) -> int:
        return log.base.primary_sequence

    if base is None:  # nothing tells how old the hive's pages are
        return sorted(logs, key=lambda log: _ahead(first(log), first(logs[0])))
    expected, usable = base.secondary_sequence, []
    for log in logs:
        if _ahead(first(log), expected) >= 0:
            usable.append(log)
        else:
            notes.append(
                f"{log.name}: stale, it begins with entry {first(log)} and the hive holds "
                f"everything before {expected}"
            )
    return sorted(usable, key=lambda log: _ahead(first(log), expected))


def _connected(chains: list[Chain], *, latest: bool, notes: list[str]) -> list[Chain]:
    """The run of chains without a gap: that of the `latest` one, or that of the first."""
    start = 0
    for index, (left, right) in enumerate(pairwise(chains), 1):
        if left.following == right.first:
            continue
        notes.append(
            f"{right.log.name}: begins with entry {right.first}, but {left.log.name} ends before "
            f"entry {left.following}"
        )
        if not latest:
            return chains[:index]
        start = index
    return chains[start:]


def _apply_bitmap(
    primary: Buffer, base: BaseBlock | None, logs: Sequence[Log]
) -> tuple[bytearray, list[str], list[str]]:
    """The old format: one log is a complete list of dirty pages; the newer one is cumulative."""
    begin = logs[0].base.primary_sequence
    log = max(logs, key=lambda each: _ahead(each.base.primary_sequence, begin))
    notes = [f"{other.name}: {log.name} is newer" for other in logs if other is not log]
    sector = second_sector(log, b"DIRT")
    length = log.base.bins_size // SECTOR // 8
    bitmap = log.data[sector + 4 : sector + 4 + length]
    if log.data[sector : sector + 4] != b"DIRT" or len(bitmap) != length:
        raise UnusableLogError("; ".join([*notes, f"{log.name}: it holds no list of dirty pages"]))
    image = _start(primary, base, log)
    end = BASE_BLOCK_SIZE + log.base.bins_size
    if end > len(image) + len(log.data):
        raise UnusableLogError(f"{log.name}: it claims {log.base.bins_size} bytes of bins")
    if end > len(image):
        image.extend(bytes(end - len(image)))
    source = sector + -(-(4 + length) // sector) * sector
    count = 0
    for index, bits in enumerate(bitmap):
        for bit in range(8):
            if not bits >> bit & 1:
                continue
            page = log.data[source : source + SECTOR]
            if len(page) != SECTOR:
                raise UnusableLogError(f"{log.name}: truncated, dirty page {count} is not in it")
            start = BASE_BLOCK_SIZE + (index * 8 + bit) * SECTOR
            image[start : start + SECTOR] = page
            source += SECTOR
            count += 1
    if not count:
        raise UnusableLogError(f"{log.name}: it lists no dirty page")
    seal(image, log.base.primary_sequence, log.base.bins_size)
    return image, [f"{log.name}: {count} pages of {SECTOR} bytes"], notes
