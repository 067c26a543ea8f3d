"""PE headers and version resources, against pefile and against hostile bytes."""

from __future__ import annotations

import io
import random
import struct
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pefile
import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import pe, pe_resources
from tests.builders import pe as build
from tests.conftest import REAL_DATA, real

STRINGS = {
    "CompanyName": "Acme Security GmbH",
    "ProductName": "Acme Filter",
    "FileDescription": "acme filter driver",
    "FileVersion": "3.1.7.0",
    "OriginalFilename": "acmeflt.sys",
}
SAMPLES = sorted(
    str(path.relative_to(REAL_DATA))
    for path in (REAL_DATA / "signed").rglob("*")
    if path.suffix in (".sys", ".dll", ".efi", ".exe")
)


def read(data: bytes) -> tuple[pe.Headers, pe_resources.Version]:
    stream = io.BytesIO(data)
    image = pe.headers(stream)
    return image, pe_resources.version(stream, image)


@pytest.mark.parametrize("machine", ["x64", "x86", "arm64"])
def test_headers(machine: str) -> None:
    built = datetime(2024, 7, 19, 4, 9, tzinfo=UTC)
    image, version = read(build.driver(STRINGS, machine=machine, built=built))
    assert (image.machine, image.built, image.subsystem) == (machine, built, 1)
    assert version == pe_resources.Version(
        "Acme Security GmbH", "Acme Filter", "acme filter driver", "3.1.7.0", "acmeflt.sys"
    )


def test_without_a_version_resource() -> None:
    assert read(build.driver(None))[1] == pe_resources.Version()


@pytest.mark.parametrize(
    ("stamp", "built"),
    [
        (0, None),
        (0x12345678, None),
        (0xDEADBEEF, None),
        (0x6699E2DC, datetime(2024, 7, 19, 3, 51, 56, tzinfo=UTC)),
    ],
)
def test_a_stamp_is_not_always_a_time(stamp: int, built: datetime | None) -> None:
    data = bytearray(build.driver(None))
    (start,) = struct.unpack_from("<I", data, 0x3C)
    struct.pack_into("<I", data, start + 8, stamp)
    image = pe.headers(io.BytesIO(bytes(data)))
    assert (image.stamp, image.built) == (stamp, built)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "too few"),
        (b"ZM" + bytes(62), "does not start with MZ"),
        (b"MZ" + bytes(58) + b"\xff\xff\xff\x7f", "absurd"),
        (b"MZ" + bytes(58) + b"\x40\0\0\0" + bytes(64), "no PE signature"),
        (b"MZ" + bytes(58) + b"\x40\0\0\0PE\0\0", "cut off"),
    ],
)
def test_refuses(data: bytes, problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        pe.headers(io.BytesIO(data))


def peer(path: Path) -> Any:
    image = pefile.PE(str(path), fast_load=True)
    image.parse_data_directories([pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_RESOURCE"]])
    return image


def strings_of(image: Any) -> dict[str, str]:
    for info in getattr(image, "FileInfo", [[]])[0]:
        for table in getattr(info, "StringTable", []):
            return {
                key.decode().lower(): value.decode().strip("\0 ")
                for key, value in table.entries.items()
            }
    return {}


@pytest.mark.parametrize("sample", real(*SAMPLES))
def test_real_files_as_pefile_reads_them(sample: Path) -> None:
    image = peer(sample)
    strings = strings_of(image)
    with sample.open("rb") as stream:
        ours = pe.headers(stream)
        version = pe_resources.version(stream, ours)
    assert ours.stamp == image.FILE_HEADER.TimeDateStamp
    assert ours.image_size == image.OPTIONAL_HEADER.SizeOfImage
    assert ours.checksum == image.OPTIONAL_HEADER.CheckSum
    assert pe.MACHINES[image.FILE_HEADER.Machine] == ours.machine
    assert version.company == strings.get("companyname", "")
    assert version.description == strings.get("filedescription", "")
    assert version.original_name == strings.get("originalfilename", "")
    for fixed in getattr(image, "VS_FIXEDFILEINFO", [])[:1]:
        high = fixed.FileVersionMS
        assert version.version.startswith(f"{high >> 16}.{high & 0xFFFF}.")


def hostile(good: bytes, seed: int, rounds: int) -> int:
    rng = random.Random(seed)
    refused = 0
    for _ in range(rounds):
        bad = bytearray(good[: rng.choice((len(good), len(good), rng.randrange(len(good))))])
        for _ in range(rng.randrange(1, 12)):
            # Half of the damage hits the headers, the rest anything.
            limit = min(len(bad), 1024) if rng.random() < 0.5 else len(bad)
            if limit:
                bad[rng.randrange(limit)] = rng.choice((0, 0xFF, 0x7F, rng.randrange(256)))
        try:
            read(bytes(bad))
        except FormatError:
            refused += 1
    return refused


def test_hostile_stub_fails_in_one_way_only() -> None:
    assert 0 < hostile(build.driver(STRINGS), 20240719, 2000) < 2000


@pytest.mark.parametrize("sample", real("signed/saferwall_amdi2c.sys", "signed/ralphje_pciide.sys"))
def test_hostile_bytes_fail_in_one_way_only(sample: Path) -> None:
    assert 0 < hostile(sample.read_bytes(), 20240720, 1000) < 1000


def test_a_resource_tree_that_leads_in_circles() -> None:
    data = bytearray(build.driver(STRINGS))
    at = data.index(struct.pack("<IIHHHH", 0, 0, 0, 0, 0, 1))
    struct.pack_into("<I", data, at + 20, 0x80000000)  # the child is the root again
    begun = time.process_time()
    with suppress(FormatError):
        read(bytes(data))
    assert time.process_time() - begun < 0.5
