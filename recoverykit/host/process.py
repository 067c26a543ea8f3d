"""Run a tool of the host and get its answer. The runtime's only `subprocess`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from recoverykit.errors import RecoveryKitError

DEFAULT_TIMEOUT = 60.0  # seconds


class MissingToolError(RecoveryKitError):
    """A program we depend on is not installed."""

    code = "missing-tool"


class ToolTimeoutError(RecoveryKitError):
    """A program did not finish in time and was ended."""

    code = "tool-timeout"


@dataclass(frozen=True, slots=True)
class Result:
    """How a tool ended and what it said."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    @property
    def complaint(self) -> str:
        """The first thing it said, without a full stop: advice follows, the reason leads."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return lines[0].strip().rstrip(".") if lines else f"exit code {self.returncode}"


def run(argv: Sequence[str | os.PathLike[str]], *, timeout: float = DEFAULT_TIMEOUT) -> Result:
    """Run `argv` to its end, without input and in the C locale; its exit code is the caller's.

    Raises MissingToolError when it is not installed, ToolTimeoutError after `timeout` seconds.
    """
    words = tuple(os.fspath(word) for word in argv)
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError as exc:
        raise MissingToolError(
            f"The program '{words[0]}' is not installed on this system.",
            hint="on Debian: apt install ntfs-3g util-linux",
        ) from exc
    except subprocess.TimeoutExpired as exc:
        raise ToolTimeoutError(f"'{words[0]}' did not finish within {timeout:.0f} s.") from exc
    return Result(words, done.returncode, done.stdout, done.stderr)
