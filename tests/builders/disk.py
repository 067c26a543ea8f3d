"""Disk images: partition tables and file systems, made by the host's tools, none of our code.

GPT through sgdisk (which has no quiet option), MBR through sfdisk, NTFS through mkntfs on a
loop device, FAT through mkfs.fat and mtools. Mounting needs root, FUSE and loop devices.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

SECTOR, MIB = 512, 1 << 20
DISK_GUID = "5A0C4B71-7A2B-4F3E-9C1D-0B5E6F708192"
_ESP, _MSR, _DATA = "EF00", "0C01", "0700"


@dataclass(frozen=True, slots=True)
class Partition:
    number: int
    offset: int  # bytes
    size: int
    role: str  # "esp", "msr", "windows", "boot"
    filesystem: str  # "ntfs", "fat", ""


@dataclass(frozen=True, slots=True)
class DiskImage:
    path: Path
    scheme: str
    partitions: tuple[Partition, ...]

    @property
    def windows(self) -> tuple[Partition, ...]:
        return tuple(part for part in self.partitions if part.role == "windows")

    def at(self, path: Path) -> DiskImage:
        """The same layout in another file."""
        return DiskImage(path, self.scheme, self.partitions)


def create(
    path: Path,
    *,
    scheme: str = "gpt",
    volumes: int = 1,
    volume_mib: int = 160,
    filesystem: str = "ntfs",
    bcd: bytes = b"",
) -> DiskImage:
    """A partitioned and formatted image: ESP and MSR (GPT) or a boot partition (MBR), then
    `volumes` volumes for Windows. `bcd` becomes the ESP's boot configuration."""
    sizes = [("esp", 64), ("msr", 16)] if scheme == "gpt" else [("boot", 64)]
    sizes += [("windows", volume_mib)] * volumes
    partitions = _laid_out(sizes, filesystem)
    with path.open("wb") as file:
        file.truncate(partitions[-1].offset + partitions[-1].size + 2 * MIB)
    (_write_gpt if scheme == "gpt" else _write_mbr)(path, partitions)
    for partition in partitions:
        _format(path, partition)
    if bcd:
        _fill_esp(path, partitions[0], bcd)
    return DiskImage(path, scheme, partitions)


def _laid_out(sizes: list[tuple[str, int]], filesystem: str) -> tuple[Partition, ...]:
    found, offset = [], MIB
    kinds = {"esp": "fat", "msr": "", "boot": "ntfs", "windows": filesystem}
    for number, (role, mib) in enumerate(sizes, start=1):
        found.append(Partition(number, offset, mib * MIB, role, kinds[role]))
        offset += mib * MIB
    return tuple(found)


def _write_gpt(path: Path, partitions: tuple[Partition, ...]) -> None:
    codes = {"esp": _ESP, "msr": _MSR, "windows": _DATA}
    arguments = ["-o", "-U", DISK_GUID]
    for part in partitions:
        first, last = part.offset // SECTOR, (part.offset + part.size) // SECTOR - 1
        arguments += ["-n", f"{part.number}:{first}:{last}"]
        arguments += ["-t", f"{part.number}:{codes[part.role]}"]
    _run("sgdisk", *arguments, str(path))


def _write_mbr(path: Path, partitions: tuple[Partition, ...]) -> None:
    lines = ["label: dos", "label-id: 0x4d2a6b11"]
    for part in partitions:
        kind = "c" if part.filesystem == "fat" else "7"
        active = ", bootable" if part.role == "boot" else ""
        start, size = part.offset // SECTOR, part.size // SECTOR
        lines.append(f"start={start}, size={size}, type={kind}{active}")
    _run("sfdisk", "--quiet", str(path), stdin="\n".join(lines) + "\n")


def _format(path: Path, partition: Partition) -> None:
    start = str(partition.offset // SECTOR)
    if partition.filesystem == "ntfs":
        with attached(path, partition) as device:
            _run("mkntfs", "-q", "-Q", "-F", "-L", "Windows", "-p", start, device)
        _new_serial(path, partition)
    elif partition.filesystem == "fat":
        blocks = str(partition.size // 1024)
        cluster = "1" if partition.size < 128 * MIB else "4"  # sectors; FAT32 needs 65525 clusters
        # Without -h: mtools looks for a partition table where hidden sectors are recorded.
        arguments = ["-F", "32", "-s", cluster, "-n", "SYSTEM", "--offset", start]
        _run("mkfs.fat", *arguments, str(path), blocks)


def _new_serial(path: Path, partition: Partition) -> None:
    """mkntfs takes the serial number from the clock's second: two volumes would be twins."""
    serial = os.urandom(8)
    with path.open("r+b") as file:
        for boot_sector in (partition.offset, partition.offset + partition.size - SECTOR):
            file.seek(boot_sector + 0x48)
            file.write(serial)


def format_again(image: DiskImage, partition: Partition) -> None:
    """Empty one partition: the file system anew, nothing in it."""
    _format(image.path, partition)


def _fill_esp(path: Path, partition: Partition, bcd: bytes) -> None:
    drive = f"{path}@@{partition.offset}"
    with TemporaryDirectory() as folder:
        source = Path(folder) / "BCD"
        source.write_bytes(bcd)
        _run("mmd", "-i", drive, "::/EFI", "::/EFI/Microsoft", "::/EFI/Microsoft/Boot")
        _run("mcopy", "-i", drive, str(source), "::/EFI/Microsoft/Boot/BCD")


def copy_tree(image: Path, partition: Partition, folder: Path) -> None:
    """Copy what lies in `folder` onto a FAT partition, times kept."""
    drive = f"{image}@@{partition.offset}"
    entries = [str(entry) for entry in sorted(folder.iterdir())]
    _run("mcopy", "-s", "-m", "-Q", "-i", drive, *entries, "::/")


@contextmanager
def attached(image: Path, partition: Partition, *, read_only: bool = False) -> Iterator[str]:
    """A loop device that holds just this partition."""
    device = _run(
        "losetup",
        "--find",
        "--show",
        *(["--read-only"] if read_only else []),
        f"--offset={partition.offset}",
        f"--sizelimit={partition.size}",
        str(image),
    ).strip()
    try:
        yield device
    finally:
        _run("losetup", "--detach", device)


@contextmanager
def mounted(image: Path, partition: Partition, *, read_only: bool = False) -> Iterator[Path]:
    """The NTFS volume's root, through ntfs-3g. Refuses a volume whose log is unclean."""
    with attached(image, partition, read_only=read_only) as device, TemporaryDirectory() as folder:
        options = ["norecover", "big_writes", "streams_interface=windows", "compression"]
        options += ["ro"] if read_only else []
        _run("ntfs-3g", "-o", ",".join(options), device, folder)
        try:
            yield Path(folder)
        finally:
            _unmount(folder)


def _unmount(folder: str) -> None:
    """FUSE answers umount before its daemon has let the device go: wait for that."""
    _run("umount", folder)
    deadline = time.monotonic() + 30
    while os.path.ismount(folder) and time.monotonic() < deadline:
        time.sleep(0.01)


def clone(image: DiskImage, target: Path) -> DiskImage:
    """A copy that costs no more space than what is in the image."""
    _run("cp", "--sparse=always", "--reflink=auto", str(image.path), str(target))
    return image.at(target)


def tools_present() -> bool:
    return all(shutil.which(tool) for tool in ("sgdisk", "sfdisk", "mkntfs", "ntfs-3g", "mcopy"))


def _run(*argv: str, stdin: str = "") -> str:
    done = subprocess.run(argv, input=stdin or None, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stdout}{done.stderr}"
    return done.stdout
