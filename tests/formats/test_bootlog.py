"""ntbtlog.txt: encodings, blocks, wording, hostile bytes."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import bootlog
from tests.conftest import read_real, real

BANNER = "Microsoft (R) Windows (R) Version 10.0 (Build 19045)"
LOADED, NOT_LOADED = "BOOTLOG_LOADED", "BOOTLOG_NOT_LOADED"
KERNEL = "\\SystemRoot\\system32\\ntoskrnl.exe"
ACME = "\\SystemRoot\\System32\\drivers\\ACME.sys"


def log(*lines: str) -> str:
    return "".join(line + "\r\n" for line in lines)


ONE = log(BANNER, " 7 19 2024 04:09:00.500", f"{LOADED} {KERNEL}", f"{LOADED} {ACME}")
TWO = ONE + log(BANNER, "11 30 2024 14:54:30.270", f"{LOADED} {KERNEL}", f"{NOT_LOADED} {ACME}")
MOMENT = datetime(2024, 7, 19, 4, 9, 0, 500_000, tzinfo=UTC)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\xff\xfe" + ONE.encode("utf-16-le"), id="UTF-16LE with BOM"),
        pytest.param(b"\xfe\xff" + ONE.encode("utf-16-be"), id="UTF-16BE with BOM"),
        pytest.param(ONE.encode("utf-16-le"), id="UTF-16LE without BOM"),
        pytest.param(ONE.encode("utf-16-be"), id="UTF-16BE without BOM"),
        pytest.param(b"\xef\xbb\xbf" + ONE.encode(), id="UTF-8 with BOM"),
        pytest.param(ONE.encode("ascii"), id="ANSI"),
        pytest.param(" ".join(ONE).encode() + b" ", id="UTF-16 re-saved with blanks for NULs"),
    ],
)
def test_every_encoding_reads_alike(data: bytes) -> None:
    (block,) = bootlog.parse(data, "Windows/ntbtlog.txt")
    assert block.started == MOMENT
    assert [(line.line, line.driver, line.loaded) for line in block.lines] == [
        (3, "ntoskrnl.exe", True),
        (4, "acme.sys", True),
    ]
    assert block.source.path == "Windows/ntbtlog.txt"
    assert block.source.offset == 1


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(ONE.encode() + ONE.encode("utf-16-le"), id="ANSI, then UTF-16"),
        pytest.param(ONE.encode() + b"\xff\xfe" + ONE.encode("utf-16-le"), id="with a BOM between"),
        pytest.param(b"\xff\xfe" + ONE.encode("utf-16-le") + ONE.encode(), id="UTF-16, then ANSI"),
        pytest.param(ONE.encode() + (" ".join(ONE) + " ").encode(), id="ANSI, then blanked"),
    ],
)
def test_two_encodings_in_one_file(data: bytes) -> None:
    blocks = bootlog.parse(data)
    assert [block.started for block in blocks] == [MOMENT, MOMENT]
    assert [len(block.lines) for block in blocks] == [2, 2]
    assert [block.source.offset for block in blocks] == [1, 5]


def test_blocks_are_never_merged() -> None:
    first, second = bootlog.parse(TWO.encode("utf-16"))
    assert [line.loaded for line in first.lines] == [True, True]
    assert [line.loaded for line in second.lines] == [True, False]
    assert second.started == datetime(2024, 11, 30, 14, 54, 30, 270_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("loaded", "not_loaded"),
    [
        ("Loaded driver", "Did not load driver"),
        ("Geladener Treiber", "Nicht geladener Treiber"),
        ("Pilote chargé", "Pilote non chargé"),
        ("Controlador cargado", "Controlador no cargado"),
        ("Загружен драйвер", "Не загружен драйвер"),
        ("BOOTLOG_LOADED", "BOOTLOG_NOT_LOADED"),
    ],
)
def test_wording(loaded: str, not_loaded: str) -> None:
    text = log(BANNER, f"{loaded} {KERNEL}", f"{loaded} {ACME}", f"{not_loaded} {ACME}")
    (block,) = bootlog.parse(text.encode("utf-16"))
    assert [line.loaded for line in block.lines] == [True, True, False]


@pytest.mark.parametrize(
    ("line", "driver"),
    [
        (f"{LOADED} \\??\\C:\\Program Files (x86)\\Acme Corp\\SRepairDrv", "srepairdrv"),
        (f"{LOADED} \\WINDOWS\\system32\\drivers\\Disk.SYS", "disk.sys"),
        (f"{LOADED} C:\\Windows\\acme.sys", "acme.sys"),
        (
            f"{NOT_LOADED} @hal.inf,%acpi_amd64.devicedesc%;ACPI x64-based PC",
            "@hal.inf,%acpi_amd64.devicedesc%;ACPI x64-based PC",
        ),
        (f"{NOT_LOADED} Audio Codecs", "Audio Codecs"),
    ],
)
def test_names(line: str, driver: str) -> None:
    (block,) = bootlog.parse(log(BANNER, line).encode("utf-16"))
    assert [entry.driver for entry in block.lines] == [driver]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(log("", f"{LOADED} {KERNEL}"), id="no banner, no date"),
        pytest.param(log(" 7 19 2024 04:09:00.500", f"{LOADED} {KERNEL}"), id="no banner"),
        pytest.param(log("Service Pack 0", f"{LOADED} {KERNEL}"), id="service pack"),
        pytest.param(log(BANNER, "99 99 2024 04:09:00.500", f"{LOADED} {KERNEL}"), id="bad date"),
        pytest.param(log(BANNER, f"{LOADED} ", f"{LOADED} {KERNEL}"), id="line without a path"),
    ],
)
def test_poor_blocks_still_count(text: str) -> None:
    (block,) = bootlog.parse(text.encode("utf-16"))
    assert [line.driver for line in block.lines] == ["ntoskrnl.exe"]


def test_a_damaged_line_does_not_cut_a_boot_in_two() -> None:
    text = log(BANNER, " 7 19 2024 04:09:00.500", f"{LOADED} {KERNEL}", "\x01garbage", ACME)
    (block,) = bootlog.parse(text.encode("utf-16"))
    assert len(block.lines) == 2


def test_a_damaged_banner_before_the_date() -> None:
    text = ONE + log("Microsoft (R) Windows (R) Versi 1  3 2017 14:12:20.230", f"{LOADED} {KERNEL}")
    blocks = bootlog.parse(text.encode())
    assert blocks[1].started == datetime(2017, 1, 3, 14, 12, 20, 230_000, tzinfo=UTC)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"\0" * 64, b"\r\n"])
def test_nothing_written_yet(data: bytes) -> None:
    assert bootlog.parse(data) == ()


def test_refuses_what_is_no_boot_log() -> None:
    with pytest.raises(FormatError, match="no driver line"):
        bootlog.parse(b"The quick brown fox")


def test_refuses_an_endless_boot() -> None:
    with pytest.raises(FormatError, match="more than 10000 drivers"):
        bootlog.parse((BANNER + "\n" + "C:\\a\n" * 10_001).encode())


def test_only_the_newest_boots_are_kept() -> None:
    blocks = bootlog.parse(ONE.encode() * (bootlog.MAX_BLOCKS + 9))
    assert len(blocks) == bootlog.MAX_BLOCKS
    assert blocks[0].source.offset == 9 * 4 + 1


# What INDEX.md counts, and by hand: boots, loaded and not loaded lines, the last boot.
REAL = {
    "bootlogs/ntbtlog_zivchien.txt": (13, 1872, 78, "2019-01-11T18:59:37.346+00:00"),
    "bootlogs/ntbtlog_isWarrens.txt": (45, 8082, 3621, "2017-10-07T16:12:21.261+00:00"),
}


@pytest.mark.parametrize("sample", real(*REAL))
def test_real_logs(sample: Path) -> None:
    blocks = bootlog.parse(read_real(sample))
    lines = [line for block in blocks for line in block.lines]
    boots, loaded, not_loaded, last = REAL[f"bootlogs/{sample.name}"]
    assert len(blocks) == boots
    assert sum(line.loaded for line in lines) == loaded
    assert sum(not line.loaded for line in lines) == not_loaded
    assert blocks[-1].started == datetime.fromisoformat(last)
    assert all(block.lines[0].driver == "ntoskrnl.exe" for block in blocks)
    assert all(block.started is not None for block in blocks)


@pytest.mark.parametrize("sample", real(*REAL))
def test_hostile_bytes_fail_in_one_way_only(sample: Path) -> None:
    good = read_real(sample)[-12_000:]
    rng = random.Random(20240719)
    for _ in range(1000):
        bad = bytearray(good[: rng.randrange(len(good) + 1)])
        for _ in range(rng.randrange(1, 40)):
            if bad:
                at = rng.randrange(len(bad))
                bad[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(4))
        with suppress(FormatError):
            bootlog.parse(bytes(bad))


@pytest.mark.parametrize(
    "unit", [b"a\0", b"1 ", b"a", b" ", b"\\", b"1 1 1 1:", b"\xff\xfe", b"a\0b", b"C:\\\n"]
)
def test_two_megabytes_of_anything_take_no_longer(unit: bytes) -> None:
    data = unit * (2_000_000 // len(unit))
    begun = time.process_time()
    with suppress(FormatError):
        bootlog.parse(data)
    assert time.process_time() - begun < 3
