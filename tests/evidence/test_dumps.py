"""The collector of crash dumps: where they lie, which are read, what cannot be."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recoverykit.evidence import dumps
from recoverykit.model import (
    CrashDump,
    Evidence,
    Gap,
    Setting,
    SettingName,
    Source,
    WindowsInstall,
)
from tests.builders import dump
from tests.conftest import real
from tests.evidence import conftest
from tests.formats.dumps import FACTS, FORMS, WHEN
from tests.formats.test_crashdump import mutant, used

MUTANTS = 40  # a campaign sets more
DAY = timedelta(days=1)
NOW = datetime(2024, 7, 20, tzinfo=UTC)


def put(install: WindowsInstall, name: str, data: bytes, written: datetime = NOW) -> None:
    conftest.put(install, name, data, written)


def collect(install: WindowsInstall, *settings: Setting) -> list[Evidence]:
    return list(dumps.collect(install, settings))


def paths(evidence: list[Evidence]) -> list[str]:
    return [item.source.path for item in evidence if isinstance(item, CrashDump)]


def gaps(evidence: list[Evidence]) -> list[Gap]:
    return [item for item in evidence if isinstance(item, Gap)]


def setting(name: SettingName, text: str) -> Setting:
    return Setting(Source("Windows/System32/config/SYSTEM"), name, text)


# --- places -------------------------------------------------------------------------------


def test_a_machine_without_crashes_says_nothing(install: WindowsInstall) -> None:
    put(install, "pagefile.sys", bytes(1 << 20))
    (install.mount / "Windows/Minidump").mkdir()
    put(install, "Windows/Minidump/readme.txt", b"no dump")
    put(install, "Windows/LiveKernelReports/WATCHDOG/a.dmp", FORMS["triage"]())
    assert collect(install) == []


def test_newest_first_in_any_case_with_what_they_say(install: WindowsInstall) -> None:
    put(install, "Windows/minidump/071924-4000-01.DMP", FORMS["triage"](), NOW - DAY)
    put(install, "Windows/Minidump2/x.dmp", FORMS["triage"]())
    put(install, "Windows/memory.dmp", FORMS["kernel bitmap"](), NOW)
    found = collect(install)
    assert paths(found) == ["Windows/memory.dmp", "Windows/minidump/071924-4000-01.DMP"]
    big, small = found
    assert isinstance(big, CrashDump)
    assert isinstance(small, CrashDump)
    assert (big.written, small.written) == (NOW, NOW - DAY)
    assert (big.form, small.form) == ("kernel", "triage")
    assert big.when == small.when == WHEN
    assert big.fault == small.fault == "acmeflt.sys"
    assert not big.in_pagefile


def test_only_the_newest_are_read_and_the_others_are_counted(install: WindowsInstall) -> None:
    data = FORMS["triage"]()
    for number in range(dumps.MAX_DUMPS + 5):
        put(install, f"Windows/Minidump/{number:02}.dmp", data, NOW - number * DAY)
    found = collect(install)
    assert paths(found) == [f"Windows/Minidump/{n:02}.dmp" for n in range(dumps.MAX_DUMPS)]
    (gap,) = gaps(found)
    assert gap.reason == "5 older crash dumps were not read."


@pytest.mark.parametrize(
    ("name", "text", "file"),
    [
        (SettingName.DUMP_FILE, "%SystemRoot%\\MEMORY.DMP", "Windows/MEMORY.DMP"),
        (SettingName.DUMP_FILE, "C:\\Windows\\MEMORY.DMP", "Windows/MEMORY.DMP"),
        (SettingName.DUMP_FILE, "C:\\Crashes\\full.dmp", "Crashes/full.dmp"),
        (SettingName.DUMP_FILE, "%systemdrive%\\Crashes\\kernel", "Crashes/kernel"),
        (SettingName.MINIDUMP_FOLDER, "%SystemRoot%\\Minidump", "Windows/Minidump/a.dmp"),
        (SettingName.MINIDUMP_FOLDER, "C:\\Crashes\\small", "Crashes/small/a.dmp"),
    ],
)
def test_places_the_registry_names(
    install: WindowsInstall, name: SettingName, text: str, file: str
) -> None:
    put(install, file, FORMS["triage"]())
    assert paths(collect(install, setting(name, text))) == [file]


def test_settings_that_lead_nowhere(install: WindowsInstall) -> None:
    put(install, "Windows/MEMORY.DMP", FORMS["triage"]())
    outside = [
        setting(SettingName.DUMP_FILE, text)
        for text in ("", "..\\..\\etc\\passwd", "D:\\a.dmp", "C:\\x|y", "\\\\server\\share\\a.dmp")
    ]
    folder = setting(SettingName.MINIDUMP_FOLDER, "%SystemRoot%\\..\\..")
    dedicated = setting(SettingName.DEDICATED_DUMP, "E:\\..\\dump.sys")
    assert paths(collect(install, *outside, folder, dedicated)) == ["Windows/MEMORY.DMP"]


# --- crashes in the page file -------------------------------------------------------------


@pytest.mark.parametrize("form", ["triage", "kernel bitmap", "kernel", "full", "32 kernel"])
def test_a_dump_that_windows_has_not_taken_out_of_the_page_file(
    install: WindowsInstall, form: str
) -> None:
    put(install, "pagefile.sys", FORMS[form]() + bytes(3 << 20))
    (found,) = collect(install)
    assert isinstance(found, CrashDump)
    assert found.in_pagefile
    assert (found.source.path, found.bugcheck) == ("pagefile.sys", 0xD1)
    assert found.fault == "acmeflt.sys"
    assert len(found.modules) >= 2


def test_a_dump_in_a_page_file_that_is_overwritten_behind_its_header(
    install: WindowsInstall,
) -> None:
    data = bytearray(FORMS["triage"]())
    data[0x3000:] = bytes(len(data) - 0x3000)
    put(install, "pagefile.sys", bytes(data))
    gap, found = collect(install)
    assert isinstance(gap, Gap)
    assert gap.reason.startswith("Only a part of this crash dump can be used: ")
    assert isinstance(found, CrashDump)
    assert (found.bugcheck, found.when, found.in_pagefile) == (0xD1, WHEN, True)
    assert found.modules == ()


def test_the_dedicated_dump_file(install: WindowsInstall) -> None:
    put(install, "dumps/dedicated.sys", FORMS["bitmap"]())
    where = setting(SettingName.DEDICATED_DUMP, "C:\\dumps\\dedicated.sys")
    (found,) = collect(install, where)
    assert isinstance(found, CrashDump)
    assert (found.source.path, found.in_pagefile) == ("dumps/dedicated.sys", True)
    put(install, "dumps/dedicated.sys", bytes(1 << 20))
    assert collect(install, where) == []


# --- what cannot be read ------------------------------------------------------------------


def test_what_is_no_dump_is_told_in_one_sentence(install: WindowsInstall) -> None:
    cases = {
        "empty": b"",
        "zeros": bytes(4096),
        "program": b"MDMP" + bytes(4096),
        "text": b"hello" * 100,
    }
    for name, data in cases.items():
        put(install, f"Windows/Minidump/{name}.dmp", data)
    found = collect(install)
    assert len(gaps(found)) == len(found) == len(cases)
    reasons = {gap.source.path[17:-4]: gap.reason for gap in gaps(found)}
    assert "never written" in reasons["empty"]
    assert "nothing but zeros" in reasons["zeros"]
    assert "dump of a program" in reasons["program"]
    assert "no signature" in reasons["text"]
    assert all(reason.count(".") == 1 for reason in reasons.values())


def test_a_dump_that_is_cut_off_tells_its_header(install: WindowsInstall) -> None:
    put(install, "Windows/MEMORY.DMP", FORMS["kernel bitmap"]()[:-5000])
    gap, found = collect(install)
    assert isinstance(gap, Gap)
    assert "cut off" in gap.reason
    assert isinstance(found, CrashDump)
    assert (found.bugcheck, found.fault_address) == (0xD1, FACTS["parameters"][3])


@pytest.mark.parametrize("target", ["../outside.dmp", "unsupported reparse tag 0x80000017"])
def test_links_and_compressed_files_are_not_opened(install: WindowsInstall, target: str) -> None:
    put(install, "Windows/Minidump/a.dmp", FORMS["triage"]())
    put(install, "outside.dmp", FORMS["triage"]())
    (install.mount / "Windows/Minidump/b.dmp").symlink_to(target)
    (install.mount / "Windows/MEMORY.DMP").symlink_to(target)
    (install.mount / "pagefile.sys").symlink_to(target)
    found = collect(install)
    assert paths(found) == ["Windows/Minidump/a.dmp"]
    told = {gap.source.path for gap in gaps(found)}
    assert told == {"pagefile.sys", "Windows/MEMORY.DMP", "Windows/Minidump/b.dmp"}


def test_a_folder_behind_a_link(install: WindowsInstall) -> None:
    put(install, "elsewhere/a.dmp", FORMS["triage"]())
    (install.mount / "Windows/Minidump").symlink_to("../elsewhere")
    found = collect(install)
    assert [gap.source.path for gap in gaps(found)] == ["Windows/Minidump"]
    assert paths(found) == []


def test_folders_and_devices_with_a_dumps_name(install: WindowsInstall) -> None:
    (install.mount / "Windows/Minidump/folder.dmp").mkdir(parents=True)
    (install.mount / "Windows/MEMORY.DMP").mkdir()
    os.mkfifo(install.mount / "pagefile.sys")
    found = collect(install)
    assert len(gaps(found)) == len(found) == 3


def test_a_link_to_itself(install: WindowsInstall) -> None:
    (install.mount / "Windows/MEMORY.DMP").symlink_to("MEMORY.DMP")
    (gap,) = collect(install)
    assert isinstance(gap, Gap)


# --- real files, damage, time -------------------------------------------------------------


@pytest.mark.parametrize("path", real("dumps/case_atikmdag/111217-27671-01.dmp"))
def test_a_real_machine(install: WindowsInstall, path: Path) -> None:
    """Five dumps, one never written, one full of zeros."""
    folder = path.parent
    for file in folder.iterdir():
        put(install, f"Windows/Minidump/{file.name}", file.read_bytes())
    found = collect(install)
    kinds = Counter(type(item) for item in found)
    assert kinds == {CrashDump: 5, Gap: 2}
    codes = Counter(item.bugcheck for item in found if isinstance(item, CrashDump))
    assert codes == {0xA0000001: 3, 0x50: 1, 0x100000EA: 1}


def test_damage_makes_gaps_and_nothing_else(install: WindowsInstall) -> None:
    rng = random.Random(5)
    kinds: Counter[type] = Counter()
    for form in ("triage", "kernel bitmap", "32 triage"):
        data = FORMS[form]()
        words = used(data)
        for _ in range(MUTANTS):
            put(install, "Windows/MEMORY.DMP", mutant(data, words, rng))
            put(install, "pagefile.sys", mutant(data, words, rng))
            began = time.process_time()
            kinds.update(type(item) for item in collect(install))
            assert time.process_time() - began < 0.5
    assert set(kinds) == {CrashDump, Gap}
    assert kinds[CrashDump] > MUTANTS


def test_five_dumps_one_of_them_large(install: WindowsInstall) -> None:
    """A part of the machine that takes 5 s in all: milliseconds, whatever the size."""
    for number in range(4):
        put(install, f"Windows/Minidump/{number}.dmp", FORMS["triage"](), NOW - DAY * (number + 1))
    dump.write_memory(install.mount / "Windows/MEMORY.DMP", "kernel-bitmap", size=1 << 30, **FACTS)
    began = time.process_time()
    found = collect(install)
    assert time.process_time() - began < 0.1
    assert len(paths(found)) == len(found) == 5
    assert paths(found)[0] == "Windows/MEMORY.DMP"
