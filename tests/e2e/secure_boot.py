"""A PC whose firmware is OVMF with Secure Boot on, our keys enrolled: what does it start?

Each program lies on a disk of its own, and the boot manager of EDK II tries them one after another.
What it started says its sentence on the serial line, what it refused the boot manager names.
"""

from __future__ import annotations

import re
import selectors
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.builders import efi
from tests.e2e.machine import OVMF

CODE = OVMF / "OVMF_CODE_4M.secboot.fd"
VARIABLES = OVMF / "OVMF_VARS_4M.fd"
DENIED = "Access Denied"
LIMIT = 120.0  # seconds; ten where nobody else wants the processor
_CONTROL = re.compile(r"\x1b\[[0-9;?=]*[A-Za-z]|\r")

present = pytest.mark.skipif(not CODE.is_file(), reason=f"no {CODE} (Debian package ovmf)")


@dataclass(frozen=True, slots=True)
class Machine:
    """What it trusts, and a folder for its disks."""

    folder: Path
    db: Sequence[x509.Certificate]
    memory: int = 256  # MB

    def start(self, programs: Sequence[bytes], until: Callable[[str], bool]) -> str:
        """The serial line from power-on until `until` says so, the machine is off, or LIMIT."""
        argv = ["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35,smm=on", "-nic", "none"]
        argv += ["-m", str(self.memory), "-display", "none", "-monitor", "none"]
        argv += ["-serial", "stdio", "-no-reboot"]
        argv += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
        argv += ["-drive", f"if=pflash,format=raw,readonly=on,file={CODE}"]
        argv += ["-drive", f"if=pflash,format=raw,file={self._variables()}"]
        for slot, program in enumerate(programs):
            argv += [
                "-drive",
                f"if=none,id=d{slot},format=raw,readonly=on,file=fat:{self._disk(slot, program)}",
            ]
            argv += ["-device", f"virtio-blk-pci,drive=d{slot},bootindex={slot}"]
        return _talk(argv, until)

    def _variables(self) -> Path:
        lists = [efi.signature_list(efi.X509, _der(each)) for each in self.db]
        values = dict.fromkeys(("PK", "KEK"), lists[0]) | {"db": b"".join(lists)}
        made = efi.with_variables(VARIABLES.read_bytes(), {**values, "SecureBootEnable": b"\x01"})
        flash = self.folder / "variables.fd"
        flash.write_bytes(made)
        return flash

    def _disk(self, slot: int, program: bytes) -> Path:
        """A folder that QEMU shows as a FAT disk."""
        place = self.folder / f"disk{slot}/EFI/BOOT"
        place.mkdir(parents=True, exist_ok=True)
        (place / "BOOTX64.EFI").write_bytes(program)
        return self.folder / f"disk{slot}"


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def _talk(argv: Sequence[str], until: Callable[[str], bool]) -> str:
    text, end = "", time.monotonic() + LIMIT
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                while time.monotonic() < end and not until(text):
                    if selector.select(0.5):
                        data = process.stdout.read1(65536)  # type: ignore[attr-defined]
                        if not data:
                            break
                        text = _CONTROL.sub("", text + data.decode("latin-1"))
        finally:
            process.kill()
    return text
