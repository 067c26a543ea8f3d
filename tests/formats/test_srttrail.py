"""SrtTrail.txt: structure in any language, spellings, dates, causes, hostile bytes."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoverykit.errors import FormatError
from recoverykit.formats import srttrail
from tests.builders import srttrail as builder
from tests.builders.srttrail import LRM, Session, Style
from tests.conftest import read_real, real

MUTANTS = 300  # a campaign may raise it
WRITTEN = datetime(2024, 7, 20, 8, 0, tzinfo=UTC)
VSOCK = "Boot critical file c:\\windows\\system32\\drivers\\vsock.sys is corrupt."
JACKPOT = Session((VSOCK,), (("File repair", 0x57), ("System Restore", 0x1F)))


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(builder.ENGLISH, id="English"),
        pytest.param(builder.SPANISH, id="Spanish"),
        pytest.param(builder.UNKNOWN, id="a language nobody told us of"),
    ],
)
@pytest.mark.parametrize(
    "style",
    [
        pytest.param(Style(), id="usual"),
        pytest.param(Style(dashes=32, spaced=True), id="blank lines"),
        pytest.param(Style(dashes=30, took="ms"), id="no blank before ms"),
    ],
)
def test_structure_is_read_in_every_language(words: builder.Words, style: Style) -> None:
    session = Session((VSOCK,), JACKPOT.actions, failed_tests=(("Last", 0x490),))
    trail = srttrail.parse(builder.build([session], words=words, style=style, attempts=6))
    assert trail.causes == (VSOCK,)
    assert trail.files == ("c:\\windows\\system32\\drivers\\vsock.sys",)
    assert trail.actions == JACKPOT.actions
    assert trail.failed_tests == (("Last", 0x490),)
    assert (trail.directory, trail.attempts, trail.sessions) == ("C:\\Windows", 6, 1)


def test_the_last_session_counts() -> None:
    first = Session(("Boot configuration is corrupt.",), (("Partition table repair", 0),))
    trail = srttrail.parse(builder.build([first, JACKPOT, Session(directory="", disk="")]))
    assert trail.sessions == 3
    assert (trail.causes, trail.actions, trail.directory) == ((), (), "")
    assert srttrail.parse(builder.build([first, JACKPOT])).causes == (VSOCK,)


def test_the_line_is_that_of_the_last_session() -> None:
    text = builder.text([Session(), JACKPOT])
    lines = text.split("\r\n")
    wanted = len(lines) - lines[::-1].index("Session details")
    assert srttrail.parse(text.encode()).line == wanted


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8", "utf-8-sig", "cp1252"]
)
def test_encodings(encoding: str) -> None:
    text = builder.text([Session(("Causa número uno.",))], words=builder.SPANISH)
    assert srttrail.parse(text.encode(encoding)).causes == ("Causa número uno.",)


def test_a_bug_check_is_no_result() -> None:
    """Its parameters are hexadecimal too, and stand in the cause."""
    cause = "Unknown bugcheck 7b. Parameters = 0xf78d2524, 0xc0000034, 0x0, 0x0."
    trail = srttrail.parse(builder.build([Session((cause,), JACKPOT.actions)]))
    assert (trail.causes, trail.actions) == ((cause,), JACKPOT.actions)


def test_an_old_spelling_without_a_colon() -> None:
    text = builder.text([JACKPOT]).replace("Result: Failed. Error code =  ", "Result Failed. E = ")
    assert srttrail.parse(text.encode()).actions == JACKPOT.actions


def test_an_attempt_that_was_cut_off() -> None:
    text = builder.text([JACKPOT])
    cut = text[: text.index("Repair action: System Restore")]
    assert srttrail.parse(cut.encode()).actions == JACKPOT.actions[:1]


# --- the last good boot -------------------------------------------------------------------

AUGUST = datetime(2013, 8, 4, 2, 13, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "told", "expected"),
    [
        # Real: ubuntuforums.org, 2013 and 2011; the second is an ANSI copy.
        (builder.ENGLISH, f"{LRM}8/{LRM}4/{LRM}2013 2:13:30 AM", AUGUST),
        (builder.ENGLISH, "?6/?6/?2011 9:27:46 PM", datetime(2011, 6, 6, 21, 27, 46, tzinfo=UTC)),
        (builder.ENGLISH, "1/23/2013 9:21:48 PM", datetime(2013, 1, 23, 21, 21, 48, tzinfo=UTC)),
        (builder.ENGLISH, "8/4/2013 12:13:30 AM", AUGUST.replace(hour=0)),
        (builder.ENGLISH, "8/4/2013 12:13:30 PM", AUGUST.replace(hour=12)),
        # Every order that one number settles.
        (builder.ENGLISH, "23/01/2013 09:21:48", datetime(2013, 1, 23, 9, 21, 48, tzinfo=UTC)),
        (builder.ENGLISH, "2013-08-04 02:13:30", AUGUST),
        (builder.SPANISH, "2013/8/4 2:13:30", AUGUST),
        (builder.UNKNOWN, "04.08.2013 02:13:30", AUGUST),
        (builder.UNKNOWN, "4. 8. 2013 2:13:30", AUGUST),
        (builder.UNKNOWN, "2013. 08. 04. 2:13:30", AUGUST),
        (builder.UNKNOWN, "2013/8/4 下午 2:13:30", AUGUST.replace(hour=14)),
        (builder.UNKNOWN, "04-08-13 02:13:30", AUGUST),
        # Custom: the day stands first where no month can.
        (builder.SPANISH, "4/8/2013 2:13:30", AUGUST),
        (builder.SPANISH, "04/08/2013 2:13:30 a. m.", AUGUST),
        (builder.ENGLISH, "04/08/2013 02:13:30", AUGUST),  # Britain: no AM
        (builder.ENGLISH, "4/08/2013 2:13:30 AM", AUGUST),  # Australia: the month is filled up
        # Nothing settles these.
        (builder.ENGLISH, "04/08/2013 2:13:30 AM", None),
        (builder.ENGLISH, "10/11/2013 2:13:30 AM", None),
        (builder.UNKNOWN, "4/8/2013 2:13:30 πμ", None),  # half of the day unknown
        (builder.UNKNOWN, "4/8/2556 2:13:30", None),  # another era
        (builder.ENGLISH, "31/31/2013 2:13:30 AM", None),
        (builder.ENGLISH, "8/4/1999 2:13:30 AM", None),  # before there was Startup Repair
    ],
)
def test_last_good_boot(words: builder.Words, told: str, expected: datetime | None) -> None:
    trail = srttrail.parse(builder.build([JACKPOT], words=words, last_good=told), WRITTEN)
    assert trail.last_good == expected
    assert trail.attempts == 1


def test_the_files_time_settles_an_order() -> None:
    log = builder.build([JACKPOT], last_good="10/11/2013 2:13:30 AM")
    written = datetime(2013, 10, 12, tzinfo=UTC)
    assert srttrail.parse(log, written).last_good == datetime(2013, 10, 11, 2, 13, 30, tzinfo=UTC)


# --- causes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "area"),
    [
        # TechNet dd744291.
        ("Boot manager failed to find OS loader.", "bcd"),
        ("Boot configuration is corrupt.", "bcd"),
        ("The boot-critical file C:\\Windows\\System32\\ntoskrnl.exe is missing.", "file"),
        ("Several boot-critical files are corrupt.", "file"),
        ("The registry is corrupt.", "registry"),
        ("Unknown bugcheck 7b. Parameters = 0xf78d2524, 0xc0000034, 0x0, 0x0.", "unknown"),
        ("Driver acme.sys is preventing the system from starting.", "driver"),
        (
            "A recent driver installation or upgrade may be preventing the system from starting.",
            "driver",
        ),
        ("A patch is preventing the system from starting.", "update"),
        ("ACLs on file C:\\Windows\\System32\\hal.dll are not proper. Old value = 1.", "file"),
        ("The partition table does not have a valid System Partition.", "disk"),
        ("MBR is corrupt.", "disk"),
        ("Partition table is corrupt on disk 0.", "disk"),
        ("The boot sector for system disk partition is corrupt.", "volume"),
        # Real logs (windows-boot-facts.md section 8).
        (VSOCK, "file"),
        ("System volume on disk is corrupt.", "volume"),
        (
            "A hard disk could not be found. If a hard disk is installed, it is not responding.",
            "disk",
        ),
        ("Startup Repair has tried several times but cannot determine the cause.", "unknown"),
        ("Boot status indicates that the OS booted successfully.", "unknown"),
        ("Unspecified changes to system configuration might have caused the problem.", "unknown"),
        ("El administrador de arranque no encontró el cargador del SO.", "bcd"),
        # Languages we have no table for: what is named counts.
        ("Файл c:\\windows\\system32\\drivers\\acme.sys повреждён.", "file"),
        ("Куст C:\\Windows\\System32\\config\\SYSTEM повреждён.", "registry"),
        ("\\Device\\Harddisk0 ...", "disk"),
        ("Ничего", "unknown"),
        ("", "unknown"),
    ],
)
def test_cause_area(text: str, area: str) -> None:
    assert srttrail.cause_area(text) == area


@pytest.mark.parametrize(
    ("text", "files"),
    [
        (VSOCK, ("c:\\windows\\system32\\drivers\\vsock.sys",)),
        ("Driver acme.sys is preventing the system from starting.", ("acme.sys",)),
        (
            "(\\SystemRoot\\System32\\a.dll), d:\\b c\\d.exe!",
            ("\\SystemRoot\\System32\\a.dll", "d:\\b c\\d.exe"),
        ),
        (
            "启动关键文件 c:\\windows\\system32\\drivers\\x.sys 已损坏。",
            ("c:\\windows\\system32\\drivers\\x.sys",),
        ),
        ("The registry is corrupt.", ()),
    ],
)
def test_named_files(text: str, files: tuple[str, ...]) -> None:
    assert srttrail.named_files(text) == files


# --- real files ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", real("bootlogs/SrtTrail_bootiso.txt"))
def test_real_spanish_log(path: Path) -> None:
    trail = srttrail.parse(read_real(path))
    assert trail.causes == ("El administrador de arranque no encontró el cargador del SO.",)
    assert trail.actions == (
        ("Reparación de archivos", 0x57),
        ("Reparación de almacén de datos de la configuración de arranque (BCD)", 0x490),
    )
    assert (trail.directory, trail.attempts, trail.last_good) == ("C:\\Windows", 1, None)
    assert (trail.failed_tests, trail.files, trail.line) == ((), (), 5)


@pytest.mark.parametrize("path", real("bootlogs/SrtTrail_grafox.txt"))
def test_real_english_log(path: Path) -> None:
    trail = srttrail.parse(read_real(path))
    assert trail.causes == ("Boot configuration is corrupt.",)
    assert trail.actions == (("Partition table repair", 0),)
    assert (trail.directory, trail.attempts, trail.sessions) == ("", 1, 1)


# --- hostile bytes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xfe", id="a mark alone"),
        pytest.param(b"hello\r\n----------\r\nworld", id="no session"),
        pytest.param("\n" * (srttrail.MAX_LINES + 1), id="too many lines"),
        pytest.param(builder.text([]), id="a head alone"),
    ],
)
def test_no_log(data: bytes | str) -> None:
    with pytest.raises(FormatError):
        srttrail.parse(data if isinstance(data, bytes) else data.encode())


def test_large_input_is_bounded() -> None:
    one = Session(tuple(f"c:\\{'x' * 200}\\{n}.sys" for n in range(200)), JACKPOT.actions)
    before = time.process_time()
    trail = srttrail.parse(builder.build([one] * 20) + b"-\0" * 100_000 + b"x\0" * 1_000_000)
    assert time.process_time() - before < 2
    assert len(trail.causes) == len(trail.files) == len(trail.actions) == 100


@given(st.text(alphabet="-:=\n 0x1f\\c\u200e", max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        trail = srttrail.parse(text.encode())
    except FormatError:
        return
    assert trail.sessions >= 1


def test_mutants() -> None:
    log = builder.build([JACKPOT, JACKPOT], last_good=f"{LRM}8/{LRM}4/{LRM}2013 2:13:30 AM")
    rng = random.Random("srttrail")
    before, read = time.process_time(), 0
    for _ in range(MUTANTS):
        data = bytearray(log)
        for _ in range(rng.randrange(1, 20)):
            data[rng.randrange(len(data))] = rng.choice((0, 10, 45, 58, 61, rng.randrange(256)))
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        try:
            srttrail.parse(bytes(data), WRITTEN)
            read += 1
        except FormatError:
            pass
    assert read > MUTANTS // 2
    assert time.process_time() - before < 0.01 * MUTANTS + 1
