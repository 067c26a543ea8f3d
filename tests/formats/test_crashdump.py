"""Crash dumps: real ones against what WinDbg and INDEX.md say, what is refused, damaged ones."""

from __future__ import annotations

import io
import random
import re
import struct
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import crashdump
from recoverykit.model import CrashDump, Module
from tests.builders import dump
from tests.conftest import REAL_DATA, real
from tests.formats.dumps import FACTS, FORMS, UPTIME, WHEN, WRITTEN, parse

MUTANTS = 12  # of every sample; a campaign sets more
SEED = 20240719

REAL = (
    "case_atikmdag/111217-27671-01.dmp",
    "case_atikmdag/111217-47109-01.dmp",
    "case_atikmdag/111317-27812-01.dmp",
    "case_atikmdag/111317-29609-01.dmp",
    "case_atikmdag/111417-173000-01.dmp",
    "case_notmyfault/083125-14875-01.dmp",
    "case_ojusha/100623-4953-01.dmp",
    "case_ojusha/100623-6156-01.dmp",
    "case_winerros/052223-4671-01.dmp",
    "case_winerros/052223-4781-01.dmp",
    "case_winerros/052223-7734-01.dmp",
    "case_winerros/052323-19218-01.dmp",
    "case_winerros/052323-8093-01.dmp",
    "rizin_triage_arm64.dmp",
    "rizin_triage_x64.dmp",
)
FOLDER = REAL_DATA / "dumps"
# By the notes of INDEX.md: the module the faulting instruction lies in, and its offset.
FAULTS = {
    "case_atikmdag/111317-27812-01.dmp": "ntoskrnl.exe",
    "case_winerros/052223-4671-01.dmp": "ntfs.sys",
    "case_winerros/052223-4781-01.dmp": "ntoskrnl.exe",
    "case_winerros/052323-8093-01.dmp": "ntoskrnl.exe",
    "rizin_triage_x64.dmp": "amdppm.sys",
}
_FACTS = re.compile(
    r"triage (?P<machine>\w+) build (?P<build>\d+), bugcheck (?P<code>0x\w+) .*?"
    r"\((?P<parameters>0x[^)]*)\), (?P<drivers>\d+) drivers, (?P<when>[-0-9: ]{19})"
)


def read(path: Path) -> CrashDump:
    with path.open("rb") as stream:
        return crashdump.parse(stream, path.stat().st_size, path.name, WRITTEN)


def every(*names: str) -> list[object]:
    return real(*(f"dumps/{name}" for name in names))


def module(found: CrashDump, name: str) -> Module:
    return next(module for module in found.modules if module.name == name)


# --- real dumps ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", every(*REAL))
def test_bug_check_machine_time_and_drivers_as_the_index_says(path: Path) -> None:
    index = (REAL_DATA / "INDEX.md").read_text()
    name = str(path.relative_to(FOLDER))
    row = next(line for line in index.splitlines() if line.startswith(f"| {name} |"))
    said = _FACTS.search(row)
    assert said
    found = read(path)
    assert found.form == "triage"
    assert (found.machine, found.build) == (said["machine"], int(said["build"]))
    assert found.bugcheck == int(said["code"], 16)
    assert found.parameters == tuple(int(each, 16) for each in said["parameters"].split(", "))
    assert len(found.modules) == int(said["drivers"])
    assert found.when is not None
    assert f"{found.when:%Y-%m-%d %H:%M:%S}" == said["when"]
    assert found.broken_driver == ""


@pytest.mark.parametrize("path", every(*REAL))
def test_what_every_real_dump_has(path: Path) -> None:
    found = read(path)
    names = [each.name for each in found.modules]
    assert names[0] == "ntoskrnl.exe"
    assert all(re.fullmatch(r"[a-z0-9_.\- ]+\.(sys|dll|exe)", name) for name in names)
    assert all(each.base > 0xFFFF_8000_0000_0000 and each.size for each in found.modules)
    without = [each for each in found.modules if not each.stamp]  # image headers were paged out
    assert len(without) <= 10
    ranges = sorted((each.base, each.base + each.size) for each in found.modules)
    assert all(end <= start for (_, end), (start, _) in pairwise(ranges))
    assert found.unloaded
    assert found.stack
    assert [hit.slot for hit in found.stack] == sorted({hit.slot for hit in found.stack})
    assert found.uptime is not None
    assert timedelta(0) < found.uptime < timedelta(hours=3)


@pytest.mark.parametrize("path", every(*FAULTS))
def test_the_faulting_module_as_the_index_says(path: Path) -> None:
    name = str(path.relative_to(FOLDER))
    found = read(path)
    assert found.fault == FAULTS[name]
    owner = module(found, found.fault)
    assert owner.base <= found.fault_address < owner.base + owner.size
    if name.startswith("rizin"):
        assert found.fault_address - owner.base == 0x334C


@pytest.mark.parametrize("path", every("case_winerros/052223-7734-01.dmp"))
def test_an_exception_record_on_the_saved_stack(path: Path) -> None:
    """0x139 names no instruction, its third parameter points to a record: INDEX.md says nt."""
    found = read(path)
    assert found.fault == "ntoskrnl.exe"
    assert found.fault_address not in found.parameters


@pytest.mark.parametrize("path", every(*(name for name in REAL if "atikmdag" in name)))
def test_the_amd_driver_is_on_the_stacks_of_its_own_crashes(path: Path) -> None:
    found = read(path)
    named = [hit.module for hit in found.stack]
    ours = 0xA0000001 if found.bugcheck == 0xA0000001 else 0x100000EA
    assert ("atikmdag.sys" in named) == (found.bugcheck == ours)
    if found.bugcheck == ours:
        assert (found.fault_address, found.fault) == (0, "")


@pytest.mark.parametrize("path", every(*(name for name in REAL if "ojusha" in name)))
def test_no_third_party_on_the_stacks_of_a_machine_with_bad_memory(path: Path) -> None:
    inbox = {"ntoskrnl.exe", "fltmgr.sys", "ntfs.sys"}
    assert {hit.module for hit in read(path).stack} <= inbox


@pytest.mark.parametrize("path", every("case_notmyfault/083125-14875-01.dmp"))
def test_modules_as_windbg_lists_them(path: Path) -> None:
    text = (path.parent / "lm_t_n.txt").read_text()
    row = re.compile(r"^(\w{8})`(\w{8}) (\w{8})`(\w{8})   (\S+)", re.MULTILINE)
    loaded, unloaded = text.split("Unloaded modules:") if "Unloaded" in text else (text, "")
    listed = {
        (int(m[1] + m[2], 16), int(m[3] + m[4], 16)): line
        for line in loaded.splitlines()
        if (m := row.match(line))
    }
    found = read(path)
    assert {(each.base, each.base + each.size) for each in found.modules} <= set(listed)
    for each in found.modules:
        line = listed[each.base, each.base + each.size]
        assert f"{each.stamp:08X}" in line
        if each.name != "ntoskrnl.exe":  # WinDbg calls it nt, of ntkrnlmp.exe
            assert f" {each.name} " in line.lower()
    gone = {(int(m[1] + m[2], 16), int(m[3] + m[4], 16)) for m in row.finditer(unloaded or text)}
    assert {(each.base, each.base + each.size) for each in found.unloaded} <= gone
    assert len(found.modules) + len(found.unloaded) == len(row.findall(text))


@pytest.mark.parametrize("path", every("case_notmyfault/083125-14875-01.dmp"))
def test_the_stack_holds_the_frames_that_windbg_unwound(path: Path) -> None:
    text = (path.parent / "analyze_v.txt").read_text()
    frames = re.findall(r"^(\w{8})`(\w{8}) (\w{8})`(\w{8}) +: .* : nt!", text, re.MULTILINE)
    pointers = [int(frame[0] + frame[1], 16) for frame in frames]
    returns = [int(frame[2] + frame[3], 16) for frame in frames]
    # The address a frame returns to lies right below where the next frame begins.
    expected = {(pointers[0], returns[0]), (pointers[2] - 8, returns[1])}
    assert expected <= {(hit.slot, hit.value) for hit in read(path).stack}


@pytest.mark.parametrize("path", every("case_winerros/052323-19218-01.dmp"))
def test_stamps_as_driverquery_printed_them(path: Path) -> None:
    """Link dates in the machine's local time, six hours behind UTC."""
    text = (path.parent / "driver-table.txt").read_text(errors="replace")
    rows = re.findall(r"Running .*?(\d+/\d+/\d{4} [\d:]+ [AP]M) +.*\\([^\\\s]+\.sys) ", text)
    found = {each.name: each.stamp for each in read(path).modules}
    gaps = {}
    for linked, name in rows:
        if name.lower() in found:
            local = datetime.strptime(linked, "%m/%d/%Y %I:%M:%S %p").replace(tzinfo=UTC)
            gaps[name] = datetime.fromtimestamp(found[name.lower()], UTC) - local
    assert len(gaps) > 8
    assert set(gaps.values()) == {timedelta(hours=6)}


@pytest.mark.parametrize(
    "path", every("SYNTHETIC_MEMORY_MANAGEMENT.dmp", "SYNTHETIC_IRQL_32bit.dmp")
)
def test_dumps_somebody_made_by_hand_say_what_their_header_says(path: Path) -> None:
    found = read(path)
    assert found.form == "header"
    assert (found.when, found.uptime, found.modules, found.stack) == (None, None, (), ())
    wanted = {"x64": (0x1A, 22000, 0), "x86": (0xA, 7601, 0x8054321A)}
    assert (found.bugcheck, found.build, found.fault_address) == wanted[found.machine]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (*parameter.values, reason)  # type: ignore[attr-defined]
        for name, reason in (
            ("case_atikmdag/111217-47250-01.dmp", "nothing but zeros"),
            ("case_atikmdag/111317-52656-01.dmp", "is empty"),
            ("usermode_calc.dmp", "dump of a program"),
        )
        for parameter in every(name)
    ],
)
def test_real_files_that_are_no_kernel_dumps(path: Path, reason: str) -> None:
    if not path.is_file():
        pytest.skip(f"no {path}")
    with pytest.raises(FormatError, match=reason):
        read(path)


# --- refused and cut off ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (bytes(100_000), "nothing but zeros"),
        (b"MDMP" + bytes(100), "dump of a program"),
        (b"USERDU64" + bytes(100), "dump of a program"),
        (b"MZ" + bytes(8192), "no signature"),
        (b"PAGEDU64" + bytes(100), "header of 8192 bytes is cut off"),
        (b"PAGEDUMP" + bytes(100), "header of 4096 bytes is cut off"),
    ],
)
def test_refused_in_one_sentence(data: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        parse(data)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("part", [0.4, 0.9, 0.999])
def test_a_dump_that_is_cut_off_is_told_and_its_header_still_read(form: str, part: float) -> None:
    data = FORMS[form]()
    cut = data[: max(int(len(data) * part), 0x2048)]
    with pytest.raises(FormatError, match="cut off"):
        parse(cut)
    found = crashdump.remains(io.BytesIO(cut), "MEMORY.DMP", WRITTEN)
    assert (found.bugcheck, found.when, found.uptime) == (0xD1, WHEN, UPTIME)
    assert found.fault_address == found.parameters[3]
    assert "triage" not in form or found.modules == ()


def test_memory_that_is_left_is_read() -> None:
    data = FORMS["bitmap"]()
    found = crashdump.remains(io.BytesIO(data[:-1]), "MEMORY.DMP", WRITTEN)
    assert found.modules == parse(data).modules
    (present,) = struct.unpack_from("<Q", data, 0x2028)
    more = data[:0x2028] + struct.pack("<Q", present + 1) + data[0x2030:]
    with pytest.raises(FormatError, match="cut off"):
        parse(more)
    found = crashdump.remains(io.BytesIO(more), "MEMORY.DMP", WRITTEN)
    assert (found.fault, found.modules) == ("acmeflt.sys", parse(data).modules)


def test_of_a_body_that_contradicts_itself_the_header_is_left() -> None:
    data = bytearray(FORMS["bitmap"]())
    struct.pack_into("<Q", data, 0x2030, 0)
    with pytest.raises(FormatError, match="makes no sense"):
        parse(bytes(data))
    found = crashdump.remains(io.BytesIO(data), "MEMORY.DMP", WRITTEN)
    assert (found.bugcheck, found.modules) == (0xD1, ())
    struct.pack_into("<QQ", data, 0x2028, 1 << 20, 32)
    with pytest.raises(FormatError, match="more pages than there are"):
        parse(bytes(data))


@pytest.mark.parametrize("machine", ["x64", "arm64", "x86"])
def test_a_header_alone(machine: str) -> None:
    facts = {name: FACTS[name] for name in ("bugcheck", "when", "uptime")}
    found = parse(dump.build_header(parameters=(1, 2, 3, 4), machine=machine, build=9200, **facts))
    assert found == CrashDump(
        found.source,
        WHEN,
        0xD1,
        (1, 2, 3, 4),
        form="header",
        machine=machine,
        build=9200,
        uptime=UPTIME,
        written=WRITTEN,
        fault_address=4,
    )


def test_what_windows_did_not_set_is_unknown() -> None:
    data = bytearray(dump.build_header(bugcheck=1, parameters=(), when=WHEN))
    data[0xFA8:0xFB0] = data[0x1030:0x1038] = b"PAGEPAGE"
    found = parse(bytes(data))
    assert (found.when, found.uptime) == (None, None)


def test_a_body_of_another_kind_is_not_guessed_at() -> None:
    """RDMP, which debuggers write."""
    data = bytearray(dump.build_memory("full", **FACTS))
    struct.pack_into("<I", data, 0xF98, 8)
    data[0x2000:0x200C] = b"\x40\0\0\0RDMPDUMP"
    found = parse(bytes(data))
    assert (found.form, found.bugcheck, found.modules) == ("kernel", 0xD1, ())
    assert found.fault_address == FACTS["parameters"][3]


# --- damage -------------------------------------------------------------------------------

_PLACES = (
    *range(0x10, 0x90, 4),
    0xF88,
    0xF98,
    *range(0x1000, 0x1068, 4),
    *range(0x2000, 0x2080, 4),
)
_EXTREMES = (0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0x1000, 0x2000, 0x0010_0000)


def used(data: bytes) -> list[int]:
    """Where words are that are not zero: the rest of a dump hardly matters."""
    return [at for at in range(0, len(data) - 8, 8) if any(data[at : at + 8])][:20_000]


def mutant(data: bytes, words: list[int], rng: random.Random) -> bytes:
    """Fields of header and body, words that mean something, bits of them, a cut end."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        kind = rng.randrange(4)
        if kind == 0:
            at = min(rng.choice(_PLACES), len(changed) - 4)
            value = rng.choice([*_EXTREMES, len(data), rng.randrange(len(data))])
            struct.pack_into("<I", changed, at, value)
        elif kind == 1:
            at, other = rng.choice(words), rng.choice(words)
            changed[at : at + 8] = changed[other : other + 8]
        elif kind == 2:
            changed[rng.choice(words) + rng.randrange(8)] ^= 1 << rng.randrange(8)
        elif rng.random() < 0.2:
            changed[rng.randrange(8, len(changed)) :] = b""
            break
    return bytes(changed)


def attack(data: bytes, seed: int, count: int) -> int:
    """How many of `count` mutants are still dumps. Raises what is no FormatError."""
    rng, words = random.Random(seed), used(data)
    usable = 0
    for _ in range(count):
        changed = mutant(data, words, rng)
        began = time.process_time()
        try:
            parse(changed)
            usable += 1
        except FormatError:
            with suppress(FormatError):
                crashdump.remains(io.BytesIO(changed), "MEMORY.DMP", WRITTEN)
        assert time.process_time() - began < 0.5
    return usable


@pytest.mark.parametrize("form", FORMS)
def test_damaged_dumps_that_were_built(form: str) -> None:
    usable = attack(FORMS[form](), SEED, MUTANTS)
    assert usable > 0


@pytest.mark.parametrize("path", every(*REAL))
def test_damaged_real_dumps(path: Path) -> None:
    usable = attack(path.read_bytes(), SEED, MUTANTS // 3)
    assert usable > 0
