"""Damaged hives and logs, read to the last byte: an answer or FormatError, within bounds.

One case is one mutant of one subject, opened (with its logs, where it has some) and read by every
way there is, the walk, and key by key with values, class names and security; or edited as well. The
suite runs a slice (test_hive_mutations), `python -m bench.hive_mutations` as many as one likes.
"""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import islice

from recoverykit.errors import FormatError
from recoverykit.formats.hive import Hive, Key, read
from recoverykit.formats.hive_editor import Editor
from tests.builders.hive import (
    Node,
    Tree,
    binary,
    build,
    dirty_with_bitmap_log,
    dirty_with_log,
    dword,
    multi_sz,
    sz,
)
from tests.builders.mutate import Named, Survey, mutated, survey, with_mutated_logs
from tests.formats.hives import hive_bytes, logs_of

MIB = 1 << 20
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
CHANGED: Tree = {**TREE, "Select": {"Current": dword(2)}, "new": {"key": {}}}


def seconds_allowed(size: int) -> float:
    """CPU seconds for one case of `size` bytes, hive and logs.

    Honest ones need a tenth of it. Those in which all keys claim the longest list of values come
    near: `Key` lets them, as long as the lists together are no larger than the hive.
    """
    return 0.5 + 2 * size / MIB


def bytes_allowed(size: int) -> int:
    """Python's memory at the worst moment of a case, beside the hive and logs themselves."""
    return 4 * MIB + 8 * size


@dataclass(frozen=True, slots=True)
class Subject:
    name: str
    image: bytes
    logs: tuple[Named, ...]
    known: Survey

    @property
    def size(self) -> int:
        return len(self.image) + sum(len(log) for _, log in self.logs)


@dataclass(frozen=True, slots=True)
class Outcome:
    opened: bool
    seconds: float  # CPU
    peak: int  # bytes at the worst moment; 0: not measured


@cache
def subject(name: str) -> Subject:
    """A built hive ("built", "built HvLE", "built DIRT") or a sample with the logs beside it."""
    if not name.startswith("built"):
        image, logs = hive_bytes(name), tuple(logs_of(name))
        return Subject(name, image, logs, survey(image))
    image, logs = build(TREE), tuple[Named, ...]()
    if name != "built":
        make = dirty_with_log if name.endswith("HvLE") else dirty_with_bitmap_log
        image, log1 = make(image, build(CHANGED))
        logs = (("SYSTEM.LOG1", log1), ("SYSTEM.LOG2", bytes(4096)))
    return Subject(name, image, logs, survey(image))


def run(
    what: Subject,
    seed: str,
    number: int,
    *,
    measure: bool = False,
    exercise: Callable[[bytes, Sequence[Named]], None] | None = None,
) -> Outcome:
    """One case. Any exception but FormatError escapes: that is what this looks for."""
    rng = random.Random(f"{seed}:{what.name}:{number}")
    if what.logs:
        image, logs = with_mutated_logs(what.image, what.known, what.logs, rng, number)
    else:
        image, logs = mutated(what.image, what.known, rng, number), []
    if measure:
        tracemalloc.start()
    began = time.process_time()
    try:
        (exercise or read_everything)(image, logs)
        opened = True
    except FormatError:
        opened = False
    seconds = time.process_time() - began
    peak = tracemalloc.get_traced_memory()[1] if measure else 0
    tracemalloc.stop()
    return Outcome(opened, seconds, peak)


def read_everything(image: bytes, logs: Sequence[Named]) -> None:
    """Raises FormatError where the hive cannot be opened; damage further in is walked past."""
    hive = read(image, logs)[0] if logs else Hive(image)
    room, damaged = hive.base.bins_size, list[FormatError]()
    walked = len([None for _ in hive.walk(damaged)])
    assert walked * 80 <= room, "more keys than there is room for"
    pending, keys = [hive.root], 0
    while pending:
        key = pending.pop()
        keys += 1
        assert keys * 80 <= room, "more keys than there is room for"
        for action in (_facts, _values, _lookups):
            try:
                action(key)
            except FormatError:
                continue
        try:
            pending += key.subkeys(damaged)
        except FormatError:
            continue


def _facts(key: Key) -> None:
    assert key.last_written is None or key.path is not None
    _ = (key.class_name, key.link_target, key.predefined_handle, key.layer, key.security)


def _values(key: Key) -> None:
    damaged: list[FormatError] = []
    for value in key.values(damaged):
        try:
            _ = (value.data, value.string, value.strings, value.dword, value.qword)
        except FormatError:
            continue


def _lookups(key: Key) -> None:
    key.subkey("driver7")
    key.value("Start")
    key.values_of("Start", "ImagePath")


# --- edited -------------------------------------------------------------------------------

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DATA = (b"", b"four", b"d" * 40, b"D" * 3000, b"B" * 20000)


def edit_something(image: bytes, logs: Sequence[Named]) -> None:
    """Keys made, values set and removed near the root; what was set reads back, or is refused."""
    hive = read(image, logs)[0] if logs else Hive(image)
    keys = ["", *(key.path for key in islice(_near(hive), 5))]
    editor = Editor(hive.cells.image, NOW)
    done: dict[tuple[str, str], bytes] = {}
    for number, path in enumerate(keys):
        for change in _changes(editor, path, number, done):
            try:
                change()
            except FormatError:
                continue
    result = Hive(editor.finish(7))
    for (path, name), data in done.items():
        key = result.find(path)
        assert key is not None
        if key.predefined_handle is not None:
            continue  # such a key has no values of its own, whatever was put there
        value = key.value(name)
        assert value is not None
        assert value.data == data
    for _ in result.walk([]):
        pass


def _near(hive: Hive) -> Iterator[Key]:
    damaged: list[FormatError] = []
    for key in hive.root.subkeys(damaged):
        yield key
        yield from islice(key.subkeys(damaged), 2)


def _changes(
    editor: Editor, path: str, number: int, done: dict[tuple[str, str], bytes]
) -> Iterator[Callable[[], None]]:
    below = f"{path}\\new" if path else "new"
    data = DATA[number % len(DATA)]

    def put(where: str, name: str) -> None:
        editor.set_value(where, name, 3, data)
        done[(where, name)] = data

    def remove(where: str, name: str) -> None:
        editor.delete_value(where, name)
        done.pop((where, name), None)

    yield lambda: put(path, "Start")
    yield lambda: put(path, "something new")
    yield lambda: editor.create_key(below)
    yield lambda: put(below, "")
    yield lambda: remove(path, "Start")
    if number == 2:
        yield lambda: editor.delete_key(path)
        for where, name in [*done]:
            if where == path or where.startswith(f"{path}\\"):
                del done[(where, name)]
