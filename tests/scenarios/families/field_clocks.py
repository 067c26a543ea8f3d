"""As met in the field: the machine's clock was wrong for a while.

The order of the records in a log, their numbers, and bootstat.dat's boot number tell what came
after what, whatever the clock said.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from recoverykit.model import Kind
from tests.scenarios import acts, profiles, story
from tests.scenarios.life import Life
from tests.scenarios.tree import Built, Scenario
from tests.scenarios.vendors import Vendor

FAMILY = "field-clocks"
_ROLES = ("av", "edr", "vpn", "tool", "backup")


def _begin(rng: Random, folder: Path, *, days: int = 0, until: int = 1) -> tuple[Life, Vendor]:
    vendor = story.pick(rng, *_ROLES, below=2)
    life = story.calm(
        *(rng, folder),
        among=profiles.CLIENTS,
        avoid=[vendor.name],
        without=["av", "edr", vendor.role],
        days=days,
        until=until,
    )
    life.hybrid = False
    return life, vendor


def _crashes(life: Life, vendor: Vendor, start: datetime, count: int) -> None:
    """Short sessions that crash; the dumps carry what the clock says, and so do their files."""
    when, m = start, life.m
    before = dict(m.files)
    for _ in range(count):
        at = when + timedelta(seconds=m.rng.uniform(70, 200))
        stop = acts.crash(life, at + life.clock, 0xD1, vendor, uptime=at - when)
        life.session(when, at, end="crash", stop=stop, quiet=True)
        when = at + timedelta(minutes=2)
    life.dead(when, stop=None, early=True)
    life.pending = stop
    for name, file in m.files.items():
        if before.get(name) is not file and file.when >= start:
            file.when += life.clock
    if life.written is not None:
        life.written += life.clock
    m.hive_when = when + life.clock


def battery_dead(rng: Random, folder: Path) -> Built:
    """The clock's battery died with the power off: all crashes are of January 2009."""
    life, vendor = _begin(rng, folder)
    on, off = acts.session_of(life, 9, 2)
    life.m.install(vendor, on + timedelta(minutes=30))
    life.session(on, off)
    start = off + timedelta(hours=1)
    life.clock = datetime(2009, 1, 1, 0, 0, 40, tzinfo=UTC) - start
    _crashes(life, vendor, start, 3)
    return acts.blamed(
        life,
        vendor.name,
        f"The newest records, of 2009 by a dead clock, are crashes in {vendor.name}.",
    )


def was_ahead(rng: Random, folder: Path) -> Built:
    """Two days ago the clock stood years ahead for one session; today it is right."""
    life, vendor = _begin(rng, folder, days=18, until=3)
    m = life.m
    _ahead(life, m.now - timedelta(hours=50))
    life.session(m.now - timedelta(hours=30), m.now - timedelta(hours=26))
    on, off = acts.session_of(life, 9, 2)
    m.install(vendor, on + timedelta(minutes=30))
    life.session(on, off)
    _crashes(life, vendor, off + timedelta(hours=1), 3)
    return acts.blamed(
        life,
        vendor.name,
        f"One old session lies in the future; since, {vendor.name} crashes each boot.",
    )


def _ahead(life: Life, on: datetime) -> None:
    """A session with the clock three years ahead, in the middle of the log."""
    kept = (life.last_good, life.written, life.m.hive_when)
    life.clock = timedelta(days=life.m.rng.randint(700, 1200))
    life.session(on, on + timedelta(hours=1))
    life.clock = timedelta(0)
    life.last_good, life.written, life.m.hive_when = kept


def two_systems(rng: Random, folder: Path) -> Built:
    """Another system set the clock to UTC: one session was hours ahead, the crashes are not."""
    life, vendor = _begin(rng, folder)
    m = life.m
    m.zone = rng.choice((("Pacific Standard Time", 480), ("Central Standard Time", 360)))
    on, off = acts.session_of(life, 6, 1.5)
    life.clock = m.bias
    driver = m.install(vendor, on + life.clock + timedelta(minutes=30))
    life.session(on, off)
    assert life.written is not None
    life.written += life.clock
    life.clock = timedelta(0)
    assert driver.changed > off
    m.sections = [
        (min(when, on + timedelta(minutes=31)) if when > on else when, text)
        for when, text in m.sections
    ]
    _crashes(life, vendor, off + timedelta(minutes=10), 3)
    return acts.blamed(
        life,
        vendor.name,
        f"The session that brought {vendor.name} was hours ahead; the crashes after it were not.",
    )


def ahead_and_well(rng: Random, folder: Path) -> Built:
    """The clock stood years ahead once; a driver crashed last week, and all has been well since."""
    life, vendor = _begin(rng, folder, until=6, days=20)
    m = life.m
    driver = m.install(vendor, m.installed + timedelta(days=3))
    _ahead(life, m.now - timedelta(days=5, hours=6))
    on = m.now - timedelta(days=5)
    at = on + timedelta(minutes=90)
    acts.crashing_session(life, on, at, 0xD1, driver)
    for ago in (110, 80, 55, 30, 6):
        start = m.now - timedelta(hours=ago)
        life.session(start, start + timedelta(hours=3))
    return acts.well(life, "One crash last week; five sessions since.")


def reset_and_well(rng: Random, folder: Path) -> Built:
    """The battery is dead: today's two sessions, of 2009, began and ended well."""
    life, vendor = _begin(rng, folder, until=2)
    m = life.m
    driver = m.install(vendor, m.installed + timedelta(days=3))
    on = m.now - timedelta(hours=30)
    at = on + timedelta(minutes=90)
    acts.crashing_session(life, on, at, 0xD1, driver)
    life.session(at + timedelta(minutes=3), at + timedelta(hours=3))
    start = m.now - timedelta(hours=6)
    life.clock = datetime(2009, 1, 1, 0, 0, 40, tzinfo=UTC) - start
    life.session(start, start + timedelta(hours=2))
    life.session(start + timedelta(hours=3), start + timedelta(hours=4))
    assert life.written is not None
    life.written += life.clock
    m.hive_when += life.clock
    return acts.well(life, "One crash yesterday; three sessions since.")


def ahead_no_trace(rng: Random, folder: Path) -> Built:
    """The clock stood years ahead for one session; today boots fail without any trace."""
    life, _vendor = _begin(rng, folder, days=18, until=3)
    m = life.m
    _ahead(life, m.now - timedelta(hours=50))
    life.session(m.now - timedelta(hours=30), m.now - timedelta(hours=26))
    off = acts.session(life, 9, 2)
    start = off + timedelta(minutes=5)
    end = acts.crashing_boots(life, start, 3, 0x0A, None)
    acts.startup_repair(life, end + timedelta(minutes=7))
    return acts.unclear(life, "The dump shows the kernel alone; nothing changed.")


SCENARIOS = tuple(
    Scenario(f"field-clock-{name}", FAMILY, kind, build)
    for name, kind, build in (
        ("battery-dead", Kind.DRIVER, battery_dead),
        ("was-ahead", Kind.DRIVER, was_ahead),
        ("two-systems", Kind.DRIVER, two_systems),
        ("ahead-and-well", Kind.HEALTHY, ahead_and_well),
        ("reset-and-well", Kind.HEALTHY, reset_and_well),
        ("ahead-no-trace", Kind.UNKNOWN, ahead_no_trace),
    )
)
