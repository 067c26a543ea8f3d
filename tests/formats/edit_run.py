"""Random edits of real, made-up and damaged hives, and what must be true after them.

The suite runs some (test_hive_editor_hostile, _model, _real), `python -m bench.hive_edits` as many
as one likes.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache

from recoverykit.errors import FormatError
from recoverykit.formats.hive import Hive
from recoverykit.formats.hive_create import create
from recoverykit.formats.hive_editor import Editor
from tests.builders.hive_check import problems
from tests.formats.hive_model import Model, facts
from tests.formats.hive_steps import SECURITY, Seeded, steps
from tests.formats.hives import hive_bytes

NEW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
MOST_PATHS = 300  # of a large hive, that are edited
INTERESTING = (0, 1, 4, 8, 0x20, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0004, 0xFFFF_FFF8, 0xFFFF_FFFF)


@cache
def built() -> bytes:
    """A bit of everything: three descriptors, classes, big data, a list long enough for hashes."""
    editor = Editor(create("x", when=NEW), NEW)
    for number in range(30):
        path = f"k{number}\\s{number}"
        editor.create_key(path, class_name="class" * (number % 3), security=SECURITY[number % 3])
        editor.set_value(f"k{number}", "value", 3, b"x" * (number * 40))
    editor.set_value("k1", "big", 3, b"z" * 50_000)
    editor.set_value("k1", "small", 4, b"1234")
    return editor.finish(2)


@cache
def subject(name: str) -> tuple[bytes, tuple[str, ...]]:
    """A hive, and the paths of its keys."""
    image = built() if name == "built" else hive_bytes(name)
    return image, tuple(facts(image))


# --- sound hives ----------------------------------------------------------------------------


def edit_by_model(name: str, rng: random.Random, count: int) -> int:
    """Random edits that a model of plain Python objects makes too; how many were not refused."""
    image, every = subject(name)
    model, editor = Model(image, NEW), Editor(image, NEW)
    paths = rng.sample(every, min(len(every), MOST_PATHS))
    done = 0
    for step in steps(Seeded(rng), lambda: paths, count):
        here = step.done(model)
        assert step.done(editor) == here, step
        done += here
    result = editor.finish(99)
    assert facts(result) == model.facts()
    assert problems(result) == []
    return done


# --- damaged hives --------------------------------------------------------------------------


def edit_mutant(name: str, rng: random.Random) -> bool | None:
    """Damage a hive and edit it: nothing that was readable and not touched may be lost.

    Whether all edits were made; None where the hive was refused.
    """
    image, paths = subject(name)
    mutant = mutated(image, rng)
    try:
        editor = Editor(mutant, NEW)
        chosen = list(steps(Seeded(rng), lambda: paths, 6))
        done = [step.done(editor) for step in chosen]
        result = editor.finish(9)
    except FormatError:
        return None
    assert lost(mutant, result, [step.path for step in chosen]) == []
    return all(done)


def mutated(image: bytes, rng: random.Random) -> bytes:
    """Bytes flipped, numbers replaced by ones that mean something, runs copied elsewhere."""
    data = bytearray(image)
    kind = rng.randrange(4)
    if kind == 0:
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(4096, len(data))] = rng.randrange(256)
    elif kind == 1:
        length = rng.choice([8, 96, 512, 4096])
        source, target = (rng.randrange(4096, len(data) - length) for _ in range(2))
        data[target : target + length] = data[source : source + length]
    else:
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(4096, len(data) - 4) & ~3
            if kind == 3:  # a field of a record
                record = data.find(rng.choice([b"nk", b"vk", b"lh", b"lf", b"sk", b"db"]), at)
                at = min(max(record, 4096) + 2 * rng.randint(1, 38), len(data) - 4)
            other = rng.randrange(4096, len(data) - 4) & ~3
            copied = struct.unpack_from("<I", data, other)[0]
            struct.pack_into("<I", data, at, rng.choice([*INTERESTING, copied, copied, other & ~7]))
    return bytes(data)


def lost(before: bytes, after: bytes, touched: Sequence[str]) -> list[str]:
    """Keys that were readable, were not touched, and are not what they were."""
    old, new = _readable(before), _readable(after)
    changed = {part for path in touched for part in _lineage(path.upper())}
    below = tuple(f"{path.upper()}\\" for path in touched if path)
    return [
        path
        for path in old
        if path.upper() not in changed
        and not path.upper().startswith(below)
        and new.get(path) != old[path]
        and _alone(after, path) != old[path]
    ]


def _alone(image: bytes, path: str) -> object:
    """One key by itself: a walk that met a damaged number may give up a few keys sooner, because
    there are a few keys more now."""
    with suppress(FormatError):
        key = Hive(image).find(path)
        if key is not None:
            return key.class_name, [(v.name, v.type, bytes(v.data)) for v in key.values()]
    return None


def _readable(image: bytes) -> dict[str, object]:
    """What can be read of a damaged hive: class and values by path."""
    found: dict[str, object] = {}
    above: list[str] = []
    for key in Hive(image).walk([]):
        prefix = above[key.depth - 1] if key.depth else ""
        path = (f"{prefix}\\{key.name}" if prefix else key.name) if key.depth else ""
        above[key.depth :] = [path]
        found[path] = (key.class_name, key.values)
    return found


def _lineage(path: str) -> Iterator[str]:
    """A key and those above it."""
    names = path.split("\\")
    for count in range(len(names) + 1):
        yield "\\".join(names[:count])
