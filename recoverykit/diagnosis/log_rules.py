"""What logs and stop codes say about hives, updates, disks and hardware.

None of these is proof on its own: a bad block of last month, a pending restart and a reset of a
controller are found on machines that start every day.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from recoverykit.diagnosis import blame, knowledge
from recoverykit.diagnosis.facts import Facts
from recoverykit.diagnosis.rule import Argument, Rule, times, utc
from recoverykit.diagnosis.state_rules import stops_in
from recoverykit.model import (
    DiskTrouble,
    Finding,
    HardwareError,
    Kind,
    NtfsState,
    PendingServicing,
    RenameFailed,
    Source,
    UpdateEvent,
)

_SEVERAL = 3  # different stop codes within two weeks and nothing in common
_DOZENS = 10
_MANY = 5  # complaints of a disk
_TROUBLE = ("CBS.log", "poqexec.log", "RebootInProgress")
_GONE_ALREADY = (0xC0000034, 0xC000003A)  # to be deleted, and not there: harmless
_DISK_DEVICE = re.compile(r"\\Device\\Harddisk(\d+)\\DR(\d+)", re.IGNORECASE)
_MARGIN = timedelta(hours=1)


def _since(facts: Facts) -> datetime | None:
    """When the last good session began: trouble within it may have led to its end."""
    start = facts.times.good_start or facts.times.last_good
    return start.when - _MARGIN if start else None


def _causes(rule: Rule, facts: Facts, areas: tuple[str, ...], subject: str) -> Iterator[Finding]:
    """What Startup Repair found, where it ran since the last good session."""
    repair = facts.times.repair
    if repair is None:
        return
    for text, area in zip(repair.causes, repair.areas, strict=False):
        if area in areas:
            yield rule.found(subject, f"Startup Repair found: {text!r}.", repair.source)
            return


# --- hives --------------------------------------------------------------------------------


def _hive_stop(rule: Rule, facts: Facts) -> Iterator[Finding]:
    yield from stops_in(rule, facts, knowledge.Area.HIVE, "registry")


def _hive_repair(rule: Rule, facts: Facts) -> Iterator[Finding]:
    yield from _causes(rule, facts, ("registry",), "registry")


# --- boot store ---------------------------------------------------------------------------


def _bcd_repair(rule: Rule, facts: Facts) -> Iterator[Finding]:
    yield from _causes(rule, facts, ("bcd",), "boot files")


def _loader_failed(rule: Rule, facts: Facts) -> Iterator[Finding]:
    """Of the boot manager's and the loader's log: what names neither a driver nor a hive."""
    for event in facts.loader_failures:
        name = event.application.replace("/", "\\").lower()
        if name.endswith(".sys") or "\\config\\" in name:
            continue
        reason = f"The boot manager's log: {event.what} of {event.application} ({event.status:#x})."
        yield rule.found("boot files", reason, event.source)


def _loader_hive(rule: Rule, facts: Facts) -> Iterator[Finding]:
    for event in facts.loader_failures:
        if "\\config\\" in event.application.replace("/", "\\").lower():
            reason = f"The loader could not load {event.application} ({event.status:#x})."
            yield rule.found("registry", reason, event.source)


# --- servicing ----------------------------------------------------------------------------


def _pending(rule: Rule, facts: Facts) -> Iterator[Finding]:
    found = [item for item in facts.all(PendingServicing) if item.active]
    if found and facts.is_failing:
        told = "; ".join(dict.fromkeys(item.text.rstrip(".") for item in found[:3]))
        yield rule.found("update", f"An update is not finished: {told}.", *_sources(found))


def _stuck(rule: Rule, facts: Facts) -> Iterator[Finding]:
    """Boots fail since the update began to wait: it was there before the first failure."""
    first = facts.times.first_failure
    found = [
        item
        for item in facts.all(PendingServicing)
        if item.active and item.when is not None and (first is None or item.when <= first)
    ]
    good = facts.times.good_start
    if not found or not facts.is_failing or good is None:
        return
    newest = max(found, key=lambda item: item.when or good.when)
    if newest.when is not None and newest.when > good.when:
        reason = (
            f"{newest.what} was written on {utc(newest.when)}, in the last session that came up, "
            "and no boot has come up since."
        )
        yield rule.found("update", reason, newest.source)


def _stuck_log(rule: Rule, facts: Facts) -> Iterator[Finding]:
    """Servicing's own log tells of starts that failed, or of start after start without an end."""
    found = [item for item in facts.all(PendingServicing) if item.active and item.what in _TROUBLE]
    if found and facts.is_failing:
        yield rule.found("update", found[0].text, *_sources(found))


def _system_stop(rule: Rule, facts: Facts) -> Iterator[Finding]:
    if any(item.active for item in facts.all(PendingServicing)):
        yield from stops_in(rule, facts, knowledge.Area.SYSTEM, "system files")


def _update_repair(rule: Rule, facts: Facts) -> Iterator[Finding]:
    yield from _causes(rule, facts, ("update",), "update")


def _update_failed(rule: Rule, facts: Facts) -> Iterator[Finding]:
    since = _since(facts)
    failed = [
        item for item in facts.all(UpdateEvent) if item.failed and since and item.when > since
    ]
    if failed and facts.is_failing:
        reason = f"{failed[-1].title!r} failed to install on {utc(failed[-1].when)}."
        yield rule.found("update", reason, *_sources(failed))


def _renames(rule: Rule, facts: Facts) -> Iterator[Finding]:
    since, bias = _since(facts), facts.bias
    found = [
        item
        for item in facts.all(RenameFailed)
        if since
        and item.when
        and item.when + timedelta(minutes=bias or 0) > since
        and item.code not in _GONE_ALREADY
    ]
    if found and facts.is_failing:
        reason = f"{times(len(found), 'file')} could not be replaced at boot: {found[0].path}."
        yield rule.found("update", reason, *_sources(found))


# --- disk ---------------------------------------------------------------------------------


def _fixed_disks(facts: Facts) -> Iterator[DiskTrouble]:
    """Complaints, but not of a disk that was plugged in later.

    Disks found at boot are DR0 of Harddisk0, DR1 of Harddisk1; one that comes later gets the next
    free number of a device object beside its own number, such as Harddisk1 with DR7.
    """
    for item in facts.all(DiskTrouble):
        match = _DISK_DEVICE.search(item.text)
        if match is None or match.group(1) == match.group(2):
            yield item


def _disk_trouble(rule: Rule, facts: Facts) -> Iterator[Finding]:
    since = _since(facts)
    found = [item for item in _fixed_disks(facts) if item.severe and since and item.when > since]
    if found:
        newest = max(found, key=lambda item: item.when)
        reason = (
            f"{times(len(found), 'severe event')} of disk or file system since the last good "
            f"session began; the newest is {newest.provider} {newest.event} of {utc(newest.when)}: "
            f"{newest.text}."
        )
        few = 10 if len(found) >= _SEVERAL else 20
        weight = rule.weight - (0 if len(found) >= _DOZENS else few)
        yield rule.found("disk", reason, *_sources(found), weight=weight)


def _disk_resets(rule: Rule, facts: Facts) -> Iterator[Finding]:
    since = _since(facts)
    found = [item for item in _fixed_disks(facts) if since and item.when > since]
    if len(found) >= _MANY and facts.is_failing:
        reason = (
            f"{times(len(found), 'complaint')} of the disk or its controller since the last good "
            f"session began (resets, retries, removal): {found[0].provider} {found[0].event}."
        )
        yield rule.found("disk", reason, *_sources(found))


def _disk_stop(rule: Rule, facts: Facts) -> Iterator[Finding]:
    yield from stops_in(rule, facts, knowledge.Area.DISK, "disk")


def _disk_repair(rule: Rule, facts: Facts) -> Iterator[Finding]:
    yield from _causes(rule, facts, ("disk", "volume"), "disk")


def _unreadable(rule: Rule, facts: Facts) -> Iterator[Finding]:
    found = [gap for gap in facts.gaps if "Input/output error" in gap.reason]
    if found:
        listed = ", ".join(gap.source.path for gap in found[:3])
        reason = f"{times(len(found), 'file')} could not be read from the disk: {listed}."
        yield rule.found("disk", reason, *(gap.source for gap in found))


def _dirty(rule: Rule, facts: Facts) -> Iterator[Finding]:
    marked = any(state.dirty and not state.hibernated for state in facts.all(NtfsState))
    if marked and facts.is_failing:
        reason = "The volume is marked dirty: Windows wants to run chkdsk on it."
        yield rule.found("disk", reason, Source(facts.install.volume.name))


# --- hardware -----------------------------------------------------------------------------


def _hardware_stop(rule: Rule, facts: Facts) -> Iterator[Finding]:
    yield from stops_in(rule, facts, knowledge.Area.HARDWARE, "hardware")


def _whea(rule: Rule, facts: Facts) -> Iterator[Finding]:
    since = _since(facts)
    found = [
        item for item in facts.all(HardwareError) if item.fatal and since and item.when > since
    ]
    if found:
        reason = f"The hardware reported {times(len(found), 'fatal error')} (WHEA)."
        weight = rule.weight + (15 if len(found) >= _SEVERAL else 0)
        yield rule.found("hardware", reason, *_sources(found), weight=weight)


def _many_stops(rule: Rule, facts: Facts) -> Iterator[Finding]:
    """RAM and processors fail anywhere: each crash is another one, in another module."""
    stops = facts.recent_stops
    codes = Counter(knowledge.base_code(stop.code) for stop in stops)
    areas = {knowledge.area(stop.code, stop.parameters) for stop in stops}
    allowed = {knowledge.Area.DRIVER, knowledge.Area.HARDWARE}
    if len(codes) < _SEVERAL or not areas <= allowed:
        return
    named = Counter(one.driver for one in facts.recent_blames)
    if any(count > 1 for count in named.values()):
        return
    direct = {one.driver for one in facts.recent_blames if one.how in blame.DIRECT}
    if len(direct) > len(stops) // 2:
        return
    listed = ", ".join(f"{code:#x}" for code in sorted(codes))
    reason = (
        f"{times(len(stops), 'crash')} with {len(codes)} different stop codes ({listed}) and no "
        "driver in common: memory or processor are likelier than any driver."
    )
    sources = tuple(source for stop in stops for source in stop.sources[:1])
    yield rule.found("hardware", reason, *sources)


class _Told(Protocol):
    """Evidence that says where it was read."""

    @property
    def source(self) -> Source: ...


def _sources(items: Sequence[_Told]) -> tuple[Source, ...]:
    return tuple(item.source for item in items[:10])


RULES: tuple[Rule, ...] = (
    Rule(
        "hive-stop-code",
        Kind.HIVE,
        Argument.STOP,
        60,
        "The newest stop since the last good boot is one of a damaged registry: 0x51, 0x67, 0x74, "
        "0xC0000218.",
        _hive_stop,
    ),
    Rule(
        "hive-startup-repair",
        Kind.HIVE,
        Argument.REPAIR,
        50,
        "Startup Repair, run since the last good boot, found the registry damaged.",
        _hive_repair,
    ),
    Rule(
        "bcd-startup-repair",
        Kind.BCD,
        Argument.REPAIR,
        60,
        "Startup Repair, run since the last good boot, found the boot configuration damaged.",
        _bcd_repair,
    ),
    Rule(
        "boot-manager-failed",
        Kind.BCD,
        Argument.LOG,
        60,
        "Since a kernel last started the boot manager's own log tells of a store that could not be "
        "opened, an entry that is not there, or a loader that could not be loaded.",
        _loader_failed,
    ),
    Rule(
        "loader-hive-failed",
        Kind.HIVE,
        Argument.LOG,
        60,
        "Since a kernel last started the loader's own log says that a hive could not be loaded.",
        _loader_hive,
    ),
    Rule(
        "update-pending",
        Kind.SERVICING,
        Argument.STATE,
        35,
        "An update waits for the next boot (pending.xml with SetupExecute, markers of component "
        "based servicing), and boots fail.",
        _pending,
    ),
    Rule(
        "update-stuck",
        Kind.SERVICING,
        Argument.PROGRESS,
        30,
        "What waits was written in the last session that came up, before the first failure.",
        _stuck,
    ),
    Rule(
        "update-log-failed",
        Kind.SERVICING,
        Argument.LOG,
        35,
        "Servicing's own logs say that the update failed at a start, or was worked on at start "
        "after start without an end (CBS.log, poqexec.log, RebootInProgress), and boots fail.",
        _stuck_log,
    ),
    Rule(
        "update-stop-code",
        Kind.SERVICING,
        Argument.STOP,
        30,
        "While an update waits, the newest stop is one of mismatched system files: 0xC000021A, "
        "0xEF, 0x6B, 0xC0000221.",
        _system_stop,
    ),
    Rule(
        "update-startup-repair",
        Kind.SERVICING,
        Argument.REPAIR,
        60,
        "Startup Repair, run since the last good boot, says that an update keeps Windows from "
        "starting.",
        _update_repair,
    ),
    Rule(
        "update-failed",
        Kind.SERVICING,
        Argument.LOG,
        20,
        "An update failed to install since the last good boot began, and boots fail.",
        _update_failed,
    ),
    Rule(
        "update-renames-failed",
        Kind.SERVICING,
        Argument.EVENT,
        20,
        "PFRO.log, since the last good boot began: files that were to be replaced at boot were "
        "not.",
        _renames,
    ),
    Rule(
        "disk-events",
        Kind.DISK,
        Argument.LOG,
        60,
        "Severe events of the disk or the file system since the last good boot began: bad blocks, "
        "lost devices, corruption. Fewer than ten count ten less, fewer than three twenty; resets "
        "and retries do not count, nor does a disk that was plugged in later (disk and device "
        "object have different numbers: Harddisk2, DR7).",
        _disk_trouble,
    ),
    Rule(
        "disk-resets",
        Kind.DISK,
        Argument.LOG,
        25,
        "Five complaints or more of the disk or its controller since the last good boot began, "
        "severe or not, and boots fail.",
        _disk_resets,
    ),
    Rule(
        "disk-stop-code",
        Kind.DISK,
        Argument.STOP,
        60,
        "The newest stop since the last good boot points to the disk or the file system: 0x24, "
        "0x77, 0x7A, 0xED.",
        _disk_stop,
    ),
    Rule(
        "disk-startup-repair",
        Kind.DISK,
        Argument.REPAIR,
        50,
        "Startup Repair, run since the last good boot, found the disk or the volume damaged.",
        _disk_repair,
    ),
    Rule(
        "disk-unreadable",
        Kind.DISK,
        Argument.STATE,
        60,
        "Files could not be read just now: the disk returned an error.",
        _unreadable,
    ),
    Rule(
        "disk-dirty",
        Kind.DISK,
        Argument.PROGRESS,
        10,
        "The volume is marked dirty, and boots fail. Every crash may leave that mark.",
        _dirty,
    ),
    Rule(
        "hardware-stop-code",
        Kind.HARDWARE,
        Argument.STOP,
        60,
        "The newest stop since the last good boot is one that hardware causes: 0x124, 0x101, 0x9C.",
        _hardware_stop,
    ),
    Rule(
        "hardware-events",
        Kind.HARDWARE,
        Argument.LOG,
        50,
        "WHEA reported an error that the hardware could not correct, since the last good boot "
        "began. Three or more count fifteen more.",
        _whea,
    ),
    Rule(
        "different-stops",
        Kind.HARDWARE,
        Argument.REPEAT,
        65,
        "At least three crashes with three different stop codes within two weeks, none of them "
        "pointing elsewhere, and no driver that two of them name.",
        _many_stops,
    ),
)
