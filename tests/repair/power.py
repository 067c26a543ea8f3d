"""Cut the power, or break the disk, at any durable operation.

What an operation can leave when it is cut is modelled on ntfs-3g (see `recoverykit.durable`): files
that are empty or not yet filled, a renaming that stopped between its links and unlinks, any of the
sectors of a patch.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from recoverykit import durable

OPERATIONS = (
    "write",
    "copy",
    "append",
    "patch",
    "shorten",
    "move",
    "remove",
    "make_folder",
    "protect",
    "stamp",
    "name_short",
)
SECTOR = 512
SUBSETS, SPLITS = 20, 8  # how many states of a cut patch are tried: whole sectors, torn sectors


class PowerCut(BaseException):
    """The machine went dark: nothing in the program runs after this."""


def _shortened(path: Path, content: bytes, *_: object) -> list[Callable[[], object]]:
    """Empty, or of its full size and not yet filled."""
    lengths = (len(content) // 2, max(len(content) - 1, 0))
    filled = [content[:length].ljust(len(content), b"\0") for length in lengths]
    return [partial(path.write_bytes, left) for left in (b"", *filled)]


def _shortened_copy(source: Path, target: Path, *_: object) -> list[Callable[[], object]]:
    return _shortened(target, source.read_bytes())


def _appended(path: Path, content: bytes) -> list[Callable[[], object]]:
    """The new size was durable, the data was not, or not all of it."""
    lengths = (0, 1, len(content) // 2, len(content) - 1)
    tails = [content[:length].ljust(len(content), b"\0") for length in lengths]
    return [partial(path.write_bytes, path.read_bytes() + tail) for tail in tails]


def _moved(source: Path, target: Path) -> list[Callable[[], object]]:
    return _prefixes([partial(os.link, source, target)])


def _folder(path: Path, *_: object) -> list[Callable[[], object]]:
    return _prefixes([path.mkdir])


def _patched(path: Path, pieces: Sequence[tuple[int, bytes]]) -> list[Callable[[], object]]:
    """Every subset of the sectors, and the new length without its bytes; then torn sectors.

    Where there are too many sectors for that, the first ones and a sample. Padded, so that the
    number of a state tells which kind it is (`splits_a_sector`).
    """
    rng = random.Random(20240719)
    sectors = [one for at, content in pieces for one in _sectors(at, content)]
    whole = [sectors[:count] for count in range(1, len(sectors) + 1)]
    whole += [sectors[count:] for count in range(1, len(sectors))]
    whole += [rng.sample(sectors, rng.randrange(1, len(sectors) + 1)) for _ in range(6)]
    end = max(at + len(content) for at, content in pieces)
    if end > path.stat().st_size:
        whole.append([(end - 1, b"\0")])
    split: list[list[tuple[int, bytes]]] = []
    for count, (at, content) in enumerate(sectors):
        split.append([*sectors[:count], (at, content[: SECTOR // 2])])
        split.append([*sectors[:count], (at + SECTOR // 2, content[SECTOR // 2 :])])
    states = [*_padded(whole, SUBSETS, rng), *_padded(split, SPLITS, rng)]
    return [partial(_overwrite, path, writes) for writes in states]


def _sectors(at: int, content: bytes) -> list[tuple[int, bytes]]:
    return [(at + i, content[i : i + SECTOR]) for i in range(0, len(content), SECTOR)]


def _padded(
    states: list[list[tuple[int, bytes]]], size: int, rng: random.Random
) -> list[list[tuple[int, bytes]]]:
    if len(states) > size:
        states = [states[i] for i in sorted(rng.sample(range(len(states)), size))]
    return [*states, *([[]] * (size - len(states)))]


def _overwrite(path: Path, writes: list[tuple[int, bytes]]) -> None:
    with path.open("r+b") as stream:
        for at, content in writes:
            stream.seek(at)
            stream.write(content)


def splits_a_sector(name: str, tear: int | None) -> bool:
    """Whether a state holds a sector half written: disks do not do that, undo mends it anyway."""
    return name == "patch" and tear is not None and tear >= SUBSETS


def _prefixes(steps: list[Callable[[], object]]) -> list[Callable[[], object]]:
    return [partial(_take, steps[:count]) for count in range(1, len(steps) + 1)]


def _take(steps: list[Callable[[], object]]) -> None:
    for step in steps:
        step()


_TORN: dict[str, Callable[..., list[Callable[[], object]]]] = {
    "write": _shortened,
    "copy": _shortened_copy,
    "append": _appended,
    "patch": _patched,
    "move": _moved,
    "make_folder": _folder,
}


@contextmanager
def operations(
    before: Callable[[int, str, tuple[Any, ...]], None], *, sync: bool = False
) -> Iterator[list[str]]:
    """Call `before(number, name, arguments)` ahead of every durable operation; yield the names."""
    done: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        if not sync:
            patch.setattr(os, "fsync", lambda _: None)  # what is durable is decided here
        for name in OPERATIONS:
            real = getattr(durable, name)

            def operation(
                *arguments: Any, name: str = name, real: Any = real, **options: Any
            ) -> Any:
                done.append(name)
                before(len(done) - 1, name, arguments)
                return real(*arguments, **options)

            patch.setattr(durable, name, operation)
        yield done


def cut(at: int, tear: int | None) -> Callable[[int, str, tuple[Any, ...]], None]:
    """Let `at` operations through. The next is lost, or leaves its `tear`-th torn state."""

    def before(number: int, name: str, arguments: tuple[Any, ...]) -> None:
        if number == at and tear is not None and name in _TORN:
            torn = _TORN[name](*arguments)
            if tear < len(torn):
                torn[tear]()
        if number >= at:
            raise PowerCut

    return before


def tears(name: str) -> int:
    """How many torn states an operation can leave at most."""
    most = {"write": 3, "copy": 3, "append": 4, "move": 1, "make_folder": 1}
    return SUBSETS + SPLITS if name == "patch" else most.get(name, 0)


def failing(at: int, code: int, *, once: bool) -> Callable[[int, str, tuple[Any, ...]], None]:
    """Operation `at` fails with an errno, and unless `once` every later one does too."""

    def before(number: int, name: str, arguments: tuple[Any, ...]) -> None:
        if number == at or (number > at and not once):
            raise OSError(code, os.strerror(code), str(arguments[0]))

    return before
