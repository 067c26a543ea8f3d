"""Real firmware (OVMF with Secure Boot on) starts what `signing.efi` says, and nothing else.

Each program hangs on a disk of its own; the boot manager of EDK II tries them one after another and
says on the serial line which it denied. A program does nothing but to come back with an error.
"""

from __future__ import annotations

import io
import os
import re
import selectors
import struct
import subprocess
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from signing import efi, efi_variables, sbat
from signing.firmware import Firmware
from signing.kernel import Answer
from signing.keys import SigningKey
from tests.builders import authenticode
from tests.builders import efi as build
from tests.builders.efi import SHA256, X509, X509_SHA256, signature_list
from tests.conftest import need
from tests.e2e.machine import OVMF
from tests.signing.makers import NOW, YEAR, Shape, certified
from tests.signing.test_efi import digest_of, encoded, table_of, tbs

CODE = OVMF / "OVMF_CODE_4M.secboot.fd"
EMPTY = OVMF / "OVMF_VARS_4M.fd"
SECONDS = 120  # half a minute where nobody else wants the processor
_AT_ONCE = 10  # disks of one machine
_NOT_FOUND = 0x8000_0000_0000_000E
_DENIED, _CAME_BACK = ": Access Denied", ": Not Found"
_FAILED = re.compile(
    r'BdsDxe: failed to \w+ (Boot[0-9A-F]{4}) "UEFI [^"]*" from [^\r\n:]*(: [A-Z a-z]+)'
)

pytestmark = [
    pytest.mark.e2e,
    need("qemu-system-x86_64", "mformat", "mcopy"),
    pytest.mark.skipif(not CODE.is_file(), reason=f"no {CODE} (Debian package ovmf)"),
]


@cache
def key(name: str, issuer: str = "", kind: str = "") -> SigningKey:
    """A key of that name under the key of another; `kind` says what is odd about it."""
    shapes = {
        "": Shape(name),
        "ca": Shape(name, ca=True),
        "old": Shape(name, since=NOW - 3 * YEAR, until=NOW - 2 * YEAR),
        "old ca": Shape(name, ca=True, since=NOW - 3 * YEAR, until=NOW - 2 * YEAR),
        "web": Shape(name, purpose=ExtendedKeyUsageOID.SERVER_AUTH),
        "mute": Shape(name, ca=True, issues=False),
    }
    shape = shapes[kind]
    bits = 0 if name == "Elliptic" else 2048
    made = Shape(
        shape.name, shape.ca, shape.purpose, shape.since, shape.until, shape.issues, rsa_bits=bits
    )
    return certified(made, ISSUERS[issuer]() if issuer else None)


ISSUERS: Mapping[str, Callable[[], SigningKey]] = {
    "CA": lambda: key("CA", kind="ca"),
    "Revoked CA": lambda: key("Revoked CA", kind="ca"),
    "Strange CA": lambda: key("Strange CA", kind="ca"),
    "Old CA": lambda: key("Old CA", kind="old ca"),
    "Between": lambda: key("Between", "CA", "ca"),
    "Revoked between": lambda: key("Revoked between", "CA", "ca"),
    "No CA": lambda: key("No CA", "CA"),
    "Mute CA": lambda: key("Mute CA", "CA", "mute"),
}


@cache
def leaf() -> SigningKey:
    return key("Leaf", "CA")


def plain(number: int) -> bytes:
    code = b"\x48\xb8" + struct.pack("<Q", _NOT_FOUND) + b"\xc3" + struct.pack("<I", number)
    return build.program({".text": code.ljust(512, b"\xcc")})


def under(issuer: str) -> Callable[[bytes], bytes]:
    """Signed by a key under that CA, whose certificate comes along."""

    def sign(program: bytes) -> bytes:
        others: tuple[x509.Certificate, ...] = (ISSUERS[issuer]().certificate,)
        return build.signed(
            program, key(f"Below {issuer}", issuer), how=authenticode.How(others=others)
        )

    return sign


def by(*keys: Callable[[], SigningKey]) -> Callable[[bytes], bytes]:
    return lambda program: build.signed(program, *(each() for each in keys))


def changed(program: bytes) -> bytes:
    signed = build.signed(program, leaf())
    return signed[:0x40E] + b"\x90" + signed[0x40F:]


def own_kind(program: bytes) -> bytes:
    head, table = table_of(build.signed(program, leaf()))
    content = efi_variables.PKCS7.bytes_le + table[8:]
    entry = struct.pack("<IHH", 8 + len(content), 0x200, 0xEF1) + content
    return build.with_table(head, entry + bytes(-len(entry) % 8))


def filled_up(program: bytes) -> bytes:
    head, table = table_of(build.signed(program, leaf()))
    return build.with_table(head, table + bytes(16))


def of_another(program: bytes) -> bytes:
    """A signature of another program, and then its own."""
    head, table = table_of(build.signed(program, leaf()))
    return build.with_table(head, table_of(build.signed(build.program(), leaf()))[1] + table)


def revoked_leaf() -> SigningKey:
    return key("Below Revoked CA", "Revoked CA")


def stranger() -> SigningKey:
    return key("Below Strange CA", "Strange CA")


MAKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "signed": by(leaf),
    "changed": changed,
    "revoked, then good": by(revoked_leaf, leaf),
    "good, then revoked": by(leaf, revoked_leaf),
    "strange, then good": by(stranger, leaf),
    "strange": by(stranger),
    "signer revoked by digest": by(lambda: key("Revoked by digest", "CA")),
    "signer revoked": by(lambda: key("Revoked signer", "CA")),
    "a CA between": under("Between"),
    "a CA between that is missing": by(lambda: key("Below Between", "Between")),
    "a CA between that is revoked": under("Revoked between"),
    "its digest revoked": by(leaf),
    "not signed, in db": lambda program: program,
    "not signed": lambda program: program,
    "run out": by(lambda: key("Old", "CA", "old")),
    "a CA run out": by(lambda: key("Below Old CA", "Old CA")),
    "another purpose": by(lambda: key("Web", "CA", "web")),
    "an issuer that is no CA": under("No CA"),
    "an issuer that may not issue": under("Mute CA"),
    "the signer itself in db": by(lambda: key("Self")),
    "UEFI's own kind": own_kind,
    "filled up": filled_up,
    "signature of another": of_another,
    "changed, in db": changed,
    "SHA-1": lambda program: build.signed(program, leaf(), how=authenticode.How("sha1")),
    "ECDSA": by(lambda: key("Elliptic", "CA")),
}
UNDECIDED = {"SHA-1": True, "ECDSA": False}  # what OVMF of 2022 makes of them


@cache
def programs() -> dict[str, bytes]:
    return {name: make(plain(index)) for index, (name, make) in enumerate(MAKERS.items())}


@cache
def lists() -> tuple[bytes, bytes]:
    """db and dbx."""
    made = programs()
    trusted = [ISSUERS[name]() for name in ("CA", "Revoked CA", "Old CA")] + [key("Self")]
    allowed = [digest_of(made[name]) for name in ("not signed, in db", "changed, in db")]
    revoked = (
        ISSUERS["Revoked CA"](),
        ISSUERS["Revoked between"](),
        key("Revoked signer", "CA"),
    )
    db = b"".join(signature_list(X509, encoded(each)) for each in trusted)
    dbx = b"".join(signature_list(X509, encoded(each)) for each in revoked)
    dbx += tbs(key("Revoked by digest", "CA"))
    assert X509_SHA256.bytes_le in dbx
    return (
        db + signature_list(SHA256, *allowed),
        dbx + signature_list(SHA256, digest_of(made["its digest revoked"])),
    )


def power_on(group: list[bytes], folder: Path) -> list[bool]:
    """Which of these programs the firmware started, in their order."""
    db, dbx = lists()
    authority = signature_list(X509, encoded(ISSUERS["CA"]()))
    values = {"PK": authority, "KEK": authority, "db": db, "dbx": dbx, "SecureBootEnable": b"\x01"}
    (folder / "vars.fd").write_bytes(build.with_variables(EMPTY.read_bytes(), values))
    argv = ["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35,smm=on", "-m", "256"]
    argv += ["-global", "driver=cfi.pflash01,property=secure,value=on", "-nic", "none"]
    argv += ["-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"]
    argv += ["-drive", f"if=pflash,format=raw,readonly=on,file={CODE}"]
    argv += ["-drive", f"if=pflash,format=raw,file={folder / 'vars.fd'}"]
    for slot, program in enumerate(group):
        image = disk(program, folder / f"{slot}.img")
        argv += ["-drive", f"if=none,id=disk{slot},format=raw,file={image}"]
        argv += ["-device", f"virtio-blk-pci,drive=disk{slot},bootindex={slot}"]
    ends = dict(_FAILED.findall(talk(argv, len(group))))
    assert len(ends) == len(group)
    assert set(ends.values()) <= {_DENIED, _CAME_BACK}
    return [ends[option] == _CAME_BACK for option in sorted(ends)]


def disk(program: bytes, image: Path) -> Path:
    image.write_bytes(bytes(4 << 20))
    file = image.with_suffix(".efi")
    file.write_bytes(program)
    for words in (
        ["mformat", "-i", str(image), "::"],
        ["mmd", "-i", str(image), "::/EFI", "::/EFI/BOOT"],
        ["mcopy", "-i", str(image), str(file), "::/EFI/BOOT/BOOTX64.EFI"],
    ):
        subprocess.run(words, check=True, capture_output=True, timeout=60)
    return image


def talk(argv: list[str], count: int) -> str:
    """The serial line until every program had its turn, or the time is up."""
    text, until = b"", time.monotonic() + SECONDS
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while time.monotonic() < until and text.count(b"BdsDxe: failed to") <= count:
                if selector.select(1):
                    data = os.read(process.stdout.fileno(), 65536)
                    if not data:
                        break
                    text += data
        process.kill()
    return text.decode("latin-1")


def test_firmware_starts_what_is_said(tmp_path: Path) -> None:
    made = programs()
    names = list(made)
    started: dict[str, bool] = {}
    for first in range(0, len(names), _AT_ONCE):
        group = names[first : first + _AT_ONCE]
        found = power_on([made[name] for name in group], tmp_path)
        started |= dict(zip(group, found, strict=True))
    db, dbx = map(efi_variables.read_lists, lists())
    firmware = Firmware(db, dbx, sbat.NO_LEVEL)
    said = {name: efi.judge(io.BytesIO(made[name]), firmware).answer for name in names}
    decided = {name: answer for name, answer in said.items() if name not in UNDECIDED}
    assert {name: answer is Answer.YES for name, answer in decided.items()} == {
        name: started[name] for name in decided
    }
    assert {name: said[name] for name in UNDECIDED} == dict.fromkeys(UNDECIDED, Answer.UNKNOWN)
    assert {name: started[name] for name in UNDECIDED} == UNDECIDED
    assert 0 < sum(started.values()) < len(started)
