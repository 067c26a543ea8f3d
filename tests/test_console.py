"""The technician's screen: only a typed yes is a yes."""

from __future__ import annotations

import os
import pty
from collections.abc import Iterable

import pytest

from recoverykit import __version__
from recoverykit.console import Screen, banner, menu
from recoverykit.host.consoles import Consoles
from recoverykit.model import Report
from recoverykit.settings import Settings


def screen(answers: Iterable[str | None]) -> tuple[Screen, list[str]]:
    said: list[str] = []
    typed = iter(answers)
    return Screen(said.append, lambda: next(typed, None)), said


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param(["y"], True, id="y"),
        pytest.param(["YES"], True, id="case does not matter"),
        pytest.param(["j"], True, id="the z and y keys are swapped on German keyboards"),
        pytest.param(["n"], False, id="n"),
        pytest.param([None], False, id="the console is gone"),
        pytest.param(["", "", "", "", ""], False, id="leaning on Enter is no yes"),
        pytest.param(["what", "y"], True, id="asked again"),
    ],
)
def test_confirm(answers: list[str | None], *, expected: bool) -> None:
    asked, _ = screen(answers)
    assert asked.confirm("Repair?") is expected


def test_choose_explains_a_wrong_answer_and_asks_again() -> None:
    asked, said = screen(["x", "D"])
    assert asked.choose("What?", {"d": "details", "r": "restart"}) == "d"
    assert "'x' is not one of d, r.\n" in said


def test_only_what_can_be_done_is_offered() -> None:
    assert "y" not in menu(Report("diagnose"), ())
    assert "u" not in menu(Report("diagnose"), ())


def test_a_development_key_is_said_on_the_first_screen() -> None:
    assert "DEVELOPMENT KEY" in banner("id", "ab12", development=True)
    assert "DEVELOPMENT" not in banner("id", "ab12", development=False)


def test_the_banner_says_whose_medium_it_is() -> None:
    recipe = Settings("Example Ltd", "extension 4711", (" E", "  X"))
    shown = banner("e1", "ab12", development=False, settings=recipe).splitlines()
    assert shown[1:5] == [" E", "  X", "Example Ltd", "extension 4711"]
    assert shown[6:8] == [f"recoverykit {__version__}    recipe id e1", "signed by ab12"]


def test_all_consoles_hear_and_any_may_answer() -> None:
    first, first_tty = pty.openpty()
    second, second_tty = pty.openpty()
    consoles = Consoles({first_tty: "tty1", second_tty: "ttyS0"})
    try:
        consoles.write("hello\n")
        assert b"hello" in os.read(first, 100)
        assert b"hello" in os.read(second, 100)
        os.write(second, b"y\n")
        assert consoles.read_line(timeout=5) == "y"
        assert consoles.read_line(timeout=0) is None
    finally:
        for descriptor in (first, first_tty, second, second_tty):
            os.close(descriptor)


def test_a_console_that_goes_away_leaves_the_others() -> None:
    gone, gone_tty = pty.openpty()
    left, left_tty = pty.openpty()
    os.close(gone)
    consoles = Consoles({gone_tty: "ttyUSB0", left_tty: "tty1"})
    try:
        os.write(left, b"r\n")
        assert consoles.read_line(timeout=5) == "r"
    finally:
        for descriptor in (gone_tty, left, left_tty):
            os.close(descriptor)
