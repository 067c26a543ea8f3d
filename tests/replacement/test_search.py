"""Where candidates are looked for, in which order they come, and what a search may cost."""

from __future__ import annotations

import hashlib
import os
import random
import time
from pathlib import Path

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats.hive import Hive
from recoverykit.replacement import Candidate, Offer, Origin, Root, Search, Want, best, reading
from tests.builders import hive
from tests.conftest import need
from tests.evidence.conftest import installation
from tests.replacement.conftest import (
    ACME,
    DRIVERS,
    PACKAGE,
    STORE,
    SXS,
    Machine,
    acme,
    on_windows,
    stub,
    windows_driver,
)

pytestmark = need("osslsigncode")
FOLDERS = int(os.environ.get("RECOVERYKIT_FOLDERS", "3000"))
MUTATIONS = int(os.environ.get("RECOVERYKIT_MUTATIONS", "60"))
TOKEN, HASH = "31bf3856ad364e35", "0123456789abcdef"


def component(name: str, version: str = "10.0.19041.1", machine: str = "amd64") -> str:
    return f"{SXS}/{machine}_{name}_{TOKEN}_{version}_none_{HASH}"


def found_at(search: Search) -> dict[str, Candidate]:
    return {item.where: item for item in search.candidates}


# --- places -------------------------------------------------------------------------------

PLACES = {
    "package": (f"{STORE}/acme.inf_amd64_{HASH}/acme.sys", Origin.STORE),
    "another package": (f"{STORE}/oem7.inf_amd64_{HASH}/ACME.SYS", Origin.STORE),
    "below a package": (f"{STORE}/shield.inf_amd64_{HASH}/Win10/x64/acme.sys", Origin.STORE),
    "early launch": ("Windows/ELAMBKUP/acme.sys", Origin.ELAM),
    "component": (f"{component('acme.inf')}/acme.sys", Origin.COMPONENT),
    "dual component": (f"{component('dual_acme.inf')}/acme.sys", Origin.COMPONENT),
    "backup": (
        f"{SXS}/Backup/amd64_x_{TOKEN}_6.1.7601.17514_none_{HASH}_acme.sys_0a1b2c3d",
        Origin.BACKUP,
    ),
    "previous": (f"Windows.old/Windows/{DRIVERS[8:]}/acme.sys", Origin.PREVIOUS),
    "the one before": (f"windows.old.000/WINDOWS/{DRIVERS[8:]}/acme.sys", Origin.PREVIOUS),
    "other": (f"Windows10/{DRIVERS[8:]}/acme.sys", Origin.OTHER),
    "other's store": (f"Windows10/{STORE[8:]}/a.inf_amd64_{HASH}/acme.sys", Origin.OTHER),
    "other's early launch": ("Windows10/ELAMBKUP/acme.sys", Origin.OTHER),
    "previous component": (f"Windows.old/{component('acme.inf')}/acme.sys", Origin.PREVIOUS),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_place(machine: Machine, place: str) -> None:
    path, origin = PLACES[place]
    for folder in ("Windows.old/Windows", "windows.old.000/WINDOWS", "Windows10"):
        if path.startswith(folder):
            (machine.install.mount / folder / "System32/drivers").mkdir(parents=True)
    machine.put(path, stub(acme()))
    search = machine.find()
    (found,) = search.candidates
    assert (found.origin, found.where, found.usable) == (origin, path, True)
    assert search.gaps == ()
    assert (search.path, len(search.before)) == (f"{DRIVERS}/acme.sys", 64)


@pytest.mark.parametrize(
    "path",
    [
        f"{component('acme.inf', machine='x86')}/acme.sys",
        f"{component('acme.inf', machine='wow64')}/acme.sys",
        f"{component('acme.inf')[:-1]}/acme.sys",
        f"{SXS}/amd64_acme.resources_{TOKEN}_10.0.19041.1_en-us_{HASH}/acme.sys",
        f"{SXS}/Backup/amd64_x_{TOKEN}_6.1.7601.17514_none_{HASH}_other.sys_0a1b2c3d",
        f"{SXS}/Backup/amd64_x_{TOKEN}_6.1.7601.17514_none_{HASH}_acme.sys.mui_0a1b2c3d",
        f"{STORE}/acme.inf_amd64_{HASH}/a/b/c/d/acme.sys",
        f"{STORE}/acme.inf_amd64_{HASH}/acme.sy_",
        f"NoWindows/{STORE[8:]}/acme.inf_amd64_{HASH}/acme.sys",
        "Users/acme.sys",
    ],
)
def test_no_place(machine: Machine, path: str) -> None:
    machine.put(path, stub(acme()))
    assert machine.find().candidates == ()


def test_where_the_registry_says_early_launch_drivers_are_kept(machine: Machine) -> None:
    backup = {"BackupPath": hive.sz("C:\\Acme\\Clean\\")}
    system = Hive(hive.build({"ControlSet001": {"Control": {"EarlyLaunch": backup}}}))
    machine.put("Acme/Clean/acme.sys", stub(acme()))
    assert machine.only(hive=system).where == "Acme/Clean/acme.sys"
    assert machine.find().candidates == ()


def test_deltas_are_told_and_not_read(machine: Machine) -> None:
    for folder in ("r", "f", "n"):
        machine.put(f"{component('acme.inf')}/{folder}/acme.sys", b"PA30", signed=False)
    machine.put(f"{component('acme.inf')}/x/acme.sys", stub(acme()))
    found = machine.find().candidates
    assert {item.refusals for item in found} == {
        ("it is a delta that Windows servicing keeps, not a whole file",)
    }
    assert len(found) == 3


def test_a_component_called_otherwise(machine: Machine) -> None:
    """Only drivers of Windows lie in WinSxS, or what cannot be told any more."""
    path = f"{component('microsoft-windows-shield')}/acme.sys"
    machine.put(path, stub(acme()))
    assert machine.find().candidates == ()
    (machine.install.mount / DRIVERS / "acme.sys").unlink()
    assert machine.only().where == path


def test_other_components_are_left_alone_once_something_is_there(machine: Machine) -> None:
    (machine.install.mount / DRIVERS / "acme.sys").unlink()
    machine.put(f"{component('microsoft-windows-shield')}/acme.sys", stub(acme("9.0.0.0")))
    machine.put(f"{PACKAGE}/acme.sys", stub(acme()))
    assert machine.only().where == f"{PACKAGE}/acme.sys"


def test_a_driver_elsewhere_on_the_volume(machine: Machine) -> None:
    machine.image_path = "\\??\\C:\\Program Files\\Acme\\acme.sys"
    machine.put("Program Files/Acme/acme.sys", b"", signed=False)
    (machine.install.mount / "Windows.old/Windows/System32/drivers").mkdir(parents=True)
    machine.put("Windows.old/Program Files/Acme/acme.sys", stub(acme()))
    search = machine.find()
    assert search.path == "Program Files/Acme/acme.sys"
    assert [item.where for item in search.candidates] == ["Windows.old/Program Files/Acme/acme.sys"]


def test_a_driver_that_lies_in_the_driver_store(machine: Machine) -> None:
    """Since Windows 10 drivers run from there; the faulty one is no candidate."""
    folder = f"{STORE}/acme.inf_amd64_ffffffffffffffff"
    machine.image_path = f"\\SystemRoot\\{folder[8:]}\\acme.sys".replace("/", "\\")
    machine.put(f"{folder}/acme.sys", stub(ACME))
    machine.put(f"{PACKAGE}/acme.sys", stub(acme()))
    search = machine.find()
    assert search.path == f"{folder}/acme.sys"
    assert [item.where for item in search.candidates] == [f"{PACKAGE}/acme.sys"]


# --- what is asked for --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image_path", "where"),
    [
        ("", f"{DRIVERS}/acme.sys"),
        ("system32\\DRIVERS\\acme.sys", f"{DRIVERS}/acme.sys"),
        ('"\\SystemRoot\\System32\\drivers\\acme.sys"', f"{DRIVERS}/acme.sys"),
        ("\\??\\C:\\Windows\\System32\\drivers\\acme.sys", f"{DRIVERS}/acme.sys"),
        ("System32/drivers/acme.sys", f"{DRIVERS}/acme.sys"),
        ("acme.sys", "Windows/acme.sys"),
        ("\\SystemRoot\\Gone\\acme.sys", ""),
        ("\\??\\C:\\..\\..\\etc\\acme.sys", ""),
    ],
)
def test_where_a_missing_file_has_to_lie(machine: Machine, image_path: str, where: str) -> None:
    (machine.install.mount / DRIVERS / "acme.sys").unlink()
    machine.image_path = image_path
    machine.put(f"{PACKAGE}/acme.sys", stub(acme()))
    search = machine.find()
    assert (search.path, search.before) == (where, "")
    assert search.candidates[0].usable


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("asked", [f"{DRIVERS}/acme.sys", "windows/SYSTEM32/Drivers/ACME.SYS"])
def test_by_path(machine: Machine, asked: str, there: bool) -> None:
    culprit = machine.install.mount / DRIVERS / "acme.sys"
    before = hashlib.sha256(culprit.read_bytes()).hexdigest() if there else ""
    if not there:
        culprit.unlink()
    machine.put(f"{PACKAGE}/acme.sys", stub(acme()))
    search = machine.find(asked)
    assert (search.path.lower(), search.before) == (f"{DRIVERS}/acme.sys".lower(), before)
    assert search.candidates[0].usable


@pytest.mark.parametrize("asked", ["../acme.sys", "/", "a\0b", "C:\\acme.sys", "x/../y.sys"])
def test_odd_paths_find_nothing(machine: Machine, asked: str) -> None:
    search = machine.find(asked)
    assert (search.path, search.before, search.candidates) == ("", "", ())


# --- order --------------------------------------------------------------------------------


def test_the_most_reliable_first(machine: Machine, tmp_path: Path) -> None:
    pack = machine.maker.sign(stub(acme("3.0.0.0")))
    paths = {
        f"{PACKAGE}/acme.sys": "3.1.1.0",
        f"{STORE}/acme.inf_amd64_fedcba9876543210/acme.sys": "3.1.2.0",
        "Windows/ELAMBKUP/acme.sys": "3.1.3.0",
        f"{component('acme.inf')}/acme.sys": "3.1.4.0",
        f"Windows.old/Windows/{DRIVERS[8:]}/acme.sys": "3.1.5.0",
    }
    for path, version in paths.items():
        machine.put(path, stub(acme(version)))
    snapshot = tmp_path / "snapshot"
    old = Machine(installation(snapshot), machine.maker)
    old.put(f"{DRIVERS}/acme.sys", stub(acme("3.0.9.0")))
    medium = tmp_path / "medium/Acme/x64/acme.sys"
    medium.parent.mkdir(parents=True)
    medium.write_bytes(machine.maker.sign(stub(acme("2.0.0.0"))))
    search = machine.find(
        offers=[Offer("fix.toml", hashlib.sha256(pack).hexdigest(), pack)],
        roots=[Root("snapshot of 2024-07-18 09:30 UTC", old.install)],
        folders=[tmp_path / "medium"],
    )
    assert [(item.origin, item.version) for item in search.candidates] == [
        (Origin.PACK, "3.0.0.0"),
        (Origin.MEDIUM, "2.0.0.0"),
        (Origin.STORE, "3.1.2.0"),
        (Origin.STORE, "3.1.1.0"),
        (Origin.ELAM, "3.1.3.0"),
        (Origin.COMPONENT, "3.1.4.0"),
        (Origin.SNAPSHOT, "3.0.9.0"),
        (Origin.PREVIOUS, "3.1.5.0"),
    ]
    assert best(search.candidates) == search.candidates[0]
    wheres = {item.origin: item.where for item in search.candidates}
    assert wheres[Origin.SNAPSHOT] == f"snapshot of 2024-07-18 09:30 UTC: {DRIVERS}/acme.sys"
    assert wheres[Origin.MEDIUM] == str(medium)


def test_the_version_that_is_there_comes_first(machine: Machine) -> None:
    machine.put(f"{PACKAGE}/acme.sys", stub(acme("9.9.9.9")))
    machine.put("Windows/ELAMBKUP/acme.sys", stub(ACME))
    assert [item.version for item in machine.find().candidates] == ["3.1.7.0", "9.9.9.9"]


@pytest.mark.parametrize(
    ("want", "versions"), [(Want.OLDER, ["3.1.6.0", "3.1.5.0"]), (Want.NEWER, ["4.0.0.0"])]
)
def test_nearest_for_a_roll_back(machine: Machine, want: Want, versions: list[str]) -> None:
    for number, version in enumerate(("3.1.5.0", "3.1.6.0", "4.0.0.0")):
        machine.put(f"{STORE}/acme.inf_amd64_{number:016x}/acme.sys", stub(acme(version)))
    usable = [item.version for item in machine.find(want=want).candidates if item.usable]
    assert usable == versions


def test_risky_ones_come_after_safe_ones(machine: Machine) -> None:
    on_windows(machine, "10.0.19041.1")
    machine.name = "disk"
    machine.put(f"{PACKAGE}/disk.sys", stub(windows_driver("10.0.17763.1")))
    machine.put(f"{component('disk.inf')}/disk.sys", stub(windows_driver("10.0.19041.1")))
    found = machine.find().candidates
    assert [(item.version, len(item.risks)) for item in found] == [
        ("10.0.19041.1", 0),
        ("10.0.17763.1", 1),
    ]


def test_one_content_in_many_places_is_one_candidate(machine: Machine) -> None:
    first = machine.put(f"{PACKAGE}/acme.sys", stub(acme()))
    for number in range(4):
        folder = machine.install.mount / component("acme.inf", f"10.0.19041.{number}")
        folder.mkdir(parents=True)
        (folder / "acme.sys").hardlink_to(first)
    machine.put("Windows/ELAMBKUP/acme.sys", stub(acme()))
    found = machine.only()
    assert found.where == f"{PACKAGE}/acme.sys"
    assert found.notes[-1].startswith("the same file: Windows/ELAMBKUP/acme.sys, ")
    assert found.notes[-1].endswith("and 2 more")


def test_hard_links_of_the_faulty_file(machine: Machine) -> None:
    for folder in (PACKAGE, component("acme.inf")):
        (machine.install.mount / folder).mkdir(parents=True)
        (machine.install.mount / folder / "acme.sys").hardlink_to(
            machine.install.mount / DRIVERS / "acme.sys"
        )
    found = machine.only()
    assert found.refusals[0] == "it is the faulty file itself, byte for byte"
    assert best([found]) is None


# --- what is handed in --------------------------------------------------------------------


def test_bytes_with_another_hash_than_promised(machine: Machine) -> None:
    data = machine.maker.sign(stub(acme()))
    found = machine.only(offers=[Offer("fix.toml", hashlib.sha256(b"other").hexdigest(), data)])
    assert found.refusals == ("it is not the file whose hash was given",)
    assert found.content == b""


def test_a_single_file_may_have_any_name(machine: Machine, tmp_path: Path) -> None:
    path = tmp_path / "good driver.bin"
    path.write_bytes(machine.maker.sign(stub(acme())))
    assert machine.only(folders=[path]).where == str(path)


def test_a_driver_pack_may_take_half_of_what_there_is(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_FOLDERS", 20)
    for number in range(30):
        (tmp_path / f"medium/{number:02}").mkdir(parents=True)
    (tmp_path / "medium/29/acme.sys").write_bytes(machine.maker.sign(stub(acme("9.0.0.0"))))
    machine.put(f"{PACKAGE}/acme.sys", stub(acme()))
    search = machine.find(folders=[tmp_path / "medium"])
    assert [item.origin for item in search.candidates] == [Origin.STORE]
    assert [gap.reason for gap in search.gaps] == [
        "the search for further copies ended here: 20 folders were listed"
    ]


def test_a_folder_that_is_not_there(machine: Machine, tmp_path: Path) -> None:
    search = machine.find(folders=[tmp_path / "gone"])
    assert [gap.reason for gap in search.gaps] == ["there is no such folder to look for drivers in"]


# --- hostile, large and many --------------------------------------------------------------


def test_links_are_not_followed(machine: Machine, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "acme.sys").write_bytes(machine.maker.sign(stub(acme())))
    store = machine.install.mount / STORE
    (store / "b.inf_amd64_0").mkdir(parents=True)
    (store / "a.inf_amd64_0").symlink_to(outside)
    (store / "b.inf_amd64_0/acme.sys").symlink_to(outside / "acme.sys")
    (store / "b.inf_amd64_0/loop").symlink_to(store)
    (machine.install.mount / SXS).mkdir()
    (machine.install.mount / component("acme.inf")).symlink_to(outside)
    (machine.install.mount / "Windows.old").symlink_to(tmp_path)
    found = machine.only()
    assert found.where == f"{STORE}/b.inf_amd64_0/acme.sys"
    assert found.refusals == (
        f"it cannot be read: {STORE}/b.inf_amd64_0/acme.sys is a link; it was not followed",
    )


def test_a_store_behind_a_link(machine: Machine, tmp_path: Path) -> None:
    store = machine.install.mount / STORE
    store.parent.mkdir(parents=True)
    store.symlink_to(tmp_path)
    search = machine.find()
    assert search.candidates == ()
    assert "was not followed" in search.gaps[0].reason


def test_what_is_no_file(machine: Machine) -> None:
    folder = machine.install.mount / PACKAGE
    folder.mkdir(parents=True)
    os.mkfifo(folder / "acme.sys")
    (machine.install.mount / "Windows/ELAMBKUP/acme.sys").mkdir(parents=True)
    refusals = [item.refusals[0] for item in machine.find().candidates]
    assert len(refusals) == 2
    assert all("is not a regular file" in reason for reason in refusals)


def test_a_huge_file(machine: Machine) -> None:
    path = machine.install.mount / PACKAGE / "acme.sys"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(1 << 40)
    found = machine.only()
    assert found.refusals == (
        "it cannot be read: it has 1048576 MiB, more than the 64 that are read",
    )


def test_a_huge_faulty_file(machine: Machine) -> None:
    with (machine.install.mount / DRIVERS / "acme.sys").open("r+b") as file:
        file.truncate(1 << 40)
    machine.put(f"{PACKAGE}/acme.sys", stub(acme()))
    found = machine.only()
    assert found.usable
    assert any("nothing was compared with it" in note for note in found.notes)
    assert machine.find().before == ""


def test_many_packages(machine: Machine) -> None:
    store = machine.install.mount / STORE
    store.mkdir(parents=True)
    for number in range(FOLDERS):
        (store / f"{number}.inf_amd64_{number:016x}").mkdir()
    machine.put(f"{STORE}/{FOLDERS}.inf_amd64_{FOLDERS:016x}/acme.sys", stub(acme()))
    begun = time.process_time()
    assert machine.only().usable
    assert time.process_time() - begun < 0.5 + FOLDERS / 3000


def test_many_components(machine: Machine) -> None:
    for number in range(FOLDERS):
        name = f"{component(f'microsoft-windows-c{number}')[:-8]}{number:08x}"
        (machine.install.mount / name).mkdir(parents=True)
    (machine.install.mount / DRIVERS / "acme.sys").unlink()
    begun = time.process_time()
    search = machine.find()
    assert (search.candidates, search.gaps) == ((), ())
    assert time.process_time() - begun < 0.5 + FOLDERS / 3000


def test_time_is_limited(machine: Machine) -> None:
    for number in range(30):
        machine.put(f"{STORE}/{number}.inf_amd64_0/acme.sys", stub(acme(f"3.2.0.{number}")))
    search = machine.find(seconds=0.0)
    assert search.candidates == ()
    (gap,) = search.gaps
    assert "the search for further copies ended here: 0 s have passed" in gap.reason


def test_only_so_many_are_judged(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_OPENED", 5)
    for number in range(9):
        name = f"{STORE}/{number}.inf_amd64_0/acme.sys"
        machine.put(name, stub(acme(f"3.2.0.{number}")), signed=False)
    search = machine.find()
    assert len(search.candidates) == 5
    assert "5 files were judged" in search.gaps[0].reason


def test_memory_is_limited(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recoverykit.replacement.search.MAX_KEPT", 12_000)
    for number in range(3):
        data = stub(acme(f"3.2.0.{number}"), padding=bytes([number]) * 4000)
        machine.put(f"{STORE}/{number}.inf_amd64_0/acme.sys", data)
    found = machine.find().candidates
    assert [item.usable for item in found] == [True, False, False]
    assert "was not kept in memory" in found[1].refusals[0]
    assert [bool(item.content) for item in found] == [True, False, False]


def test_damaged_candidates_never_raise(machine: Machine) -> None:
    rng = random.Random(20240719)
    good = machine.maker.sign(stub(acme(), exports=["AcmeOpen"]))
    begun = time.process_time()
    usable = refused = 0
    for _ in range(MUTATIONS):
        bad = bytearray(good[: rng.choice((len(good), len(good), rng.randrange(len(good))))])
        for _ in range(rng.randrange(4)):
            limit = rng.choice((0x200, len(good)))
            if bad:
                bad[rng.randrange(min(limit, len(bad)))] = rng.choice((0, 255, rng.randrange(256)))
        place = rng.choice((f"{PACKAGE}/acme.sys", f"{DRIVERS}/acme.sys"))
        machine.put(f"{PACKAGE}/acme.sys", good, signed=False)
        machine.put(place, bytes(bad), signed=False)
        for item in machine.find().candidates:
            usable += item.usable
            refused += not item.usable
            assert hashlib.sha256(item.content).hexdigest() == item.sha256 or not item.usable
    assert usable
    assert refused
    assert time.process_time() - begun < 0.2 * MUTATIONS


def test_hostile_names_and_hives_never_raise(machine: Machine) -> None:
    rng = random.Random(20240720)
    backup = {"BackupPath": hive.sz("C:\\Windows\\ELAMBKUP")}
    system = hive.build({"ControlSet001": {"Control": {"EarlyLaunch": backup}}})
    machine.put(f"{PACKAGE}/acme.sys", stub(acme()))
    for number in range(MUTATIONS):
        letters = [rng.choice("a.\x1b\n\\:*\udc80Ω _-") for _ in range(rng.randrange(1, 40))]
        parent = rng.choice((STORE, SXS, f"{SXS}/Backup", "", "Windows.old", PACKAGE))
        folder = machine.install.mount / parent / f"{''.join(letters)}{number}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "acme.sys").write_bytes(letters[0].encode("utf-8", "surrogateescape"))
        bad = bytearray(system)
        for _ in range(rng.randrange(6)):
            bad[rng.randrange(0x1000, len(bad))] = rng.randrange(256)
        search = machine.find(hive=as_opened(bytes(bad)))
        assert best(search.candidates) is not None
        assert all(item.where.isprintable() for item in search.candidates)
        assert len(search.gaps) <= reading.MAX_GAPS


def as_opened(system: bytes) -> Hive | None:
    """None where not even its root can be read: then nobody asks it anything."""
    try:
        return Hive(system)
    except FormatError:
        return None


def test_a_backup_folder_outside_of_the_volume(machine: Machine) -> None:
    for folder in ("C:\\..\\..\\etc", "\\\\server\\share", "\\??\\UNC\\x", "C:\\a:b", "*"):
        backup = {"BackupPath": hive.sz(folder)}
        system = Hive(hive.build({"ControlSet001": {"Control": {"EarlyLaunch": backup}}}))
        assert machine.find(hive=system).candidates == ()


def test_nothing_is_written(machine: Machine) -> None:
    machine.put(f"{PACKAGE}/acme.sys", stub(acme()))
    before = {path: path.lstat().st_mtime_ns for path in machine.install.mount.rglob("*")}
    assert machine.only().usable
    assert {path: path.lstat().st_mtime_ns for path in machine.install.mount.rglob("*")} == before
