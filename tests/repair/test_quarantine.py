"""One plan over everything that names a driver: what it decides and refuses, and on any hive."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import hive_edit
from recoverykit.formats.hive import Hive
from recoverykit.model import (
    ContentFile,
    Decision,
    Disk,
    DriverPackage,
    EditHive,
    Evidence,
    Plan,
    QuarantineFile,
    Refusal,
    Service,
    Source,
    StartType,
    Suspect,
    WindowsInstall,
)
from recoverykit.repair import plan as planning
from recoverykit.repair import plan_json
from tests.builders import hive as builder
from tests.builders import mutate
from tests.builders.hive import dword, multi_sz, sz
from tests.conftest import need, read_real, real
from tests.independent import registry as independent
from tests.repair import target

MUTATIONS = 150  # a campaign sets more
ONE = "ControlSet001"
GUID = "{4d36e96b-e325-11ce-bfc1-08002be10318}"
ACME = "Windows/System32/drivers/acme.sys"
ELAM = "Windows/ELAMBKUP/acme.sys"


def raw(*strings: str) -> bytes:
    return multi_sz(*strings).data


def rich() -> dict[str, Any]:
    """A control set in which everything there is names the driver."""
    rename = ["\\??\\C:\\a.tmp", "!\\??\\C:\\Windows\\System32\\drivers\\acme.sys"]
    return {
        "Select": {"Current": dword(1), "Default": dword(1), "LastKnownGood": dword(1)},
        ONE: {
            "Services": {
                "acme": {
                    "Start": dword(0),
                    "Type": dword(2),
                    "Group": sz("Early-Launch"),
                    "StartOverride": {"0": dword(0)},
                    "Instances": {"Acme": {"Altitude": sz("385100")}},
                },
                "needy": {"DependOnService": multi_sz("acme"), "Start": dword(2)},
            },
            "Control": {
                "Class": {GUID: {"UpperFilters": multi_sz("acme", "kbdclass")}},
                "SafeBoot": {"Minimal": {"acme.sys": {"(Default)": sz("Driver")}}, "Network": {}},
                "Session Manager": {"PendingFileRenameOperations": multi_sz(*rename)},
                "EarlyLaunch": {"BackupPath": sz("%SystemRoot%\\ELAMBKUP")},
            },
            "Enum": {"USB": {"VID_1": {"6&1": {"LowerFilters": multi_sz("acme")}}}},
        },
    }


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    put(tmp_path, builder.build(rich()))
    return tmp_path


def put(mount: Path, hive: bytes) -> None:
    files = {target.SYSTEM: hive, ACME: b"MZ acme" * 999, ELAM: b"MZ acme" * 999}
    for name, content in files.items():
        (mount / name).parent.mkdir(parents=True, exist_ok=True)
        (mount / name).write_bytes(content)


def install(mount: Path) -> WindowsInstall:
    """On a disk that was read with no driver of its Windows."""
    found = target.install(mount)
    disk = Disk(Path("/dev/sda"), 1 << 30, 512, "gpt")
    return replace(found, volume=replace(found.volume, disk=disk))


def acme(**changes: object) -> Service:
    made = target.service("acme", "acme.sys", path=ACME, group="Early-Launch")
    return replace(made, **changes)  # type: ignore[arg-type]  # a table's rows name the fields


def suspect() -> Suspect:
    return replace(target.suspect(), driver="acme.sys", path=ACME)


def make(mount: Path, *evidence: Evidence, hive: Hive | None = None) -> Plan | Refusal:
    read = hive or Hive((mount / target.SYSTEM).read_bytes())
    return planning.make(install(mount), suspect(), evidence or [acme()], read)


def made(mount: Path, *evidence: Evidence) -> Plan:
    plan = make(mount, *evidence)
    assert isinstance(plan, Plan), plan
    return plan


def told(plan: Plan, what: str) -> list[Decision]:
    return [one for one in plan.decisions if one.what == what]


# --- what is decided ----------------------------------------------------------------------


def test_everything_that_names_it_is_one_plan(mount: Path) -> None:
    plan = made(mount)
    edit, *moves = plan.actions
    assert isinstance(edit, EditHive)
    assert [getattr(move, "path", "") for move in moves] == [ACME, ELAM]
    assert {(one.what, one.changed) for one in plan.decisions} == {
        ("service", True),
        ("class filter", True),
        ("device filter", True),
        ("SafeBoot entry", True),
        ("pending rename", True),
        ("driver file", True),
        ("ELAM backup", True),
        ("dependent", False),
        ("minifilter instance", False),
    }
    assert plan_json.from_json(plan_json.to_json(plan)) == plan


def test_the_registry_comes_before_the_files(mount: Path) -> None:
    kinds = [type(action) for action in made(mount).actions]
    assert kinds == [EditHive, QuarantineFile, QuarantineFile]


def test_a_file_that_stays_must_still_be_what_was_seen(mount: Path) -> None:
    (mount / "twin.sys").hardlink_to(mount / ACME)
    plan = made(mount)
    assert [getattr(action, "path", "") for action in plan.actions] == ["", ELAM]
    assert any(state.path == ACME and state.sha256 for state in plan.preconditions)
    assert [one.changed for one in told(plan, "driver file")] == [False]


def test_the_backup_of_early_launch_is_that_driver_s_only(mount: Path) -> None:
    plan = made(mount, acme(group="Filter"))
    assert not told(plan, "ELAM backup")
    assert [action.path for action in plan.actions if isinstance(action, QuarantineFile)] == [ACME]


@pytest.mark.parametrize("path", ["C:\\..\\..\\etc", "\\??\\C:\\Windows\\..\\..", "Z:", "", "\\"])
def test_a_backup_folder_that_leads_nowhere(mount: Path, path: str) -> None:
    tree = rich()
    tree[ONE]["Control"]["EarlyLaunch"]["BackupPath"] = sz(path)
    put(mount, builder.build(tree))
    assert bool(told(made(mount), "ELAM backup")) is (path == "")  # then it is the usual one


def content(number: int) -> ContentFile:
    when = datetime(2024, 7, 19, tzinfo=UTC)
    path = f"Windows/System32/drivers/acme/{number:03}.dat"
    return ContentFile(Source(path), "acme.sys", 9, when)


def test_of_many_data_files_the_first_are_listed(mount: Path) -> None:
    other = replace(content(500), driver="good.sys")
    plan = made(mount, acme(), other, *(content(number) for number in range(25)))
    listed = told(plan, "content file")
    assert len(listed) == 11
    assert "15 more" in listed[-1].reason
    assert not any(one.changed for one in listed)


@pytest.mark.parametrize(
    ("guid", "said"),
    [
        ("{4d36e972-e325-11ce-bfc1-08002be10318}", False),
        ("{4D36E974-E325-11CE-BFC1-08002BE10318}", True),
        ("{4d36e975-e325-11ce-bfc1-08002be10318}", True),
    ],
)
def test_a_package_is_recorded(mount: Path, guid: str, *, said: bool) -> None:
    package = DriverPackage(
        source=Source("Windows/INF/oem7.inf"),
        published="oem7.inf",
        original="acme.inf",
        provider="Acme Inc.",
        class_guid=guid,
        version="7.1.0.0",
        dated="2024-07-19",
        services=("ACME",),
        files=("acme.sys",),
        folder="",
    )
    strange = replace(package, services=("other",), published="oem8.inf")
    (listed,) = told(made(mount, acme(), package, strange), "driver package")
    assert "oem7.inf (acme.inf, Acme Inc. 7.1.0.0)" in listed.reason
    assert ("network connections" in listed.reason) is said


# --- what is refused ----------------------------------------------------------------------


def test_a_boot_driver_that_needs_it_is_not_left_behind(mount: Path) -> None:
    """Windows' own disk driver would not start any more."""
    tree = rich()
    tree[ONE]["Services"]["disk"] = {"DependOnService": multi_sz("acme"), "Start": dword(0)}
    put(mount, builder.build(tree))
    disk = target.service("disk", "disk.sys", path="Windows/System32/drivers/disk.sys")
    refusal = make(mount, acme(), disk)
    assert isinstance(refusal, Refusal)
    assert "disk needs it" in refusal.reason
    assert refusal.role
    late = make(mount, acme(), replace(disk, start=StartType.DEMAND))
    assert isinstance(late, Plan)


def _damaged(path: str) -> Hive:
    """A hive in which the list of subkeys of one key leads nowhere."""
    image = bytearray(builder.build(rich()))
    key = Hive(bytes(image)).find(path)
    assert key is not None
    at = image.index(b"nk", key.offset)
    image[at + 28 : at + 32] = (0x7FFF_FFF8).to_bytes(4, "little")
    return Hive(bytes(image))


@pytest.mark.parametrize(
    "path",
    [
        f"{ONE}\\Enum",
        f"{ONE}\\Enum\\USB\\VID_1",
        f"{ONE}\\Control\\Class",
        f"{ONE}\\Control\\SafeBoot\\Minimal",
        f"{ONE}\\Services\\acme",
        f"{ONE}\\Services",
    ],
)
def test_a_registry_that_cannot_be_read_whole_is_refused(mount: Path, path: str) -> None:
    """What is behind the damage may name the driver, and then Windows would not start."""
    refusal = make(mount, hive=_damaged(path))
    assert isinstance(refusal, Refusal)
    assert "cannot be changed" in refusal.reason


def test_what_cannot_be_taken_back_is_refused(mount: Path) -> None:
    image = bytearray(builder.build(rich()))
    key = Hive(bytes(image)).find(f"{ONE}\\Control\\SafeBoot\\Minimal\\acme.sys")
    assert key is not None
    image[image.index(b"nk", key.offset) + 2] |= 0x10  # a symbolic link
    refusal = make(mount, hive=Hive(bytes(image)))
    assert isinstance(refusal, Refusal)
    assert "symbolic link" in refusal.reason


# --- real hives ---------------------------------------------------------------------------

MOUSE = ("UpperFilters", (7, raw("VMMouse").hex()), None)
OFF = ("Start", (4, "03000000"), (4, "04000000"))
REAL = {
    "hives/plaso_win7x86_SYSTEM.xz": {  # LastKnownGood is 2
        f"ControlSet00{number}\\{key}": change
        for number in (1, 2)
        for key, change in {
            "services\\vmmouse": OFF,
            "Control\\CriticalDeviceDatabase\\*PNP0F03": MOUSE,
            "Enum\\ACPI\\PNP0F13\\4&25ee97c0&0": MOUSE,
        }.items()
    },
    "hives/dissect_SYSTEM.gz": {
        f"{ONE}\\Services\\vmmouse": OFF,
        f"{ONE}\\Enum\\ACPI\\VMW0003\\4&1bd7f811&0": MOUSE,
    },
}


@need("hivexsh")
@pytest.mark.parametrize("path", real(*REAL))
def test_a_filter_of_the_mouse_on_a_real_windows(path: Path, tmp_path: Path) -> None:
    """VMware's, as its installer left it: compared by hivex, over the whole hive."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(read_real(path))
    put(tmp_path, old.read_bytes())
    mouse = target.service("VMMouse", "vmmouse.sys", path=None, start=StartType.DEMAND)
    accused = replace(suspect(), driver="vmmouse.sys", service="VMMouse", path=None)
    hive = Hive(old.read_bytes())
    plan = planning.make(install(tmp_path), accused, [mouse], hive)
    assert isinstance(plan, Plan), plan
    (action,) = plan.actions
    assert isinstance(action, EditHive)
    edited = hive_edit.edit(old.read_bytes(), action.changes, sequence=1, when=target.NOW)
    new.write_bytes(edited.image)
    changed = independent.changed_values(independent.registry(old), independent.registry(new))
    expected = REAL[f"hives/{path.name}"]
    assert changed == {f"{key}\\{name}": (was, now) for key, (name, was, now) in expected.items()}


# --- hostile hives ------------------------------------------------------------------------


def _tree(seed: int) -> Mapping[str, Any]:
    """Not the same hive each time: more keys move the others."""
    tree = rich()
    tree[ONE]["Services"] |= {f"s{number}": {"Start": dword(3)} for number in range(seed)}
    return tree


def test_any_hive_gives_a_plan_or_a_reason(mount: Path) -> None:
    """And what a plan says can be done and taken back, or is refused before anything is written."""
    begun, plans, refusals, unreadable = time.process_time(), 0, 0, 0
    for seed in range(3):
        image = builder.build(_tree(seed * 40))
        for mutant in mutate.mutants(image, f"quarantine {seed}", MUTATIONS // 3):
            try:
                hive = Hive(mutant)
            except FormatError:
                unreadable += 1
                continue
            plan = make(mount, hive=hive)
            if isinstance(plan, Refusal):
                refusals += 1
                continue
            plans += 1
            _require_possible(mutant, plan)
    assert plans > MUTATIONS // 5
    assert refusals > MUTATIONS // 20
    assert plans + refusals + unreadable >= MUTATIONS // 3 * 3
    assert time.process_time() - begun < MUTATIONS * 0.1


def _require_possible(image: bytes, plan: Plan) -> None:
    edit = plan.actions[0]
    if not isinstance(edit, EditHive):
        return
    try:
        done = hive_edit.edit(image, edit.changes, sequence=1, when=target.NOW).image
    except FormatError:
        return
    assert hive_edit.is_exactly(image, done, edit.changes)
    back = hive_edit.edit(done, hive_edit.inverse(edit.changes), sequence=2, when=target.NOW).image
    assert hive_edit.is_exactly(image, back, ())


def test_any_data_in_the_lists(mount: Path) -> None:
    """Values that hold anything, of any type, are left alone or taken out, never a crash."""
    rng = random.Random(20240719)
    begun = time.process_time()
    for _ in range(MUTATIONS):
        tree = rich()
        control = tree[ONE]["Control"]
        pieces = ["acme\0".encode("utf-16-le"), b"\0\0", b"\0", b"\x3d\xd8", rng.randbytes(3)]
        data = b"".join(rng.choices(pieces, k=rng.randrange(9)))
        value = builder.Raw(rng.choice([1, 2, 3, 7, 7, 7, 11, 99]), data)
        control["Class"][GUID]["UpperFilters"] = value
        control["Session Manager"]["PendingFileRenameOperations"] = value
        hive = Hive(builder.build(tree))
        plan = make(mount, hive=hive)
        assert isinstance(plan, Plan)
        plan_json.to_json(plan).encode()
        assert all(one.reason.encode() and one.where.encode() for one in plan.decisions)
        _require_possible(bytes(hive.cells.image), plan)
    assert time.process_time() - begun < MUTATIONS * 0.1
