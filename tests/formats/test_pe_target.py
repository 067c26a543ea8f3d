"""The Windows an executable asks for, against pefile on real files, and on broken ones."""

from __future__ import annotations

import io
import os
import random

import pefile
import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import pe, pe_target
from tests.builders import pe as build
from tests.conftest import REAL_DATA

MUTATIONS = int(os.environ.get("RECOVERYKIT_MUTATIONS", "300"))
SAMPLES = sorted(
    path
    for path in (REAL_DATA / "signed").rglob("*")
    if path.suffix.lower() in (".sys", ".dll", ".exe", ".efi")
)


def asked(data: bytes) -> tuple[int, int]:
    stream = io.BytesIO(data)
    return pe_target.subsystem_version(stream, pe.headers(stream))


def test_as_pefile_reads_it() -> None:
    if not SAMPLES:
        pytest.skip(f"no files under {REAL_DATA}")
    found = {}
    for path in SAMPLES:
        data = path.read_bytes()
        header = pefile.PE(data=data, fast_load=True).OPTIONAL_HEADER
        assert asked(data) == (header.MajorSubsystemVersion, header.MinorSubsystemVersion)
        found[path.name] = asked(data), header.MajorOperatingSystemVersion
    # Why the other version field is not asked: built with a kit of Windows 10, for Windows 7.
    assert found["Win7_amd64_balloon.sys"] == ((6, 1), 10)
    assert len(found) > 30


@pytest.mark.parametrize("machine", ["x64", "x86", "arm64"])
def test_a_stub(machine: str) -> None:
    assert asked(build.driver(machine=machine)) == (10, 0)


def test_damage_is_a_format_error() -> None:
    rng = random.Random(20240719)
    good = build.driver()
    refused = 0
    for _ in range(MUTATIONS):
        bad = bytearray(good[: rng.choice((len(good), rng.randrange(0x200)))])
        for _ in range(rng.randrange(6)):
            if bad:
                bad[rng.randrange(min(0x200, len(bad)))] = rng.randrange(256)
        try:
            major, minor = asked(bytes(bad))
            assert 0 <= major < 1 << 16 > minor >= 0
        except FormatError:
            refused += 1
    assert 0 < refused < MUTATIONS
