"""The driver is as it was for months; a data file it reads came, and since then it crashes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from recoverykit.model import Kind
from tests.scenarios import acts, content, profiles, story, vendors
from tests.scenarios.life import Life
from tests.scenarios.machine import Driver
from tests.scenarios.profiles import Profile
from tests.scenarios.tree import Built, Scenario
from tests.scenarios.vendors import Vendor

FAMILY = "content"


def _with_driver(
    rng: Random,
    folder: Path,
    vendor: Vendor,
    *,
    among: Sequence[Profile] = profiles.X64,
    until: int = 1,
) -> tuple[Life, Driver]:
    """The driver is months old, and its data comes every day."""
    life = story.begin(
        *(rng, folder),
        among=among,
        avoid=[vendor.name],
        without=["av", "edr", vendor.role],
        until=until,
    )
    m = life.m
    driver = m.install(vendor, m.installed + timedelta(days=rng.uniform(1, 60)))
    return life, driver


def _culprit(life: Life, file: str, why: str) -> Built:
    name = file.rsplit("/", 1)[-1].lower()
    return acts.told(life, Kind.CONTENT, why, name)


def _looped(life: Life, driver: Driver, arrived: datetime, code: int, *, safe: bool) -> None:
    """It crashed the running machine minutes after the file came, and each boot since."""
    m = life.m
    at = arrived + timedelta(minutes=m.rng.uniform(1, 5))
    on = arrived - timedelta(hours=2)
    acts.crashing_session(life, on, at, code, driver)
    start = at + timedelta(minutes=1)
    acts.crashing_boots(life, start, 2, code, driver)
    end = start + timedelta(minutes=12)
    if safe:
        end = acts.safe_mode(life, end) + timedelta(minutes=1)
        acts.crashing_boots(life, end, 2, code, driver)
    else:
        acts.startup_repair(life, end + timedelta(minutes=5))


def _with_channel_file(
    rng: Random, folder: Path, *, hours: int, size: int
) -> tuple[Life, Driver, datetime, str]:
    """A channel file of such a size, `hours` after the newest of the others: when, and its name."""
    life, driver = _with_driver(rng, folder, vendors.named("csagent.sys"))
    m = life.m
    arrived = m.now - timedelta(hours=rng.uniform(4, 8))
    content.channel_files(m, arrived - timedelta(hours=hours))
    name = f"System32/drivers/CrowdStrike/C-00000291-00000000-{rng.randrange(1 << 16):08}.sys"
    m.put(name, content.CHANNEL + rng.randbytes(size), arrived)
    return life, driver, arrived, name


def channel_file(rng: Random, folder: Path) -> Built:
    """19 July 2024: a channel file reached running machines, which then crashed on every boot."""
    life, driver, arrived, name = _with_channel_file(rng, folder, hours=6, size=40_000)
    _looped(life, driver, arrived, 0x50, safe=False)
    return _culprit(life, name, "The driver is months old; the channel file came minutes before.")


def channel_file_safe_mode(rng: Random, folder: Path) -> Built:
    """The same, and somebody had been in Safe Mode: a small dump is there."""
    life, driver, arrived, name = _with_channel_file(rng, folder, hours=9, size=30_000)
    _looped(life, driver, arrived, rng.choice((0x50, 0x7E)), safe=True)
    return _culprit(life, name, "Dumps blame an old driver; its newest data came just before.")


def beside_the_driver(rng: Random, folder: Path) -> Built:
    """Rules in a folder of the vendor beside its driver."""
    vendor = rng.choice([v for v in vendors.of("av", "edr") if v.file in _INVENTED])
    life, driver = _with_driver(rng, folder, vendor)
    m = life.m
    arrived = m.now - timedelta(hours=rng.uniform(4, 8))
    where = f"System32/drivers/{vendor.service}"
    content.series(m, where, "rules-{0:04}.dat", arrived - timedelta(hours=20), 6)
    name = f"{where}/rules-{rng.randint(7000, 9000)}.dat"
    m.put(name, rng.randbytes(20_000), arrived)
    _looped(life, driver, arrived, rng.choice((0x50, 0x3B)), safe=True)
    return _culprit(life, name, f"{vendor.name} is old; its newest rules came minutes before.")


_INVENTED = ("brightshield.sys", "quorflt.sys", "nordwehr.sys", "tellusmon.sys")


def blank_definitions(rng: Random, folder: Path) -> Built:
    """A definition file of zeros: the disk was full, or the download broke off."""
    vendor = story.pick(rng, "av", "edr", below=2)
    life, driver = _with_driver(rng, folder, vendor)
    m = life.m
    arrived = m.now - timedelta(hours=rng.uniform(4, 8))
    where = f"System32/drivers/{vendor.service}"
    content.series(m, where, "defs{0:03}.bin", arrived - timedelta(hours=26), 4)
    name = f"{where}/defs{rng.randint(300, 900)}.bin"
    m.put(name, bytes(30_000), arrived)
    _looped(life, driver, arrived, 0x50, safe=True)
    return _culprit(life, name, f"{vendor.name}'s newest definitions are nothing but zeros.")


def program_data(rng: Random, folder: Path) -> Built:
    """Definitions below ProgramData, in the vendor's folder."""
    vendor = vendors.named(rng.choice(tuple(content.FOLDERS)))
    life, driver = _with_driver(rng, folder, vendor, among=profiles.CLIENTS)
    m = life.m
    arrived = m.now - timedelta(hours=rng.uniform(4, 8))
    where, pattern = content.FOLDERS[vendor.file]
    content.series(m, where, pattern, arrived - timedelta(hours=15), 5)
    name = f"{where}/{pattern.format(rng.randint(600, 990))}"
    m.put(name, rng.randbytes(25_000), arrived)
    _looped(life, driver, arrived, rng.choice((0x50, 0x7E, 0xD1)), safe=True)
    return _culprit(life, name, f"{vendor.name} is old; its newest definitions came just before.")


def among_new_drivers(rng: Random, folder: Path) -> Built:
    """Two innocent drivers came the day before, and the machine was well with them."""
    vendor = story.pick(rng, "edr", below=2)
    life, driver = _with_driver(rng, folder, vendor, until=2)
    m = life.m
    on = m.now - timedelta(hours=30)
    life.session(on, on + timedelta(hours=4))
    others = [v for v in vendors.of("tool", "virtual", "backup") if v.name not in m.drivers]
    for other in rng.sample(others, 2):
        m.install(other, on + timedelta(hours=1, minutes=rng.randint(0, 50)))
    on = m.now - timedelta(hours=22)
    life.session(on, on + timedelta(hours=6))
    arrived = m.now - timedelta(hours=rng.uniform(4, 8))
    where = f"System32/drivers/{vendor.service}"
    content.series(m, where, "policy{0:02}.cfg", arrived - timedelta(hours=40), 3)
    name = f"{where}/policy{rng.randint(40, 90)}.cfg"
    m.put(name, rng.randbytes(9_000), arrived)
    _looped(life, driver, arrived, 0x3B, safe=True)
    return _culprit(life, name, f"{vendor.name} crashes since its new policy; it is itself old.")


SCENARIOS = tuple(
    Scenario(f"content-{name}", FAMILY, Kind.CONTENT, build)
    for name, build in (
        ("channel-file", channel_file),
        ("channel-file-safe-mode", channel_file_safe_mode),
        ("beside-the-driver", beside_the_driver),
        ("blank-definitions", blank_definitions),
        ("program-data", program_data),
        ("among-new-drivers", among_new_drivers),
    )
)
