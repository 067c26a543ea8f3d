"""Reports: the promised JSON names, and text a person can act on."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recoverykit import report, report_json
from recoverykit.model import (
    CheckLine,
    Diagnosis,
    EditHive,
    FileSystem,
    Finding,
    Gap,
    InstallReport,
    Kind,
    Moment,
    Outcome,
    Plan,
    QuarantineFile,
    RegistryData,
    Report,
    Source,
    Suspect,
    ValueChange,
    Verdict,
    Volume,
    WindowsInstall,
)

VOLUME = Volume("/dev/sda3", FileSystem.NTFS, Path("/dev/sda3"), identity="gpt:1234", serial="ab")
INSTALL = WindowsInstall(
    VOLUME,
    Path("/mnt"),
    "Windows",
    "Windows/System32/config/SYSTEM",
    "Windows/System32/config/SOFTWARE",
    product="Windows 10 Pro",
    build="19045.4651",
    architecture="x64",
)
FINDING = Finding(
    "acme.sys", "crash-after-install", 45, "It came before the crash.", (Source("a.evtx", 0x1200),)
)
SUSPECT = Suspect("acme.sys", "Acme", Verdict.CULPRIT, 90, (FINDING,), company="Acme", version="7")
DIAGNOSIS = Diagnosis(
    Kind.DRIVER,
    "acme.sys keeps Windows from starting.",
    (SUSPECT,),
    (Gap(Source("Windows/ntbtlog.txt"), "boot logging was off"),),
)
KEY = "ControlSet001\\Services\\Acme"
PLAN = Plan(
    INSTALL.root,
    "acme.sys",
    "Acme",
    "culprit",
    (
        EditHive(
            INSTALL.system_hive,
            (
                ValueChange(
                    KEY,
                    "Start",
                    RegistryData(4, b"\0\0\0\0"),
                    RegistryData(4, b"\4\0\0\0"),
                ),
            ),
        ),
        QuarantineFile("Windows/System32/drivers/acme.sys", "ab" * 32, 1000),
    ),
    (),
    5000,
)
ENTRY = InstallReport(INSTALL, diagnosis=DIAGNOSIS, plan=PLAN, plan_digest="d1")


def document(entry: InstallReport = ENTRY) -> dict[str, object]:
    loaded: dict[str, object] = json.loads(report_json.to_json(Report("diagnose", (entry,))))
    return loaded


def test_json_carries_every_promised_name() -> None:
    made = document()
    assert made["schema"] == "recoverykit.report/1"
    installs = made["installations"]
    assert isinstance(installs, list)
    (install,) = installs
    assert install["root"] == "/dev/sda3:/Windows"
    assert install["windows"]["product"] == "Windows 10 Pro"
    (suspect,) = install["diagnosis"]["suspects"]
    assert (suspect["driver"], suspect["service"], suspect["verdict"]) == (
        "acme.sys",
        "Acme",
        "culprit",
    )
    (finding,) = suspect["findings"]
    assert finding["rule"] == "crash-after-install"
    assert finding["source"] == "a.evtx @ 0x1200"
    assert install["gaps"][0]["reason"] == "boot logging was off"
    assert install["plan"]["digest"] == "d1"
    assert [action["action"] for action in install["plan"]["actions"]] == [
        "set-value",
        "quarantine-file",
    ]


def test_every_name_in_the_json_is_documented() -> None:
    text = (Path(__file__).parent.parent / "docs" / "report-schema.md").read_text()

    def names(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value) | {name for item in value.values() for name in names(item)}
        if isinstance(value, list):
            return {name for item in value for name in names(item)}
        return set()

    entry = InstallReport(INSTALL, DIAGNOSIS, PLAN, checks=(CheckLine("a", ok=True, text="b"),))
    missing = {name for name in names(document(entry)) if name not in text}
    assert missing == set()


def test_text_names_driver_reason_source_and_what_a_repair_does() -> None:
    text = report.to_text(Report("diagnose", (ENTRY,)))
    for part in (
        "Windows 10 Pro 19045.4651 x64 on /dev/sda3 (Windows)",
        "Culprit: acme.sys (service Acme, Acme, version 7)",
        "It came before the crash.",
        "a.evtx @ 0x1200",
        "from 0 (boot) to 4 (disabled)",
        "Move Windows/System32/drivers/acme.sys into the quarantine",
        "boot logging was off",
    ):
        assert part in text


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_a_sentence(outcome: Outcome) -> None:
    entry = InstallReport(INSTALL, outcome=outcome, transaction="t1")
    assert "Transaction t1." in report.to_text(Report("repair", (entry,)))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param(Source("a.sys"), "a.sys", id="path alone"),
        pytest.param(Source("ntbtlog.txt", 12), "ntbtlog.txt @ line 12", id="text by line"),
        pytest.param(Source("SYSTEM", 16, "k"), "SYSTEM [k] @ 0x10", id="hive by key and offset"),
    ],
)
def test_places_can_be_looked_up(source: Source, expected: str) -> None:
    assert report.place(source) == expected


def test_what_is_no_driver_has_its_reasons_too() -> None:
    found = Finding(
        "disk", "disk-events", 50, "It has bad blocks.", (Source("S.evtx", 9),), Kind.DISK
    )
    odd = Finding("update", "update-pending", 35, "It waits.", (Source("p.xml"),), Kind.SERVICING)
    moment = Moment(datetime(2024, 7, 19, 4, 9, tzinfo=UTC), "crash", "Windows stopped", ())
    diagnosis = Diagnosis(Kind.DISK, "The disk.", findings=(found, odd), timeline=(moment,))
    short = report.to_text(Report("diagnose", (InstallReport(INSTALL, diagnosis),)))
    assert "It has bad blocks." in short
    assert "It waits." not in short
    long = report.to_text(Report("diagnose", (InstallReport(INSTALL, diagnosis),)), details=True)
    assert "It waits." in long
    assert "2024-07-19 04:09:00  crash    Windows stopped" in long
    told = document(InstallReport(INSTALL, diagnosis))
    assert told["kind"] == "disk"
    installs = told["installations"]
    assert isinstance(installs, list)
    (install,) = installs
    assert [one["subject"] for one in install["diagnosis"]["findings"]] == ["disk", "update"]
    assert install["diagnosis"]["timeline"][0]["when"] == "2024-07-19T04:09:00+00:00"


def test_the_kind_of_a_whole_report() -> None:
    def of(*kinds: Kind, shut: bool = False) -> str | None:
        entries = tuple(InstallReport(INSTALL, Diagnosis(kind, "x")) for kind in kinds)
        gaps = (Gap(Source("/dev/sda3"), "locked by BitLocker", closed=True),) if shut else ()
        return report.kind_of(Report("diagnose", entries, gaps))

    assert of() is None
    assert of(shut=True) == "locked"
    assert of(Kind.HEALTHY) == "healthy"
    assert of(Kind.HEALTHY, Kind.HIVE, shut=True) == "hive"


def test_a_shut_volume_is_not_no_windows() -> None:
    shut = Gap(Source("/dev/sda3"), "locked by BitLocker", closed=True)
    assert "/dev/sda3 stayed shut" in report.to_text(Report("find", gaps=(shut,)))


def test_no_windows_is_said_in_one_sentence() -> None:
    assert report.to_text(Report("find")) == "No Windows installation was found.\n"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param("acme.sys", "acme.sys", id="plain"),
        pytest.param("Gerät", "Gerät", id="letters stay letters"),
        pytest.param("\x1b[2Jgone", "\\x1b[2Jgone", id="no terminal sequences"),
        pytest.param("a\nb", "a\\nb", id="one line stays one line"),
        pytest.param("\ud800", "\\ud800", id="half a surrogate pair, as hives may hold"),
    ],
)
def test_names_from_a_disk_cannot_steer_the_terminal(name: str, shown: str) -> None:
    entry = InstallReport(INSTALL, error=name)
    assert f"    Error: {shown}\n" in report.to_text(Report("find", (entry,)))
    loaded = json.loads(report_json.to_json(Report("find", (entry,))))
    assert loaded["installations"][0]["error"] == name
