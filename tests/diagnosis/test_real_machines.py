"""Diagnoses of machines made of real files: hives, event logs, boot logs, dumps.

A plain tree around them: the driver files that the real hive names, as stubs, or a machine of
tests/scenarios whose logs tell of the real dumps. What INDEX.md of ../shared/data says was the
matter is expected, and nobody else may be called the culprit.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from recoverykit import installs
from recoverykit.diagnosis import knowledge
from recoverykit.diagnosis.verdict import judge
from recoverykit.errors import FormatError
from recoverykit.evidence import collect
from recoverykit.formats import crashdump
from recoverykit.model import CrashDump, Diagnosis, FileSystem, Kind, NtfsState, Verdict, Volume
from tests.builders import hive
from tests.conftest import REAL_DATA, read_real
from tests.independent import registry as independent
from tests.scenarios import files, profiles, registry, write
from tests.scenarios.life import Life
from tests.scenarios.machine import Machine
from tests.scenarios.profiles import Profile
from tests.scenarios.stops import Stop
from tests.scenarios.tree import Built, Truth
from tests.scenarios.vendors import Vendor

LOGS = "Windows/System32/winevt/Logs"
CONFIG = "Windows/System32/config"
DAY = timedelta(days=1)
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


def _judged(volume: Volume, root: Path, ntfs: NtfsState | None = None, **more: object) -> Diagnosis:
    found, _gaps = installs.find(volume, root)
    evidence = collect(found[0], **more)  # type: ignore[arg-type]
    return judge(found[0], (*evidence, *((ntfs,) if ntfs else ())))


def _culprits(diagnosis: Diagnosis) -> set[str]:
    return {one.driver.lower() for one in diagnosis.suspects if one.verdict is Verdict.CULPRIT}


# --- real hives and logs ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hives:
    """A tree around a real SYSTEM hive."""

    system: str
    profile: Profile
    log: str
    logs: tuple[str, ...] = ()  # of the hive, for replay
    boot_log: str = ""
    clean: bool = False  # it is dirty and its logs are not at hand: made whole by hivex


MACHINES = (
    Hives("dissect_SYSTEM.gz", profiles.WIN10, "win10_1703_System.evtx"),
    Hives("dissect_SYSTEM.gz", profiles.WIN10, "win10_vss7_System.evtx"),
    Hives("dissect_SYSTEM.gz", profiles.WIN10, "truncated_System2.evtx"),
    Hives(
        *("dissect_SYSTEM.gz", profiles.WIN10, "win10_1703_System.evtx"),
        boot_log="ntbtlog_isWarrens.txt",
    ),
    Hives(
        *("dissect_SYSTEM.gz", profiles.WIN10, "srv2008r2_DC1_System.evtx"),
        boot_log="ntbtlog_zivchien.txt",
    ),
    Hives(
        *("regipy_SYSTEM_B.xz", profiles.WIN10, "win10_vss7_System.evtx"),
        logs=("regipy_SYSTEM_B.LOG1.xz", "regipy_SYSTEM_B.LOG2.xz"),
    ),
    Hives(*("regipy_SYSTEM_WIN_10_1709.xz", profiles.WIN10, "win10_1703_System.evtx"), clean=True),
    Hives("dfwinreg_win81_SYSTEM.xz", profiles.WIN81, "win10_1703_System.evtx", clean=True),
    Hives("regipy_SYSTEM_2.xz", profiles.WIN81, "truncated_System2.evtx", clean=True),
    Hives("plaso_win7x86_SYSTEM.xz", profiles.WIN7_X86, "win7_System_bugcheck.evtx"),
    Hives("regipy_SYSTEM.xz", profiles.WIN7_X86, "srv2008r2_DC1_System.evtx"),
)


def _needed(machine: Hives) -> list[Path]:
    names = [f"hives/{machine.system}", f"evtx/{machine.log}"]
    names += [f"hives/{name}" for name in machine.logs]
    names += [f"bootlogs/{machine.boot_log}"] if machine.boot_log else []
    return [REAL_DATA / name for name in names]


def _params() -> list[object]:
    return [
        pytest.param(
            machine,
            id=f"{machine.system}-{machine.log}-{machine.boot_log}",
            marks=pytest.mark.skipif(
                not all(path.is_file() for path in _needed(machine)),
                reason=f"not all of {machine.system}, {machine.log} under {REAL_DATA}",
            ),
        )
        for machine in MACHINES
    ]


def _put(root: Path, name: str, content: bytes) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _tree(machine: Hives, root: Path) -> None:
    hives = REAL_DATA / "hives"
    system = _put(root, f"{CONFIG}/SYSTEM", read_real(hives / machine.system))
    if machine.clean:
        independent.edit(system, ())
    _drivers(machine, system, root)
    for name in machine.logs:
        number = name.split(".LOG")[1][0]
        _put(root, f"{CONFIG}/SYSTEM.LOG{number}", read_real(hives / name))
    m = Machine(Random(1), root, machine.profile, datetime(2018, 3, 1, tzinfo=UTC))
    _put(root, f"{CONFIG}/SOFTWARE", hive.build(registry.software(m), name="SOFTWARE"))
    for name in ("SAM", "SECURITY", "DEFAULT"):
        _put(root, f"{CONFIG}/{name}", hive.build({}, name=name))
    _put(root, "Windows/System32/ntoskrnl.exe", m.inbox_image("ntoskrnl.exe"))
    _put(root, f"{LOGS}/System.evtx", read_real(REAL_DATA / "evtx" / machine.log))
    if machine.boot_log:
        content = read_real(REAL_DATA / "bootlogs" / machine.boot_log)
        _put(root, "Windows/ntbtlog.txt", content)


def _drivers(machine: Hives, system: Path, root: Path) -> None:
    """A stub of every driver that the hive has a service for."""
    built = machine.profile.released
    arch = machine.profile.machine
    for service in independent.driver_services(system)["services"]:
        path = str(service.get("ImagePath") or f"System32\\drivers\\{service['Name']}.sys")
        below = path.replace("\\", "/").lower().removeprefix("/??/c:").lstrip("/")
        below = below.removeprefix("systemroot/").removeprefix("windows/")
        below = below.replace("system32/", "System32/", 1)
        if ":" in below or not below.endswith(".sys"):
            continue
        name = below.rsplit("/", 1)[-1]
        if knowledge.is_inbox(name, None):
            image = files.inbox(name, "", "10.0.1.1", arch, int(built.timestamp()))
        else:
            image = files.third_party(name, "Somebody", "Thing", "1.0.0.1", arch, built, 9000)
        where = below if below.startswith("program") else f"Windows/{below}"
        _put(root, where, image)


@pytest.mark.parametrize("machine", _params())
def test_a_real_hive_and_a_real_log_accuse_nobody(machine: Hives, tmp_path: Path) -> None:
    _tree(machine, tmp_path)
    volume = Volume("disk.img#2", FileSystem.NTFS, tmp_path / "disk.img", 0, 1 << 36, 2)
    diagnosis = _judged(volume, tmp_path)
    assert not _culprits(diagnosis)
    assert diagnosis.kind in (Kind.HEALTHY, Kind.UNKNOWN), diagnosis.summary


@pytest.mark.parametrize("machine", [_params()[0], _params()[2], _params()[-2]])
@pytest.mark.parametrize("log", ["SrtTrail_grafox.txt", "SrtTrail_bootiso.txt"])
def test_nor_do_they_where_startup_repair_has_run(machine: Hives, log: str, tmp_path: Path) -> None:
    """Every file is newer than the last session, as after a copy: that is no reason."""
    if not (REAL_DATA / "bootlogs" / log).is_file():
        pytest.skip(f"no {log} under {REAL_DATA}")
    _tree(machine, tmp_path)
    content = read_real(REAL_DATA / "bootlogs" / log)
    _put(tmp_path, "Windows/System32/LogFiles/Srt/SrtTrail.txt", content)
    volume = Volume("disk.img#2", FileSystem.NTFS, tmp_path / "disk.img", 0, 1 << 36, 2)
    diagnosis = _judged(volume, tmp_path)
    assert not _culprits(diagnosis)
    # Without a usable event log nothing tells that the repair is newer than the last good boot.
    lost = {Kind.UNKNOWN} if machine.log.startswith("truncated") else set()
    assert diagnosis.kind in {Kind.BCD} | lost, diagnosis.summary


# --- real dumps ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """A real small dump, and what it says; None: it is none."""

    name: str
    content: bytes
    dump: CrashDump | None


def _read(path: Path) -> Told:
    content = path.read_bytes()
    try:
        dump = crashdump.parse(io.BytesIO(content), len(content), path.name, LONG_AGO)
    except FormatError:
        return Told(path.name, content, None)
    return Told(path.name, content, dump)


def _third_party(name: str) -> Vendor:
    service = name.rsplit(".", 1)[0]
    return Vendor(name, "tool", 1, 3, "", "", "", "", "", "1.0.0.1", "Somebody", service)


def _crashed(told: Sequence[Told], profile: Profile, folder: Path) -> Built:
    """A machine that lived through what the dumps tell of, with the drivers they have loaded."""
    dumps = sorted((one.dump for one in told if one.dump), key=_when)
    m = Machine(Random(1), folder, profile, _when(dumps[-1]) + timedelta(hours=3))
    life = Life(m, keep_dumps=False, report=False)
    for name in sorted({module.name for dump in dumps for module in dump.modules}):
        if name.endswith(".sys") and not knowledge.is_inbox(name, None):
            m.install(_third_party(name), m.installed + DAY)
    previous = _when(dumps[0]) - (dumps[0].uptime or DAY)
    for ago in range(9, 0, -1):
        on = previous - ago * DAY
        life.session(on, on + timedelta(hours=3))
    for dump in dumps:
        when = _when(dump)
        on = max(when - (dump.uptime or DAY), previous + timedelta(minutes=1))
        stop = Stop(when, dump.bugcheck, dump.parameters, (), ())
        life.session(min(on, when - timedelta(seconds=30)), when, end="crash", stop=stop)
        previous = when
    for one in told:
        when = _when(one.dump) if one.dump else previous
        m.put(f"Minidump/{one.name}", one.content, when + timedelta(minutes=1))
    again = previous + timedelta(minutes=2)
    life.session(again, again + timedelta(minutes=1), end="power")
    life.dead(again + timedelta(minutes=4), early=True)
    return write.finish(life, Truth(Kind.UNKNOWN, frozenset(), ""))


def _when(dump: CrashDump) -> datetime:
    assert dump.when is not None
    return dump.when


def _case(name: str, profile: Profile, folder: Path) -> Diagnosis:
    where = REAL_DATA / "dumps" / name
    paths = sorted(where.glob("*.dmp")) if where.is_dir() else [where]
    built = _crashed([_read(path) for path in paths], profile, folder)
    return _judged(
        *(built.volume, built.root, built.ntfs),
        boot_volumes=built.boot_volumes,
        volumes=built.volumes,
    )


CASES = {
    "case_atikmdag": profiles.WIN81,
    "case_winerros": profiles.WIN10,
    "case_ojusha": profiles.WIN10,
    "case_notmyfault": profiles.WIN10,
    "rizin_triage_x64.dmp": profiles.WIN10,
    "rizin_triage_arm64.dmp": profiles.ARM64,
}


def _has(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        not (REAL_DATA / "dumps" / name).exists(), reason=f"no dumps/{name} under {REAL_DATA}"
    )


@_has("case_atikmdag")
def test_the_graphics_driver_that_was_named_again_and_again(tmp_path: Path) -> None:
    diagnosis = _case("case_atikmdag", CASES["case_atikmdag"], tmp_path)
    assert diagnosis.suspects[0].driver == "atikmdag.sys"
    assert _culprits(diagnosis) <= {"atikmdag.sys"}


@_has("case_winerros")
def test_five_stops_of_five_kinds_are_no_drivers(tmp_path: Path) -> None:
    diagnosis = _case("case_winerros", CASES["case_winerros"], tmp_path)
    assert not _culprits(diagnosis)
    assert diagnosis.kind is Kind.HARDWARE


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=_has(name))
        for name in CASES
        if name not in ("case_atikmdag", "case_winerros")
    ],
)
def test_crashes_that_prove_nobody_guilty(name: str, tmp_path: Path) -> None:
    """RAM or disk; a tool that crashes on purpose; an inbox driver; a power button held."""
    diagnosis = _case(name, CASES[name], tmp_path)
    assert _culprits(diagnosis) <= {"myfault.sys"}
    assert diagnosis.kind not in (Kind.STORAGE, Kind.FILTER, Kind.HIVE, Kind.BCD)
