"""The NTFS readers against volumes that mkntfs and others made."""

from __future__ import annotations

import lzma
import struct
from contextlib import suppress
from pathlib import Path

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import ntfs_log, ntfs_volume
from recoverykit.formats.ntfs_boot import NtfsBoot
from recoverykit.formats.ntfs_volume import NtfsVolume
from tests.builders import ntfs, tables, unclean
from tests.conftest import need, read_real, real

pytestmark = need("mkntfs")
SYSTEM_FILES = {"$MFT": 0, "$LogFile": 2, "$Volume": 3, "$UpCase": 10}


def opened(data: bytes | bytearray) -> NtfsVolume:
    return NtfsVolume.open(tables.reader(data))


@pytest.mark.parametrize("cluster", [512, 4096, 65536])
def test_geometry(cluster: int) -> None:
    boot = NtfsBoot.parse(ntfs.volume(16, cluster)[:512])
    assert (boot.sector_size, boot.cluster_size) == (512, cluster)
    assert boot.size == 16 * ntfs.MIB - 512
    assert boot.record_size == 1024
    assert boot.index_size == 4096


@pytest.mark.parametrize(
    ("offset", "packed", "problem"),
    [
        pytest.param(3, b"MSDOS5.0", "not an NTFS volume", id="another file system"),
        pytest.param(11, b"\0\3", "impossible sector size", id="sector size 768"),
        pytest.param(13, b"\3", "impossible cluster size", id="3 sectors per cluster"),
        pytest.param(13, b"\x81", "impossible cluster size", id="clusters of 2^127 sectors"),
        pytest.param(48, b"\xff" * 8, "MFT lies outside", id="MFT beyond the end"),
        pytest.param(64, b"\x7f", "impossible record size", id="records of 127 clusters"),
    ],
)
def test_impossible_geometry(offset: int, packed: bytes, problem: str) -> None:
    sector = bytearray(ntfs.volume()[:512])
    sector[offset : offset + len(packed)] = packed
    with pytest.raises(FormatError, match=problem):
        NtfsBoot.parse(bytes(sector))


@pytest.mark.parametrize("cluster", [512, 4096, 65536])
def test_root_directory(cluster: int) -> None:
    volume = opened(ntfs.volume(16, cluster))
    for name, number in SYSTEM_FILES.items():
        assert ntfs_volume.find_in_root(volume, name.lower()) == number
    assert ntfs_volume.find_in_root(volume, "hiberfil.sys") is None


@pytest.mark.parametrize(
    "image", real("disk/colinfinck_testfs1.xz", "disk/tiny_300.part", "disk/usbpe_boot.sdi.xz")
)
def test_volumes_of_others(image: Path) -> None:
    data = read_real(image)
    volume = opened(data[0x2000:] if "sdi" in image.name else data)
    assert ntfs_volume.find_in_root(volume, "$Volume") == ntfs_volume.VOLUME
    log = ntfs_volume.stream(volume, ntfs_volume.LOG_FILE)
    assert log is not None


def test_contents_across_runs_and_holes() -> None:
    data = bytes(range(256)) * 64
    volume = NtfsVolume(tables.reader(data), opened(ntfs.volume()).boot, ntfs_volume.Stream(0))
    stream = ntfs_volume.Stream(3000, b"", ((1024, 1024), (-1, 1024), (0, 1024)))
    whole = data[1024:2048] + bytes(1024) + data[:952]
    assert ntfs_volume.contents(volume, stream, 0, 9999) == whole
    assert ntfs_volume.contents(volume, stream, 1000, 1100) == whole[1000:2100]
    assert ntfs_volume.contents(volume, stream, 3000, 10) == b""


def test_a_torn_record_is_refused() -> None:
    image = bytearray(ntfs.volume())
    where = opened(image).boot.mft + 3 * 1024
    image[where + 510] ^= 0xFF
    with pytest.raises(FormatError, match="torn write"):
        ntfs_volume.stream(opened(image), ntfs_volume.VOLUME)


def test_an_attribute_list_leads_to_the_attribute() -> None:
    """A large, fragmented hiberfil.sys has its runs in another record."""
    entry = struct.pack("<IHBBQQH6x", ntfs_volume.DATA, 32, 0, 26, 0, 24 | 5 << 48, 0)
    later = struct.pack("<IHBBQQH6x", ntfs_volume.DATA, 32, 0, 26, 9, 25 | 5 << 48, 0)
    assert ntfs_volume._listed(later + entry, ntfs_volume.DATA, "") == 24
    assert ntfs_volume._listed(later, ntfs_volume.DATA, "") is None
    with pytest.raises(FormatError):
        ntfs_volume._listed(bytes(32), ntfs_volume.DATA, "")


def _protect(record: bytearray) -> bytes:
    """Put the update sequence back into a record whose sectors hold their real ends."""
    start, count = struct.unpack_from("<HH", record, 4)
    for i in range(1, count):
        record[start + 2 * i : start + 2 * i + 2] = record[i * 512 - 2 : i * 512]
        record[i * 512 - 2 : i * 512] = record[start : start + 2]
    return bytes(record)


def _data_attribute(lowest: int, clusters: int, size: int, pairs: bytes) -> bytes:
    head = struct.pack("<IIBBHHH", ntfs_volume.DATA, 72, 1, 0, 64, 0, 9)
    sizes = (clusters * 4096, size, size) if not lowest else (0, 0, 0)
    body = struct.pack("<QQHHIQQQ", lowest, lowest + clusters - 1, 64, 0, 0, *sizes)
    return head + body + pairs.ljust(8, b"\0")


def _resident(kind: int, value: bytes) -> bytes:
    length = -(-(24 + len(value)) // 8) * 8
    head = struct.pack("<IIBBHHHIHH", kind, length, 0, 0, 24, 0, 8, len(value), 24, 0)
    return (head + value).ljust(length, b"\0")


def test_a_fragmented_mft_is_read_whole() -> None:
    """Record 28 lies in an extent that only record 24 (through $MFT's attribute list) names."""
    image = bytearray(ntfs.volume())
    boot = opened(image).boot
    end = (0xFFFF_FFFF).to_bytes(4, "little") + bytes(4)
    blank = ntfs_volume.unprotect(bytes(image[boot.mft : boot.mft + 1024]), b"FILE", 0)[:0x38]
    far = 6 << 20  # free clusters
    entry = struct.pack("<IHBBQQH6x", ntfs_volume.DATA, 32, 0, 26, 0, 0, 0)
    entry += struct.pack("<IHBBQQH6x", ntfs_volume.DATA, 32, 0, 26, 7, 24, 0)
    near = b"\x11\x07" + bytes([boot.mft // 4096])
    rest = b"\x21\x01" + struct.pack("<H", far // 4096)
    records = {
        0: _resident(ntfs_volume.ATTRIBUTE_LIST, entry) + _data_attribute(0, 7, 32 * 1024, near),
        24: _data_attribute(7, 1, 0, rest),
    }
    for number, attributes in records.items():
        record = bytearray((blank + attributes + end).ljust(1024, b"\0"))
        struct.pack_into("<HH", record, 20, 0x38, 1)  # first attribute, in use
        image[boot.mft + number * 1024 : boot.mft + (number + 1) * 1024] = _protect(record)
    wanted = bytearray((blank + _resident(0x70, b"here") + end).ljust(1024, b"\0"))
    image[far : far + 1024] = _protect(wanted)
    volume = opened(image)
    assert volume.mft.runs == ((boot.mft, 7 * 4096), (far, 4096))
    found = ntfs_volume.stream(volume, 28, 0x70)
    assert found is not None
    assert found.resident == b"here"


# --- $LogFile -----------------------------------------------------------------------------


def log_of(image: bytes | bytearray) -> ntfs_log.LogState:
    volume = opened(image)
    log = ntfs_volume.stream(volume, ntfs_volume.LOG_FILE)
    assert log is not None
    return ntfs_log.parse(lambda at, n: ntfs_volume.contents(volume, log, at, n), log.size)


def unclean_log(tmp_path: Path, version: tuple[int, int] = (1, 1)) -> bytearray:
    image = tmp_path / "volume.img"
    image.write_bytes(ntfs.volume())
    unclean.make_log_unclean(image, version=version)
    return bytearray(image.read_bytes())


def test_a_wiped_log_is_clean() -> None:
    assert log_of(ntfs.volume()) == ntfs_log.LogState(clean=True)


@pytest.mark.parametrize("version", [(1, 1), (2, 0)])
def test_an_open_log_is_not_clean(version: tuple[int, int], tmp_path: Path) -> None:
    found = log_of(unclean_log(tmp_path, version))
    assert not found.clean
    assert found.version == f"{version[0]}.{version[1]}"


def _page(image: bytearray, number: int) -> int:
    log = ntfs_volume.stream(opened(image), ntfs_volume.LOG_FILE)
    assert log is not None
    return log.runs[0][0] + number * unclean.PAGE


def _edit(image: bytearray, number: int, lsn: int, in_use: int, flags: int) -> None:
    area = _page(image, number) + 0x30
    struct.pack_into("<Q", image, area, lsn)
    struct.pack_into("<HH", image, area + 12, in_use, flags)


@pytest.mark.parametrize(
    ("first", "second", "clean"),
    [
        pytest.param((5, 0xFFFF, 0), (4, 0, 0), True, id="the newer page is closed"),
        pytest.param((4, 0xFFFF, 0), (5, 0, 0), False, id="the newer page is open"),
        pytest.param((5, 0, 2), (4, 0, 0), True, id="flagged clean"),
    ],
)
def test_the_newer_restart_page_counts(
    first: tuple[int, int, int], second: tuple[int, int, int], clean: bool, tmp_path: Path
) -> None:
    image = unclean_log(tmp_path)
    _edit(image, 0, *first)
    _edit(image, 1, *second)
    assert log_of(image).clean is clean


def test_a_torn_restart_page_leaves_its_twin(tmp_path: Path) -> None:
    image = unclean_log(tmp_path)
    _edit(image, 1, 1, 0xFFFF, 0)
    image[_page(image, 0) + 510] ^= 0xFF
    assert log_of(image).clean


def test_no_intact_restart_page(tmp_path: Path) -> None:
    image = unclean_log(tmp_path)
    for number in (0, 1):
        image[_page(image, number) + 510] ^= 0xFF
    with pytest.raises(FormatError, match="no intact restart page"):
        log_of(image)


@pytest.mark.parametrize("image", real("disk/ntfs-fixed.vhd.xz"))
def test_a_log_windows_closed(image: Path) -> None:
    found = log_of(lzma.decompress(image.read_bytes())[65536:])
    assert found.clean
    assert found.version == "1.1"


def test_hostile_bytes_fail_in_one_way_only(tmp_path: Path) -> None:
    good = bytes(unclean_log(tmp_path))
    mft = opened(good).boot.mft
    log = _page(bytearray(good), 0)
    for at, length in ((0, 512), (mft, 12 * 1024), (mft + 5 * 1024, 1024), (log, 8192)):
        for bad in tables.mutations(good[at : at + length], 120, seed=at):
            with suppress(FormatError):
                image = good[:at] + bad + good[at + len(bad) :]
                ntfs_volume.find_in_root(opened(image), "hiberfil.sys")
                log_of(image)
