"""Third-party packages on a whole machine: INFs, both driver databases, the Driver Store."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recoverykit.evidence import packages
from recoverykit.formats.binary import to_filetime
from recoverykit.formats.hive import Hive
from recoverykit.model import (
    DriverPackage,
    Evidence,
    Gap,
    Source,
    WindowsInstall,
)
from tests.builders import hive, inf
from tests.builders.inf import Driver
from tests.conftest import read_real, real
from tests.evidence import conftest

MUTANTS = 60  # a campaign may raise this
IMPORTED = datetime(2024, 7, 18, 22, 0, tzinfo=UTC)
STORED = datetime(2024, 7, 10, tzinfo=UTC)
PUBLISHED = datetime(2024, 7, 1, tzinfo=UTC)
FOLDER = "acme.inf_amd64_5e38a278d114b813"
STORE = f"Windows/{packages.STORE}"


@pytest.fixture
def install(tmp_path: Path) -> WindowsInstall:
    for folder in ("INF", "System32/config", packages.STORE):
        (tmp_path / "Windows" / folder).mkdir(parents=True)
    return conftest.installation(tmp_path)


def put(install: WindowsInstall, name: str, data: bytes, when: datetime = PUBLISHED) -> None:
    conftest.put(install, name, data, when)


def publish(install: WindowsInstall, number: int, driver: Driver, *, folder: str = "") -> None:
    """An INF, and where a folder is named its twin in the Driver Store."""
    put(install, f"Windows/INF/oem{number}.inf", inf.build(driver))
    if folder:
        put(install, f"{STORE}/{folder}/{folder.partition('_')[0]}", inf.build(driver))
        os.utime(install.mount / STORE / folder, (STORED.timestamp(), STORED.timestamp()))


def database(*known: tuple[str, str], dated: bool = True) -> bytes:
    """A hive with published names and their folders, as Windows 8 and later keep them."""
    date = hive.Raw(0xFFFF0010, to_filetime(IMPORTED).to_bytes(8, "little"))
    return hive.build(
        {
            "DriverDatabase": {
                "DriverInfFiles": {
                    name: {"": hive.multi_sz(folder), "Active": hive.sz(folder)}
                    for name, folder in known
                },
                "DriverPackages": {
                    folder: {"": hive.sz(name), **({"ImportDate": date} if dated else {})}
                    for name, folder in known
                },
            }
        }
    )


def found(evidence: list[Evidence]) -> list[DriverPackage]:
    return [item for item in evidence if isinstance(item, DriverPackage)]


def gaps(evidence: list[Evidence]) -> list[str]:
    return [item.reason for item in evidence if isinstance(item, Gap)]


def test_a_package_and_what_the_registry_knows_of_it(install: WindowsInstall) -> None:
    publish(install, 7, Driver(content=("acme.dat",)), folder=FOLDER)
    assert list(packages.collect(install, Hive(database(("oem7.inf", FOLDER))))) == [
        DriverPackage(
            source=Source("Windows/INF/oem7.inf"),
            published="oem7.inf",
            original="acme.inf",
            provider="Acme Corporation",
            class_guid=inf.NET,
            version="7.11.0.1",
            dated="2024-07-19",
            services=("acme",),
            files=("acme.sys", "acme.dat"),
            folder=f"{STORE}/{FOLDER}",
            written=IMPORTED,
        )
    ]


def test_the_database_in_a_hive_of_its_own(install: WindowsInstall) -> None:
    publish(install, 1, Driver("one"), folder="one.inf_amd64_0000000000000001")
    publish(install, 2, Driver("two"), folder="two.inf_amd64_0000000000000002")
    drivers = database(("oem2.inf", "two.inf_amd64_0000000000000002"))
    put(install, "Windows/System32/config/DRIVERS", drivers)
    system = Hive(database(("oem1.inf", "one.inf_amd64_0000000000000001")))
    one, two = found(list(packages.collect(install, system)))
    assert (one.original, two.original) == ("one.inf", "two.inf")
    assert (one.written, two.written) == (IMPORTED, IMPORTED)


@pytest.mark.parametrize(
    "folder",
    [
        pytest.param(FOLDER, id="Windows 10"),
        pytest.param("acme.inf_amd64_neutral_93da6967bbf62571", id="Windows 7"),
        pytest.param("acme.inf_x86_en-us_93da6967bbf62571", id="with a language"),
    ],
)
def test_without_a_database_bytes_tell(install: WindowsInstall, folder: str) -> None:
    publish(install, 3, Driver(), folder=folder)
    publish(install, 4, Driver("lost"))
    put(install, f"{STORE}/other.inf_amd64_1/other.inf", b"x" * len(inf.build(Driver())))
    acme, lost = found(list(packages.collect(install, None)))
    assert (acme.original, acme.folder) == ("acme.inf", f"{STORE}/{folder}")
    assert acme.written == STORED
    assert (lost.original, lost.folder, lost.written) == ("", "", PUBLISHED)


def test_the_inf_in_the_store_keeps_its_makers_spelling(install: WindowsInstall) -> None:
    publish(install, 3, Driver())
    put(install, f"{STORE}/{FOLDER}/ACME.INF", inf.build(Driver()))
    (acme,) = found(list(packages.collect(install, None)))
    assert acme.folder == f"{STORE}/{FOLDER}"


def test_a_folder_that_is_gone(install: WindowsInstall) -> None:
    publish(install, 7, Driver())
    (acme,) = found(list(packages.collect(install, Hive(database(("oem7.inf", FOLDER))))))
    assert (acme.original, acme.folder, acme.written) == ("acme.inf", "", IMPORTED)


def test_only_published_infs_are_read(install: WindowsInstall) -> None:
    publish(install, 12, Driver("b"))
    publish(install, 2, Driver("a"))
    for name in ("netrtwlane.inf", "oem.inf", "oem1.PNF", "oem3.inf.bak"):
        put(install, f"Windows/INF/{name}", b"")
    (install.mount / "Windows/INF/oem5.inf").mkdir()
    (install.mount / "Windows/INF/oem6.inf").symlink_to("/etc/passwd")
    evidence = list(packages.collect(install, None))
    assert [item.published for item in found(evidence)] == ["oem2.inf", "oem12.inf"]
    assert gaps(evidence) == []


def test_damaged_infs_do_not_hide_the_others(install: WindowsInstall) -> None:
    publish(install, 1, Driver())
    for number in range(2, 9):
        put(install, f"Windows/INF/oem{number}.inf", b"garbage")
    evidence = list(packages.collect(install, None))
    assert len(found(evidence)) == 1
    reasons = gaps(evidence)
    assert len(reasons) == 6
    assert reasons[-1] == "2 more driver packages cannot be read"


def test_a_damaged_drivers_hive_is_told(install: WindowsInstall) -> None:
    publish(install, 1, Driver())
    put(install, "Windows/System32/config/DRIVERS", b"regf" + bytes(5000))
    evidence = list(packages.collect(install, None))
    assert len(found(evidence)) == 1
    assert "driver database cannot be read" in gaps(evidence)[0]


def test_no_inf_folder(install: WindowsInstall) -> None:
    (install.mount / "Windows/INF").rmdir()
    (gap,) = packages.collect(install, None)
    assert isinstance(gap, Gap)


def test_owners() -> None:
    def package(published: str, *services: str) -> DriverPackage:
        source = Source(f"Windows/INF/{published}")
        return DriverPackage(source, published, "", "", "", "", "", services, (), "")

    three = [package("oem1.inf", "Acme", "b"), package("oem2.inf", "ACME"), package("", "b")]
    assert packages.owners(three) == {"acme": ("oem1.inf", "oem2.inf"), "b": ("oem1.inf",)}


# oemNN.inf and folders as dissect.regf's own tests' machine has them.
KNOWN = {
    2: "vmci.inf_amd64_5e38a278d114b813",
    3: "efifw.inf_amd64_69a2acd666b70e2c",
    5: "pvscsi.inf_amd64_9e7bfe6e33172952",
    7: "vmmouse.inf_amd64_916101d3748847e7",
}


@pytest.mark.parametrize("sample", real("hives/dissect_SYSTEM.gz"))
def test_a_real_database(install: WindowsInstall, sample: Path) -> None:
    for number, folder in KNOWN.items():
        publish(install, number, Driver(f"s{number}"), folder=folder)
    told = found(list(packages.collect(install, Hive(read_real(sample)))))
    assert {item.published: item.folder for item in told} == {
        f"oem{number}.inf": f"{STORE}/{folder}" for number, folder in KNOWN.items()
    }
    assert all(item.written and item.written.date().isoformat() == "2022-06-22" for item in told)


def test_hostile_machines_are_gaps_at_worst(install: WindowsInstall) -> None:
    publish(install, 1, Driver(), folder=FOLDER)
    publish(install, 2, Driver("two"), folder="two.inf_amd64_2")
    good = database(("oem1.inf", FOLDER), ("oem2.inf", "two.inf_amd64_2"))
    text = inf.build(Driver())
    rng = random.Random(4)
    for number in range(MUTANTS):
        image, bad = bytearray(good), bytearray(text)
        for _ in range(rng.randrange(1, 20)):
            image[rng.randrange(4096, len(image))] = rng.randrange(256)
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        put(install, "Windows/INF/oem1.inf", bytes(bad[: rng.randrange(len(bad))]))
        put(install, "Windows/System32/config/DRIVERS", bytes(image))
        system = Hive(good) if number % 2 else None
        evidence = list(packages.collect(install, system))
        assert all(isinstance(item, DriverPackage | Gap) for item in evidence)
        assert "oem2.inf" in [item.published for item in found(evidence)]
