"""A PC in QEMU without a network: boots a medium beside disks, drives GRUB over the serial line.

Always TCG: /dev/kvm is not to be counted on. Every process is ended by its own handle, at the
time limit at the latest; what the serial line said is kept with the seconds since power-on.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

OVMF = Path("/usr/share/OVMF")
_CONTROL = re.compile(r"\x1b\[[0-9;?=]*[A-Za-z]|\x1b[()][A-Z0-9]|\r")
_MENU, _CHOSEN = "Unattended repair", "Loading the recovery system"
_PANIC = "end Kernel panic"
_END = re.compile(r"RK-END (\d+)")
MARKS = (_MENU, _CHOSEN, "RK-REPORT", "RK-DONE", "RK-END")
_DISKS = {
    "sata": "ide-hd,bus=ide.{slot}",
    "nvme": "nvme,serial=rk{slot}",
    "virtio": "virtio-blk-pci",
    "usb": "usb-storage,removable=on,bus=xhci.0",
}
_MEDIA = {
    "cd": "ide-cd,bus=ide.5,bootindex=0",
    "usb": "usb-storage,removable=on,bus=xhci.0,bootindex=0",
    "stick": "usb-storage,removable=on,bus=xhci.0,bootindex=0",  # with its write protection off
}


@dataclass(frozen=True, slots=True)
class Attached:
    """A disk image and the bus it hangs on: "sata", "nvme", "virtio" or "usb"."""

    image: Path
    bus: str = "sata"


@dataclass(frozen=True, slots=True)
class Ran:
    """One power-on, seen from the serial line."""

    text: str
    seconds: dict[str, float]  # mark -> seconds since power-on
    exit_code: int | None  # of "RK-END n"
    powered_off: bool  # by itself, within the limit

    def after(self, mark: str) -> str:
        return self.text.partition(mark)[2]


@dataclass(slots=True)
class _Serial:
    """What has come over the line so far, with the first moment of each mark."""

    started: float
    log: IO[str]
    raw: str = ""
    text: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    def feed(self, data: bytes) -> None:
        now = time.monotonic() - self.started
        fresh = data.decode("utf-8", "replace")
        self.log.write(f"\n[{now:7.2f}] {_CONTROL.sub('', fresh)}" if "\n" in fresh else fresh)
        self.log.flush()
        self.raw += fresh
        self.text = _CONTROL.sub("", self.raw)
        for mark in MARKS:
            if mark in self.text:
                self.seconds.setdefault(mark, round(now, 1))


def boot(
    medium: Path,
    disks: Sequence[Attached],
    log: Path,
    *,
    firmware: str = "bios",
    on: str = "cd",
    key: str = "u",
    at_end: str = "p\n",
    limit: float = 480,
    memory: int = 1024,
    until: str = "",
    answers: Sequence[tuple[str, str]] = (),
) -> Ran:
    """Power on, choose the menu entry with `key`, wait until the machine is off.

    `key` "" leaves the default entry to its timeout; `at_end` answers a session that asks. A text
    in `until` pulls the plug when it is seen: for machines that rightly stay as they are.
    `answers`: what a person types when each prompt appears, in this order.
    """
    argv = [*_machine(memory), *_firmware(firmware, log), *_medium(medium, on), *_disks(disks)]
    return _power_on(argv, log, _Person(key, at_end, until, list(answers)), limit)


def boot_kernel(
    kernel: Path, initrd: Path, words: str, disks: Sequence[Attached], log: Path
) -> Ran:
    """Start a kernel without boot loader and medium, as a network boot does."""
    argv = [*_machine(1024), "-kernel", str(kernel), "-initrd", str(initrd), "-append", words]
    return _power_on([*argv, *_disks(disks)], log, _Person("", "p\n", "", []), 480)


@dataclass(slots=True)
class _Person:
    """Who sits at the serial line: what is typed when, and when the plug is pulled."""

    key: str
    at_end: str
    until: str
    answers: list[tuple[str, str]]
    pressed: float = 0.0
    answered: float = 0.0
    read: int = 0  # how much of the text the answers so far belong to

    def act(self, serial: _Serial, line: IO[bytes], now: float) -> None:
        in_menu = _MENU in serial.seconds and _CHOSEN not in serial.seconds
        if self.key and in_menu and now - self.pressed > 1:
            self.pressed = _press(line, self.key, now)
        if self.answers and (at := serial.text.find(self.answers[0][0], self.read)) >= 0:
            prompt, answer = self.answers.pop(0)
            self.read = at + len(prompt)
            _press(line, answer, now)
        # A session that asks at its end wants its answer after the prompt has been drawn.
        if "RK-END" in serial.seconds and now - max(self.answered, serial.seconds["RK-END"]) > 3:
            self.answered = _press(line, self.at_end, now)


def _power_on(argv: list[str], log: Path, person: _Person, limit: float) -> Ran:
    with log.open("w") as file:
        file.write(" ".join(argv) + "\n")
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            serial = _Serial(time.monotonic(), file)
            off = _watch(process, serial, person, limit)
        finally:
            process.kill()
            process.wait()
    found = _END.search(serial.text)
    return Ran(serial.text, serial.seconds, int(found[1]) if found else None, off)


def _watch(
    process: subprocess.Popen[bytes], serial: _Serial, person: _Person, limit: float
) -> bool:
    """Follow the line; True when QEMU ended by itself."""
    assert process.stdin is not None
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (now := time.monotonic() - serial.started) < limit:
            if selector.select(0.2):
                data = process.stdout.read()
                if data == b"":
                    process.wait(10)
                    return True
                serial.feed(data or b"")
            if _PANIC in serial.text or (person.until and person.until in serial.text):
                return False
            person.act(serial, process.stdin, now)
    return False


def _press(line: IO[bytes], keys: str, now: float) -> float:
    try:
        line.write(keys.encode())
        line.flush()
    except BrokenPipeError:
        pass  # the machine went off between the look and the key
    return now


def _machine(memory: int) -> list[str]:
    argv = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35"]
    # One processor: with two, TCG now and then shows a kernel that patches itself (jump labels) an
    # int3 which is no longer there, and the kernel panics before our first process.
    argv += ["-m", str(memory), "-smp", "1", "-nic", "none", "-no-reboot"]
    argv += ["-display", "none", "-monitor", "none", "-serial", "stdio"]
    return [*argv, "-device", "qemu-xhci,id=xhci"]


def _firmware(firmware: str, log: Path) -> list[str]:
    if firmware == "bios":
        return []
    variables = log.with_suffix(".vars")
    shutil.copyfile(OVMF / "OVMF_VARS_4M.fd", variables)
    code = OVMF / "OVMF_CODE_4M.fd"
    argv = ["-drive", f"if=pflash,format=raw,readonly=on,file={code}"]
    return [*argv, "-drive", f"if=pflash,format=raw,file={variables}"]


def _medium(medium: Path, on: str) -> list[str]:
    # A CD cannot be written to; a stick can, but a plain image has no room for it.
    writable = "off" if on == "stick" else "on"
    argv = ["-drive", f"if=none,id=medium,format=raw,readonly={writable},file={medium}"]
    return [*argv, "-device", f"{_MEDIA[on]},drive=medium"]


def _disks(disks: Sequence[Attached]) -> list[str]:
    argv: list[str] = []
    for slot, disk in enumerate(disks):
        argv += ["-drive", f"if=none,id=disk{slot},format=raw,cache=unsafe,file={disk.image}"]
        argv += ["-device", f"{_DISKS[disk.bus].format(slot=slot)},drive=disk{slot}"]
    return argv
