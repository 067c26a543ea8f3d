"""Every console at once: what is said goes to all of them, and whoever types first answers.

A recovery medium does not know where its user sits: at the screen, at a serial line, or at a
server's management board. The kernel lists its consoles in /sys/class/tty/console/active
(Linux documentation, "ABI/testing/sysfs-tty"); all of them are used alike.
"""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ACTIVE = Path("/sys/class/tty/console/active")
_LINE_LIMIT = 4096  # bytes; a stuck key or a noisy serial line must not fill the memory


def active() -> tuple[Path, ...]:
    """The kernel's consoles, the last named (/dev/console itself) first."""
    names = ACTIVE.read_text().split() if ACTIVE.exists() else []
    # tty0 is "the screen shown now"; reading keys needs the real first one.
    return tuple(Path("/dev") / ("tty1" if name == "tty0" else name) for name in reversed(names))


class Consoles:
    """Text out to all terminals, lines in from any. File descriptors, not files: no buffering."""

    def __init__(self, descriptors: dict[int, str]) -> None:
        self._descriptors = dict(descriptors)
        self._pending: dict[int, bytes] = dict.fromkeys(descriptors, b"")

    def write(self, text: str) -> None:
        """Print everywhere; a console that is gone (unplugged) is left out from then on."""
        data = text.replace("\n", "\r\n").encode(errors="backslashreplace")
        for descriptor in list(self._descriptors):
            try:
                _write_all(descriptor, data)
            except OSError:
                self._forget(descriptor)

    def read_line(self, timeout: float | None = None) -> str | None:
        """The next line typed on any console, without its end; None when time ran out or all
        consoles are gone. `timeout` in seconds, None waits for ever."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._descriptors:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            for descriptor in self._ready(left):
                line = self._receive(descriptor)
                if line is not None:
                    return line
        return None

    def _ready(self, timeout: float | None) -> list[int]:
        with selectors.DefaultSelector() as selector:
            for descriptor in self._descriptors:
                selector.register(descriptor, selectors.EVENT_READ)
            return [key.fd for key, _ in selector.select(timeout)]

    def _receive(self, descriptor: int) -> str | None:
        try:
            data = os.read(descriptor, _LINE_LIMIT)
        except OSError:
            data = b""
        if not data:  # hung up
            self._forget(descriptor)
            return None
        pending = (self._pending[descriptor] + data).replace(b"\r", b"\n")
        line, found, rest = pending.partition(b"\n")
        self._pending[descriptor] = rest if found else pending[-_LINE_LIMIT:]
        return line.decode(errors="replace").strip() if found else None

    def _forget(self, descriptor: int) -> None:
        self._descriptors.pop(descriptor, None)
        self._pending.pop(descriptor, None)


@contextmanager
def opened() -> Iterator[Consoles]:
    """All consoles that can be opened; standard input and output where the kernel names none."""
    with ExitStack() as stack:
        descriptors: dict[int, str] = {}
        for path in active():
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
            except OSError:
                continue  # listed, but not there: "ttyS0" on a machine without a serial port
            stack.callback(os.close, descriptor)
            if _answers(descriptor):
                descriptors[descriptor] = str(path)
        yield Consoles(descriptors or {0: "standard input"})


def _answers(descriptor: int) -> bool:
    """A serial console may be named on the command line and have no chip behind it (EIO)."""
    try:
        os.write(descriptor, b"\r")
    except OSError:
        return False
    return os.isatty(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
