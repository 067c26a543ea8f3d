from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats.hive import Hive, read
from recoverykit.formats.marvin32 import marvin32
from recoverykit.formats.regf import BaseBlock
from recoverykit.formats.regf_log import recover
from tests.builders import hive as builder
from tests.builders.hive import Tree, build, dword, log, log_entry, sealed, soiled
from tests.formats.hives import content, hive_bytes
from tests.formats.test_recovery_samples import by_python_registry


def state(number: int) -> bytes:
    """The same hive with one value changed; same layout, so states differ in one page."""
    tree: Tree = {"A": {"Start": dword(number)}, "filler": {f"k{n}": {} for n in range(60)}}
    return build(tree)


def at(image: bytes, sequence: int) -> bytes:
    """A hive as if it had been saved `sequence` times."""
    head = bytearray(image)
    struct.pack_into("<II", head, 4, sequence, sequence)
    return bytes(sealed(head))


def start(image: object) -> int | None:
    key = Hive(image).find("A") if isinstance(image, bytes) else None
    value = key.value("start") if key is not None else None
    return value.dword if value is not None else None


STATES = [at(state(number), 10) for number in range(6)]
DIRTY = soiled(STATES[0])  # sequence numbers 11 and 10: entry 10 must come next


def entries(first: int, count: int, state_from: int = 0) -> list[bytes]:
    """`count` entries numbered from `first`, each going one state further."""
    steps = range(state_from, state_from + count)
    return [log_entry(first + i, STATES[s], STATES[s + 1]) for i, s in enumerate(steps)]


# --- the new format, case by case ---------------------------------------------------------


def test_one_log_brings_the_newest_state() -> None:
    recovery = recover(DIRTY, [("SYSTEM.LOG1", log(DIRTY, 10, entries(10, 3)))])
    assert start(recovery.data) == 3
    assert recovery.applied == ("SYSTEM.LOG1: entries 10 to 12",)
    assert recovery.sequence == 12
    base = BaseBlock.parse(recovery.data)
    assert base.clean
    assert base.primary_sequence == 12


def test_logs_apply_by_number_not_by_name() -> None:
    logs = [
        ("SYSTEM.LOG1", log(DIRTY, 12, entries(12, 2, 2))),
        ("SYSTEM.LOG2", log(DIRTY, 10, entries(10, 2))),
    ]
    recovery = recover(DIRTY, logs)
    assert start(recovery.data) == 4
    assert recovery.applied == ("SYSTEM.LOG2: entries 10 to 11", "SYSTEM.LOG1: entries 12 to 13")


def test_numbers_wrap_around() -> None:
    first = 0xFFFF_FFFF
    primary = soiled(at(STATES[0], first - 1))
    primary = bytes(sealed(primary[:4] + struct.pack("<II", 0, first) + primary[12:]))
    steps = [log_entry(n, STATES[i], STATES[i + 1]) for i, n in enumerate([first, 0, 1])]
    logs = [
        ("SYSTEM.LOG1", log(primary, 0, steps[1:])),
        ("SYSTEM.LOG2", log(primary, first, steps[:1])),
    ]
    recovery = recover(primary, logs)
    assert start(recovery.data) == 3
    assert recovery.applied[0].startswith("SYSTEM.LOG2")


def test_remnants_of_an_earlier_round_are_not_applied() -> None:
    old = [log_entry(7, STATES[5], STATES[4])]
    recovery = recover(DIRTY, [("SYSTEM.LOG1", log(DIRTY, 10, entries(10, 1) + old))])
    assert start(recovery.data) == 1
    assert recovery.refused == ()


def test_a_torn_last_entry_is_left_out_and_said() -> None:
    steps = entries(10, 2)
    steps[1] = steps[1][:600] + b"\xee" + steps[1][601:]
    recovery = recover(DIRTY, [("SYSTEM.LOG1", log(DIRTY, 10, steps))])
    assert start(recovery.data) == 1
    assert recovery.refused == (
        "SYSTEM.LOG1: entry 11 is damaged, nothing after it can be applied",
    )
    assert recovery.sequence == 11  # Windows may have used that number


def test_a_hive_that_grew_is_grown() -> None:
    bigger = build({"A": {"Start": dword(9)}, "new": {f"n{n}": {} for n in range(400)}})
    changed = at(bigger, 10)
    assert len(changed) > len(DIRTY)
    recovery = recover(*_pair(STATES[0], changed))
    assert content(Hive(recovery.data)) == content(Hive(changed))
    assert len(bytes(recovery.data)) == len(changed)


def _pair(clean: bytes, changed: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    primary, log1 = builder.dirty_with_log(clean, changed)
    return primary, [("SYSTEM.LOG1", log1), ("SYSTEM.LOG2", bytes(65536))]


def test_a_stale_log_beside_the_current_one_is_said() -> None:
    logs = [
        ("SYSTEM.LOG1", log(DIRTY, 4, [log_entry(4, STATES[3], STATES[2])])),
        ("SYSTEM.LOG2", log(DIRTY, 10, entries(10, 1))),
    ]
    recovery = recover(DIRTY, logs)
    assert start(recovery.data) == 1
    assert recovery.refused == (
        "SYSTEM.LOG1: stale, it begins with entry 4 and the hive holds everything before 10",
    )


def test_a_second_log_that_does_not_follow_is_left_out() -> None:
    logs = [
        ("SYSTEM.LOG1", log(DIRTY, 10, entries(10, 1))),
        ("SYSTEM.LOG2", log(DIRTY, 13, entries(13, 1, 3))),
    ]
    recovery = recover(DIRTY, logs)
    assert start(recovery.data) == 1
    assert "begins with entry 13, but SYSTEM.LOG1 ends before entry 11" in recovery.refused[0]


def test_a_partial_reconciliation_is_recognised() -> None:
    """Both logs were reused since the header was written: only together they prove it."""
    partly = soiled(STATES[2])  # the bins are newer than the header's numbers
    logs = [
        ("SYSTEM.LOG1", log(DIRTY, 22, entries(22, 1, 3))),
        ("SYSTEM.LOG2", log(DIRTY, 20, entries(20, 2, 1))),
    ]
    assert start(recover(partly, logs).data) == 4
    with pytest.raises(FormatError, match="entries 10 to 19 are missing"):
        recover(partly, logs[1:])


def test_a_lone_log_beside_log1_and_log2_is_ignored() -> None:
    logs = [
        ("SYSTEM.LOG", log(DIRTY, 10, entries(10, 1, 4))),
        ("SYSTEM.LOG1", log(DIRTY, 10, entries(10, 2))),
    ]
    recovery = recover(DIRTY, logs)
    assert start(recovery.data) == 2
    assert recovery.refused == ("SYSTEM.LOG: Windows no longer uses it here",)


def test_a_single_log_is_used_where_it_is_the_only_one() -> None:
    assert start(recover(DIRTY, [("BCD.LOG", log(DIRTY, 10, entries(10, 2)))]).data) == 2


def test_a_single_log_may_begin_late() -> None:
    """There is no second log to hold what is missing: Windows wrote it to the hive."""
    late = log(DIRTY, 20, entries(20, 2, 2))
    partly = soiled(STATES[2])
    assert start(recover(partly, [("BCD.LOG", late)]).data) == 4
    assert start(recover(partly, [("BCD.LOG", late), ("BCD.LOG1", b"")]).data) == 4
    torn = late[:100] + b"\1" + late[101:]
    with pytest.raises(FormatError, match=r"LOG: Windows no longer uses it here"):
        recover(partly, [("BCD.LOG", late), ("BCD.LOG1", torn)])


@pytest.mark.parametrize("sector", [512, 4096])
def test_the_second_sector_of_a_4kn_disk(sector: int) -> None:
    """Entries begin in the second sector, whose size the header has; a log copied from elsewhere
    is read all the same."""
    head = bytearray(DIRTY)
    struct.pack_into("<I", head, 44, 8)
    wide = bytes(sealed(head))
    plain = log(wide, 10, entries(10, 2), size=0)
    recovery = recover(wide, [("SYSTEM.LOG1", plain[:512] + bytes(sector - 512) + plain[512:])])
    assert start(recovery.data) == 2
    assert BaseBlock.parse(recovery.data).clustering == 8


def test_a_hive_grows_entry_by_entry_and_log_by_log() -> None:
    sizes = [
        build({"A": {"Start": dword(n)}, "new": {f"n{i}": {} for i in range(300 * n)}})
        for n in range(4)
    ]
    first, *grown = [at(image, 10) for image in sizes]
    assert len({len(image) for image in (first, *grown)}) == 4
    steps = [log_entry(10 + n, old, new) for n, (old, new) in enumerate(pairwise([first, *grown]))]
    dirty = soiled(first)
    logs = [
        ("SYSTEM.LOG1", log(dirty, 11, steps[1:], size=1 << 20)),
        ("SYSTEM.LOG2", log(dirty, 10, steps[:1], size=1 << 20)),
    ]
    recovery = recover(dirty, logs)
    assert content(Hive(recovery.data)) == content(Hive(grown[-1]))
    with pytest.raises(FormatError, match="still is no sound hive"):
        recover(dirty, [("BCD.LOG", log(dirty, 11, steps[1:2], size=1 << 20))])


def test_a_hive_that_shrank_keeps_its_file_but_not_its_bins() -> None:
    long = at(build({"A": {"Start": dword(1)}, "new": {f"n{i}": {} for i in range(300)}}), 10)
    short = at(build({"A": {"Start": dword(2)}}), 10)
    recovery = recover(*_pair(long, short))
    assert BaseBlock.parse(recovery.data).bins_size == len(short) - 4096
    assert len(bytes(recovery.data)) == len(long)
    assert content(Hive(recovery.data)) == content(Hive(short))


# --- what python-registry makes of the same ----------------------------------------------

NEAR_THE_END = 0xFFFF_FFFF


def _wrapped() -> tuple[bytes, list[bytes]]:
    primary = soiled(at(STATES[0], NEAR_THE_END - 1))
    primary = bytes(sealed(primary[:4] + struct.pack("<II", 0, NEAR_THE_END) + primary[12:]))
    numbers = [NEAR_THE_END, 0, 1]
    return primary, [log_entry(n, STATES[i], STATES[i + 1]) for i, n in enumerate(numbers)]


WRAPPED, WRAPPED_ENTRIES = _wrapped()
TORN = [entries(10, 1)[0], log_entry(11, STATES[1], STATES[2])[:-512] + bytes(512)]
TORN[1] = TORN[1][:700] + b"\xee" * 8 + TORN[1][708:]
ALIKE = {
    "one state": (DIRTY, log(DIRTY, 10, entries(10, 1)), log(DIRTY, 11, entries(11, 1, 1))),
    "LOG1 newer": (DIRTY, log(DIRTY, 12, entries(12, 2, 2)), log(DIRTY, 10, entries(10, 2))),
    "LOG1 stale": (DIRTY, log(DIRTY, 4, entries(4, 1, 4)), log(DIRTY, 10, entries(10, 3))),
    "LOG2 stale": (DIRTY, log(DIRTY, 10, entries(10, 3)), log(DIRTY, 4, entries(4, 1, 4))),
    "remnants": (
        DIRTY,
        log(DIRTY, 10, [*entries(10, 1), log_entry(7, STATES[5], STATES[4])]),
        log(DIRTY, 11, entries(11, 1, 1)),
    ),
    "torn": (DIRTY, log(DIRTY, 10, TORN), log(DIRTY, 12, entries(12, 1, 2))),
    "gap": (DIRTY, log(DIRTY, 10, entries(10, 1)), log(DIRTY, 13, entries(13, 1, 3))),
    "partly reconciled": (
        soiled(STATES[2]),
        log(DIRTY, 22, entries(22, 1, 3)),
        log(DIRTY, 20, entries(20, 2, 1)),
    ),
    "wrapped": (
        WRAPPED,
        log(WRAPPED, 0, WRAPPED_ENTRIES[1:]),
        log(WRAPPED, NEAR_THE_END, WRAPPED_ENTRIES[:1]),
    ),
}


@pytest.mark.parametrize("case", ALIKE)
def test_python_registry_makes_the_same_of_it(case: str) -> None:
    primary, log1, log2 = ALIKE[case]
    ours = recover(primary, [("SYSTEM.LOG1", log1), ("SYSTEM.LOG2", log2)])
    assert bytes(ours.data) == by_python_registry(primary, log1, log2)


def test_the_latest_number_counts_around_the_end() -> None:
    _, log1, log2 = ALIKE["wrapped"]
    assert recover(WRAPPED, [("S.LOG1", log1), ("S.LOG2", log2)]).sequence == 1


def test_a_number_whose_hash_does_not_hold_is_none() -> None:
    """Else one hostile byte could leave no number for the next change."""
    stray = bytearray(log_entry(12, STATES[2], STATES[3]))
    struct.pack_into("<I", stray, 12, 0x7FFF_FFFF)
    recovery = recover(DIRTY, [("S.LOG1", log(DIRTY, 10, [*entries(10, 2), bytes(stray)]))])
    assert recovery.sequence == 11


# --- damaged headers ----------------------------------------------------------------------


def test_a_damaged_header_is_taken_from_the_log() -> None:
    broken = DIRTY[:30] + b"\xaa\xbb" + DIRTY[32:]
    recovery = recover(broken, [("SYSTEM.LOG1", log(DIRTY, 10, entries(10, 2)))])
    assert start(recovery.data) == 2
    assert BaseBlock.parse(recovery.data).clean


def test_a_destroyed_header_is_taken_from_the_log() -> None:
    recovery = recover(bytes(512) + DIRTY[512:], [("SYSTEM.LOG1", log(DIRTY, 10, entries(10, 2)))])
    assert start(recovery.data) == 2
    assert bytes(recovery.data)[:4] == b"regf"


def test_a_damaged_header_takes_the_later_of_two_logs_that_do_not_connect() -> None:
    broken = STATES[3][:30] + b"\xaa" + STATES[3][31:]
    logs = [
        ("SYSTEM.LOG1", log(DIRTY, 4, [log_entry(4, STATES[3], STATES[2])])),
        ("SYSTEM.LOG2", log(DIRTY, 10, entries(10, 2, 3))),
    ]
    assert start(recover(broken, logs).data) == 5


# --- the old format -----------------------------------------------------------------------


def test_a_bitmap_log_is_applied() -> None:
    primary, log1 = builder.dirty_with_bitmap_log(STATES[0], STATES[4])
    recovery = recover(primary, [("SYSTEM.LOG1", log1)])
    assert start(recovery.data) == 4
    assert recovery.applied == ("SYSTEM.LOG1: 8 pages of 512 bytes",)


@pytest.mark.parametrize("sector", [512, 4096])
def test_a_bitmap_log_of_a_4kn_disk(sector: int) -> None:
    primary, narrow = builder.dirty_with_bitmap_log(STATES[0], STATES[4])
    head = bytearray(narrow[:512])
    struct.pack_into("<I", head, 44, 8)
    parts = (bytes(sealed(head)), narrow[512:1024], narrow[1024:])
    wide = b"".join(part.ljust(sector, b"\0") for part in parts)
    assert start(recover(primary, [("SYSTEM.LOG1", wide)]).data) == 4


def test_of_two_bitmap_logs_the_later_is_cumulative() -> None:
    primary, older = builder.dirty_with_bitmap_log(STATES[0], STATES[3])
    _, newer = builder.dirty_with_bitmap_log(at(STATES[0], 11), STATES[5])
    recovery = recover(primary, [("SYSTEM.LOG1", newer), ("SYSTEM.LOG2", older)])
    assert start(recovery.data) == 5
    assert recovery.refused == ("SYSTEM.LOG2: SYSTEM.LOG1 is newer",)


def _old(change: Callable[[bytearray], None]) -> tuple[bytes, bytes]:
    primary, log1 = builder.dirty_with_bitmap_log(STATES[0], STATES[4])
    changed = bytearray(log1)
    change(changed)
    return primary, bytes(changed)


def _cut(data: bytearray) -> None:
    del data[-512:]


def _no_dirt(data: bytearray) -> None:
    data[512:516] = b"DIRS"


def _no_pages(data: bytearray) -> None:
    data[516:600] = bytes(84)


def _huge(data: bytearray) -> None:
    struct.pack_into("<I", data, 40, 0x7FFF_F000)
    data[:512] = sealed(data[:512])


def _other_time(data: bytearray) -> None:
    data[12] ^= 1
    data[:512] = sealed(data[:512])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_cut, "truncated, dirty page 7 is not in it"),
        (_no_dirt, "holds no list of dirty pages"),
        (_no_pages, "lists no dirty page"),
        (_huge, "holds no list of dirty pages"),
        (_other_time, "its time stamp is not the hive's"),
    ],
)
def test_a_bad_bitmap_log_is_refused(change: Callable[[bytearray], None], reason: str) -> None:
    primary, log1 = _old(change)
    with pytest.raises(FormatError, match=reason):
        recover(primary, [("SYSTEM.LOG1", log1)])


# --- refusals -----------------------------------------------------------------------------


def _other(**changes: object) -> bytes:
    """A log that would fit if its header were not that of another hive."""
    head = bytearray(DIRTY[:512])
    for name, value in changes.items():
        offset = int(name.removeprefix("at_"))
        raw = value if isinstance(value, bytes) else b""
        head[offset : offset + len(raw)] = raw
    return log(bytes(head), 10, entries(10, 2))


GOOD = log(DIRTY, 10, entries(10, 2))
OUTSIDE = bytearray(log_entry(10, STATES[0], STATES[1]))
struct.pack_into("<I", OUTSIDE, 40, 0x0FFF_F000)  # the first page's offset


def resealed(entry: bytes) -> bytes:
    body = entry[40:]
    head = entry[:24] + struct.pack("<Q", marvin32(body))
    return head + struct.pack("<Q", marvin32(head)) + body


def unsound() -> bytes:
    """An entry that wipes a bin's header."""
    broken = bytearray(STATES[1])
    broken[4096:4100] = b"nibh"
    return log_entry(10, STATES[0], bytes(broken))


@pytest.mark.parametrize(
    ("log1", "reason"),
    [
        (bytes(4096), "empty"),
        (b"", "empty"),
        (b"MZ" * 300, "no regf signature"),
        (GOOD[:100] + b"\1" + GOOD[101:], "header is damaged"),
        (DIRTY, "header is damaged or was being written"),
        (STATES[0], "not a transaction log"),
        (_other(at_112=bytes(range(16))), "other resource manager"),
        (_other(at_48="SOFTWARE".encode("utf-16-le")), r"another hive \(SOFTWARE\)"),
        (_other(at_36=b"\x28"), "other root key"),
        (_other(at_12=b"\xff\xff"), "time stamp is not the hive's"),
        (log(DIRTY, 9, entries(9, 1)), "stale"),
        (log(DIRTY, 14, entries(14, 1)), "entries 10 to 13 are missing"),
        (log(DIRTY, 10, entries(11, 1)), "no entry can be applied"),
        (log(DIRTY, 10, []), "no entry can be applied"),
        (log(DIRTY, 10, [resealed(bytes(OUTSIDE))]), "a page outside the hive"),
        (log(DIRTY, 10, [unsound()]), "still is no sound hive"),
        (GOOD[:1500], "no entry can be applied"),
    ],
    ids=str,
)
def test_a_log_that_cannot_help_is_refused_with_its_reason(log1: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason) as caught:
        recover(DIRTY, [("SYSTEM.LOG1", log1)])
    assert "nothing in it can be trusted" in str(caught.value)
    assert "LOG" in caught.value.hint


@pytest.mark.parametrize("size", [0, 512, 4097])
def test_an_entry_cannot_take_the_bins_away(size: int) -> None:
    entry = bytearray(log_entry(10, STATES[0], STATES[1]))
    struct.pack_into("<I", entry, 16, size)
    with pytest.raises(FormatError, match="entry 10 is damaged"):
        recover(DIRTY, [("SYSTEM.LOG1", log(DIRTY, 10, [resealed(bytes(entry))]))])


def test_an_entry_cannot_make_the_hive_huge() -> None:
    entry = bytearray(log_entry(10, STATES[0], STATES[1]))
    struct.pack_into("<I", entry, 16, 0x7FFF_F000)
    with pytest.raises(FormatError, match="claims 2147479552 bytes"):
        recover(DIRTY, [("SYSTEM.LOG1", log(DIRTY, 10, [resealed(bytes(entry))]))])


def test_a_file_that_is_no_hive_is_refused() -> None:
    with pytest.raises(FormatError, match="no regf signature"):
        recover(hive_bytes("ezreg_NotAHive"), [])


# --- clean hives --------------------------------------------------------------------------


def test_a_clean_hive_is_returned_as_it_is_but_its_logs_number_counts() -> None:
    recovery = recover(STATES[0], [("SYSTEM.LOG1", log(STATES[0], 40, entries(40, 2)))])
    assert recovery.data is STATES[0]
    assert not recovery.recovered
    assert not recovery.dirty
    assert recovery.sequence == 41


def test_read_opens_what_was_recovered() -> None:
    hive, recovery = read(DIRTY, [("SYSTEM.LOG1", GOOD)])
    key = hive.find("A")
    assert key is not None
    assert (value := key.value("Start")) is not None
    assert value.dword == 2
    assert recovery.recovered
