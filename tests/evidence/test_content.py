"""Data files beside drivers: whose they are, and what is nobody's."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recoverykit.evidence import content
from recoverykit.model import (
    ContentFile,
    DriverFile,
    Gap,
    Service,
    Source,
    StartType,
    WindowsInstall,
)
from tests.builders import pe
from tests.evidence.conftest import put
from tests.evidence.test_drivers import DRIVERS, service, windows

CROWDSTRIKE = f"{DRIVERS}/CrowdStrike"
CHANNEL = f"{CROWDSTRIKE}/C-00000291-00000000-00000032.sys"
WHEN = datetime(2024, 7, 19, 4, 9, tzinfo=UTC)


@pytest.fixture
def install(tmp_path: Path) -> WindowsInstall:
    return windows(tmp_path)


def driver(path: str, company: str) -> DriverFile:
    name = path.rpartition("/")[2].lower()
    return DriverFile(Source(path), name, 9, WHEN, 1, machine="x64", company=company)


class Machine:
    """An installation, and the drivers put into it."""

    def __init__(self, install: WindowsInstall) -> None:
        self.install = install
        self.services: list[Service] = []
        self.files: list[DriverFile] = []

    def add(
        self, path: str, company: str, name: str = "", start: StartType = StartType.BOOT
    ) -> None:
        put(self.install, path, pe.driver({"CompanyName": company}))
        stem = path.rpartition("/")[2].removesuffix(".sys")
        image = "\\SystemRoot\\" + path.removeprefix("Windows/").replace("/", "\\")
        if not path.startswith("Windows/"):
            image = "\\??\\C:\\" + path.replace("/", "\\")
        self.services.append(service(self.install, name or stem, start, image))
        self.files.append(driver(path, company))

    def put(self, path: str, data: bytes = b"data", age: int = 0) -> str:
        put(self.install, path, data, WHEN - timedelta(seconds=age))
        return path

    def content(self) -> list[ContentFile]:
        found = list(content.collect(self.install, self.services, self.files))
        assert [item for item in found if isinstance(item, Gap)] == []
        return [item for item in found if isinstance(item, ContentFile)]

    def paths(self) -> list[str]:
        return [item.source.path for item in self.content()]


@pytest.fixture
def machine(install: WindowsInstall) -> Machine:
    return Machine(install)


def test_july_2024(machine: Machine) -> None:
    machine.add(f"{CROWDSTRIKE}/csagent.sys", "CrowdStrike, Inc.", "CSAgent")
    older = machine.put(f"{CROWDSTRIKE}/C-00000290-00000000-00000009.sys", b"\xaa" * 900, age=9000)
    machine.put(CHANNEL, bytes(40_000))
    newest, oldest = machine.content()
    assert newest == ContentFile(Source(CHANNEL), "csagent.sys", 40_000, WHEN, blank=True)
    assert (oldest.source.path, oldest.blank, oldest.size) == (older, False, 900)


def test_places_that_are_taken_for_a_drivers_own(machine: Machine) -> None:
    machine.add(f"{DRIVERS}/acmeflt.sys", "Acme Security GmbH", "AcmeFilter")
    taken = [
        machine.put(f"{DRIVERS}/acmeflt.dat"),
        machine.put(f"{DRIVERS}/AcmeFilterRules.bin"),
        machine.put(f"{DRIVERS}/ACMEFLT/rules.bin"),
        machine.put(f"{DRIVERS}/AcmeFilter/more/rules.bin"),
        machine.put(f"{DRIVERS}/acme/rules.bin"),
        machine.put("ProgramData/Acme/defs/signatures.vdb"),
        machine.put("ProgramData/Acme Security/defs.vdb"),
    ]
    for other in (
        "ProgramData/Acme/defs/deep/deeper/deepest/signatures.vdb",
        "ProgramData/Acmeland/defs.vdb",
        "ProgramData/Microsoft/defs.vdb",
        f"{DRIVERS}/other.dat",
        f"{DRIVERS}/gm.dls",
        f"{DRIVERS}/etc/hosts",
        f"{DRIVERS}/UMDF/acme.dat",
        "Windows/System32/acmeflt.dat",
    ):
        machine.put(other)
    assert sorted(machine.paths()) == sorted(taken)


@pytest.mark.parametrize(
    ("home", "owned"),
    [
        ("Program Files/Acme", True),
        ("Windows/System32/drivers/Acme Tools", True),
        ("Program Files", False),
        ("Windows", False),
        ("Windows/System32", False),
        ("Windows/System32/DriverStore/FileRepository/acme.inf_amd64_0011", False),
    ],
)
def test_the_folder_of_its_file(machine: Machine, home: str, owned: bool) -> None:
    machine.add(f"{home}/xyz.sys", "Nobody Ltd")
    beside = machine.put(f"{home}/beside.bin")
    assert machine.paths() == ([beside] if owned else [])


@pytest.mark.parametrize("name", ["log.etl", "debug.LOG", "acme.dll", "acme.cat", "setup.exe"])
def test_programs_and_logs_are_no_data(machine: Machine, name: str) -> None:
    machine.add(f"{DRIVERS}/Acme/acme.sys", "Acme")
    machine.put(f"{DRIVERS}/Acme/{name}")
    machine.put(f"{DRIVERS}/Acme/backup.bak", pe.driver(None))  # a program under another name
    assert machine.paths() == []


def test_other_drivers_are_no_data(machine: Machine) -> None:
    for name in ("acme", "acmeflt", "acmenet"):
        machine.add(f"{DRIVERS}/Acme/{name}.sys", "Acme")
    put(machine.install, f"{DRIVERS}/Acme/acmenet.sys", b"no longer a program")
    assert machine.paths() == []


def test_each_driver_of_a_folder_has_its_files(machine: Machine) -> None:
    for name in ("acme", "acmeflt"):
        machine.add(f"{DRIVERS}/Acme/{name}.sys", "Acme")
    machine.put(f"{DRIVERS}/Acme/rules.bin")
    assert {item.driver for item in machine.content()} == {"acme.sys", "acmeflt.sys"}


def test_windows_own_drivers_own_nothing(machine: Machine) -> None:
    machine.add(f"{DRIVERS}/wd/WdFilter.sys", "Microsoft Corporation")
    machine.add(f"{DRIVERS}/disk.sys", "")
    for name in ("wd/rules.bin", "disk/rules.bin", "disk.dat"):
        machine.put(f"{DRIVERS}/{name}")
    assert machine.paths() == []


def test_disabled_drivers_own_nothing(machine: Machine) -> None:
    machine.add(f"{DRIVERS}/Acme/acme.sys", "Acme", start=StartType.DISABLED)
    machine.put(f"{DRIVERS}/Acme/rules.bin")
    assert machine.paths() == []


def test_program_data_only_of_what_a_boot_loads(machine: Machine) -> None:
    machine.add(f"{DRIVERS}/acme.sys", "Acme", start=StartType.DEMAND)
    machine.put("ProgramData/Acme/rules.bin")
    assert machine.paths() == []


@pytest.mark.parametrize(
    ("company", "names"),
    [
        ("CrowdStrike, Inc.", {"crowdstrike"}),
        ("Trend Micro Inc.", {"trend", "trend micro", "trendmicro"}),
        ("Sophos Limited", {"sophos"}),
        ("ESET, spol. s r.o.", {"eset"}),
        (
            "Kaspersky Lab, ZAO",
            {"kaspersky", "kaspersky lab", "kaspersky lab, zao", "kasperskylab"},
        ),
        ("Microsoft Windows", {"microsoft windows", "microsoftwindows"}),
        ("", set()),
    ],
)
def test_names_of_a_makers_folder(company: str, names: set[str]) -> None:
    assert content._makers(company) == names


def test_the_newest_of_many(machine: Machine) -> None:
    machine.add(f"{DRIVERS}/Acme/acme.sys", "Acme")
    for number in range(content.NEWEST + 20):
        machine.put(f"{DRIVERS}/Acme/{number}.bin", age=number)
    assert machine.paths() == [f"{DRIVERS}/Acme/{number}.bin" for number in range(content.NEWEST)]


def test_more_files_than_anybody_looks_at(machine: Machine) -> None:
    machine.add(f"{DRIVERS}/Acme/acme.sys", "Acme")
    for number in range(content.MOST_ENTRIES + 10):
        (machine.install.mount / DRIVERS / "Acme" / f"{number}.bin").touch()
    found = list(content.collect(machine.install, machine.services, machine.files))
    assert len([item for item in found if isinstance(item, ContentFile)]) == content.NEWEST
    assert [item.reason for item in found if isinstance(item, Gap)] == [
        "only 5000 files beside drivers were looked at"
    ]


def test_links_are_not_followed(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.bin").write_bytes(b"secret")
    machine.add(f"{DRIVERS}/acme.sys", "Acme")
    (machine.install.mount / DRIVERS / "acme").symlink_to(outside)
    (machine.install.mount / "ProgramData").symlink_to(outside)
    (machine.install.mount / DRIVERS / "acme.dat").symlink_to(outside / "secret.bin")
    found = list(content.collect(machine.install, machine.services, machine.files))
    assert [item for item in found if isinstance(item, ContentFile)] == []


def test_any_tree_gives_evidence_or_gaps(machine: Machine) -> None:
    """Names at random, files and folders in each other's place."""
    rng = random.Random(20240719)
    machine.add(f"{DRIVERS}/Acme/acme.sys", "Acme")
    machine.add("Program Files/Acme/net.sys", "Acme Networks")
    letters = "aAcCmMeE.\\:*\n\udcff é"
    for _ in range(150):
        parent = rng.choice((DRIVERS, f"{DRIVERS}/Acme", "ProgramData", "Program Files/Acme"))
        name = "".join(rng.choice(letters) for _ in range(rng.randrange(1, 9))).strip(". ") or "x"
        path = machine.install.mount / parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            continue
        if rng.random() < 0.3:
            path.mkdir()
        elif rng.random() < 0.2:
            os.mkfifo(path)
        else:
            path.write_bytes(rng.randbytes(rng.randrange(20)))
    found = list(content.collect(machine.install, machine.services, machine.files))
    assert any(isinstance(item, ContentFile) for item in found)
    assert all(isinstance(item, ContentFile | Gap) for item in found)
