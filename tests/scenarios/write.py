"""Lay a machine down as files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import timedelta

from recoverykit.model import NtfsState
from tests.builders import bootlog, evtx, hive, setupapi
from tests.scenarios import esp, files, inbox, registry
from tests.scenarios.life import Life
from tests.scenarios.machine import Machine
from tests.scenarios.tree import Built, Truth

Change = Callable[[bytes], bytes | None]
CONFIG = "System32/config"
LOGS = "System32/winevt/Logs"
_SYSTEM_FILES = ("csrss.exe", "smss.exe", "services.exe", "wininit.exe", "ntdll.dll", "lsass.exe")


class Damage:
    """What is done to hives after they were built; None: the file is not there."""

    def __init__(self, hives: Mapping[str, Change] | None = None, *, dirty: bool = False) -> None:
        self.dirty = dirty  # SYSTEM's newest pages are in its log only
        self.hives = hives or {}

    def apply(self, name: str, data: bytes) -> bytes | None:
        change = self.hives.get(name)
        return data if change is None else change(data)


def finish(
    life: Life, truth: Truth, *, ntfs: NtfsState | None = None, damage: Damage | None = None
) -> Built:
    """Everything to disk."""
    m = life.m
    life.finish()
    m.root.mkdir(parents=True, exist_ok=True)
    _system_files(m)
    _inbox_drivers(m)
    _third_party(m)
    _hives(m, damage or Damage())
    _logs(m)
    for name, file in m.files.items():
        m.write_file(name, file.content, file.when)
    pagefile = (m.pagefile or b"").ljust(4 << 20, b"\0")
    m.write_file("../pagefile.sys", pagefile, m.hive_when)
    disk = esp.write(m)
    if ntfs is None:
        unclean = life.unclean is not None
        ntfs = NtfsState(dirty=False, log_unclean=unclean, hibernated=life.asleep)
    return Built(
        truth, m.root, disk.windows, ((disk.system, disk.folder),), disk.volumes, ntfs=ntfs
    )


# --- files --------------------------------------------------------------------------------


def _system_files(m: Machine) -> None:
    names = [*inbox.KERNEL, inbox.MICROCODE, *_SYSTEM_FILES]
    for name in names:
        _inbox(m, f"System32/{name}", name)
    for name in (*inbox.LIBRARIES, "null.sys"):
        if not name.startswith("dump_"):
            _inbox(m, f"System32/drivers/{name}", name)
    for name in inbox.WIN32K:
        _inbox(m, f"System32/{name}", name)
    for name in ("winload.efi", "winload.exe"):
        if name in m.missing:
            continue
        image = m.boot_application(name, files.BOOT_APPLICATION)
        m.write_file(f"System32/{name}", image, m.serviced)


def _inbox(m: Machine, path: str, name: str) -> None:
    target = m.path(path)
    if target.exists() or name.lower() in m.missing:
        return
    m.twin(m.write_file(path, m.inbox_image(name), m.inbox_time(name)))


def _inbox_drivers(m: Machine) -> None:
    done: set[str] = set()
    for service in m.inbox.values():
        name = service.file.rsplit("/", 1)[-1]
        if name.lower() in done:
            continue
        done.add(name.lower())
        _inbox(m, service.file, name)


def _third_party(m: Machine) -> None:
    for driver in m.drivers.values():
        if driver.present:
            m.write_file(driver.path, driver.image, driver.changed)
        if not driver.published or not driver.registered:
            continue
        content = registry.inf_file(driver)
        m.write_file(f"INF/{driver.published}", content, driver.changed)
        folder = m.package_folder(driver)
        m.write_file(f"{folder}/{driver.vendor.inf}", content, driver.changed)
        if driver.present and folder != driver.folder:
            m.write_file(f"{folder}/{driver.vendor.file}", driver.image, driver.changed)
        where = m.path(folder)
        os.utime(where, (driver.changed.timestamp(), driver.changed.timestamp()))


# --- hives and logs -----------------------------------------------------------------------


def _hives(m: Machine, damage: Damage) -> None:
    when = m.hive_when
    minor = 5 if m.profile.generation != "7" else 3
    made = {
        "SYSTEM": hive.build(registry.system(m), name="SYSTEM", minor=minor, when=when),
        "SOFTWARE": hive.build(registry.software(m), name="SOFTWARE", minor=minor, when=when),
        "COMPONENTS": hive.build(dict(m.components), name="COMPONENTS", minor=minor, when=when),
    }
    for name in ("SAM", "SECURITY", "DEFAULT"):
        made[name] = hive.build({}, name=name, minor=minor, when=when)
    for name, data in made.items():
        changed = damage.apply(name, data)
        if changed is not None:
            m.write_file(f"{CONFIG}/{name}", changed, when)
        if name == "COMPONENTS":
            continue
        for number in (1, 2):
            m.write_file(f"{CONFIG}/{name}.LOG{number}", b"", when)
    if damage.dirty:
        _soil(m, made["SYSTEM"], minor)


def _soil(m: Machine, newest: bytes, minor: int) -> None:
    """The hive as a running Windows leaves it: what it wrote last stands in LOG1."""
    older = bytearray(newest)
    for page in m.rng.sample(range(4096, len(newest), 4096), 3):
        older[page + 2048 : page + 2304] = bytes(256)
    made = hive.dirty_with_log if minor > 3 else hive.dirty_with_bitmap_log
    primary, log = made(bytes(older), newest)
    m.write_file(f"{CONFIG}/SYSTEM", primary, m.hive_when)
    m.write_file(f"{CONFIG}/SYSTEM.LOG1", log, m.hive_when)


def _logs(m: Machine) -> None:
    for channel, entries in m.logs.items():
        if not entries:
            continue
        entries.sort(key=lambda pair: pair[0])
        kept = [event for at, event in entries if at >= m.log_start]
        if not kept:
            continue
        newest = max(at for at, _event in entries)
        name = channel.replace("/", "%4")
        content = evtx.build(kept, first_record=m.rng.randint(2000, 90000))
        m.write_file(f"{LOGS}/{name}.evtx", content, newest)
    if m.boots:
        newest = m.boots[-1].started + m.bias
        m.write_file("ntbtlog.txt", bootlog.build(m.boots), newest)
    sections = sorted(m.sections, key=lambda pair: pair[0])
    if sections:
        text = setupapi.build(section for _when, section in sections)
        m.write_file("INF/setupapi.dev.log", text, sections[-1][0] + timedelta(seconds=5))
