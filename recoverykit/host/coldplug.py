"""Load the kernel modules that this computer's devices ask for: udev's job, without udev.

Every device has a `modalias` in sysfs; modprobe knows which module answers to it. A module finds
more devices, so the kernel's announcements (netlink(7), NETLINK_KOBJECT_UEVENT, group 1) are
followed as long as the system runs: a keyboard plugged in later works.
modprobe runs beside us, never waited for: one controller that hangs must not stop the others.
A module's load returns when its devices are probed, so a disk that still spins up counts as busy.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_NETLINK_KOBJECT_UEVENT = 15
_KERNEL_GROUP = 1  # group 2 is udev's, with another format
_BUFFER = 8 << 20  # bytes; a full bus announces thousands of devices at once
_WITHOUT_ALIAS = ("loop", "i8042", "atkbd")  # needed, and nothing asks for them
_QUIET, _QUIET_USB = 0.6, 2.5  # seconds without news; usb-storage waits one before it looks
_LONGEST = 60.0  # seconds; RAID controllers may take half of that
_MODPROBE = "/usr/sbin/modprobe"
_USB_DISKS = ("usb-storage", "uas")


@dataclass(frozen=True, slots=True)
class Announcement:
    """One uevent."""

    action: str  # "add", "remove", "change", "bind"...
    subsystem: str = ""
    modalias: str = ""


def parse(message: bytes) -> Announcement | None:
    """The kernel's message; None for anything else (udev's own, a damaged one)."""
    head, *fields = message.decode(errors="replace").split("\0")
    values = dict(field.partition("=")[::2] for field in fields)
    if "@" not in head or "ACTION" not in values:
        return None
    return Announcement(values["ACTION"], values.get("SUBSYSTEM", ""), values.get("MODALIAS", ""))


def aliases(devices: Path = Path("/sys/devices")) -> Iterator[str]:
    """The modalias of every device that is there now."""
    for folder, _, files in os.walk(devices):
        if "modalias" in files:
            try:
                yield Path(folder, "modalias").read_text().strip()
            except OSError:
                continue  # unplugged meanwhile, or a device that does not tell


class Plug:
    """Follows the kernel's announcements; keeps no device waiting and no module twice."""

    def __init__(self, modprobe: str = _MODPROBE, sys: Path = Path("/sys")) -> None:
        self._modprobe, self._sys = modprobe, sys
        self._seen: set[str] = set()
        self._running: set[int] = set()
        self._last_news = time.monotonic()
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_KOBJECT_UEVENT)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._socket.bind((0, _KERNEL_GROUP))
        self._socket.settimeout(0)

    def close(self) -> None:
        self._socket.close()

    def start(self) -> None:
        """Load what the devices already there ask for; listen before calling this."""
        self.load(_WITHOUT_ALIAS)
        found = sorted(set(aliases(self._sys / "devices")))
        # Disk controllers (PCI class 01) first and apart: they are what takes long.
        disks = [alias for alias in found if alias.startswith("pci:") and "bc01" in alias]
        self.load(disks)
        self.load(found)

    def load(self, names: Iterable[str]) -> None:
        """Start modprobe for modules or aliases that were not asked for before."""
        new = [name for name in dict.fromkeys(names) if name and name not in self._seen]
        if new:
            self._seen.update(new)
            argv = [self._modprobe, "-a", "-b", "-q", *new]
            null = (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)
            self._running.add(os.posix_spawn(self._modprobe, argv, os.environ, file_actions=[null]))

    def attend(self, timeout: float) -> bool:
        """Wait for news, at most `timeout` seconds, and act on all there is.

        True when a block device came, went or changed.
        """
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            if not selector.select(timeout):
                return False
        news = list(self._received())
        self._last_news = time.monotonic()
        self.load(item.modalias for item in news if item.action == "add")
        return any(item.subsystem == "block" for item in news)

    def _received(self) -> Iterator[Announcement]:
        while True:
            try:
                message, (sender, _) = self._socket.recvfrom(1 << 16)
            except BlockingIOError:
                return
            except OSError as exc:
                if exc.errno != errno.ENOBUFS:
                    raise
                # Announcements were lost: look at everything that is there instead.
                yield from (Announcement("add", "block", alias) for alias in aliases(self._sys))
                continue
            found = parse(message) if sender == 0 else None  # only the kernel's own
            if found is not None:
                yield found

    def reaped(self, pid: int) -> None:
        """Process 1 has collected this child; it may have been one of ours."""
        self._running.discard(pid)

    def settled(self) -> bool:
        """No module is loading and no device has been announced for a while."""
        quiet = _QUIET_USB if self._usb_disk_coming() else _QUIET
        return not self._running and time.monotonic() - self._last_news >= quiet

    def _usb_disk_coming(self) -> bool:
        """A USB storage interface whose disk the kernel has not looked at yet."""
        drivers = (self._sys / "bus/usb/drivers" / name for name in _USB_DISKS)
        links = (link for driver in drivers for link in driver.glob("*:*"))
        return any(next(link.glob("host*/target*/*/block/*"), None) is None for link in links)

    def longest_wait(self) -> float:
        """Seconds after which to go on although something is still loading."""
        return _LONGEST
