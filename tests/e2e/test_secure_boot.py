"""Programs we sign, started or refused by real firmware that enforces Secure Boot."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from signing import keys, sign_image, sign_timestamp
from signing.errors import SigningError
from signing.keys import SigningKey
from signing.sign_image import Existing, How
from tests.builders import efi_program, timestamp_service
from tests.conftest import need
from tests.e2e import secure_boot
from tests.e2e.secure_boot import DENIED, Machine
from tests.signing.makers import Shape, certified, refused
from tests.signing.organisations import RSA_KINDS, organisation

pytestmark = [pytest.mark.e2e, need("qemu-system-x86_64"), secure_boot.present]

_PLAIN = How()
STUB = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
_STARTED = re.compile(r"<[Ss]tarted [^>]*>")
_FAILED = re.compile(r"BdsDxe: failed to load Boot[0-9A-F]{4} \"UEFI [^\n]*\n")


class Programs:
    """Programs with how each is signed; each says its own name when it is started."""

    def __init__(self) -> None:
        self.made: dict[str, bytes] = {}

    def add(self, name: str, *who: SigningKey, how: How = _PLAIN) -> bytes:
        plain = efi_program.program(f"<started {name}>")
        self.made[name] = sign_image.sign(plain, who, how) if who else plain
        return self.made[name]

    def add_flipped(self, name: str, *who: SigningKey) -> None:
        made = bytearray(self.add(name, *who))
        made[made.index(b"<\0s\0") + 2] ^= 0x20  # <Started ...>: one bit, and the code is whole
        self.made[name] = bytes(made)

    def started(self, machine: Machine) -> set[str]:
        """Names of those that the firmware started. Of every other it said that it denied it."""
        text = machine.start(list(self.made.values()), self._all_tried)
        found = {name for name in self.made if f"<started {name}>" in text.lower()}
        failures = _FAILED.findall(text)
        assert all(DENIED in line for line in failures), text
        assert len(failures) == len(self.made) - len(found), text
        return found

    def _all_tried(self, text: str) -> bool:
        return len(_STARTED.findall(text)) + len(_FAILED.findall(text)) >= len(self.made)


def test_every_rsa_key(tmp_path: Path) -> None:
    """Accepted as we signed it; refused with one byte flipped, by another key, and unsigned."""
    programs = Programs()
    programs.add("unsigned")
    for kind in RSA_KINDS:
        programs.add_flipped(f"{kind} flipped".lower(), organisation(kind))
        programs.add(f"another {kind}".lower(), organisation(kind, 2))
        programs.add(f"signed {kind}".lower(), organisation(kind))
    machine = Machine(tmp_path, [organisation(kind).certificate for kind in RSA_KINDS])
    assert programs.started(machine) == {f"signed {kind}".lower() for kind in RSA_KINDS}


@need("openssl")
def test_what_this_firmware_makes_of_the_rest(tmp_path: Path) -> None:
    """Two keys, chains, renewal, timestamps; and ECDSA, which it does not know."""
    key, second = organisation("RSA 3072"), organisation("RSA 2048")
    renewed = keys.self_signed(
        key.private_key, key.certificate.subject, datetime.now(UTC) + timedelta(minutes=1)
    )
    root = certified(Shape("Root", ca=True, rsa_bits=2048))
    between = certified(Shape("Between", ca=True, rsa_bits=2048), root)
    leaf = certified(Shape("Leaf", rsa_bits=2048), between)
    elliptic = organisation("P-256")
    old = certified(Shape("Old", until=datetime.now(UTC) + timedelta(days=1), rsa_bits=2048))
    programs = Programs()
    programs.add("two keys", second, key)
    programs.add("two keys turned", key, second)
    programs.add("strange key", second)
    programs.add("appended", second)
    programs.made["appended"] = sign_image.sign(
        programs.made["appended"], [key], How(Existing.APPEND)
    )
    programs.add("chain", replace(leaf, others=(between.certificate,)))
    programs.add("chain with a gap", leaf)
    programs.add("same key renewed", SigningKey(key.private_key, renewed))
    programs.add("sha384", key, how=How(digest="sha384"))
    programs.add("ecdsa", elliptic)
    service = timestamp_service.make(tmp_path)
    stamp = sign_timestamp.stamp(
        "", service.post, sign_timestamp.organisation([service.authority]), datetime.now(UTC)
    )
    programs.add("dated", old, how=How(signing_time=datetime.now(UTC), stamp=stamp))
    trusted = [each.certificate for each in (key, root, elliptic, old)]
    assert programs.started(Machine(tmp_path, trusted)) == {
        "two keys",
        "two keys turned",
        "appended",
        "chain",
        "sha384",
        "dated",
    }


# --- a real kernel ------------------------------------------------------------------------------


def unified(kernel: Path, folder: Path, flags: str = "") -> bytes:
    """A unified kernel image as systemd's documentation has it made."""
    (folder / "cmdline").write_bytes(b"console=ttyS0 panic=-1\0")
    argv = ["objcopy", "--add-section", f".cmdline={folder / 'cmdline'}"]
    argv += ["--change-section-vma", ".cmdline=0x30000"]
    argv += ["--set-section-flags", f".cmdline={flags}"] if flags else []
    argv += ["--add-section", f".linux={kernel}", "--change-section-vma", ".linux=0x2000000"]
    image = folder / "linux.efi"
    subprocess.run([*argv, str(STUB), str(image)], check=True, capture_output=True)
    return image.read_bytes()


needs_stub = pytest.mark.skipif(not STUB.is_file(), reason=f"no {STUB} (package systemd-boot-efi)")


@need("objcopy")
@needs_stub
def test_a_command_line_that_nobody_would_hash(tmp_path: Path) -> None:
    """objcopy can leave a section's bytes out of its size: any command line would start then."""
    (tmp_path / "kernel").write_bytes(bytes(4096))
    odd = unified(tmp_path / "kernel", tmp_path, "alloc,readonly,data,contents")
    with refused(SigningError, "belong to no section"):
        sign_image.sign(odd, [organisation("RSA 2048")])
    assert sign_image.sign(
        unified(tmp_path / "kernel", tmp_path), [organisation("RSA 2048")]
    ).startswith(b"MZ")


@pytest.mark.campaign
@need("objcopy", "xorriso")
@needs_stub
@pytest.mark.parametrize("change", [None, b"console=", b"Linux version"])
def test_a_unified_kernel_image(change: bytes | None, medium: Path, tmp_path: Path) -> None:
    """The kernel of our own medium speaks; with one byte of it or its command line it does not."""
    kernel = tmp_path / "vmlinuz"
    argv = ["xorriso", "-osirrox", "on", "-indev", str(medium)]
    argv += ["-extract", "/boot/vmlinuz", str(kernel)]
    subprocess.run(argv, check=True, capture_output=True)
    key = organisation("RSA 3072")
    signed = bytearray(sign_image.sign(unified(kernel, tmp_path), [key]))
    if change is not None:
        at = signed.index(change) if change in signed else len(signed) // 2
        signed[at] ^= 1
    shutil.rmtree(tmp_path / "disk0", ignore_errors=True)
    machine = Machine(tmp_path, [key.certificate], memory=1024)
    text = machine.start([bytes(signed)], lambda said: "Linux version" in said or DENIED in said)
    assert ("Linux version" in text, DENIED in text) == (change is None, change is not None)
