"""ntbtlog.txt as Windows 10 writes it: UTF-16LE with a mark, one block per boot, appended.

Line shapes are those of ../shared/data/bootlogs (Windows 10 1511 and Server 2016): a banner, a
date in local time with a leading space, then the log's message names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

# What a healthy machine does not load: devices without a driver of their own, and drivers
# that are asked for again. Taken in kind from the real logs.
HEALTHY_NOISE = (
    "@hal.inf,%acpi_amd64.devicedesc%;ACPI x64-based PC",
    "@acpi.inf,%acpi.devicedesc%;Microsoft ACPI-Compliant System",
    "@machine.inf,%pci_devicedesc%;PCI Bus",
    "@cpu.inf,%intelppm.devicedesc%;Intel Processor",
    "@cpu.inf,%intelppm.devicedesc%;Intel Processor",
    "@machine.inf,%*pnp0103.devicedesc%;High precision event timer",
    "@machine.inf,%*pnp0c02.devicedesc%;Motherboard resources",
    "@machine.inf,%*pnp0c0c.devicedesc%;ACPI Power Button",
    "@machine.inf,%*pnp0000.devicedesc%;Programmable interrupt controller",
    "@machine.inf,%*pnp0100.devicedesc%;System timer",
    "@machine.inf,%*pnp0200.devicedesc%;Direct memory access controller",
    "@machine.inf,%*pnp0800.devicedesc%;System speaker",
    "@machine.inf,%*pnp0b00.devicedesc%;System CMOS/real time clock",
    "@mshdc.inf,%pci\\cc_0106.devicedesc%;Standard SATA AHCI Controller",
    "@volume.inf,%storage\\volume.devicedesc%;Volume",
    "@monitor.inf,%*pnp09ff.devicedesc%;Generic PnP Monitor",
    "@wvid.inf,%vid.devicedesc%;Microsoft Hyper-V Virtualization Infrastructure Driver",
    "@compositebus.inf,%compositebus.devicedesc%;Composite Bus Enumerator",
    "@umbus.inf,%umbusroot.devicedesc%;UMBus Root Bus Enumerator",
    "@rdpbus.inf,%rdpbus.devicedesc%;Remote Desktop Device Redirector Bus",
    "\\SystemRoot\\System32\\drivers\\dxgkrnl.sys",
    "\\SystemRoot\\System32\\drivers\\dxgkrnl.sys",
    "\\SystemRoot\\System32\\drivers\\cdrom.sys",
    "\\SystemRoot\\system32\\drivers\\WdFilter.sys",
    "\\SystemRoot\\system32\\drivers\\WdFilter.sys",
    "\\SystemRoot\\System32\\drivers\\ws2ifsl.sys",
)


@dataclass(frozen=True, slots=True)
class Block:
    """One boot; `noise` is what it did not load, spread between the lines of what it did."""

    started: datetime  # local time of the machine
    loaded: tuple[str, ...]
    noise: tuple[str, ...] = HEALTHY_NOISE
    build: int = 19045


def block(boot: Block) -> str:
    """The text of one boot, CRLF line ends."""
    t = boot.started
    lines = [
        f"Microsoft (R) Windows (R) Version 10.0 (Build {boot.build})",
        f"{t.month:2} {t.day:2} {t.year} {t:%H:%M:%S}.{t.microsecond // 1000:03}",
    ]
    quiet = len(boot.loaded) // 2  # devices are enumerated once the boot drivers are in
    for position, path in enumerate(boot.loaded):
        lines.append(f"BOOTLOG_LOADED {path}")
        if position >= quiet:
            lines += _noise_at(boot, position - quiet, len(boot.loaded) - quiet)
    return "".join(line + "\r\n" for line in lines)


def _noise_at(boot: Block, step: int, steps: int) -> list[str]:
    """Each noise line once, in order, none after the last driver that loaded."""
    count = len(boot.noise)
    if step == steps - 1:
        return []
    first, last = step * count // (steps - 1), (step + 1) * count // (steps - 1)
    return [f"BOOTLOG_NOT_LOADED {entry}" for entry in boot.noise[first:last]]


def build(boots: Iterable[Block]) -> bytes:
    """The whole file."""
    return b"\xff\xfe" + "".join(block(boot) for boot in boots).encode("utf-16-le")
