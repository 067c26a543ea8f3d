"""Damage to hives and their logs: seeded, and of the kinds that a parser believes.

A mutator changes a copy of a hive in place, at places that an independent survey of its cells
(`survey`) shows to mean something: sizes, counts, offsets, lists, bins, names. `mutants` and
`log_mutants` yield the same bytes for the same seed on every machine. Layout: msuhanov/regf.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from recoverykit.formats.marvin32 import marvin32
from tests.builders.hive import sealed

NUMBERS = (0, 1, 2, 4, 8, 0x20, 0xFFF, 0x1000, 0x3FD9, 0x7FFF, 0xFFFF, 0x1_0000)
EXTREMES = (0x7FFF_FFFF, 0x8000_0000, 0x8000_0004, 0x8000_0005, 0xFFFF_FFF8, 0xFFFF_FFFF)
INTERESTING = NUMBERS + EXTREMES
_KINDS = (b"nk", b"vk", b"sk", b"lf", b"lh", b"li", b"ri", b"db")
# Fields from the beginning of the cell (its size is at 0): where they are, and how wide.
_OFFSETS = {b"nk": (20, 32, 44, 48, 52), b"vk": (12,), b"sk": (8, 12), b"db": (8,)}
_COUNTS = {b"nk": ((24, 4), (40, 4), (76, 2), (78, 2)), b"vk": ((6, 2), (8, 4)), b"sk": ((20, 4),)}
_FLAGS = {b"nk": (6, 15), b"vk": (20, 20), b"sk": (16, 24)}
_LISTS = (b"lf", b"lh", b"li", b"ri")


@dataclass(frozen=True, slots=True)
class Survey:
    """Where the allocated cells of an undamaged hive lie; file offsets."""

    sizes: dict[int, int]
    kinds: dict[bytes, list[int]]
    bins: list[int]


def survey(image: bytes) -> Survey:
    """Walk the bins cell by cell; stops where they are damaged already."""
    found = Survey({}, {kind: [] for kind in _KINDS}, [])
    start, end = 4096, min(4096 + int.from_bytes(image[40:44], "little"), len(image))
    while start + 32 <= end and image[start : start + 4] == b"hbin":
        found.bins.append(start)
        (length,) = struct.unpack_from("<I", image, start + 8)
        at, stop = start + 32, min(start + length, end)
        while at + 8 <= stop:
            (size,) = struct.unpack_from("<i", image, at)
            if size < 0:
                found.sizes[at] = -size
                if image[at + 4 : at + 6] in found.kinds:
                    found.kinds[image[at + 4 : at + 6]].append(at)
            if abs(size) < 8:
                break
            at += abs(size)
        if length < 4096:
            break
        start += length
    return found


Mutator = Callable[[bytearray, Survey, random.Random], None]


def _cell(known: Survey, rng: random.Random, kinds: Sequence[bytes] = _KINDS) -> tuple[bytes, int]:
    """A cell of one of these kinds; keys rather than what there are more of."""
    usable = [kind for kind in kinds if known.kinds[kind]]
    kind = rng.choice(usable) if usable else b"nk"
    return kind, rng.choice(known.kinds[kind] or list(known.sizes) or [4096])


def _put(data: bytearray, at: int, width: int, number: int) -> None:
    if 0 <= at <= len(data) - width:
        data[at : at + width] = (number & (1 << 8 * width) - 1).to_bytes(width, "little")


def _get(data: bytearray, at: int, width: int = 4) -> int:
    return int.from_bytes(data[at : at + width], "little")


def _reference(data: bytearray, known: Survey, rng: random.Random) -> int:
    """An offset: of some cell, into one, or one that means something."""
    some = rng.choice(list(known.sizes) or [4096]) - 4096
    return rng.choice([some, some, some, some + 4, some + 8, rng.randrange(len(data)), *EXTREMES])


# --- cells --------------------------------------------------------------------------------


def bits(data: bytearray, known: Survey, rng: random.Random) -> None:
    """A few bits anywhere."""
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def sizes(data: bytearray, known: Survey, rng: random.Random) -> None:
    """A cell's size: freed, longer, shorter, unaligned, absurd."""
    _, at = _cell(known, rng)
    size = _get(data, at)
    other = [-size, size - 8, size + 8, size + 4, size * 2, 8, -8, *EXTREMES]
    _put(data, at, 4, rng.choice(other))


def counts(data: bytearray, known: Survey, rng: random.Random) -> None:
    """How many subkeys, values, elements, segments, or bytes of a name or of data."""
    kind, at = _cell(known, rng)
    where, width = rng.choice(_COUNTS.get(kind, ((6, 2),)))
    old = _get(data, at + where, width)
    _put(data, at + where, width, rng.choice([old + 1, old - 1, old * 2, *INTERESTING]))


def offsets(data: bytearray, known: Survey, rng: random.Random) -> None:
    """What a cell points to."""
    kind, at = _cell(known, rng)
    if kind in _OFFSETS:
        where = rng.choice(_OFFSETS[kind])
    else:
        step = 8 if kind in (b"lf", b"lh") else 4
        where = 8 + step * rng.randrange(max(_get(data, at + 6, 2), 1))
    _put(data, at + where, 4, _reference(data, known, rng))


def flags(data: bytearray, known: Survey, rng: random.Random) -> None:
    """Flags, layers, signatures, sizes of descriptors."""
    kind, at = _cell(known, rng)
    if rng.random() < 0.3:
        data[at + 4 : at + 6] = rng.choice(_KINDS)
    else:
        _put(data, at + rng.choice(_FLAGS.get(kind, (6,))), 1, rng.randrange(256))


def swapped(data: bytearray, known: Survey, rng: random.Random) -> None:
    """The contents of two cells change places, as far as both have room."""
    kinds = rng.choice([_KINDS, (b"nk",), (b"vk",), _LISTS])
    (_, one), (_, two) = _cell(known, rng, kinds), _cell(known, rng, kinds)
    length = min(known.sizes.get(one, 8), known.sizes.get(two, 8))
    first, second = data[one + 4 : one + length], data[two + 4 : two + length]
    data[one + 4 : one + length], data[two + 4 : two + length] = second, first


def cycles(data: bytearray, known: Survey, rng: random.Random) -> None:
    """Lists that lead back: a key among its own subkeys, a list that is another key's too, an
    index root in itself, keys whose parents are each other."""
    keys = known.kinds[b"nk"] or [4096]
    key, other = rng.choice(keys), rng.choice(keys)
    choice = rng.randrange(5)
    if choice == 0:  # a key's list is its parent's or any other's
        data[key + 32 : key + 36] = data[other + 32 : other + 36]
        data[key + 24 : key + 28] = data[other + 24 : other + 28]
    elif choice == 1:  # a list names its key, or the root
        _, at = _cell(known, rng, _LISTS)
        _put(data, at + 8, 4, rng.choice([key, other, 4096 + _get(data, 36)]) - 4096)
    elif choice == 2:  # a list of lists names itself or a list as often as it can
        _, at = _cell(known, rng, (b"ri", b"lf", b"lh"))
        data[at + 4 : at + 6] = b"ri"
        room = min((known.sizes.get(at, 12) - 8) // 4, 0xFFFF)
        target = rng.choice([at, _cell(known, rng, _LISTS)[1]]) - 4096
        _put(data, at + 6, 2, room)
        for index in range(room):
            _put(data, at + 8 + 4 * index, 4, target)
    elif choice == 3:
        _put(data, key + 20, 4, other - 4096)
        _put(data, other + 20, 4, key - 4096)
    else:  # the ring of security descriptors
        _, at = _cell(known, rng, (b"sk",))
        _put(data, at + rng.choice((8, 12)), 4, at - 4096)


def shared(data: bytearray, known: Survey, rng: random.Random) -> None:
    """Everything points to one thing: all values to the same data, all keys to the same values."""
    kind, where = rng.choice([(b"vk", 12), (b"nk", 44), (b"nk", 52), (b"nk", 32)])
    cells = known.kinds[kind]
    if not cells:
        return
    model = max(cells, key=lambda at: _get(data, at + (8 if kind == b"vk" else 40)) & 0x7FFF_FFFF)
    for at in cells:
        if kind == b"vk":
            data[at + 8 : at + 16] = data[model + 8 : model + 16]
        else:
            data[at + where : at + where + 4] = data[model + where : model + where + 4]
            if where == 52:
                _put(data, at + 78, 2, 0xFFFE)
            else:
                data[at + where - 4 : at + where] = data[model + where - 4 : model + where]


# --- the frame ----------------------------------------------------------------------------


def bins(data: bytearray, known: Survey, rng: random.Random) -> None:
    """A bin's signature, offset or size."""
    at = rng.choice(known.bins or [4096])
    where = rng.choice((0, 4, 8))
    old = _get(data, at + where)
    _put(data, at + where, 4, rng.choice([old + 4096, old - 4096, old ^ 1, *INTERESTING]))


def header(data: bytearray, known: Survey, rng: random.Random) -> None:
    """A field of the header, its checksum right again."""
    where = rng.choice([4, 8, 20, 24, 28, 36, 40, 44, rng.randrange(4, 508) & ~3])
    _put(data, where, 4, rng.choice([_reference(data, known, rng), *INTERESTING]))
    if len(data) >= 512:
        data[:512] = sealed(data[:512])


def blocks(data: bytearray, known: Survey, rng: random.Random) -> None:
    """A misplaced, lost or foreign write."""
    length = rng.choice((8, 96, 512, 4096))
    source, target = (rng.randrange(max(len(data) - length, 1)) & ~7 for _ in range(2))
    if length >= 512:
        source, target = source & ~0x1FF, target & ~0x1FF
    piece = [data[source : source + length], bytes(length), rng.randbytes(length)]
    data[target : target + length] = rng.choice(piece)[: max(len(data) - target, 0)]


def cut(data: bytearray, known: Survey, rng: random.Random) -> None:
    """Truncated, anywhere or at a sector."""
    end = rng.randrange(len(data))
    del data[end & ~0x1FF if rng.random() < 0.5 else end :]


MUTATORS: tuple[Mutator, ...] = (
    bits,
    sizes,
    counts,
    offsets,
    flags,
    swapped,
    cycles,
    shared,
    bins,
    header,
    blocks,
    cut,
)


def mutated(image: bytes, known: Survey, rng: random.Random, number: int) -> bytes:
    """The hive with damage of kind `number` (they take turns), sometimes with more of any kind."""
    data = bytearray(image)
    MUTATORS[number % len(MUTATORS)](data, known, rng)
    while rng.random() < 0.25 and len(data) > 8192:
        rng.choice(MUTATORS[:-1])(data, known, rng)
    if data == image:
        bits(data, known, rng)
    return bytes(data)


def mutants(image: bytes, seed: str, count: int) -> Iterator[bytes]:
    """`count` damaged hives, the same for the same seed."""
    known = survey(image)
    for number in range(count):
        yield mutated(image, known, random.Random(f"{seed}:{number}"), number)


# --- logs ---------------------------------------------------------------------------------

LogMutator = Callable[[list[bytearray], random.Random], None]


def _entries(log: bytes | bytearray) -> list[tuple[int, int]]:
    """(offset, size) of the entries that follow each other."""
    found, at = [], 512
    while log[at : at + 4] == b"HvLE":
        size = int.from_bytes(log[at + 4 : at + 8], "little")
        if size < 512 or at + size > len(log):
            break
        found.append((at, size))
        at += size
    return found


def resealed(entry: bytes | bytearray) -> bytes:
    """An entry with both hashes right."""
    body = bytes(entry[40:])
    head = bytes(entry[:24]) + struct.pack("<Q", marvin32(body))
    return head + struct.pack("<Q", marvin32(head)) + body


def log_bits(logs: list[bytearray], rng: random.Random) -> None:
    log = rng.choice(logs)
    for _ in range(rng.randint(1, 4)):
        log[rng.randrange(min(len(log), 4096) if rng.random() < 0.5 else len(log))] ^= 1 << (
            rng.randrange(8)
        )


def log_cut(logs: list[bytearray], rng: random.Random) -> None:
    log = rng.choice(logs)
    del log[rng.randrange(len(log)) :]


def log_header(logs: list[bytearray], rng: random.Random) -> None:
    log = rng.choice(logs)
    where = rng.choice([4, 8, 12, 28, 36, 40, 44, 112])
    old = _get(log, where)
    _put(log, where, 4, rng.choice([old + 1, old - 1, *INTERESTING]))
    if where == 4:
        log[8:12] = log[4:8]
    log[:512] = sealed(log[:512])


def log_entry_believed(logs: list[bytearray], rng: random.Random) -> None:
    """A field of an entry or of its pages' references, with hashes that hold."""
    log = rng.choice(logs)
    if not (found := _entries(log)):
        bitmap(logs, rng)
        return
    at, size = rng.choice(found)
    entry = log[at : at + size]
    pages = _get(entry, 20)
    reference = 40 + 4 * rng.randrange(max(2 * min(pages, 64), 1))
    where = rng.choice(
        [8, 12, 16, 20, reference, reference, reference, rng.randrange(40, size - 3)]
    )
    old = _get(entry, where)
    _put(entry, where, 4, rng.choice([old + 1, old + 512, old - 4096, old * 2, *INTERESTING]))
    log[at : at + size] = resealed(entry)


def spliced(logs: list[bytearray], rng: random.Random) -> None:
    """Entries of one log in the other, twice, or in another order."""
    source, target = rng.choice(logs), rng.choice(logs)
    pieces = [bytes(source[at : at + size]) for at, size in _entries(source)]
    own = [bytes(target[at : at + size]) for at, size in _entries(target)]
    mixed = rng.choice([[*own, *pieces], [*pieces, *own], own[::-1], [*own, *own], pieces[1:]])
    if rng.random() < 0.5:
        rng.shuffle(mixed)
    target[512:] = b"".join(mixed)


def log_swapped(logs: list[bytearray], rng: random.Random) -> None:
    """LOG1 is LOG2, or one of them is both."""
    one, two = rng.randrange(len(logs)), rng.randrange(len(logs))
    logs[one], logs[two] = bytearray(logs[two]), bytearray(logs[one])
    if rng.random() < 0.3:
        logs[one] = bytearray(logs[two])


def bitmap(logs: list[bytearray], rng: random.Random) -> None:
    """Dirty pages that are not there, or others."""
    log = rng.choice(logs)
    for _ in range(rng.randint(1, 8)):
        at = 512 + rng.randrange(max(min(len(log) - 512, 600), 1))
        if at < len(log):
            log[at] = rng.choice((0, 0xFF, rng.randrange(256)))


LOG_MUTATORS: tuple[LogMutator, ...] = (
    log_bits,
    log_cut,
    log_header,
    log_entry_believed,
    log_entry_believed,
    spliced,
    log_swapped,
    bitmap,
)
Named = tuple[str, bytes]


def with_mutated_logs(
    image: bytes, known: Survey, logs: Sequence[Named], rng: random.Random, number: int
) -> tuple[bytes, list[Named]]:
    """A dirty hive and its logs with damage of kind `number`; every third time the hive too."""
    changed = {name: bytearray(content) for name, content in logs}
    names = [name for name, content in logs if len(content) >= 1024]
    usable = [changed[name] for name in names]
    LOG_MUTATORS[number % len(LOG_MUTATORS)](usable, rng)
    changed.update(zip(names, usable, strict=True))
    if number % 3 == 0:
        image = mutated(image, known, rng, rng.randrange(len(MUTATORS)))
    return image, [(name, bytes(log)) for name, log in changed.items()]
