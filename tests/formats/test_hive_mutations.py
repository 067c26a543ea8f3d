"""Thousands of seeded mutations of hives and logs: FormatError or an answer, in bounded time."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats.hive import Hive, read
from recoverykit.formats.hive_edit import ValueChange, differences, edit
from recoverykit.formats.marvin32 import marvin32
from tests.builders.hive import (
    Node,
    Tree,
    binary,
    build,
    dirty_with_bitmap_log,
    dirty_with_log,
    dword,
    multi_sz,
    sealed,
    sz,
)
from tests.formats.hives import hive_bytes, logs_of

SLOWEST = 5.0  # seconds for one mutant of at most 260 KB, on a busy machine
TREE: Tree = {
    "Select": {"Current": dword(1)},
    "Services": {
        f"driver{number}": {"Start": dword(number % 5), "ImagePath": sz(f"drivers\\{number}.sys")}
        for number in range(12)
    },
    "list": {"UpperFilters": multi_sz("a", "b"), "big": binary(b"b" * 17000)},
    "many": {f"k{number}": {} for number in range(510)},
    "class": Node({"a": {"b": {"c": {"": sz("deep")}}}}, class_name="name"),
}
SMALL = build(TREE)
CHANGE = ValueChange("Services\\driver0", "Start", b"\0\0\0\0", b"\4\0\0\0", 4)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
INTERESTING = (0, 1, 4, 8, 0x20, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0004, 0xFFFF_FFF8, 0xFFFF_FFFF)


def flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.randrange(256)


def dwords(data: bytearray, rng: random.Random) -> None:
    """Numbers and offsets that mean something, where offsets and sizes are."""
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(4096, len(data) - 4) & ~3
        other = rng.randrange(4096, len(data) - 4) & ~3
        copied = struct.unpack_from("<I", data, other)[0]
        number = rng.choice([*INTERESTING, copied, copied, (other & ~7) - 4096])
        struct.pack_into("<I", data, at, number)


def cells(data: bytearray, rng: random.Random) -> None:
    """Fields of a key or value cell."""
    kind = rng.choice([b"nk", b"nk", b"nk", b"vk", b"lh", b"ri", b"db", b"sk"])
    found = data.find(kind, rng.randrange(4096, len(data)))
    at = found if found >= 0 else max(data.find(kind, 4096), 4096)
    field = min(at + 2 * rng.randint(1, 38), len(data) - 4)
    struct.pack_into("<I", data, field, rng.choice([*INTERESTING, rng.randrange(len(data)) & ~7]))


def blocks(data: bytearray, rng: random.Random) -> None:
    """A run of bytes copied elsewhere, as a misplaced write does."""
    length = rng.choice([8, 96, 512, 4096])
    source, target = (rng.randrange(max(len(data) - length, 1)) for _ in range(2))
    data[target : target + length] = data[source : source + length]


def header(data: bytearray, rng: random.Random) -> None:
    struct.pack_into("<I", data, rng.randrange(4, 508) & ~3, rng.choice(INTERESTING))
    data[:512] = sealed(data[:512])


def cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flip,
    dwords,
    cells,
    blocks,
    header,
    cut,
)


def mutants(data: bytes, seed: str, count: int) -> Iterator[bytes]:
    rng = random.Random(seed)
    for number in range(count):
        mutant = bytearray(data)
        MUTATIONS[number % len(MUTATIONS)](mutant, rng)
        yield bytes(mutant)


def read_everything(hive: Hive) -> None:
    """Walk on past damage, as the collectors do; every exception but FormatError escapes."""
    damaged: list[FormatError] = []
    pending, keys = [hive.root], 0
    while pending:
        key = pending.pop()
        keys += 1
        assert keys <= hive.base.bins_size // 8, "more keys than there is room for"
        assert key.last_written is None or key.path is not None
        for action in (
            lambda: key.class_name,  # noqa: B023 - called at once
            lambda: [(v.data, v.string, v.strings, v.dword) for v in key.values(damaged)],  # noqa: B023 - called at once
            lambda: pending.extend(key.subkeys(damaged)),  # noqa: B023 - called at once
            lambda: key.subkey("driver7"),  # noqa: B023 - called at once
            lambda: key.value("Start"),  # noqa: B023 - called at once
        ):
            try:
                action()
            except FormatError as error:
                damaged.append(error)


def survives(action: Callable[[], object]) -> bool:
    """Whether it gave an answer; FormatError is one way to end, being slow is none."""
    began = time.perf_counter()
    try:
        action()
    except FormatError:
        answered = False
    else:
        answered = True
    assert time.perf_counter() - began < SLOWEST
    return answered


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("built", 1200),
        ("bcd_win10iso_efi", 600),
        ("yarp/BigDataHive", 120),
        ("yarp/System_Delta", 240),
        ("yarp/HealedHive", 240),
    ],
)
def test_mutated_hives(name: str, count: int) -> None:
    data = SMALL if name == "built" else hive_bytes(name)
    opened = sum(
        survives(lambda: read_everything(Hive(mutant)))  # noqa: B023 - called at once
        for mutant in mutants(data, name, count)
    )
    assert count // 4 < opened < count  # the mutations neither miss nor kill everything


@pytest.mark.parametrize("kind", ["HvLE", "DIRT", "yarp"])
def test_mutated_logs_and_primaries(kind: str) -> None:
    if kind == "yarp":
        name = "yarp/NewDirtyHive1__NewDirtyHive"
        primary, logs = hive_bytes(name), logs_of(name)
        changed = hive_bytes("yarp/NewDirtyHive1__RecoveredHive_Windows10")
    else:
        changed = build({**TREE, "Select": {"Current": dword(2)}, "new": {"key": {}}})
        make = dirty_with_log if kind == "HvLE" else dirty_with_bitmap_log
        primary, log1 = make(SMALL, changed)
        logs = [("SYSTEM.LOG1", log1), ("SYSTEM.LOG2", bytes(4096))]
    expected, results = Hive(changed), []
    rng = random.Random(kind)
    for number, (first, *rest) in enumerate([logs] * 240):
        mutant = bytearray(first[1])
        MUTATIONS[number % len(MUTATIONS)](mutant, rng)
        image = bytearray(primary)
        if number % 3 == 0:
            MUTATIONS[number % len(MUTATIONS)](image, rng)

        def recover_and_read(image: bytes, log1: bytes) -> None:
            hive, _ = read(image, [(first[0], log1), *rest])  # noqa: B023 - called at once
            read_everything(hive)

        image_bytes, log_bytes = bytes(image), bytes(mutant)
        results.append(survives(lambda: recover_and_read(image_bytes, log_bytes)))  # noqa: B023 - called at once
    assert any(results)
    assert not all(results)
    assert differences(read(primary, logs)[0], expected) == []


def test_a_hash_that_holds_does_not_make_an_entry_harmless() -> None:
    """Entries resealed after mutation: only the bounds checks are left."""
    changed = build({**TREE, "Select": {"Current": dword(2)}, "new": {"key": {}}})
    primary, log1 = dirty_with_log(SMALL, changed)
    size = struct.unpack_from("<I", log1, 516)[0]
    rng, results = random.Random("resealed"), []
    for number in range(300):
        entry = bytearray(log1[512 : 512 + size])
        spot = (
            rng.choice([16, 20, *range(40, 40 + 64, 4)])
            if number % 2
            else rng.randrange(40, size - 4)
        )
        struct.pack_into("<I", entry, spot, rng.choice([*INTERESTING, 0x1000, 0x10_0000]))
        struct.pack_into("<Q", entry, 24, marvin32(entry[40:]))
        struct.pack_into("<Q", entry, 32, marvin32(entry[:32]))
        log = log1[:512] + bytes(entry)
        results.append(survives(lambda: read_everything(read(primary, [("S.LOG1", log)])[0])))  # noqa: B023 - called at once
    assert any(results)
    assert not all(results)


def test_mutated_hives_are_edited_exactly_or_not_at_all() -> None:
    results = []
    for mutant in mutants(SMALL, "edit", 180):

        def change(image: bytes) -> None:
            hive = Hive(image)
            result = edit(image, [CHANGE], sequence=9, when=NOW)
            (only,) = differences(hive, Hive(result))
            assert (only.key.upper(), only.name, only.after) == (
                "SERVICES\\DRIVER0",
                "Start",
                CHANGE.after,
            )

        results.append(survives(lambda: change(mutant)))  # noqa: B023 - called at once
    assert any(results)
    assert not all(results)
