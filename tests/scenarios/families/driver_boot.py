"""Boot- and system-start drivers that crash the boot; dumps reached the disk."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from recoverykit.model import Kind
from tests.builders import hive
from tests.scenarios import acts, profiles, story, vendors
from tests.scenarios.life import Life
from tests.scenarios.profiles import Profile
from tests.scenarios.tree import Built, Scenario

FAMILY = "driver-boot"
_CODES = (0xD1, 0x7E, 0x1000007E, 0x50, 0x3B, 0x139, 0x1E)


def loop(
    rng: Random,
    folder: Path,
    roles: Sequence[str],
    *,
    codes: Sequence[int] = _CODES,
    among: Sequence[Profile] = profiles.X64,
    update: bool = False,
    quiet: bool = False,
    start: int | None = None,
    fault: str = "",
    group: str = "",
    boot_log: bool | None = None,
    recent: int | None = None,
    **how: Any,
) -> tuple[Life, str]:
    """Installed or updated in the last session that ended well; every normal boot since crashes,
    Safe Mode came up once and fetched the first dump."""
    starts = [v for v in vendors.of(*roles) if v.start < 2 and group in ("", v.group)]
    vendor = rng.choice(starts)
    roles_out = [vendor.role] if vendor.role in ("av", "edr") else []
    life = story.begin(
        *(rng, folder), among=among, avoid=[vendor.name], without=roles_out, recent=recent
    )
    m = life.m
    if boot_log is not None:
        life.boot_logging = boot_log
    on, off = acts.session_of(life, rng.uniform(7, 10), rng.uniform(0.8, 2))
    if update:
        old = m.installed + timedelta(days=rng.uniform(3, 60))
        m.install(vendor, old, start=start)
    driver = m.install(vendor, on + timedelta(minutes=25), quiet=quiet, start=start)
    if rng.random() < 0.4:
        other = story.pick(rng, "input", "print", "usb", avoid=m.drivers)
        m.install(other, on + timedelta(minutes=40))
    life.session(on, off)
    code = rng.choice(codes)
    first = off + timedelta(minutes=rng.randint(2, 50))
    acts.crashing_boots(life, first, 2, code, driver, after=22, fault=fault, **how)
    second = acts.safe_mode(life, first + timedelta(minutes=14)) + timedelta(minutes=2)
    end = acts.crashing_boots(life, second, 2, code, driver, after=24, fault=fault, **how)
    if rng.random() < 0.6:
        acts.startup_repair(life, end + timedelta(minutes=5))
    return life, vendor.name


def security(rng: Random, folder: Path) -> Built:
    life, name = loop(rng, folder, ("av", "edr"))
    return acts.blamed(
        life, name, f"{name} was installed in the last good session; its dumps name it."
    )


def anticheat(rng: Random, folder: Path) -> Built:
    life, name = loop(rng, folder, ("anticheat",), among=profiles.CLIENTS, quiet=True)
    return acts.blamed(
        life, name, f"{name} came with a game and crashes each boot; both dumps agree."
    )


def backup_update(rng: Random, folder: Path) -> Built:
    life, name = loop(rng, folder, ("backup", "volfilter"), update=True)
    return acts.blamed(
        life, name, f"{name} was updated in the last good session; both dumps name it."
    )


def filter_container(rng: Random, folder: Path) -> Built:
    """The fault lies in fltmgr; who called it wrongly is on the stack."""
    life, name = loop(rng, folder, ("av", "edr"), fault="fltmgr.sys", codes=(0x3B, 0x50, 0x7E))
    return acts.blamed(
        life, name, f"fltmgr faulted on what {name} handed it, twice, since it came."
    )


def network_container(rng: Random, folder: Path) -> Built:
    """WFP callouts: the fault lies in NETIO or ndis."""
    where = rng.choice(("netio.sys", "ndis.sys", "tcpip.sys"))
    life, name = loop(
        *(rng, folder, ("vpn", "tool", "av", "virtual")),
        group="NDIS",
        codes=(0xD1, 0x139),
        fault=where,
        callers=("tcpip.sys",),
    )
    return acts.blamed(
        life, name, f"{where} faulted below {name}, which was installed the same day."
    )


def verifier(rng: Random, folder: Path) -> Built:
    """Somebody switched Driver Verifier on for it, and now the machine stops at every boot."""
    life, name = loop(rng, folder, ("tool", "dlp", "backup"), codes=(0xC4,))
    m = life.m
    m.memory_management["VerifyDrivers"] = hive.sz(m.drivers[name].vendor.file)
    m.memory_management["VerifyDriverLevel"] = hive.dword(0x209BB)
    return acts.blamed(life, name, f"Driver Verifier watches {name} alone and stops because of it.")


def corrupt_file(rng: Random, folder: Path) -> Built:
    """Its file was cut off; Startup Repair names it."""
    vendor = story.pick(rng, "av", "edr", "backup", "encrypt", start=0)
    life = story.begin(rng, folder, avoid=[vendor.name], without=(vendor.role,))
    m = life.m
    driver = m.install(vendor, m.installed + timedelta(days=4))
    driver.error_control = 3
    off = acts.session(life, 9, 1.5, end="power")
    driver.image = driver.image[: len(driver.image) // 3 & ~511]
    driver.changed = off - timedelta(minutes=1)
    m.key_times[driver.name] = m.installed + timedelta(days=4)
    end = acts.failed_boots(life, off + timedelta(hours=1), 3, error=0xC000_0221)
    cause = f"Boot critical file c:\\windows\\system32\\drivers\\{vendor.name} is corrupt."
    acts.startup_repair(
        *(life, end + timedelta(minutes=6), (cause,)), actions=(("File repair", 0x57),)
    )
    return acts.blamed(life, vendor.name, f"{vendor.name} is cut off, and Startup Repair names it.")


def old_windows(rng: Random, folder: Path) -> Built:
    """32-bit Windows 7 and a 32-bit dump."""
    life, name = loop(
        *(rng, folder, ("av",)), among=(profiles.WIN7_X86,), codes=(0x7E, 0x8E, 0xD1, 0x50)
    )
    return acts.blamed(
        life, name, f"{name} crashes each boot of this 32-bit Windows; its dump says so."
    )


def arm(rng: Random, folder: Path) -> Built:
    life, name = loop(rng, folder, ("edr", "virtual", "backup"), among=(profiles.ARM64,))
    return acts.blamed(life, name, f"{name} crashes each boot of this arm64 machine since it came.")


def unloaded(rng: Random, folder: Path) -> Built:
    """0xCE: it had been unloaded, and something still ran in it."""
    life, name = loop(rng, folder, ("tool", "virtual", "anticheat"), codes=(0xCE,), unloaded=True)
    return acts.blamed(
        life, name, f"The dump's list of unloaded drivers has {name} where it faulted."
    )


SCENARIOS = tuple(
    Scenario(name, FAMILY, Kind.DRIVER, build)
    for name, build in (
        ("boot-security-installed", security),
        ("boot-anticheat-installed", anticheat),
        ("boot-backup-updated", backup_update),
        ("boot-fltmgr-faulted", filter_container),
        ("boot-network-faulted", network_container),
        ("boot-verifier", verifier),
        ("boot-file-cut-off", corrupt_file),
        ("boot-win7-x86", old_windows),
        ("boot-arm64", arm),
        ("boot-unloaded", unloaded),
    )
)
