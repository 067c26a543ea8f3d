"""The disk is dying, or the file system on it is damaged."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from random import Random

from recoverykit.model import Kind, NtfsState
from tests.scenarios import acts, profiles, story
from tests.scenarios.life import Life
from tests.scenarios.tree import Built, Scenario

FAMILY = "disk"


def _truth(life: Life, why: str, ntfs: NtfsState | None = acts.DIRTY) -> Built:
    return acts.told(life, Kind.DISK, why, ntfs=ntfs)


def _crashes(life: Life, codes: tuple[int, ...], status: int, *kinds: str) -> None:
    """Sessions of some minutes that end in such a crash."""
    m = life.m
    when = m.now - timedelta(hours=m.rng.uniform(6, 9))
    for code in codes:
        at = when + timedelta(minutes=m.rng.uniform(4, 25))
        acts.disk_trouble(life, when, 3, 5, *kinds)
        fault = "Ntfs.sys" if code == 0x24 else ""
        acts.crashing_session(life, when, at, code, None, fault=fault, status=status)
        when = at + timedelta(minutes=4)


def bad_blocks(rng: Random, folder: Path) -> Built:
    life = story.begin(rng, folder, among=profiles.EVERY)
    _crashes(life, (0x7A, 0x7A, 0xF4), 0xC000_009C, "bad-block", "paging", "retry")
    return _truth(life, "Bad blocks are logged by the dozen, and pages cannot be read back.")


def corrupt_file_system(rng: Random, folder: Path) -> Built:
    life = story.begin(rng, folder, among=profiles.EVERY)
    _crashes(life, (0x24, 0x24, 0x24), 0xC000_0102, "ntfs")
    return _truth(life, "NTFS reports corruption and stops in itself; the volume is dirty.")


def unmountable(rng: Random, folder: Path) -> Built:
    """0xED: it happens before anything can be written; the volume says it is dirty."""
    life = story.begin(rng, folder, among=profiles.EVERY, recent=0)
    m = life.m
    on, off = acts.session_of(life, 8, 1)
    acts.disk_trouble(life, on, 50, 6, "ntfs", "bad-block")
    life.session(on, off, end="power")
    end = acts.failed_boots(life, off + timedelta(minutes=5), 3)
    cause = acts.bugcheck_cause(0xED, (0xFFFF_FA80_04A8_5CD0, 0xFFFF_FFFF_C000_0032, 0, 0))
    acts.startup_repair(life, end + timedelta(minutes=9), (cause,))
    m.hive_when = off
    return _truth(life, "Startup Repair saw 0xED; NTFS complained before, and is dirty.")


def lost_disk(rng: Random, folder: Path) -> Built:
    """An NVMe disk drops off the bus."""
    life = story.begin(rng, folder, among=profiles.X64, controller="stornvme")
    _crashes(life, (0x7A, 0xEF, 0x7A, 0xF4), 0xC000_000E, "reset", "gone", "reset")
    return _truth(life, "The disk vanishes from its controller and pages are not readable.", None)


def startup_repair_says(rng: Random, folder: Path) -> Built:
    life = story.begin(rng, folder, among=profiles.EVERY, recent=rng.randint(0, 1))
    on, off = acts.session_of(life, 8, 1)
    acts.disk_trouble(life, on, 50, 8, "ntfs", "controller", "bad-block")
    life.session(on, off, end="power")
    end = acts.failed_boots(life, off + timedelta(minutes=5), 3)
    acts.startup_repair(
        *(life, end + timedelta(minutes=9), ("System volume on disk is corrupt.",)),
        failed_tests=(("File system test (chkdsk)", 0x1F),),
    )
    return _truth(life, "Startup Repair says the system volume is corrupt, and so does NTFS.")


def cabling(rng: Random, folder: Path) -> Built:
    life = story.begin(rng, folder, among=profiles.EVERY)
    _crashes(life, (0x77, 0x7A, 0x24), 0xC000_0185, "controller", "reset", "retry", "ntfs")
    return _truth(life, "Three stops for want of pages, with controller errors all along.")


SCENARIOS = tuple(
    Scenario(f"disk-{name}", FAMILY, Kind.DISK, build)
    for name, build in (
        ("bad-blocks", bad_blocks),
        ("corrupt-file-system", corrupt_file_system),
        ("unmountable", unmountable),
        ("lost", lost_disk),
        ("startup-repair-says", startup_repair_says),
        ("cabling", cabling),
    )
)
