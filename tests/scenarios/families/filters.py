"""A class or device filter of the boot disk that cannot load: 0x7B again."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from random import Random

from recoverykit.model import Kind
from tests.builders import hive
from tests.scenarios import acts, profiles, story, vendors
from tests.scenarios.life import Life
from tests.scenarios.tree import Built, Scenario
from tests.scenarios.vendors import Vendor

FAMILY = "filter"
_ROLES = ("backup", "volfilter", "encrypt", "dlp")


def _begin(rng: Random, folder: Path) -> tuple[Life, Vendor]:
    vendor = rng.choice([v for v in vendors.of(*_ROLES) if v.start == 0 and v.type == 1])
    life = story.begin(
        *(rng, folder), among=profiles.EVERY, avoid=[vendor.name], without=_ROLES, recent=0
    )
    return life, vendor


def _finish(life: Life, vendor: Vendor, why: str, *, told: bool | None = None) -> Built:
    m = life.m
    off = acts.session(life, 7, 1)
    end = acts.failed_boots(life, off + timedelta(minutes=4), 3)
    if told if told is not None else m.rng.random() < 0.4:
        acts.startup_repair(life, end + timedelta(minutes=6), (acts.SEEN_7B,))
    return acts.told(life, Kind.FILTER, why, vendor.name)


def dangling(rng: Random, folder: Path) -> Built:
    """The product was uninstalled; its name stayed in the filters of all disks."""
    life, vendor = _begin(rng, folder)
    life.m.filter("disk", vendor.service, upper=rng.random() < 0.6)
    return _finish(life, vendor, f"Disks want the filter {vendor.service}, which is not there.")


def dangling_volume(rng: Random, folder: Path) -> Built:
    life, vendor = _begin(rng, folder)
    life.m.filter("volume", vendor.service, upper=rng.random() < 0.5)
    return _finish(life, vendor, f"Volumes want the filter {vendor.service}, which is not there.")


def disabled(rng: Random, folder: Path) -> Built:
    """Somebody disabled the service and left the name in the list."""
    life, vendor = _begin(rng, folder)
    m = life.m
    driver = m.install(vendor, m.installed + timedelta(days=30))
    kind = rng.choice(("disk", "volume"))
    m.filter(kind, vendor.service)
    on = m.now - timedelta(hours=9)
    life.session(on, on + timedelta(hours=1))
    driver.start = 4
    m.key_times[driver.name] = on + timedelta(hours=2, minutes=20)
    return _finish(life, vendor, f"{vendor.service} filters each {kind} and is disabled.")


def file_gone(rng: Random, folder: Path) -> Built:
    """An antivirus cleaner deleted the file; service and filter entry remain."""
    life, vendor = _begin(rng, folder)
    m = life.m
    driver = m.install(vendor, m.installed + timedelta(days=30))
    m.filter("disk", vendor.service)
    driver.present = False
    return _finish(life, vendor, f"{vendor.service} filters each disk, and its file is gone.")


def controller_class(rng: Random, folder: Path) -> Built:
    """The name stands in the filters of the disk controllers."""
    life, vendor = _begin(rng, folder)
    hdc = life.m.controller in ("storahci", "msahci")
    life.m.filter("hdc" if hdc else "scsi", vendor.service, upper=rng.random() < 0.5)
    return _finish(life, vendor, f"The controller wants {vendor.service}, which is not there.")


def one_device(rng: Random, folder: Path) -> Built:
    """Not the class: the boot disk alone has the filter."""
    life, vendor = _begin(rng, folder)
    life.m.disk_values["UpperFilters"] = hive.multi_sz("partmgr", vendor.service)
    return _finish(life, vendor, f"The boot disk itself wants {vendor.service}, which is gone.")


def two_lists(rng: Random, folder: Path) -> Built:
    """Its uninstaller forgot both lists."""
    life, vendor = _begin(rng, folder)
    life.m.filter("disk", vendor.service)
    life.m.filter("volume", vendor.service, upper=False)
    return _finish(
        life, vendor, f"Disks and volumes want {vendor.service}, which is gone.", told=True
    )


SCENARIOS = tuple(
    Scenario(f"filter-{name}", FAMILY, Kind.FILTER, build)
    for name, build in (
        ("dangling-disk", dangling),
        ("dangling-volume", dangling_volume),
        ("disabled", disabled),
        ("file-gone", file_gone),
        ("controller-class", controller_class),
        ("one-device", one_device),
        ("two-lists", two_lists),
    )
)
