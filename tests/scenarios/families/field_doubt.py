"""As met in the field: more than one answer fits the first glance, and one more look decides."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from random import Random

from recoverykit.model import Kind
from tests.builders import hive, servicing
from tests.scenarios import acts, noise, profiles, story, vendors
from tests.scenarios.tree import Built, Scenario

FAMILY = "field-doubt"


def one_product(rng: Random, folder: Path) -> Built:
    """Three crashes with three codes in three drivers, all of one product that came today."""
    family = [vendors.named(name) for name in ("aswSnx.sys", "aswSP.sys", "aswbidsdriver.sys")]
    life = story.calm(rng, folder, avoid=[v.name for v in family], without=["av", "edr"])
    m = life.m
    on, off = acts.session_of(life, 9, 2)
    drivers = [m.install(v, on + timedelta(minutes=40, seconds=n)) for n, v in enumerate(family)]
    life.session(on, off)
    when = off + timedelta(minutes=5)
    rng.shuffle(drivers)
    for driver, code in zip(drivers, (0xD1, 0x7E, 0x50), strict=True):
        at = when + timedelta(minutes=rng.uniform(1, 3))
        stop = acts.crash(life, at, code, driver, uptime=at - when)
        life.session(when, at, end="crash", stop=stop, quiet=True)
        when = at + timedelta(minutes=2)
    acts.failed_boots(life, when, 2)
    names = [v.name for v in family]
    return acts.told(
        life, Kind.DRIVER, "All dumps lie in drivers of one product, new today.", *names
    )


def two_untried(rng: Random, folder: Path) -> Built:
    """Fast Startup: one driver came three days ago, one today; neither has met a real boot."""
    pool = [v for v in vendors.of("av", "edr", "backup", "dlp") if v.start == 0]
    one = rng.choice(pool)
    two = rng.choice([v for v in pool if v.role != one.role])
    life = story.calm(
        *(rng, folder),
        among=profiles.CLIENTS,
        avoid=[one.name, two.name],
        without=["av", "edr", one.role, two.role],
        until=4,
    )
    m = life.m
    life.hybrid = True
    for ago in (78, 54, 30):
        on = m.now - timedelta(hours=ago)
        if ago == 78:
            m.install(one, on + timedelta(minutes=30))
        life.session(on, on + timedelta(hours=4), end="asleep")
    on, off = acts.session_of(life, 9, 2)
    m.install(two, on + timedelta(minutes=20))
    life.session(on, off)
    acts.kernel_alone(life, off + timedelta(minutes=5))
    return acts.unclear(
        life,
        f"{one.name} and {two.name} are both new to this boot; the dump shows the kernel alone.",
    )


def power_dies_in_boots(rng: Random, folder: Path) -> Built:
    """Boots break off in five different places, the last by chance at the driver of today."""
    vendor = story.pick(rng, "av", "edr", "tool", below=2)
    life = story.calm(rng, folder, avoid=[vendor.name], without=["av", "edr", vendor.role])
    m = life.m
    life.boot_logging = True
    m.install(vendor, m.installed + timedelta(days=9))
    on, off = acts.session_of(life, 9, 2)
    m.install(vendor, on + timedelta(minutes=40))
    life.session(on, off, end="power")
    names = [path.rsplit("\\", 1)[-1] for path in m.load_order()]
    at = [name.lower() for name in names].index(vendor.name)
    places = [*rng.sample(names[12:at], 2), *rng.sample(names[at + 1 :], 2), vendor.name]
    when = off + timedelta(minutes=5)
    for place in places:
        life.dead(when, stop=None, early=False, last=place)
        when += timedelta(minutes=rng.uniform(2, 6))
    return acts.unclear(
        life, f"It goes off anywhere in the boot; two boots came past {vendor.name} without harm."
    )


def long_session(rng: Random, folder: Path) -> Built:
    """A server ran for weeks; in that time several drivers and Windows itself were updated."""
    vendor = story.pick(rng, "av", "edr", "backup", start=0)
    others = rng.sample(vendors.of("net", "chipset", "print", "usb"), 3)
    life = story.calm(
        *(rng, folder),
        among=(profiles.SERVER_2019, profiles.SERVER_2022),
        avoid=[vendor.name, *(v.name for v in others)],
        without=["av", "edr", vendor.role, "net", "chipset", "print", "usb"],
        until=24,
        days=30,
    )
    m = life.m
    for one in (vendor, *others):
        m.install(one, m.installed + timedelta(days=9))
    on = m.now - timedelta(days=23)
    off = m.now - timedelta(hours=8)
    m.install(vendor, on + timedelta(days=2))
    for number, one in enumerate(others):
        m.install(one, on + timedelta(days=3 + 5 * number))
    m.serviced = off - timedelta(minutes=20)
    noise.cumulative_update(m, off - timedelta(minutes=40))
    life.session(on, off)
    acts.kernel_alone(life, off + timedelta(minutes=5))
    return acts.unclear(
        life,
        f"Four drivers and Windows itself changed in three weeks; {vendor.name} is one of them.",
    )


def key_rewritten(rng: Random, folder: Path) -> Built:
    """A service rewrites its own driver's key in every session; nothing was installed for months,
    and the dump shows the kernel alone."""
    vendor = story.pick(rng, "av", "edr", "anticheat", below=2)
    life = story.calm(rng, folder, avoid=[vendor.name], without=["av", "edr", "anticheat"])
    m = life.m
    driver = m.install(vendor, m.installed + timedelta(days=9))
    on, off = acts.session_of(life, 9, 2)
    m.key_times[driver.name] = on + timedelta(minutes=rng.uniform(8, 90))
    life.session(on, off)
    acts.kernel_alone(life, off + timedelta(minutes=5))
    return acts.unclear(
        life, f"The file of {vendor.name} is as old as its installation; only its key was touched."
    )


def image_restored(rng: Random, folder: Path) -> Built:
    """An image of a fortnight ago was put back today; its hive was touched, nothing was booted."""
    life = story.calm(rng, folder, until=14, days=30)
    m = life.m
    on = m.now - timedelta(days=13)
    life.session(on, on + timedelta(hours=3))
    m.hive_when = m.now - timedelta(minutes=30)
    return acts.well(life, "The last session ended well; since then nothing ran.")


def damaged_leftover(rng: Random, folder: Path) -> Built:
    """A driver file of no bytes has been lying there for a year; today's dump shows the kernel."""
    vendor = story.pick(rng, "tool", "virtual", start=1)
    life = story.calm(rng, folder, avoid=[vendor.name], without=[vendor.role])
    m = life.m
    driver = m.install(vendor, m.installed + timedelta(days=9))
    driver.image = b""
    driver.loaded = False
    off = acts.session(life, 9, 2)
    acts.kernel_alone(life, off + timedelta(minutes=5))
    return acts.unclear(
        life, f"{vendor.name} has been empty for as long as boots came up; the dump names nobody."
    )


def pending_for_months(rng: Random, folder: Path) -> Built:
    """Marks of servicing are months old; boots fail without a trace since today."""
    life = story.calm(rng, folder)
    m = life.m
    ago = m.log_start - timedelta(days=40)
    m.software["RebootPending"] = hive.Node({}, ago)  # type: ignore[assignment]
    m.software["PackagesPending"] = hive.Node({}, ago)  # type: ignore[assignment]
    old = "\\??\\C:\\Windows\\WinSxS\\Temp\\PendingDeletes\\$$DeleteMe.ntdll.dll.01d9"
    m.session_manager["PendingFileRenameOperations"] = servicing.renames((old, ""))
    off = acts.session(life, 9, 2)
    end = acts.failed_boots(life, off + timedelta(minutes=5), 4)
    acts.startup_repair(life, end + timedelta(minutes=7))
    return acts.unclear(life, "The update's marks are old news, and nothing else is told.")


def empty_filters(rng: Random, folder: Path) -> Built:
    """Uninstallers left empty filter lists on every class of the boot."""
    life = story.calm(rng, folder)
    m = life.m
    for kind in ("disk", "volume", "scsi", "hdc", "system"):
        lists = m.class_filters.setdefault(vendors.CLASSES[kind], {})
        lists.setdefault("UpperFilters", [])
        lists.setdefault("LowerFilters", [])
    m.disk_values["UpperFilters"] = hive.multi_sz()
    for ago in (30, 7):
        acts.session(life, ago, 2)
    return acts.well(life, "Empty lists name nobody; every boot comes up.")


def store_gone_after_crashes(rng: Random, folder: Path) -> Built:
    """A driver crashed two boots; in the attempt to repair, the boot store was lost."""
    vendor = story.pick(rng, "av", "edr", "backup", below=2)
    life = story.calm(rng, folder, avoid=[vendor.name], without=["av", "edr", vendor.role])
    m = life.m
    on, off = acts.session_of(life, 9, 2)
    driver = m.install(vendor, on + timedelta(minutes=40))
    life.session(on, off)
    when = off + timedelta(minutes=5)
    acts.crashing_boots(life, when, 2, 0x7E, driver, after=28)
    m.faults.add("store-missing")
    why = f"No boot store, no boot; {vendor.name} crashed before that, and is allowed to be named."
    return acts.told(life, Kind.BCD, why, allowed=[vendor.name])


SCENARIOS = tuple(
    Scenario(f"field-{name}", FAMILY, kind, build)
    for name, kind, build in (
        ("one-product", Kind.DRIVER, one_product),
        ("two-untried", Kind.UNKNOWN, two_untried),
        ("power-dies-in-boots", Kind.UNKNOWN, power_dies_in_boots),
        ("long-session", Kind.UNKNOWN, long_session),
        ("damaged-leftover", Kind.UNKNOWN, damaged_leftover),
        ("key-rewritten", Kind.UNKNOWN, key_rewritten),
        ("image-restored", Kind.HEALTHY, image_restored),
        ("old-pending", Kind.UNKNOWN, pending_for_months),
        ("empty-filters", Kind.HEALTHY, empty_filters),
        ("store-gone-after-crashes", Kind.BCD, store_gone_after_crashes),
    )
)
