"""Device elements: bytes as real stores have them, offsets as other writers have them."""

from __future__ import annotations

import random
import struct
import uuid
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoverykit.errors import FormatError
from recoverykit.formats import bcd_device
from recoverykit.formats.bcd_device import (
    Boot,
    Device,
    File,
    GptPartition,
    Locate,
    MbrPartition,
    Opaque,
    Ramdisk,
    VirtualDisk,
    Where,
    decode,
    encode,
    identity,
    partition,
    parts,
)

NONE = "00" * 16
OPTIONS = "{7619dcc8-fafe-11d9-b411-000476eba25f}"
GPT = GptPartition("5541e87d-91a5-4f2b-ad43-a0345c199e9b", "1c6ab89c-bcbf-4abe-8593-618e4d2f5811")

# Elements of real stores (bcd_asus, bcd_windeploy_bios, bcd_usbpe_bios, bcd_windeploy_efi,
# bcd_arm64_phone), and what they mean.
REAL: list[tuple[str, str, Device]] = [
    (
        "gpt",
        NONE + "060000000000000048000000000000009cb86a1cbfbcbe4a8593618e4d2f5811"
        "00000000000000007de84155a5912b4fad43a0345c199e9b" + NONE,
        Device(GPT),
    ),
    (
        "mbr",
        NONE + "060000000000000048000000000000000000100000000000000000000000000000000000"
        "01000000bb6bbadd000000000000000000000000" + NONE,
        Device(MbrPartition(0xDDBA6BBB, 1 << 20)),
    ),
    ("boot", NONE + "05000000000000004800000000000000" + "00" * 56, Device(Boot())),
    (
        "ramdisk on boot",
        "c8dc1976fefad911b411000476eba25f0000000001000000a00000000000000003000000" + "00" * 20
        + "01000000780000000500000005000000000000004800000000000000" + "00" * 56
        + "\\sources\\boot.wim\0".encode("utf-16-le").hex(),
        Device(Ramdisk("\\sources\\boot.wim", Boot()), OPTIONS),
    ),
    (
        "locate by element",
        NONE + "08000000000000001e000000000000000000000002000012000000000000",
        Device(Locate(element=0x12000002)),
    ),
    (
        "locate by path",
        NONE + "08000000000000002e00000000000000010000000000000000000000"
        + "\\Windows\0".encode("utf-16-le").hex(),
        Device(Locate("\\Windows")),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("data", "device"), [r[1:] for r in REAL], ids=[r[0] for r in REAL])
def test_real_elements(data: str, device: Device) -> None:
    assert decode(bytes.fromhex(data)) == device
    assert encode(device).hex() == data


def u32(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "little")


def test_a_ramdisk_lies_where_ntloader_patches_it() -> None:
    """Offsets of libnt/bcd.c in grub4dos/ntloader: written by Windows' own bcdedit there."""
    data = encode(Device(Ramdisk("\\boot.wim", GPT), OPTIONS))
    total = len(data)
    assert [u32(data, at) for at in (0x10, 0x14, 0x18, 0x20)] == [0, 1, total - 0x10, 3]
    assert [u32(data, at) for at in (0x38, 0x3C, 0x40)] == [1, total - 0x38, 5]
    assert (u32(data, 0x44), u32(data, 0x4C)) == (6, 0x48)  # the partition
    assert data[0x54:0x64] == uuid.UUID(GPT.partition).bytes_le
    assert data[0x6C:0x7C] == uuid.UUID(GPT.disk).bytes_le
    assert data[0x8C:] == "\\boot.wim\0".encode("utf-16-le")


def test_a_virtual_disk_lies_where_ntloader_patches_it() -> None:
    vhd = Locate("", 0x1200_0002, VirtualDisk(File("\\win.vhdx", GPT)))
    data = encode(Device(vhd))
    total = len(data)
    assert u32(data, 0x10) == bcd_device.LOCATE
    assert u32(data, 0x24) == 0x1200_0002
    assert u32(data, 0x28) == 0x1E  # from the record to the virtual disk
    assert [u32(data, at) for at in (0x36, 0x5E)] == [total - 0x2E, total - 0x56]
    assert u32(data, 0x6E) == total - 0x6A  # of the path descriptor
    assert (u32(data, 0x76), u32(data, 0x7E)) == (6, 0x48)
    assert data[0xBE:] == "\\win.vhdx\0".encode("utf-16-le")
    assert decode(data) == Device(vhd)
    assert [type(part) for part in parts(vhd)] == [Locate, VirtualDisk, File, GptPartition]


def record(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack("<IIII", kind, flags, 16 + len(body), 0) + body


KEPT = {
    "legacy partition": record(bcd_device.LEGACY_PARTITION, b"\1\0\0\0" + bytes(52)),
    "vmbus": record(bcd_device.VMBUS, uuid.uuid4().bytes * 2),
    "raw disk": record(bcd_device.PARTITION, bytes(20) + b"\2\0\0\0" + bytes(32)),
    "boot with something in it": record(bcd_device.BOOT, bytes(55) + b"\1"),
    "boot that is longer": record(bcd_device.BOOT, bytes(64)),
    "floppy": record(bcd_device.DISK, b"\1\0\0\0" + bytes(52)),
    "ramdisk cut off": record(bcd_device.DISK, b"\3\0\0\0" + bytes(20) + b"\1\0\0\0"),
    "locate of another kind": record(bcd_device.LOCATE, struct.pack("<III", 2, 5, 0) + b"\0\0"),
    "locate on itself": record(bcd_device.LOCATE, struct.pack("<III", 0, 5, 4) + b"\0\0"),
    "more than its record": record(bcd_device.BOOT, bytes(56)) + b"\0",
    "unknown": record(10, b"whatever"),
}


@pytest.mark.parametrize("data", KEPT.values(), ids=KEPT)
def test_what_nobody_described_is_kept_whole(data: bytes) -> None:
    device = decode(bytes(16) + data)
    assert device == Device(Opaque(data))
    assert encode(device) == bytes(16) + data


def test_an_unknown_parent_does_not_hide_the_path() -> None:
    strange = record(bcd_device.NETWORK, b"\1\2\3\4")
    device = Device(Ramdisk("\\boot.wim", Opaque(strange)), OPTIONS)
    found = decode(encode(device))
    assert found == device
    assert parts(found.where)[1] == Opaque(strange)


@pytest.mark.parametrize("length", [0, 15, 16, 31])
def test_too_few_bytes(length: int) -> None:
    with pytest.raises(FormatError, match="too few"):
        decode(bytes(length))


def test_nesting_is_bounded() -> None:
    where: Where = Boot()
    for _ in range(200):
        where = VirtualDisk(where)
    data = encode(Device(where))
    assert encode(decode(data)) == data
    assert len(parts(decode(data).where)) < 12


# --- any value, any bytes -----------------------------------------------------------------

GUIDS = st.uuids().map(str)
U32 = st.integers(0, 0xFFFF_FFFF)
PATHS = st.text(st.characters(exclude_characters="\0"), max_size=40)
PLACES = st.one_of(
    st.just(Boot()),
    st.builds(GptPartition, GUIDS, GUIDS),
    st.builds(MbrPartition, U32, st.integers(0, (1 << 64) - 1)),
    st.binary(max_size=30).map(lambda body: Opaque(record(10, body))),
)
WHERES = st.recursive(
    PLACES,
    lambda inner: st.one_of(
        st.builds(Ramdisk, PATHS, inner),
        st.builds(File, PATHS, inner),
        st.builds(VirtualDisk, inner),
        st.builds(Locate, PATHS, U32, st.none() | inner),
    ),
    max_leaves=4,
)
DEVICES = st.builds(Device, WHERES, st.just("") | GUIDS.map(lambda guid: f"{{{guid}}}"))


@given(DEVICES)
@settings(max_examples=300, deadline=None)
def test_every_value_comes_back(device: Device) -> None:
    if device.options == "{00000000-0000-0000-0000-000000000000}":
        device = replace(device, options="")
    assert decode(encode(device)) == device


@given(DEVICES, st.randoms(use_true_random=False))
@settings(max_examples=300, deadline=None)
def test_every_damage_comes_back(device: Device, rng: random.Random) -> None:
    """Whatever the bytes: they are decoded to something that gives the same bytes."""
    data = bytearray(encode(device))
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(len(data))] = rng.choice([0, 1, 5, 6, 8, 0x7F, 0xFF, rng.randrange(256)])
    damaged = bytes(data[: rng.choice([len(data), rng.randint(32, len(data))])])
    assert encode(decode(damaged)) == damaged


# --- partitions by name -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "disk", "name"),
    [
        (GPT, GPT.disk, "gpt:1c6ab89c-bcbf-4abe-8593-618e4d2f5811"),
        (MbrPartition(0xDDBA6BBB, 1 << 20), "ddba6bbb", "mbr:ddba6bbb:1048576"),
        (MbrPartition(1, 0), "00000001", "mbr:00000001:0"),
    ],
)
def test_partitions_are_named_as_volumes_are(
    where: GptPartition | MbrPartition, disk: str, name: str
) -> None:
    assert identity(where) == name
    assert partition(name, disk) == where


def test_what_is_no_partition_has_no_name() -> None:
    assert identity(Boot()) == ""
    with pytest.raises(ValueError, match="names no partition"):
        partition("serial:1234", "")


@pytest.mark.parametrize(
    "where", [MbrPartition(1 << 32, 0), MbrPartition(0, -1), GptPartition("x", "y")]
)
def test_what_cannot_be_is_refused(where: Where) -> None:
    with pytest.raises(ValueError, match=r"fit|badly formed"):
        encode(Device(where))
