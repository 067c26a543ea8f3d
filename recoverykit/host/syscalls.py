"""The Linux system calls that Python's `os` does not offer: mount(2), umount2(2), reboot(2)."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MNT_DETACH = 2  # hide it at once, let go of it when nobody uses it any more

RB_RESTART = 0x0123_4567
RB_POWER_OFF = 0x4321_FEDC
RB_CAD_OFF = 0  # Ctrl-Alt-Del sends SIGINT to process 1 instead of restarting at once

# A name it cannot find costs nothing until it is called: other hosts may import this module.
_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, kind: str, flags: int = 0, options: str = "") -> None:
    """Raises OSError, naming the target."""
    words = (source.encode(), os.fsencode(target), kind.encode())
    _check(_libc.mount(*words, ctypes.c_ulong(flags), options.encode() or None), target)


def unmount(target: Path, flags: int = 0) -> None:
    """Raises OSError, naming the target."""
    _check(_libc.umount2(os.fsencode(target), ctypes.c_int(flags)), target)


def reboot(command: int) -> None:
    """Raises OSError; returns only for commands that do not end the system."""
    _check(_libc.reboot(ctypes.c_int(command - (1 << 32) if command >> 31 else command)), None)


def _check(result: int, target: Path | None) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), None if target is None else str(target))
