from __future__ import annotations

import sys
import time

import pytest

from recoverykit.errors import RecoveryKitError
from recoverykit.host import UnsupportedHostError, process, require_linux


def test_what_a_tool_says() -> None:
    done = process.run(["sh", "-c", "echo out; echo bad thing. >&2; echo advice >&2; exit 3"])
    assert (done.returncode, done.stdout) == (3, "out\n")
    assert done.complaint == "bad thing"


def test_a_silent_failure_still_has_a_reason() -> None:
    assert process.run(["false"]).complaint == "exit code 1"


def test_output_that_is_no_text_is_read() -> None:
    assert process.run(["printf", "\\377ok"]).stdout == "\ufffdok"


def test_tools_get_no_input_and_speak_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    assert process.run(["sh", "-c", "cat; echo $LC_ALL"]).stdout == "C\n"


def test_a_missing_tool_is_a_sentence() -> None:
    with pytest.raises(process.MissingToolError, match="'no-such-tool' is not installed") as caught:
        process.run(["no-such-tool"])
    assert caught.value.hint


def test_a_tool_that_hangs_is_ended() -> None:
    start = time.monotonic()
    with pytest.raises(process.ToolTimeoutError, match="did not finish"):
        process.run(["sleep", "60"], timeout=0.1)
    assert time.monotonic() - start < 10


def test_other_hosts_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(UnsupportedHostError, match="runs on Linux") as caught:
        require_linux()
    assert isinstance(caught.value, RecoveryKitError)
