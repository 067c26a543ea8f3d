"""Reports as recoverykit makes them of machines that do not start: values, no files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from recoverykit.model import (
    CheckLine,
    Diagnosis,
    Disk,
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
    Refusal,
    RegistryData,
    Report,
    Source,
    Suspect,
    TransactionInfo,
    ValueChange,
    Verdict,
    Volume,
    WindowsInstall,
)

HIVE = "Windows/System32/config/SYSTEM"
LOG = "Windows/System32/winevt/Logs/System.evtx"
STORE = Source("EFI/Microsoft/Boot/BCD")
TRAIL = "Windows/System32/LogFiles/Srt/SrtTrail.txt"
DUMP = "Windows/Minidump/071924-11250-01.dmp"
KEY = "ControlSet001\\Services\\acmeflt"
DISK = Disk(
    Path("/dev/nvme0n1"), 512 << 30, 512, "gpt", identity="6f1c", model="SAMSUNG MZVL2512HCJQ"
)


def install(
    product: str = "Windows 11 Pro", part: int = 3, build: str = "22631.3880"
) -> WindowsInstall:
    volume = Volume(
        f"/dev/nvme0n1p{part}", FileSystem.NTFS, Path(f"/dev/nvme0n1p{part}"), disk=DISK
    )
    return WindowsInstall(
        volume,
        Path("/mnt"),
        "Windows",
        HIVE,
        "Windows/System32/config/SOFTWARE",
        product=product,
        build=build,
        architecture="x64",
    )


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def moment(when: str, what: str, text: str, path: str = LOG, offset: int = 0x1F400) -> Moment:
    return Moment(at(when), what, text, (Source(path, offset),))


def driver_story() -> tuple[Moment, ...]:
    """Weeks of use, an update, a new filter driver in the last good session, then a boot loop."""
    days = [at("2024-06-24T07:31:10") + timedelta(days=day) for day in (0, 1, 2, 3, 4)]
    usual = [
        item
        for number, day in enumerate(days)
        for item in (
            Moment(day, "boot", "A boot began", (Source(LOG, 0x9000 + number * 0x800),)),
            Moment(day + timedelta(hours=9), "good", "Shut down cleanly", (Source(LOG, 0x9400),)),
        )
    ]
    return (
        *usual,
        moment("2024-07-15T07:29:02", "boot", "A boot began"),
        moment("2024-07-15T11:02:40", "update", "2024-07 Cumulative Update (KB5040442): installed"),
        moment("2024-07-15T16:50:00", "good", "Shut down cleanly"),
        moment("2024-07-17T07:33:21", "boot", "A boot began"),
        moment("2024-07-17T13:15:09", "crash", "Windows stopped: 0x133 DPC_WATCHDOG_VIOLATION"),
        moment("2024-07-17T13:17:11", "boot", "A boot began"),
        moment("2024-07-17T17:40:00", "good", "Shut down cleanly"),
        moment("2024-07-18T07:30:55", "boot", "A boot began"),
        moment("2024-07-18T14:12:07", "install", "Service acmeflt installed", offset=0x2A010),
        moment("2024-07-18T14:12:05", "change", "acmeflt.sys was written", HIVE, 0x11),
        moment("2024-07-18T14:12:05", "change", "acmenet.sys was written", HIVE, 0x11),
        moment("2024-07-18T17:05:44", "good", "Shut down cleanly", offset=0x2C8F0),
        *(
            item
            for minute in (9, 14, 19, 25, 41, 55)
            for item in (
                moment(f"2024-07-19T05:{minute:02}:30", "boot", "A boot began"),
                moment(
                    f"2024-07-19T05:{minute:02}:52",
                    "crash",
                    "Windows stopped: 0x50 PAGE_FAULT_IN_NONPAGED_AREA, acmeflt.sys",
                    DUMP,
                    0,
                ),
            )
        ),
        moment(
            "2024-07-19T05:30:00", "repair", "Startup Repair: no root cause named", "SrtTrail.txt"
        ),
        moment("2024-07-19T06:02:00", "repair", "Startup Repair: a bad driver", TRAIL),
    )


CULPRIT = Suspect(
    "acmeflt.sys",
    "acmeflt",
    Verdict.CULPRIT,
    185,
    (
        Finding(
            "acmeflt.sys",
            "crash-names-driver",
            60,
            "The crash of 2024-07-19 05:55:52 UTC, stop code 0x50 PAGE_FAULT_IN_NONPAGED_AREA, "
            "happened in acmeflt.sys at acmeflt.sys+0xe14ed.",
            (Source(DUMP, 0x2090), Source(LOG, 0x2F0A8)),
        ),
        Finding(
            "acmeflt.sys",
            "changed-since-good-boot",
            60,
            "acmeflt.sys: its file was written on 2024-07-18 14:12 UTC and its service was set up "
            "on 2024-07-18 14:12 UTC, after the last good boot began on 2024-07-18 07:30 UTC; no "
            "boot has come up since.",
            (Source("Windows/System32/drivers/acmeflt.sys"), Source(HIVE, 0x4A1020, KEY)),
        ),
        Finding(
            "acmeflt.sys",
            "boot-log-last-loaded",
            45,
            "acmeflt.sys is the last driver the failing boot loaded (2024-07-19, local time); its "
            "log stops there, after 71 drivers.",
            (Source("Windows/ntbtlog.txt", 1312),),
        ),
        Finding(
            "acmeflt.sys",
            "starts-early",
            20,
            "acmeflt.sys is a third-party boot-start driver, one of 4 on this machine: it runs in "
            "every boot, before anybody can log on.",
            (Source(HIVE, 0x4A1020, KEY),),
        ),
    ),
    path="Windows/System32/drivers/acmeflt.sys",
    company="Acme Security GmbH",
    version="7.16.18605.0",
)
SUSPECTED = Suspect(
    "acmenet.sys",
    "acmenet",
    Verdict.SUSPECT,
    60,
    (
        Finding(
            "acmenet.sys",
            "changed-since-good-boot",
            60,
            "acmenet.sys: its file was written on 2024-07-18 14:12 UTC, after the last good boot.",
            (Source("Windows/System32/drivers/acmenet.sys"),),
        ),
    ),
    path="Windows/System32/drivers/acmenet.sys",
    company="Acme Security GmbH",
    version="7.16.18605.0",
)
NOTED = Suspect(
    "nvlddmkm.sys",
    "nvlddmkm",
    Verdict.UNKNOWN,
    20,
    (
        Finding(
            "nvlddmkm.sys",
            "starts-early",
            20,
            "nvlddmkm.sys is a third-party system-start driver.",
            (Source(HIVE, 0x51AA20),),
        ),
    ),
    path="Windows/System32/DriverStore/FileRepository/nv_dispi.inf_amd64_31fc4e8a/nvlddmkm.sys",
    company="NVIDIA Corporation",
    version="31.0.15.5222",
)
PLAN = Plan(
    install().root,
    "acmeflt.sys",
    "acmeflt",
    "acmeflt.sys is the proven culprit.",
    (
        EditHive(
            HIVE,
            (
                ValueChange(
                    KEY,
                    "Start",
                    RegistryData(4, b"\0\0\0\0"),
                    RegistryData(4, b"\4\0\0\0"),
                ),
            ),
        ),
        QuarantineFile("Windows/System32/drivers/acmeflt.sys", "9f" * 32, 612_352),
    ),
    (),
    20 << 20,
    title="quarantine acmeflt.sys (service acmeflt)",
)
DRIVER = InstallReport(
    install(),
    Diagnosis(
        Kind.DRIVER,
        "The driver acmeflt.sys (service acmeflt by Acme Security GmbH) keeps it from starting.",
        (CULPRIT, SUSPECTED, NOTED),
        (
            Gap(Source("pagefile.sys", 0), "holds no crash dump that is not yet extracted."),
            Gap(
                Source(
                    "Windows/System32/winevt/Logs/Microsoft-Windows-CodeIntegrity%4Operational.evtx"
                ),
                "chunk 12 is damaged: its checksum does not match.",
            ),
        ),
        timeline=driver_story(),
    ),
    plan=PLAN,
    plan_digest="b7d1e0a94c52f8a6",
    outcome=Outcome.PLANNED,
)
HIVE_DAMAGED = InstallReport(
    install("Windows 10 Enterprise LTSC", 5, "19044.4529"),
    Diagnosis(
        Kind.HIVE,
        "The SYSTEM hive cannot be used: the cell at 0x2f48 is cut off.",
        gaps=(Gap(Source(HIVE, 0x2F48), "a cell goes beyond its bin."),),
        findings=(
            Finding(
                "SYSTEM hive",
                "hive-damaged",
                90,
                "The SYSTEM hive is dirty, and its logs are those of another hive.",
                (Source(HIVE, 0x2F48), Source(f"{HIVE}.LOG1", 0)),
                Kind.HIVE,
            ),
            Finding(
                "disk",
                "disk-trouble",
                40,
                "Disk 7 reported a bad block 14 times on 2024-03-02.",
                (Source(LOG, 0x8DF00),),
                Kind.DISK,
            ),
        ),
        timeline=(
            moment(
                "2024-03-02T09:00:00", "trouble", "disk 7: \\Device\\Harddisk0\\DR0", offset=0x8DF00
            ),
        ),
    ),
    refusals=(Refusal("", "", "The hive is not written while the disk reports bad blocks."),),
    checks=(
        CheckLine("boot store", ok=True, text="names this volume.", sources=(STORE,)),
        CheckLine(
            "SYSTEM hive", ok=False, text="cannot be loaded.", sources=(Source(HIVE, 0x2F48),)
        ),
        CheckLine("drivers", None, "The hive that names them cannot be read."),
    ),
    history=(
        TransactionInfo(
            "20240301-093011-7c",
            "undone",
            at("2024-03-01T09:30:11"),
            "quarantine old.sys",
            "RecoveryKit/1",
        ),
    ),
    exit_code=10,
)
HEALTHY = InstallReport(
    install("Windows Server 2022 Standard", 2, "20348.2582"),
    Diagnosis(
        Kind.HEALTHY,
        "Nothing found that keeps it from starting: its last session came up.",
        timeline=tuple(item for item in driver_story() if item.when < at("2024-07-18T20:00:00")),
    ),
)
THREE = Report(
    "diagnose",
    (DRIVER, HIVE_DAMAGED, HEALTHY),
    (Gap(Source("/dev/sdb1"), "is encrypted with BitLocker and stays shut.", closed=True),),
    notes=("The clock of this computer is 3 hours ahead of the newest record.",),
)
