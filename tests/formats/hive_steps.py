"""Random edits for the editor and its model: what hypothesis or a seeded generator chooses."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol, TypeVar

from recoverykit.errors import FormatError
from recoverykit.formats.hive_create import DEFAULT_SECURITY
from tests.formats.hive_model import Refused, Twin

SECURITY = (
    DEFAULT_SECURITY,
    DEFAULT_SECURITY.replace(b"\x20\x02\0\0", b"\x21\x02\0\0"),  # Users, not Administrators
    DEFAULT_SECURITY + bytes(4),
)
NAMES = (
    "a",
    "A",
    "Key",
    "KEY",
    "Start",
    "start",
    "b c",
    "ключ",
    "КЛЮЧ",
    "Ärger",
    "äRGER",
    "\x85Latin",
    "straße",
    "ſ",
    "S",
    "µ",
    "\U0001f511key",
    "\ud801",
    "x\udc01",
    "long" * 60,
    "д" * 255,
)
VALUE_NAMES = (*NAMES, "", "with\\backslash", "v" * 3000, "в" * 300)
SIZES = (0, 1, 2, 3, 4, 5, 8, 12, 60, 200, 4000, 4096, 16343, 16344, 16345, 32688, 32689, 50000)
TYPES = (0, 1, 2, 3, 4, 7, 11, 0xFFFF0012)
CLASSES = ("", "", "class", "класс" * 9)
_VERBS = ("create", "create", "set", "set", "set", "rename", "delete", "unset", "secure")
_T = TypeVar("_T")


class Choose(Protocol):
    def __call__(self, choices: Sequence[_T]) -> _T: ...


class Seeded:
    """Chooses by a seeded generator."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def __call__(self, choices: Sequence[_T]) -> _T:
        return self._rng.choice(choices)


class Step:
    """One call of a method that the editor and the model both have."""

    def __init__(self, verb: str, path: str, call: Callable[[Twin], None]) -> None:
        self.verb, self.path, self._call = verb, path, call

    def __repr__(self) -> str:
        return f"{self.verb} {self.path!r}"

    def done(self, twin: Twin) -> bool:
        """Whether it was done and not refused."""
        try:
            self._call(twin)
        except (FormatError, Refused):
            return False
        return True


def steps(choose: Choose, paths: Callable[[], Sequence[str]], count: int) -> Iterator[Step]:
    """`paths` are the keys that exist when the next step is chosen, or some of them."""
    for _ in range(count):
        verb, path = choose(_VERBS), choose(paths())
        call: Callable[[Twin], None]
        if verb == "create":
            path = "\\".join(filter(None, (path, choose(NAMES), choose(("", *NAMES)))))
            security = choose((None, None, *SECURITY))
            call = partial(_create, path, choose(CLASSES), security)
        elif verb == "set":
            content = random.Random(choose(range(1000))).randbytes(choose(SIZES))
            call = partial(_set, path, choose(VALUE_NAMES), choose(TYPES), content)
        elif verb == "rename":
            call = partial(_rename, path, choose(NAMES))
        elif verb == "delete":
            path = "\\".join(filter(None, (path, choose(("", "", *NAMES)))))
            call = partial(_delete, path)
        elif verb == "unset":
            call = partial(_unset, path, choose(VALUE_NAMES))
        else:
            call = partial(_secure, path, choose(SECURITY))
        yield Step(verb, path, call)


def _create(path: str, class_name: str, security: bytes | None, twin: Twin) -> None:
    twin.create_key(path, class_name=class_name, security=security)


def _set(path: str, name: str, kind: int, content: bytes, twin: Twin) -> None:
    twin.set_value(path, name, kind, content)


def _rename(path: str, name: str, twin: Twin) -> None:
    twin.rename_key(path, name)


def _delete(path: str, twin: Twin) -> None:
    twin.delete_key(path)


def _unset(path: str, name: str, twin: Twin) -> None:
    twin.delete_value(path, name)


def _secure(path: str, descriptor: bytes, twin: Twin) -> None:
    twin.set_security(path, descriptor)
