"""Candidates on real NTFS volumes: compressed by Windows, hard-linked, and in its snapshots."""

from __future__ import annotations

import hashlib
import lzma
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from recoverykit import replacement
from recoverykit.host import disks, mounts, vss
from recoverykit.model import FileSystem, Volume
from recoverykit.replacement import Origin, Root
from recoverykit.vouching import Judge
from tests.builders import ntfs, pe, wof
from tests.conftest import mounts as can_mount
from tests.conftest import need
from tests.evidence.conftest import installation
from tests.host.test_vss import SAMPLE
from tests.replacement.conftest import (
    ACME,
    DRIVERS,
    KERNEL,
    PACKAGE,
    STORE,
    Machine,
    Signer,
    acme,
    faulty,
    stub,
    windows_driver,
)

pytestmark = [can_mount, need("ntfs-3g", "mkntfs", "osslsigncode")]
COMPONENT = "Windows/WinSxS/amd64_acme.inf_31bf3856ad364e35_10.0.19041.1_none_0123456789abcdef"
PADDING = random.Random(7).randbytes(30_000) + bytes(40_000)


def volume_of(image: Path) -> Volume:
    return Volume(image.name, FileSystem.NTFS, image, size=image.stat().st_size)


@pytest.fixture
def image(tmp_path: Path, maker: Signer) -> Path:
    """acme.sys is linked into WinSxS and faulty; each package holds a good one, compressed."""
    path = tmp_path / "disk.img"
    path.write_bytes(ntfs.volume(16))
    volume = volume_of(path)
    with mounts.opened(volume, writable=True) as mount:
        machine = Machine(installation(mount, volume), maker)
        exports = pe.driver(windows_driver("10.0.19041.1"), exports=KERNEL)
        (mount / DRIVERS).mkdir(parents=True)
        wof.write(mount / "Windows/System32/ntoskrnl.exe", "XPRESS4K", exports)
        machine.put(f"{DRIVERS}/acme.sys", faulty(stub(ACME)), signed=False)
        (mount / COMPONENT).mkdir(parents=True)
        (mount / COMPONENT / "acme.sys").hardlink_to(mount / DRIVERS / "acme.sys")
        for number, packing in enumerate(wof.CHUNKS):
            folder = mount / STORE / f"acme.inf_amd64_{number:016x}"
            folder.mkdir(parents=True)
            good = maker.sign(stub(acme(f"3.2.0.{number}"), padding=PADDING))
            wof.write(folder / "acme.sys", packing, good)
        folder = mount / PACKAGE
        folder.mkdir()
        wof.write(folder / "acme.sys", "LZX", good, b"\xff" * 90)
    return path


@pytest.fixture
def mounted(image: Path, maker: Signer) -> Iterator[Machine]:
    volume = volume_of(image)
    with mounts.opened(volume) as mount:
        yield Machine(installation(mount, volume, build="19045.1", architecture="x64"), maker)


@wof.needs_wimlib
def test_compressed_candidates(mounted: Machine, maker: Signer) -> None:
    search = mounted.find()
    usable = [item for item in search.candidates if item.usable]
    assert [item.version for item in usable] == [f"3.2.0.{number}" for number in (3, 2, 1, 0)]
    for number, item in enumerate(reversed(usable)):
        assert item.content == maker.sign(stub(acme(f"3.2.0.{number}"), padding=PADDING))
    assert search.gaps == ()


@wof.needs_wimlib
def test_a_broken_stream_and_the_faulty_file_itself(mounted: Machine) -> None:
    refused = {item.where: item.refusals for item in mounted.find().candidates if not item.usable}
    (reason,) = refused.pop(f"{PACKAGE}/acme.sys")
    assert reason.startswith("it cannot be read: ")
    assert "WOF file at 0x" in reason or "LZX chunk" in reason
    (linked,) = refused.values()
    assert linked[0] == "it is the faulty file itself, byte for byte"


@wof.needs_wimlib
def test_a_compressed_kernel_is_asked_as_well(mounted: Machine) -> None:
    (usable, *_) = mounted.find().candidates
    assert usable.risks == ()  # its version was read


@wof.needs_wimlib
def test_a_compressed_file_by_its_path(mounted: Machine, maker: Signer) -> None:
    search = mounted.find(f"{STORE.upper()}/acme.inf_amd64_{0:016x}/ACME.sys")
    good = maker.sign(stub(acme("3.2.0.0"), padding=PADDING))
    assert search.path == f"{STORE}/acme.inf_amd64_{0:016x}/acme.sys"
    assert search.before == hashlib.sha256(good).hexdigest()


@need("vshadowmount")
def test_snapshots_that_windows_made(tmp_path: Path) -> None:
    sample = tmp_path / "vss.raw"
    sample.write_bytes(lzma.decompress(SAMPLE.read_bytes()))
    (volume,) = disks.survey(sample).volumes
    with mounts.opened(volume) as mount, vss.opened(volume) as found:
        roots = [Root(item.name, installation(item.mount, item.volume)) for item in found.snapshots]
        install = installation(mount, volume)
        search = replacement.find(
            install, "passwords.txt", [], None, judge=Judge(install), roots=roots
        )
    (candidate,) = search.candidates
    assert candidate.origin is Origin.SNAPSHOT
    assert candidate.where.startswith("snapshot of 2021-05-01 17:4")
    assert candidate.refusals[-1] == "it is no driver: does not start with MZ"
    assert search.gaps == ()
