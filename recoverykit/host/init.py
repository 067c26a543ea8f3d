"""Process 1 of the recovery system: bring the computer up, run the session, end it well.

    1. mount what the kernel offers (proc, sys, dev...)
    2. load the modules that the devices ask for (coldplug), find the boot medium
    3. run `recoverykit.auto` in a child: if that crashes, the kernel does not
    4. collect ended processes and serve newly plugged devices until the session is over
    5. unmount, and restart or power off

There is no shell and no other service. Nothing here writes to a disk of the computer.
"""

from __future__ import annotations

import fcntl
import os
import pickle
import signal
import termios
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from recoverykit.host import coldplug, consoles, medium_device, power, syscalls
from recoverykit.host.medium_device import BootMedium

_SECURE = syscalls.MS_NOSUID | syscalls.MS_NOEXEC | syscalls.MS_NODEV
_MOUNTS = (
    ("proc", "/proc", _SECURE, ""),
    ("sysfs", "/sys", _SECURE, ""),
    ("devtmpfs", "/dev", syscalls.MS_NOSUID | syscalls.MS_NOEXEC, "mode=0755"),
    ("devpts", "/dev/pts", syscalls.MS_NOSUID | syscalls.MS_NOEXEC, "mode=0620,ptmxmode=0666"),
    ("tmpfs", "/run", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=0755"),
    ("tmpfs", "/tmp", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=1777"),  # noqa: S108 - ours alone
)
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin", "HOME": "/root", "LANG": "C.UTF-8", "TERM": "linux"}
_MEDIUM_WAIT = 20.0  # seconds after which a slow stick is given up
_CRASH_SHOWN = 30.0  # seconds an unattended computer shows what went wrong before it goes on


@dataclass(frozen=True, slots=True)
class Session:
    """How the runtime ended."""

    power: str = ""  # what a person asked for last: "reboot", "poweroff", ""
    crash: str = ""  # one sentence when it did not end by itself


def main() -> None:
    """Never returns. Whatever goes wrong is said on the console: process 1 must not die."""
    cmdline: Mapping[str, str] = {}
    try:
        _prepare()
        cmdline = words(Path("/proc/cmdline").read_text())
        session = _run(cmdline)
    except BaseException as exc:  # noqa: BLE001 - the kernel panics when process 1 dies
        session = Session(crash=f"The recovery system could not start: {_where(exc)}.")
    _finish(cmdline, session)


def words(text: str) -> dict[str, str]:
    """key=value words of the kernel command line; the last of a name counts."""
    pairs = (word.partition("=") for word in text.split())
    return {key: value for key, found, value in pairs if found}


def _prepare() -> None:
    for kind, target, flags, options in _MOUNTS:
        Path(target).mkdir(exist_ok=True)
        syscalls.mount(kind, Path(target), kind, flags, options)
    os.environ.clear()
    os.environ.update(_ENVIRONMENT)
    console = os.open("/dev/console", os.O_RDWR | os.O_NOCTTY)
    for descriptor in (0, 1, 2):
        os.dup2(console, descriptor)
    # Only what ends the system may write over the technician's screen.
    Path("/proc/sys/kernel/printk").write_text("1 4 1 7\n")
    syscalls.reboot(syscalls.RB_CAD_OFF)
    if Path("/sys/firmware/efi").is_dir():
        with suppress(OSError):  # some firmware has no variable store at run time
            flags = _SECURE | syscalls.MS_RDONLY
            syscalls.mount("efivarfs", Path("/sys/firmware/efi/efivars"), "efivarfs", flags)


def _run(cmdline: Mapping[str, str]) -> Session:
    image_id = cmdline.get("rk.image", "")
    _say(f"RK-HELLO {_uptime()} recoverykit {image_id} Linux {os.uname().release}")
    plug = coldplug.Plug()
    child = _start(cmdline)  # it loads its code while the devices come up
    plug.start()
    ended: dict[int, int] = {}  # process id -> wait status
    medium = _settle(plug, image_id, ended)
    _say(f"RK-START {_uptime()} medium {medium.device.name if medium else 'not found'}")
    child.tell(medium)
    return _attend(plug, child, ended)


def _settle(plug: coldplug.Plug, image_id: str, ended: dict[int, int]) -> BootMedium | None:
    """Wait until the devices are there; the medium itself may take a little longer."""
    began = time.monotonic()
    medium: BootMedium | None = None
    look = True
    while (waited := time.monotonic() - began) < plug.longest_wait():
        if look and image_id and medium is None:
            medium = medium_device.find(image_id)
        settled = plug.settled()
        if settled and (medium or not image_id or waited > _MEDIUM_WAIT):
            break
        look = plug.attend(0.1) or settled
        _reap(plug, ended)
    return medium


def _reap(plug: coldplug.Plug, ended: dict[int, int]) -> None:
    """Collect every child that has ended: process 1 inherits those of others, too."""
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            ended[found[0]] = found[1]
            plug.reaped(found[0])


@dataclass(frozen=True, slots=True)
class Child:
    """The session's process, and the two pipes between it and process 1."""

    pid: int
    orders: int  # to it: the boot medium, once that is found
    last_word: int  # from it: how it ended

    def tell(self, medium: BootMedium | None) -> None:
        """Let the session begin."""
        with os.fdopen(self.orders, "wb") as pipe, suppress(BrokenPipeError):
            pipe.write(pickle.dumps(medium))


def _start(cmdline: Mapping[str, str]) -> Child:
    orders_in, orders_out = os.pipe()
    word_in, word_out = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(orders_out)
        os.close(word_in)
        _session(cmdline, orders_in, word_out)
    os.close(orders_in)
    os.close(word_out)
    # Ctrl-Alt-Del reaches us as SIGINT; the session treats it as what Ctrl-C is to it.
    signal.signal(signal.SIGINT, lambda *_: os.kill(pid, signal.SIGINT))
    return Child(pid, orders_out, word_in)


def _session(cmdline: Mapping[str, str], orders: int, last_word: int) -> None:
    """The child: never returns, and never lets an exception back into process 1's code."""
    code, word = 1, ""
    try:
        os.setsid()
        with suppress(OSError):
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C works on the console
        # Only here: what it imports must not be able to end process 1.
        from recoverykit import auto

        with os.fdopen(orders, "rb") as pipe:
            medium = pickle.loads(pipe.read())  # noqa: S301 - from process 1, our own parent
        ended = auto.main(cmdline, medium)
        code, word = ended.exit_code, f"power {ended.power}"
    except BaseException as exc:  # noqa: BLE001 - reported by process 1 in one sentence
        word = f"crash {_where(exc)}"
    os.write(last_word, word.encode(errors="replace")[:4096])
    os._exit(code & 0xFF)


def _where(exc: BaseException) -> str:
    """One line that lets a developer find it: what, and in which module and line."""
    frames = traceback.extract_tb(exc.__traceback__)
    place = f" at {Path(frames[-1].filename).stem}:{frames[-1].lineno}" if frames else ""
    return f"{type(exc).__name__}{place} ({exc})"


def _attend(plug: coldplug.Plug, child: Child, ended: dict[int, int]) -> Session:
    """Serve devices and collect processes until the session's own process has ended."""
    while child.pid not in ended:
        ended.clear()
        plug.attend(0.5)
        _reap(plug, ended)
    kind, _, rest = os.read(child.last_word, 4096).decode(errors="replace").partition(" ")
    if os.WIFSIGNALED(ended[child.pid]):
        name = signal.Signals(os.WTERMSIG(ended[child.pid])).name
        return Session(crash=f"The recovery program was ended by {name}.")
    if kind == "crash":
        return Session(crash=f"The recovery program stopped because of a mistake in it: {rest}.")
    return Session(power=rest)


def _finish(cmdline: Mapping[str, str], session: Session) -> None:
    action = session.power or cmdline.get("rk.end", "ask")
    if session.crash:
        _say(f"\n{session.crash}\nAnything it had begun is in its journal and can be undone.")
    if action not in power.ACTIONS:
        action = _ask()
    elif session.crash:
        _say(f"This computer will {action} in {_CRASH_SHOWN:.0f} seconds.")
        time.sleep(_CRASH_SHOWN)
    _say(f"RK-POWER {_uptime()} {action}")
    with suppress(OSError, termios.error):
        termios.tcdrain(1)  # a serial line must get the last words
    while True:
        try:
            power.end(action)
        except BaseException as exc:  # noqa: BLE001 - see main
            _say(f"The computer could not be ended ({_where(exc)}): switch it off by hand.")
        time.sleep(3600)


def _ask() -> str:
    with consoles.opened() as terminals:
        terminals.write("\nPress Enter to restart this computer, or type off to switch it off: ")
        answer = terminals.read_line()
    return "poweroff" if (answer or "").strip().lower() in ("off", "o") else "reboot"


def _say(text: str) -> None:
    """On every console: the person may sit at the screen or at the serial line."""
    line = text.replace("\n", "\r\n").encode(errors="replace") + b"\r\n"
    for console in consoles.active():
        with suppress(OSError):  # named on the command line, and no chip behind it
            # Without waiting: a serial line whose other end is off must not stop the boot.
            descriptor = os.open(console, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)


def _uptime() -> str:
    return Path("/proc/uptime").read_text().split()[0]
