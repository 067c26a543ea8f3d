"""What the builder says while it works: a live bar on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_WIDTH = 24
_REDRAW = 0.1  # seconds between two states of the bar


class Progress:
    """Stages in order; each may report how far it is. `quiet` says nothing at all."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream = stream or sys.stderr
        self._quiet = quiet
        self._live = self._stream.isatty()
        self._title = ""
        self._started = self._drawn = time.monotonic()

    def stage(self, title: str) -> None:
        """Finish the stage before, and name the next."""
        self.done()
        self._title, self._started = title, time.monotonic()
        if self._live:
            self._write(f"  {title}")

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """How far the stage is, in any unit; `note` is a speed, for instance."""
        now = time.monotonic()
        if self._live and total > 0 and now - self._drawn >= _REDRAW:
            self._drawn = now
            full = min(_WIDTH, _WIDTH * done // total)
            bar = "#" * full + "." * (_WIDTH - full)
            self._write(f"\r\x1b[K  {self._title:<34} [{bar}] {100 * done // total:3}% {note}")

    def done(self) -> None:
        """The stage has ended; said once, with its time."""
        if self._title:
            start = "\r\x1b[K" if self._live else ""
            spent = time.monotonic() - self._started
            self._write(f"{start}  {self._title:<34} {spent:6.1f} s\n")
        self._title = ""

    def close(self) -> None:
        """Leave the terminal on a fresh line after a stage that failed."""
        if self._title and self._live:
            self._write("\n")
        self._title = ""

    def _write(self, text: str) -> None:
        if not self._quiet:
            self._stream.write(text)
            self._stream.flush()
