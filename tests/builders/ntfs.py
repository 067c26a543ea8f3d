"""A small NTFS volume as a bare image, made by mkntfs, and states set in its bytes."""

from __future__ import annotations

import struct
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from recoverykit.formats import ntfs_volume
from recoverykit.formats.ntfs_volume import NtfsVolume
from tests.builders import tables

MIB = 1 << 20


@cache
def volume(mib: int = 8, cluster: int = 4096, serial_seed: int = 0) -> bytes:
    """The bytes of an empty volume, with a serial number of its own for each `serial_seed`."""
    with TemporaryDirectory() as folder:
        image = Path(folder) / f"{serial_seed}.img"
        image.write_bytes(b"")
        with image.open("r+b") as file:
            file.truncate(mib * MIB)
        command = ["mkntfs", "-Q", "-F", "-q", "-c", str(cluster), str(image)]
        subprocess.run(command, check=True, capture_output=True)
        return _with_serial(image.read_bytes(), serial_seed)


def _with_serial(volume: bytes, seed: int) -> bytes:
    """mkntfs takes the serial number from the clock: two volumes of one second would be twins."""
    made = bytearray(volume)
    serial = (0x27CD_1EFA_2117_0000 + seed).to_bytes(8, "little")
    for sector in (0, len(made) - 512):  # the boot sector and its copy at the end
        assert made[sector + 3 : sector + 7] == b"NTFS"
        made[sector + 0x48 : sector + 0x50] = serial
    return bytes(made)


def set_dirty(image: bytearray) -> None:
    """Set the $Volume dirty flag, in the MFT and in its mirror, as Windows does."""
    ntfs = NtfsVolume.open(tables.reader(image))
    for start in (ntfs.boot.mft, ntfs.boot.mirror):
        record = start + ntfs_volume.VOLUME * ntfs.boot.record_size
        at = record + 0x38
        while (kind := struct.unpack_from("<I", image, at)[0]) != 0x70:
            assert kind != 0xFFFF_FFFF, "no $VOLUME_INFORMATION"
            at += struct.unpack_from("<I", image, at + 4)[0]
        value = at + struct.unpack_from("<H", image, at + 20)[0]
        image[value + 10] |= 1
