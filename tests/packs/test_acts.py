"""What a pack does: through planner, guard and transaction, all of it or nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recoverykit import packs
from recoverykit.model import (
    EditHive,
    Evidence,
    InstallFile,
    Plan,
    QuarantineFile,
    Refusal,
    RegistryData,
    Service,
    StartType,
    TransactionInfo,
    ValueChange,
    WindowsInstall,
)
from recoverykit.packs import Given, Made, Pack, acts
from recoverykit.repair import hives, plan_json, transaction, undo
from tests.builders import authenticode, pe, registry
from tests.independent import registry as hivex
from tests.packs import samples
from tests.repair import target

DRIVERS = "Windows/System32/drivers"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
BY_SERVICE = "[[detect]]\nname = 'it'\nservice = 'acme'\n"
QUARANTINE = "[[act]]\nquarantine = 'it'\n"
DISABLED = "[[verify]]\ndisabled = 'acme'\n"
DRIVER = samples.pack(BY_SERVICE, QUARANTINE, DISABLED)
AGENT = "key = 'HKLM\\SOFTWARE\\Acme\\Agent'\n"
PARAMETERS = "key = 'HKLM\\SYSTEM\\CurrentControlSet\\Services\\acme\\Parameters'\n"


def make(
    mount: Path, pack: Pack, evidence: Sequence[Evidence] = (), given: Given | None = None
) -> Made | Refusal | None:
    system = samples.system(mount)
    return packs.make(pack, samples.install(mount), evidence, system, given or Given())


def refused(mount: Path, pack: Pack, *evidence: Evidence, given: Given | None = None) -> str:
    made = make(mount, pack, evidence, given)
    assert isinstance(made, Refusal), made
    assert made.reason.startswith(f"The remediation pack {pack.id} was refused whole: ")
    return made.reason


def apply(mount: Path, pack: Pack, made: Made) -> TransactionInfo:
    install = samples.install(mount)
    return transaction.apply(
        install,
        made.plan,
        now=target.NOW,
        supply=made.supply,
        proof=lambda: packs.verify(pack, install),
    )


def edits(plan: Plan) -> list[tuple[str, str, RegistryData | None]]:
    return [
        (change.key, change.name, change.after)
        for action in plan.actions
        if isinstance(action, EditHive)
        for change in action.changes
        if isinstance(change, ValueChange)
    ]


# --- drivers ------------------------------------------------------------------------------


def test_a_driver_goes_as_in_every_repair(mount: Path) -> None:
    before = target.state(mount)
    service = target.service()
    made = samples.made(mount, DRIVER, [service])
    assert (made.plan.driver, made.plan.service) == ("acme filter.sys", "acme")
    assert target.plan(mount).actions == made.plan.actions
    assert made.plan.decisions
    info = apply(mount, DRIVER, made)
    assert target.start(mount) == target.OFF
    assert not (mount / target.DRIVER).exists()
    undo.undo(mount, info.id)
    assert target.state(mount) == before


def test_a_guarded_driver_refuses_the_whole_pack(mount: Path) -> None:
    samples.put(mount, "ProgramData/Acme/bad1.bin", b"x")
    both = samples.pack(
        samples.DETECT,
        BY_SERVICE.replace("'it'", "'driver'"),
        QUARANTINE,
        QUARANTINE.replace("'it'", "'driver'"),
        samples.VERIFY,
    )
    ntfs = target.service("acme", "ntfs.sys", group="Boot File System")
    made = make(mount, both, [ntfs])
    assert isinstance(made, Refusal)
    assert (made.driver, made.service) == ("ntfs.sys", "acme")
    assert "must not be disabled" in made.reason
    assert make(mount, both, [target.service()]) is not None  # without the guard it would go


def test_what_is_disabled_already_is_not_seen_again(mount: Path) -> None:
    assert make(mount, DRIVER, [target.service(start=StartType.DISABLED)]) is None


def test_two_services_of_one_file_are_one_matter(mount: Path) -> None:
    second = target.service("good")
    pack = samples.pack(
        "[[detect]]\nname = 'it'\ndriver = 'acme filter.sys'\n", QUARANTINE, DISABLED
    )
    made = samples.made(mount, pack, [target.service(), second])
    assert [change[0] for change in edits(made.plan)].count("ControlSet001\\Services\\good") == 1
    assert len([a for a in made.plan.actions if isinstance(a, QuarantineFile)]) == 1
    by_name = samples.pack(
        BY_SERVICE,
        BY_SERVICE.replace("it", "too").replace("acme", "good"),
        QUARANTINE,
        QUARANTINE.replace("it", "too"),
        DISABLED,
    )
    twice = samples.made(mount, by_name, [target.service(), second])
    assert set(edits(twice.plan)) == set(edits(made.plan))
    apply(mount, by_name, twice)
    assert target.start(mount) == target.OFF


# --- files --------------------------------------------------------------------------------


def test_files_go_by_pattern_and_come_back(mount: Path) -> None:
    for number in range(3):
        samples.put(mount, f"ProgramData/Acme/Bad{number}.bin", bytes([number]) * 900)
    samples.put(mount, "ProgramData/Acme/good.bin", b"good")
    pack = samples.small(samples.SMALL.replace("quarantine =", "delete ="))
    before = target.state(mount)
    info = apply(mount, pack, samples.made(mount, pack))
    assert sorted(path.name for path in (mount / "ProgramData/Acme").iterdir()) == ["good.bin"]
    assert make(mount, pack) is None
    undo.undo(mount, info.id)
    assert target.state(mount) == before


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("bootmgr.bin", "lies in the volume's root"),
        ("EFI/Microsoft/acme.bin", "EFI is not touched"),
        ("Boot/acme.bin", "Boot is not touched"),
        ("RecoveryKit/20260101T000000Z-0000/acme.bin", "RecoveryKit is not touched"),
        ("System Volume Information/acme.bin", "is not touched"),
        ("Windows/acme.exe", "part of Windows"),
        ("Windows/System32/acme.dll", "part of Windows"),
        ("Windows/System32/config/acme.log", "part of Windows"),
        ("windows/winsxs/acme/acme.sys", "part of Windows"),
        ("Windows/System32/CatRoot/acme.cat", "part of Windows"),
        ("Windows/System32/DriverStore/FileRepository/acme/acme.sys", "part of Windows"),
        ("Users/me/NTUSER.DAT", "a user's registry"),
        ("Users/me/ntuser.dat.LOG1", "a user's registry"),
        ("Users/me/AppData/UsrClass.dat", "a user's registry"),
        (f"{DRIVERS}/ntfs.sys", "ntfs.sys is "),
        (f"{DRIVERS}/classpnp.sys", "classpnp.sys is "),
        (f"{DRIVERS}/storport.SYS", "storport.sys is "),
    ],
)
def test_what_no_pattern_may_move(mount: Path, path: str, reason: str) -> None:
    samples.put(mount, path, b"MZ" * 100)
    pack = samples.pack(
        samples.DETECT.replace("ProgramData\\Acme\\bad*.bin", path.replace("/", "\\")),
        QUARANTINE,
        samples.VERIFY,
    )
    assert reason in refused(mount, pack)


@pytest.mark.parametrize(
    "path",
    [
        f"{DRIVERS}/Acme/C-1.sys",
        f"{DRIVERS}/acme.dat",
        f"{DRIVERS}/ntfs/acme.sys",
        "Windows/Temp/acme.tmp",
        "Windows/SoftwareDistribution/Download/acme.cab",
        "Program Files/Acme/agent.dll",
        "ProgramData/Acme/acme.bin",
        "Users/me/ntuser.data",
        "Windows.acme/acme.bin",
    ],
)
def test_what_may_be_moved(mount: Path, path: str) -> None:
    samples.put(mount, path, b"MZ" * 100)
    pack = samples.pack(
        samples.DETECT.replace("ProgramData\\Acme\\bad*.bin", path.replace("/", "\\")),
        QUARANTINE,
        samples.VERIFY,
    )
    assert [type(one) for one in samples.plan(mount, pack).actions] == [QuarantineFile]


def test_a_driver_in_use_is_no_mere_file(mount: Path) -> None:
    pack = samples.pack(
        samples.DETECT.replace("ProgramData\\Acme\\bad*.bin", target.DRIVER.replace("/", "\\")),
        QUARANTINE,
        samples.VERIFY,
    )
    assert "the service acme loads it" in refused(mount, pack, target.service())
    disabled = target.service(start=StartType.DISABLED)
    assert make(mount, pack, [disabled]) is not None


def test_a_file_with_further_links_stays(mount: Path) -> None:
    path = samples.put(mount, "ProgramData/Acme/bad1.bin", b"x")
    os.link(path, path.with_name("other1"))
    os.link(path, path.with_name("other2"))
    assert "other hard links" in refused(mount, samples.small())


def test_too_many_bytes(mount: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        samples.put(mount, f"ProgramData/Acme/bad{number}.bin", b"x" * 1000)
    monkeypatch.setattr(acts, "MOST_BYTES", 2500)
    assert "more than" in refused(mount, samples.small())


def test_what_cannot_be_told_is_refused(mount: Path) -> None:
    for number in range(17):
        samples.put(mount, f"ProgramData/Acme/bad{number}.bin", b"x")
    assert "more than 16 files fit" in refused(mount, samples.small())


def test_a_condition_that_found_nothing_has_nothing_to_move(mount: Path) -> None:
    samples.put(mount, "ProgramData/Acme/bad1.bin", b"x")
    other = samples.DETECT.replace('"it"', '"other"').replace("bad*", "worse*")
    pack = samples.pack(
        samples.DETECT,
        other,
        "[when]\nany = ['it', 'other']\n",
        QUARANTINE,
        "[[act]]\ndelete = 'other'\n",
        samples.VERIFY,
    )
    assert len(samples.plan(mount, pack).actions) == 1


# --- values -------------------------------------------------------------------------------


def values(*sections: str) -> Pack:
    """Acts on values, for every machine whose agent has a mode."""
    detect = f"[[detect]]\nname = 'it'\nvalue = 'Mode'\n{AGENT}"
    proof = f"[[verify]]\nvalue = 'Mode'\n{AGENT}type = 'dword'\ndata = 1\n"
    return samples.pack(detect, *sections, proof)


def test_values_of_both_hives_are_one_plan(mount: Path) -> None:
    pack = values(
        f"[[act]]\nset-value = 'Off'\n{AGENT}type = 'multi_sz'\ndata = ['a', 'b']\n",
        f"[[act]]\ndelete-value = 'Name'\n{AGENT}",
        f"[[act]]\nset-value = 'Trace'\n{PARAMETERS}type = 'qword'\ndata = 5\ncreate = true\n",
        f"[[act]]\nset-value = 'More'\n{PARAMETERS}type = 'sz'\ndata = 'x'\ncreate = true\n",
    )
    paths = (mount / target.SYSTEM, mount / "Windows/System32/config/SOFTWARE")
    before, was = target.state(mount), [hivex.registry(path) for path in paths]
    made = samples.made(mount, pack, [target.service()])
    assert [type(action) for action in made.plan.actions] == [EditHive, EditHive]
    info = apply(mount, pack, made)
    now = [hivex.registry(path) for path in paths]
    changed = [set(hivex.changed_values(*each)) for each in zip(was, now, strict=True)]
    parameters = "ControlSet001\\Services\\acme\\Parameters\\"
    assert changed[0] == {parameters, f"{parameters}More", f"{parameters}Trace"}
    assert changed[1] == {"Acme\\Agent\\Name", "Acme\\Agent\\Off"}
    undo.undo(mount, info.id)
    assert target.state(mount) == before


def test_what_is_so_already_needs_nothing(mount: Path) -> None:
    pack = values(
        f"[[act]]\nset-value = 'Mode'\n{AGENT}type = 'dword'\ndata = 1\n",
        f"[[act]]\ndelete-value = 'Nobody'\n{AGENT}",
        "[[act]]\ndelete-value = 'x'\nkey = 'SOFTWARE\\Nowhere'\n",
    )
    assert make(mount, pack) is None


def test_a_key_is_not_made_by_accident(mount: Path) -> None:
    text = "[[act]]\nset-value = 'x'\nkey = 'SOFTWARE\\Akme'\ntype = 'dword'\ndata = 1\n"
    assert "create = true makes it" in refused(mount, values(text))


def start(number: int, key: str = "acme", value: str = "Start") -> Pack:
    where = f"key = 'SYSTEM\\CurrentControlSet\\Services\\{key}'\n"
    return values(f"[[act]]\nset-value = '{value}'\n{where}type = 'dword'\ndata = {number}\n")


def test_a_driver_is_not_disabled_by_its_value_alone(mount: Path) -> None:
    service = target.service()
    assert "quarantine it" in refused(mount, start(4), service)
    assert "quarantine it" in refused(mount, start(3), service)
    assert "quarantine it" in refused(mount, start(4, "acme\\StartOverride", "0"), service)
    assert "quarantine it" in refused(mount, start(4, "ACME", "START"), service)


def test_a_driver_may_be_started_again(mount: Path) -> None:
    target.set_value(mount, target.SERVICE, "Start", 4)
    service = target.service(start=StartType.DISABLED)
    plan = samples.plan(mount, start(3), [service])
    assert edits(plan) == [(target.SERVICE, "Start", RegistryData(4, b"\3\0\0\0"))]


def test_the_guard_keeps_every_value_of_a_driver_it_knows(mount: Path) -> None:
    ntfs = target.service("acme", "ntfs.sys", group="Boot File System")
    assert "the machine needs ntfs.sys: it is" in refused(mount, start(7, value="Mode"), ntfs)


def program(mount: Path, image: str, kind: int = 0x10) -> None:
    change = registry.change(
        "ControlSet001\\Services\\AcmeAgent", {"Start": 2, "Type": kind, "ImagePath": image}
    )
    hivex.edit(mount / target.SYSTEM, [change])


@pytest.mark.parametrize(
    ("image", "kind", "reason"),
    [
        ('"C:\\Program Files\\Acme\\agent.exe" -s', 0x10, ""),
        ("D:\\Acme\\agent.exe", 0x110, ""),
        ("C:\\Windows\\System32\\svchost.exe -k x", 0x20, "no program of its own"),
        ("C:\\WINDOWS\\System32\\acme.exe", 0x10, "came with Windows"),
        ("%SystemRoot%\\System32\\acme.exe", 0x10, "no program of its own"),
        ("\\SystemRoot\\System32\\acme.exe", 0x10, "no program of its own"),
        ("System32\\drivers\\acme.sys", 0x1, "no program of its own"),
        ("", 0x10, "no program of its own"),
    ],
)
def test_which_programs_may_be_told_to_start(
    mount: Path, image: str, kind: int, reason: str
) -> None:
    program(mount, image, kind)
    for value in ("Start", "Recovery"):
        pack = start(4, "AcmeAgent", value)
        if reason:
            assert reason in refused(mount, pack)
        else:
            assert samples.plan(mount, pack).actions


@pytest.mark.parametrize("value", ["Start", "Mode"])
def test_a_pack_makes_no_services(mount: Path, value: str) -> None:
    text = "key = 'SYSTEM\\CurrentControlSet\\Services\\Nobody'\ntype = 'dword'\ndata = 4\n"
    pack = values(f"[[act]]\nset-value = '{value}'\n{text}create = true\n")
    assert "there is no such service" in refused(mount, pack)


def test_a_program_is_seen_and_not_moved(mount: Path) -> None:
    program(mount, "D:\\Acme\\agent.exe")
    agent = BY_SERVICE.replace("'acme'", "'acmeagent'")
    moved = samples.pack(agent, QUARANTINE, DISABLED)
    assert "is about a program" in refused(mount, moved)
    key = "key = 'SYSTEM\\CurrentControlSet\\Services\\AcmeAgent'\n"
    act = f"[[act]]\nset-value = 'Start'\ntype = 'dword'\ndata = 4\n{key}"
    pack = samples.pack(agent, act, DISABLED.replace("acme", "AcmeAgent"))
    install = samples.install(mount)
    assert packs.verify(pack, install) == ("the service AcmeAgent still starts",)
    apply(mount, pack, samples.made(mount, pack))
    assert packs.verify(pack, install) == ()
    assert packs.detect(pack, install, ()).applies is False
    sized = samples.pack(agent + "size = 3\n", act, DISABLED)
    assert packs.detect(sized, install, ()).applies is None
    ghost = samples.pack(agent.replace("agent", "ghost"), act, DISABLED)
    assert packs.detect(ghost, install, ()).applies is False


def test_nothing_comes_of_a_pack_that_nobody_signed(mount: Path) -> None:
    samples.put(mount, "ProgramData/Acme/bad1.bin", b"x")
    assert "nobody has signed it" in refused(mount, packs.check(samples.SMALL.encode()))


def test_acts_that_contradict_each_other(mount: Path) -> None:
    pack = samples.pack(
        BY_SERVICE,
        QUARANTINE,
        "[[act]]\nset-value = 'Start'\ntype = 'dword'\ndata = 0\n"
        "key = 'SYSTEM\\CurrentControlSet\\Services\\acme'\n",
        DISABLED,
    )
    target.set_value(mount, target.SERVICE, "Start", 3)
    reason = refused(mount, pack, target.service(start=StartType.DEMAND))
    assert "two acts contradict each other about Start" in reason


# --- replacement --------------------------------------------------------------------------

OLD = pe.driver({"CompanyName": "Acme", "FileVersion": "1.0.0.0"}, padding=b"\x90")
NEW = pe.driver({"CompanyName": "Acme", "FileVersion": "1.0.1.0"}, padding=b"\x91")


def signed() -> bytes:
    return authenticode.signed(NEW, authenticode.publisher())


def replacing(content: bytes, condition: str = BY_SERVICE) -> Pack:
    digest = hashlib.sha256(content).hexdigest()
    act = f"[[act]]\nreplace = 'it'\nwith = 'acme-1.0.1.sys'\nsha256 = '{digest}'\n"
    act += "url = 'https://example.org/acme-1.0.1.sys'\n"
    proof = f"[[detect]]\nname = 'new'\nfile = '{target.DRIVER}'\nsha256 = '{digest}'\n"
    when = "[when]\nall = ['it']\nnone = ['new']\n"
    return samples.pack(condition, proof, when, act, "[[verify]]\npresent = 'new'\n")


@pytest.fixture
def beside(tmp_path: Path, mount: Path) -> Path:
    (mount / target.DRIVER).write_bytes(OLD)
    folder = tmp_path / "packs"
    folder.mkdir()
    return folder


def given(folder: Path) -> Given:
    return Given((folder,), authenticode.trusted(), NOW)


def test_a_driver_is_replaced_and_comes_back(mount: Path, beside: Path) -> None:
    (beside / "acme-1.0.1.sys").write_bytes(signed())
    pack = replacing(signed())
    before = target.state(mount)
    made = make(mount, pack, [target.service()], given(beside))
    assert isinstance(made, Made), made
    (action,) = made.plan.actions
    assert isinstance(action, InstallFile)
    assert action.origin == "remediation pack acme (acme-1.0.1.sys)"
    assert made.plan.preconditions[0].sha256 == hashlib.sha256(OLD).hexdigest()
    assert plan_json.from_json(plan_json.to_json(made.plan)) == made.plan
    info = apply(mount, pack, made)
    assert (mount / target.DRIVER).read_bytes() == signed()
    assert make(mount, pack, [target.service()], given(beside)) is None
    undo.undo(mount, info.id)
    assert target.state(mount) == before


@pytest.mark.parametrize(
    ("content", "asked", "reason"),
    [
        (None, signed, "it is not there; nothing is fetched here: put it there (from https://"),
        (b"other", signed, "the one that is there is another file"),
        (
            NEW,
            lambda: NEW,
            "it has no signature of its own, and not all catalogs",
        ),
        (b"MZ", lambda: b"MZ", "it is no driver"),
    ],
    ids=["absent", "another", "unsigned", "no driver"],
)
def test_what_is_not_installed(
    mount: Path, beside: Path, content: bytes | None, asked: object, reason: str
) -> None:
    if content is not None:
        (beside / "acme-1.0.1.sys").write_bytes(content)
    pack = replacing(asked())  # type: ignore[operator]
    assert reason in refused(mount, pack, target.service(), given=given(beside))


def test_who_is_trusted_for_the_driver(mount: Path, beside: Path) -> None:
    (beside / "acme-1.0.1.sys").write_bytes(signed())
    nobody = Given((beside,), (), NOW)
    assert "with --trust" in refused(mount, replacing(signed()), target.service(), given=nobody)
    no_clock = Given((beside,), authenticode.trusted(), None)
    assert "nobody can say" in refused(mount, replacing(signed()), target.service(), given=no_clock)


def test_a_driver_for_other_machines(mount: Path, beside: Path) -> None:
    (beside / "acme-1.0.1.sys").write_bytes(signed())
    install = replace(samples.install(mount), architecture="arm64")
    system = samples.system(mount)
    made = packs.make(replacing(signed()), install, [target.service()], system, given(beside))
    assert isinstance(made, Refusal)
    assert "made for x64 machines" in made.reason


def test_only_drivers_are_replaced(mount: Path, beside: Path) -> None:
    samples.put(mount, "ProgramData/Acme/bad1.bin", b"x")
    (beside / "acme-1.0.1.sys").write_bytes(signed())
    pack = replacing(signed(), samples.DETECT)
    assert "only a driver" in refused(mount, pack, given=given(beside))
    samples.put(mount, "ProgramData/Acme/bad2.bin", b"x")
    assert "finds 2 files" in refused(mount, pack, given=given(beside))
    other = samples.DETECT.replace("bad*.bin", "acme.sys")
    samples.put(mount, "ProgramData/Acme/acme.sys", OLD)
    assert "no driver of this Windows" in refused(
        mount, replacing(signed(), other), given=given(beside)
    )


# --- what must hold afterwards ------------------------------------------------------------


def proof(mount: Path, *sections: str, install: WindowsInstall | None = None) -> tuple[str, ...]:
    detect = samples.DETECT
    pack = samples.pack(detect, QUARANTINE, *sections)
    return packs.verify(pack, install or samples.install(mount))


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("gone = 'it'", ""),
        ("present = 'it'", "no file is ProgramData"),
        ("disabled = 'nobody'", ""),
        ("disabled = 'acme'", "the service acme still starts"),
        (f"value = 'Mode'\n{AGENT}type = 'dword'\ndata = 1", ""),
        (f"value = 'Mode'\n{AGENT}type = 'dword'\ndata = 2", "is not what the pack wants"),
        (f"value = 'Mode'\n{AGENT}absent = true", "is still there"),
        (f"value = 'Nobody'\n{AGENT}absent = true", ""),
        ("value = 'x'\nkey = 'SOFTWARE\\Nowhere'\nabsent = true", ""),
    ],
)
def test_proofs(mount: Path, section: str, problem: str) -> None:
    found = proof(mount, f"[[verify]]\n{section}\n")
    assert len(found) == (1 if problem else 0), found
    assert problem in "".join(found)


def test_a_service_is_disabled_only_if_nothing_overrides_it(mount: Path) -> None:
    wanted = "[[verify]]\ndisabled = 'acme'\n"
    target.set_value(mount, target.SERVICE, "Start", 4)
    assert proof(mount, wanted) == ("the service acme still starts",)  # StartOverride 0
    target.set_value(mount, target.OVERRIDE, "0", 4)
    assert proof(mount, wanted) == ()


def test_what_cannot_be_checked_does_not_hold(mount: Path) -> None:
    (mount / target.SYSTEM).write_bytes(b"regf" + bytes(5000))
    assert "cannot be checked" in proof(mount, "[[verify]]\ndisabled = 'acme'\n")[0]


def test_the_service_of_the_plan_is_one_of_the_evidence(mount: Path) -> None:
    """A pack cannot make up a service."""
    ghost: Service = target.service("ghost")
    pack = samples.pack(BY_SERVICE.replace("acme", "ghost"), QUARANTINE, DISABLED)
    assert "missing or no number" in refused(mount, pack, ghost)
    assert hives.load(mount / target.SYSTEM)[0].find("ControlSet001\\Services\\ghost") is None
