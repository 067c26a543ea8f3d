"""Random edits against a plain dict model: content, structure, and three independent readers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recoverykit.errors import FormatError
from recoverykit.formats.hive import Hive
from recoverykit.formats.hive_create import DEFAULT_SECURITY, create
from recoverykit.formats.hive_editor import Editor
from tests.builders.hive_check import problems
from tests.formats.agreement import agree, lines, opens
from tests.formats.hive_model import Model, Refused, Twin, facts
from tests.formats.hives import hive_bytes
from tests.independent.readers import READERS, Server, available

OLD, NEW = datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
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


def data(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


class Chooser:
    """Draws the steps of one sequence; hypothesis shrinks what it draws."""

    def __init__(self, draw: st.DataObject, model: Model) -> None:
        self._draw, self._model = draw, model

    def one(self, choices: tuple[str, ...] | tuple[int, ...] | list[str]) -> object:
        return self._draw.draw(st.sampled_from(choices))

    def path(self) -> str:
        return str(self.one(self._model.paths()))

    def below(self) -> str:
        """A key that may not exist, one or two levels below one that does."""
        names = [self.path(), str(self.one(NAMES))]
        if self._draw.draw(st.booleans()):
            names.append(str(self.one(NAMES)))
        return "\\".join(name for name in names if name)

    def value(self) -> str:
        return str(self.one(VALUE_NAMES))

    def content(self) -> bytes:
        size = int(str(self.one(SIZES)))
        return data(size, self._draw.draw(st.integers(0, 1000)))


def steps(
    draw: st.DataObject, model: Model, count: int
) -> Iterator[tuple[str, tuple[object, ...]]]:
    choose = Chooser(draw, model)
    for _ in range(count):
        verb = choose.one(
            ("create", "create", "set", "set", "set", "rename", "delete", "unset", "sd")
        )
        if verb == "create":
            security = draw.draw(st.sampled_from([None, None, *SECURITY]))
            class_name = str(choose.one(("", "", "class", "класс" * 9)))
            yield "create_key", (choose.below(), class_name, security)
        elif verb == "set":
            kind = draw.draw(st.sampled_from(TYPES))
            yield "set_value", (choose.path(), choose.value(), kind, choose.content())
        elif verb == "rename":
            yield "rename_key", (choose.path(), choose.one(NAMES))
        elif verb == "delete":
            yield "delete_key", (draw.draw(st.sampled_from([choose.path(), choose.below()])),)
        elif verb == "unset":
            yield "delete_value", (choose.path(), choose.value())
        else:
            yield "set_security", (choose.path(), draw.draw(st.sampled_from(SECURITY)))


def do(twin: Twin, verb: str, arguments: tuple[object, ...]) -> bool:
    """Whether it was done and not refused."""
    try:
        if verb == "create_key":
            path, class_name, security = arguments
            twin.create_key(str(path), class_name=str(class_name), security=security)  # type: ignore[arg-type]  # bytes or None
        else:
            getattr(twin, verb)(*arguments)
    except (FormatError, Refused):
        return False
    return True


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    with ExitStack() as stack:
        yield {
            reader.name: stack.enter_context(Server(reader))
            for reader in READERS
            if available(reader)
        }


def require_all_agree(image: bytes, folder: Path, servers: dict[str, Server]) -> None:
    path = folder / "hive"
    path.write_bytes(image)
    ours = list(lines(Hive(image)))
    for name, server in servers.items():
        assert opens(name, image)
        assert agree(name, image, ours, server.lines(path)).unexplained == [], name


@pytest.mark.parametrize(("minor", "examples"), [(3, 25), (4, 10), (5, 45), (6, 10)])
def test_edits_do_what_the_model_does(
    minor: int, examples: int, tmp_path: Path, servers: dict[str, Server]
) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(draw=st.data())
    def check(draw: st.DataObject) -> None:
        image = create("test", when=OLD, minor=minor)
        for _ in range(draw.draw(st.integers(1, 3))):
            model, editor = Model(image, NEW), Editor(image, NEW)
            for verb, arguments in steps(draw, model, draw.draw(st.integers(1, 25))):
                assert do(editor, verb, arguments) == do(model, verb, arguments), (verb, arguments)
            image = editor.finish(7)
            assert problems(image) == []
            assert facts(image) == model.facts()
        require_all_agree(image, tmp_path, servers)

    check()


@pytest.mark.parametrize("name", ["yarp/BigDataHive", "bcd_win2go", "yarp/System_Delta"])
def test_edits_of_small_real_hives(name: str, tmp_path: Path, servers: dict[str, Server]) -> None:
    original = hive_bytes(name)

    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(draw=st.data())
    def check(draw: st.DataObject) -> None:
        model, editor = Model(original, NEW), Editor(original, NEW)
        for verb, arguments in steps(draw, model, 20):
            assert do(editor, verb, arguments) == do(model, verb, arguments), (verb, arguments)
        image = editor.finish(7)
        assert problems(image) == []
        assert facts(image) == model.facts()
        require_all_agree(image, tmp_path, servers)

    check()
