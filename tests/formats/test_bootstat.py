"""bootstat.dat: which fields each version has, the checksum, real files, hostile bytes."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import bootstat
from tests.builders import bootstat as builder
from tests.conftest import read_real, real

MUTANTS = 2000  # a campaign may raise it
FAILED = builder.Status(
    version=builder.WINDOWS_10,
    succeeded=False,
    shut_down=False,
    attempts=3,
    checkpoint=1,
    boot_id=41,
    error=(40, 2, 0, 0xC0000428, 0),
)


def test_a_boot_that_failed() -> None:
    found = bootstat.parse(builder.status(FAILED))
    assert found == bootstat.Status(
        version=0xB0,
        succeeded=False,
        shut_down=False,
        attempts=3,
        checkpoint=1,
        boot_id=41,
        error_boot=40,
        error_code=0xC0000428,
        error_repeats=2,
    )


@pytest.mark.parametrize(
    ("version", "attempts", "boot_id", "code"),
    [
        (0x0C, None, None, 0),
        (0x10, None, None, 0),
        (0x30, None, None, 0),
        (builder.WINDOWS_8, 3, None, 0),
        (builder.WINDOWS_10_1507, 3, 41, 0),
        (0x54, 3, 41, 0xC0000428),
        (builder.WINDOWS_10, 3, 41, 0xC0000428),
        (builder.WINDOWS_11, 3, 41, 0xC0000428),
        (0x800, 3, 41, 0xC0000428),
    ],
)
def test_fields_beyond_the_version_are_not_read(
    version: int, attempts: int | None, boot_id: int | None, code: int
) -> None:
    """What lies behind the structure may be anything."""
    raw = bytearray(builder.status(replace(FAILED, version=version)))
    raw[version:] = b"\xee" * (len(raw) - version)
    found = bootstat.parse(bytes(raw))
    assert (found.attempts, found.boot_id, found.error_code) == (attempts, boot_id, code)
    assert (found.succeeded, found.shut_down) == (False, False)


def test_no_error_has_no_boot() -> None:
    found = bootstat.parse(builder.status(replace(FAILED, error=(40, 0, 0, 0, 0))))
    assert (found.error_boot, found.error_code, found.error_repeats) == (None, 0, 0)


@pytest.mark.parametrize(
    ("offset", "byte"),
    [
        pytest.param(0, 0x0B, id="too small"),
        pytest.param(1, 0xFF, id="too large"),
        pytest.param(4, 0, id="no product"),
        pytest.param(4, 4, id="no such product"),
        pytest.param(0x0A, 2, id="no boolean"),
        pytest.param(0x0B, 0x80, id="no boolean either"),
        pytest.param(0x30, 9, id="checksum"),
        pytest.param(0xAF, 1, id="checksum of the last byte"),
    ],
)
def test_what_cannot_be(offset: int, byte: int) -> None:
    raw = bytearray(builder.status(FAILED))
    raw[offset] = byte
    with pytest.raises(FormatError):
        bootstat.parse(bytes(raw))


@pytest.mark.parametrize("data", [b"", bytes(12), bytes(0x800), b"\xff" * 0x800])
def test_no_status(data: bytes) -> None:
    with pytest.raises(FormatError):
        bootstat.parse(data)


def test_a_checksum_that_nobody_keeps() -> None:
    raw = bytearray(builder.status(FAILED))
    raw[0x32] = 0
    assert bootstat.parse(bytes(raw)).attempts == 3


def test_the_file_may_end_with_the_structure() -> None:
    raw = builder.status(FAILED)
    assert bootstat.parse(raw[:0xB0]) == bootstat.parse(raw)
    with pytest.raises(FormatError):
        bootstat.parse(raw[:0xAF])


REAL = {
    "15lyp": (0xB0, True, True, 1, 1, 1),
    "kbittne": (0xC8, True, False, 1, 1, 7),
    "yuesechayan": (0x40, True, False, 1, 1, 5),
}


@pytest.mark.parametrize("path", real(*(f"bootlogs/bootstat/{n}_bootstat.dat" for n in REAL)))
def test_real_files(path: Path) -> None:
    """Running machines: the last boot came up; the boot ids agree with the loader's log."""
    data = read_real(path)
    found = bootstat.parse(data[: bootstat.STATUS_SIZE])
    version, succeeded, shut_down, attempts, checkpoint, boot_id = REAL[path.name.split("_")[0]]
    assert (found.version, found.succeeded, found.shut_down) == (version, succeeded, shut_down)
    assert (found.attempts, found.checkpoint, found.boot_id) == (attempts, checkpoint, boot_id)
    assert (found.error_boot, found.error_code) == (None, 0)
    if version > builder.WINDOWS_10_1507:
        assert data[0x32]
        assert sum(data[:version]) % 256 == 0


def test_mutants() -> None:
    """A changed byte of the structure is noticed, or changes no more than what it stands for."""
    raw = builder.status(FAILED)
    rng, refused = random.Random("bootstat"), 0
    for _ in range(MUTANTS):
        data = bytearray(raw[: rng.choice((len(raw), rng.randrange(len(raw))))])
        for _ in range(rng.randrange(1, 4)):
            if data:
                data[rng.randrange(min(len(data), 0xB0))] = rng.randrange(256)
        with suppress(FormatError):
            assert bootstat.parse(bytes(data)).version <= len(data)
            continue
        refused += 1
    assert refused > MUTANTS * 0.9
