"""The end of a session: every file system written out and let go, then restart or power off."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from recoverykit.host import syscalls

ACTIONS = {"reboot": syscalls.RB_RESTART, "poweroff": syscalls.RB_POWER_OFF}
_GRACE = 10.0  # seconds that file-system processes (ntfs-3g) get to write out what they hold


def end(action: str, mounts: Path = Path("/proc/mounts")) -> None:
    """Leave the disks clean and do `action` ("reboot" or "poweroff"). Only for process 1."""
    for target in disk_mounts(mounts.read_text(encoding="utf-8", errors="surrogateescape")):
        with suppress(OSError):  # busy: its process is asked to end below, then it is detached
            syscalls.unmount(target)
    _end_processes()
    for target in disk_mounts(mounts.read_text(encoding="utf-8", errors="surrogateescape")):
        with suppress(OSError):
            syscalls.unmount(target, syscalls.MNT_DETACH)
    os.sync()
    syscalls.reboot(ACTIONS[action])


def disk_mounts(table: str) -> list[Path]:
    """Mount points of block devices in the kernel's table, the newest first."""
    rows = [line.split() for line in table.splitlines()]
    found = [row[1] for row in rows if len(row) > 1 and row[0].startswith("/dev/")]
    return [Path(_unescaped(target)) for target in reversed(found)]


def _unescaped(word: str) -> str:
    """Spaces and the like stand in octal there (proc_pid_mounts(5))."""
    for code in ("\\040", "\\011", "\\012", "\\134"):
        word = word.replace(code, chr(int(code[1:], 8)))
    return word


def _end_processes() -> None:
    """Ask every process to end, and wait for all of them, but not for ever."""
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE
    with suppress(ChildProcessError):  # none is left: the normal way out
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                signal.sigtimedwait({signal.SIGCHLD}, 0.1)
