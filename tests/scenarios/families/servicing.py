"""An update that does not get finished, and keeps Windows from starting."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from recoverykit.model import Kind
from tests.builders import events, hive
from tests.builders import servicing as built
from tests.scenarios import acts, noise, profiles, story
from tests.scenarios.life import Life
from tests.scenarios.tree import Built, Scenario

FAMILY = "servicing"
_DRIVERS = "C:\\Windows\\System32\\drivers"


def _updated(
    rng: Random, folder: Path, *, among: tuple[profiles.Profile, ...] = profiles.EVERY
) -> tuple[Life, datetime]:
    """This month's update was installed, and the restart it wanted has come; (life, restart)."""
    life = story.begin(rng, folder, among=among, recent=rng.randint(0, 1))
    m = life.m
    on, off = acts.session_of(life, rng.uniform(7, 9), 2)
    noise.cumulative_update(m, on + timedelta(minutes=40))
    life.session(on, off)
    return life, off


def _queue(life: Life, when: datetime, *, operations: int = 30) -> None:
    """pending.xml, who runs it, and the marks in the hives."""
    m = life.m
    store = f"\\SystemRoot\\WinSxS\\{m.profile.suffix}_microsoft-windows-acpi_31bf3856ad364e35"
    lines = [
        built.hardlink(f"{store}_{number}\\acpi.sys", f"{_DRIVERS}\\file{number}.sys")
        for number in range(operations)
    ]
    m.put("WinSxS/pending.xml", built.queue(lines), when)
    m.put("WinSxS/poqexec.log", b"\xff\xfe" + "1d9c40\n".encode("utf-16-le"), when)
    m.session_manager["SetupExecute"] = hive.multi_sz(built.QUEUE_COMMAND)
    m.software["RebootPending"] = {}
    m.software["SessionsPending"] = {"Exclusive": hive.dword(1)}
    package = f"Package_for_RollupFix~31bf3856ad364e35~{m.profile.suffix}~~{m.profile.build}.1.2"
    m.software["PackagesPending"] = {package: {"": hive.sz("")}}
    m.components["PendingXmlIdentifier"] = hive.binary(built.IDENTIFIER.encode())
    m.components["NextQueueEntryIndex"] = hive.dword(12)


def _cbs(life: Life, starts: list[datetime], *, failed: bool) -> None:
    m = life.m
    lines = [
        built.cbs_line(m.local(starts[0] - timedelta(hours=1)), "Session: 31019_2 initialized")
    ]
    lines += [built.startup(m.local(when), failed=failed) for when in starts]
    m.put("Logs/CBS/CBS.log", "".join(lines).encode(), starts[-1])


def _truth(life: Life, why: str) -> Built:
    return acts.told(life, Kind.SERVICING, why)


def queue_loop(rng: Random, folder: Path) -> Built:
    """The queue is executed at each boot, fails, and the machine restarts."""
    life, off = _updated(rng, folder)
    _queue(life, off)
    starts = [off + timedelta(minutes=6 * number) for number in range(4)]
    for when in starts:
        life.dead(when, early=False)
    _cbs(life, starts, failed=True)
    life.pending = None
    if rng.random() < 0.5:
        acts.startup_repair(life, starts[-1] + timedelta(minutes=9), (acts.PATCH,))
    return _truth(life, "pending.xml waits to be executed, each start fails at it.")


def patch_blamed(rng: Random, folder: Path) -> Built:
    """Startup Repair blames the update; sessions and packages are pending."""
    life, off = _updated(rng, folder)
    _queue(life, off, operations=5)
    end = acts.failed_boots(life, off + timedelta(minutes=3), 3)
    acts.startup_repair(life, end + timedelta(minutes=8), (acts.PATCH,))
    return _truth(life, "Startup Repair says that a patch prevents the start, and one is pending.")


def renames_failed(rng: Random, folder: Path) -> Built:
    """Drivers of Windows were to be swapped at the boot; PFRO.log says which could not be."""
    life, off = _updated(rng, folder)
    m = life.m
    names = ("tcpip.sys", "ndis.sys", "afd.sys")
    pairs = []
    for name in names:
        new = f"C:\\Windows\\WinSxS\\Temp\\PendingRenames\\{rng.getrandbits(64):x}.{name}"
        pairs.append((f"\\??\\{new}", f"!\\??\\{_DRIVERS}\\{name}"))
    m.session_manager["PendingFileRenameOperations"] = built.renames(*pairs)
    _queue(life, off, operations=3)
    starts = [off + timedelta(minutes=4 * number) for number in range(3)]
    boots = [
        built.Boot(
            m.local(when),
            tuple((old[4:], new[5:], 0xC000_0043) for old, new in pairs),
            done=None,
        )
        for when in starts
    ]
    for when in starts:
        life.dead(when, early=False)
    m.put("PFRO.log", built.pfro(boots), starts[-1])
    return _truth(life, "Renames of system drivers fail at each boot, with an update pending.")


def winlogon_fatal(rng: Random, folder: Path) -> Built:
    """0xC000021A: half of an update's files are new, and the session manager gives up."""
    life, off = _updated(rng, folder)
    _queue(life, off)
    start = off + timedelta(minutes=2)
    acts.crashing_boots(life, start, 2, 0xC000021A, None)
    end = start + timedelta(minutes=12)
    acts.safe_mode(life, end, 6)
    again = end + timedelta(minutes=8)
    acts.crashing_boots(life, again, 2, 0xC000021A, None)
    return _truth(life, "It stops with 0xC000021A since the update, which is still pending.")


def rollback_loop(rng: Random, folder: Path) -> Built:
    """ "Undoing changes": the update failed, and so does taking it back."""
    life, off = _updated(rng, folder, among=(*profiles.CLIENTS, profiles.SERVER_2022))
    m = life.m
    _queue(life, off, operations=60)
    starts = [off + timedelta(minutes=9 * number) for number in range(5)]
    for when in starts:
        life.dead(when, early=False)
    life.pending = None
    title = noise.CUMULATIVE.format(off, "Windows 10", rng.randint(10_000, 99_999))
    m.log(events.update_failed(off - timedelta(minutes=20), title, 0x800F_0922))
    _cbs(life, starts, failed=True)
    return _truth(life, "Servicing logs a failing start five times; its queue is still there.")


def windows_7(rng: Random, folder: Path) -> Built:
    """Stage 3 of 3, forever."""
    life, off = _updated(rng, folder, among=(profiles.WIN7, profiles.WIN7_X86, profiles.WIN81))
    _queue(life, off)
    starts = [off + timedelta(minutes=5 * number) for number in range(3)]
    for when in starts:
        life.dead(when, early=False)
    _cbs(life, starts, failed=True)
    acts.startup_repair(life, starts[-1] + timedelta(minutes=7))
    return _truth(life, "The queue of an old Windows' update is executed at every start and fails.")


SCENARIOS = tuple(
    Scenario(f"servicing-{name}", FAMILY, Kind.SERVICING, build)
    for name, build in (
        ("queue-loop", queue_loop),
        ("patch-blamed", patch_blamed),
        ("renames-failed", renames_failed),
        ("winlogon-fatal", winlogon_fatal),
        ("rollback-loop", rollback_loop),
        ("windows-7", windows_7),
    )
)
