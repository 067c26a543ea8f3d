"""The boot disk's controller driver does not start: 0x7B, before anything can be logged."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from recoverykit.model import Kind
from tests.builders import hive
from tests.scenarios import acts, profiles, story, vendors
from tests.scenarios.life import Life
from tests.scenarios.tree import Built, Scenario

FAMILY = "storage"


def _fails(life: Life, start: datetime, *, told: bool = False) -> None:
    end = acts.failed_boots(life, start, 3)
    if told:
        acts.startup_repair(life, end + timedelta(minutes=6), (acts.SEEN_7B,))
    elif life.m.rng.random() < 0.5:
        acts.startup_repair(life, end + timedelta(minutes=6))


def _truth(life: Life, file: str, why: str) -> Built:
    return acts.told(life, Kind.STORAGE, why, allowed=[file.lower()])


def disabled(rng: Random, folder: Path) -> Built:
    """Somebody's clean-up script disabled the only controller driver in use."""
    life = story.begin(rng, folder, among=profiles.EVERY, recent=rng.randint(0, 1))
    m = life.m
    off = acts.session(life, 8, 1)
    m.starts[m.controller] = 4
    m.key_times[m.controller] = off - timedelta(minutes=12)
    _fails(life, off + timedelta(minutes=5))
    return _truth(
        life, f"{m.controller}.sys", f"{m.controller} drives the boot disk and is disabled."
    )


def override(rng: Random, folder: Path) -> Built:
    """An image that was made on another controller: StartOverride keeps this one from starting."""
    life = story.begin(rng, folder, among=profiles.X64, recent=0)
    m = life.m
    off = acts.session(life, 8, 1)
    m.extra_subkeys[m.controller] = {"StartOverride": {"0": hive.dword(3)}}
    m.key_times[m.controller] = off - timedelta(minutes=8)
    _fails(life, off + timedelta(minutes=5), told=True)
    return _truth(life, f"{m.controller}.sys", f"StartOverride raises {m.controller}, which boots.")


def file_missing(rng: Random, folder: Path) -> Built:
    """A RAID driver was uninstalled, file and all; the disk still hangs on it."""
    vendor = story.pick(rng, "storage")
    life = story.begin(
        rng, folder, avoid=[vendor.name], without=["storage"], controller=vendor.service
    )
    driver = acts.boot_controller(life, vendor, life.m.installed + timedelta(hours=3))
    off = acts.session(life, 8, 1)
    driver.present = False
    _fails(life, off + timedelta(minutes=5))
    return _truth(
        life, vendor.file, f"The boot disk hangs on {vendor.service}, whose file is gone."
    )


def raid_to_ahci(rng: Random, folder: Path) -> Built:
    """The firmware was switched from RAID to AHCI: storahci has never been needed here."""
    vendor = vendors.named(rng.choice(("iaStorAC.sys", "iaStorVD.sys", "rcraid.sys")))
    life = story.calm(
        *(rng, folder),
        among=profiles.CLIENTS,
        without=["storage"],
        controller=vendor.service,
    )
    acts.boot_controller(life, vendor, life.m.installed + timedelta(hours=1))
    off = acts.session(life, 8, 1)
    _fails(life, off + timedelta(minutes=5), told=True)
    return _truth(
        life, vendor.file, "Startup Repair saw 0x7B; AHCI and NVMe drivers are overridden."
    )


def moved_to_vm(rng: Random, folder: Path) -> Built:
    """A physical server's disk was given to a hypervisor that has another controller."""
    life = story.calm(
        *(rng, folder),
        among=(profiles.SERVER_2019, profiles.SERVER_2022, profiles.WIN81),
        controller="storahci",
    )
    off = acts.session(life, 8, 1)
    _fails(life, off + timedelta(minutes=45), told=True)
    return _truth(life, "storahci.sys", "Startup Repair saw 0x7B after the disk was moved.")


def stack_disabled(rng: Random, folder: Path) -> Built:
    """A part of the disk stack that every boot needs is disabled."""
    name = rng.choice(("disk", "partmgr", "volmgr", "mountmgr"))
    life = story.begin(rng, folder, among=profiles.EVERY, recent=0)
    m = life.m
    off = acts.session(life, 8, 1)
    m.starts[name] = 4
    m.key_times[name] = off - timedelta(minutes=3)
    _fails(life, off + timedelta(minutes=5), told=rng.random() < 0.5)
    return _truth(life, f"{name}.sys", f"{name} is disabled; no disk can be read without it.")


SCENARIOS = tuple(
    Scenario(f"storage-{name}", FAMILY, Kind.STORAGE, build)
    for name, build in (
        ("disabled", disabled),
        ("start-override", override),
        ("file-missing", file_missing),
        ("raid-to-ahci", raid_to_ahci),
        ("moved-to-vm", moved_to_vm),
        ("stack-disabled", stack_disabled),
    )
)
