from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recoverykit.host import coldplug
from recoverykit.host.coldplug import Announcement, Plug

ADD = b"add@/devices/pci0/usb1\0ACTION=add\0SUBSYSTEM=usb\0MODALIAS=usb:v1D6B\0SEQNUM=1\0"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(ADD, Announcement("add", "usb", "usb:v1D6B"), id="a device"),
        pytest.param(b"remove@/x\0ACTION=remove\0", Announcement("remove"), id="nothing to load"),
        pytest.param(b"libudev\0\xfe\xed\xca\xfe", None, id="udev's own format"),
        pytest.param(b"", None, id="empty"),
        pytest.param(b"add@/x\0SUBSYSTEM=usb", None, id="no action"),
        pytest.param(b"\xff\xff@\0ACTION=\xff=\0\0=", Announcement("\ufffd="), id="garbage"),
    ],
)
def test_announcements(message: bytes, expected: Announcement | None) -> None:
    assert coldplug.parse(message) == expected


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A /sys with three devices, one of them twice."""
    devices = {
        "pci0/0000:00:1f.2": "pci:v00008086d00002922bc01sc06i01",
        "pci0/0000:00:02.0": "pci:v00001234d00001111bc03sc00i00",
        "pci0/0000:00:03.0": "pci:v00001234d00001111bc03sc00i00",
        "platform/empty": "",
    }
    for name, alias in devices.items():
        (tmp_path / "devices" / name).mkdir(parents=True)
        (tmp_path / "devices" / name / "modalias").write_text(f"{alias}\n")
    (tmp_path / "bus/usb/drivers/usb-storage").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def plug(machine: Path, tmp_path: Path) -> Iterator[Plug]:
    """A plug whose modprobe only writes down what it was asked."""
    recorder = tmp_path / "modprobe"
    recorder.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    recorder.chmod(0o755)
    made = Plug(str(recorder), machine)
    yield made
    made.close()


def finish(plug: Plug) -> None:
    """Collect every modprobe, as process 1 does."""
    for pid in list(plug._running):
        os.waitpid(pid, 0)
        plug.reaped(pid)


def test_every_device_is_asked_for_once_disks_apart(plug: Plug, tmp_path: Path) -> None:
    plug.start()
    finish(plug)
    asked = sorted((tmp_path / "asked").read_text().splitlines())
    assert asked == [
        "-a -b -q loop i8042 atkbd",
        "-a -b -q pci:v00001234d00001111bc03sc00i00",
        "-a -b -q pci:v00008086d00002922bc01sc06i01",
    ]
    plug.load(["pci:v00001234d00001111bc03sc00i00", ""])
    assert not plug._running


def test_settled_only_when_modprobe_is_done_and_all_is_quiet(plug: Plug) -> None:
    plug.load(["x"])
    plug._last_news = time.monotonic() - 100
    assert not plug.settled()
    finish(plug)
    assert plug.settled()
    plug._last_news = time.monotonic()
    assert not plug.settled()


def test_a_usb_disk_that_was_not_looked_at_yet_is_waited_for(plug: Plug, machine: Path) -> None:
    plug._last_news = time.monotonic() - 1.5
    assert plug.settled()
    interface = machine / "bus/usb/drivers/usb-storage/1-1:1.0"
    interface.mkdir()
    assert not plug.settled()
    (interface / "host0/target0:0:0/0:0:0:0/block/sda").mkdir(parents=True)
    assert plug.settled()


def test_quiet_is_quiet(plug: Plug) -> None:
    assert plug.attend(0.0) is False
