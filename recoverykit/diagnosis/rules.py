"""Rules: what speaks against a driver. Pure functions from evidence to findings.

Each rule has an id, a weight and an argument, the kind of reasoning it is. Two rules of one
argument are one observation seen twice; verdict.py counts an argument once, at its heaviest.
Nobody is accused who cannot have done it: drivers that come with Windows, container modules,
disabled services and services without a file are no candidates. Rules look only at what is newer
than the last good boot. Documented in docs/diagnosis.md, which is generated from this table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from recoverykit.diagnosis import knowledge, timeline
from recoverykit.diagnosis.timeline import Timeline
from recoverykit.model import (
    BootLogLine,
    DriverFailed,
    DriverFile,
    Evidence,
    Finding,
    Service,
    ServiceInstalled,
    Source,
    StartType,
)

_EARLY = (StartType.BOOT, StartType.SYSTEM)
# Windows rewrites service keys in bunches at boot and during servicing; an installer writes few.
_BUNCH = 6
_BUNCH_WITHIN = timedelta(minutes=1)
_STAMP_STEP = timedelta(seconds=2)  # FAT keeps even seconds


class Argument(StrEnum):
    """Kinds of reasoning that can be right or wrong independently of each other."""

    CHANGE = "change"  # when the driver came, or was changed
    BOOT_LOG = "boot log"  # how far ntbtlog.txt says a failing boot came
    CRASH = "crash"  # what a crash record names
    EVENT = "event"  # what other event records name
    ROLE = "role"  # what the driver does in a boot


@dataclass(frozen=True, slots=True)
class Candidate:
    """A driver that could keep this Windows from starting."""

    service: Service
    file: DriverFile | None


@dataclass(frozen=True, slots=True)
class Facts:
    """Evidence, sorted once for all rules."""

    candidates: Mapping[str, Candidate]  # by driver file name
    times: Timeline
    installed: tuple[ServiceInstalled, ...]
    failed: tuple[DriverFailed, ...]
    bunches: frozenset[str]  # services whose key time is one of many


Check = Callable[["Rule", Facts], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Rule:
    id: str
    argument: Argument
    weight: int
    text: str  # for docs/diagnosis.md
    check: Check


def findings(evidence: Iterable[Evidence]) -> tuple[Finding, ...]:
    """Everything that speaks against a driver, rule by rule."""
    facts = sort(tuple(evidence))
    return tuple(finding for rule in RULES for finding in rule.check(rule, facts))


def sort(evidence: tuple[Evidence, ...]) -> Facts:
    """Prepare the evidence for the rules."""
    services = [item for item in evidence if isinstance(item, Service)]
    files = {item.source.path: item for item in evidence if isinstance(item, DriverFile)}
    candidates: dict[str, Candidate] = {}
    for service in services:
        file = files.get(service.path or "")
        if service.path and _can_be_blamed(service, file):
            candidates.setdefault(service.driver, Candidate(service, file))
    return Facts(
        candidates=candidates,
        times=timeline.build(evidence),
        installed=tuple(item for item in evidence if isinstance(item, ServiceInstalled)),
        failed=tuple(item for item in evidence if isinstance(item, DriverFailed)),
        bunches=_bunches(services),
    )


def _can_be_blamed(service: Service, file: DriverFile | None) -> bool:
    return service.start is not StartType.DISABLED and not knowledge.is_inbox(service.driver, file)


def _bunches(services: Iterable[Service]) -> frozenset[str]:
    """Services whose keys were written together with many others."""
    written = sorted(
        (item.last_written, item.name) for item in services if item.last_written is not None
    )
    bunched: set[str] = set()
    first = 0
    for last, (when, _) in enumerate(written):
        while when - written[first][0] > _BUNCH_WITHIN:
            first += 1
        if last - first + 1 >= _BUNCH:
            bunched.update(name for _, name in written[first : last + 1])
    return frozenset(bunched)


# --- when it came -------------------------------------------------------------------------


def untried(facts: Facts) -> tuple[str, ...]:
    """Early-starting drivers that changed in the newest session: no boot has proven them yet."""
    start = facts.times.good_start
    return tuple(
        driver
        for driver, candidate in facts.candidates.items()
        if start is not None
        and candidate.service.start in _EARLY
        and any(start.when < when for _, when, _ in _changes(candidate, facts))
    )


def _changed(rule: Rule, facts: Facts) -> Iterator[Finding]:
    start = facts.times.good_start
    if start is None or not facts.times.is_failing:
        return
    for driver, candidate in facts.candidates.items():
        changes = [
            (what, when, source)
            for what, when, source in _changes(candidate, facts)
            if start.when < when and _before_failures(when, facts.times)
        ]
        if changes:
            told = " and ".join(f"{what} on {_utc(when)}" for what, when, _ in changes)
            reason = (
                f"{driver}: {told}, after the last good boot began on {_utc(start.when)}; "
                "no boot has come up since."
            )
            sources = tuple(source for _, _, source in changes)
            yield Finding(driver, rule.id, rule.weight, reason, (*sources, start.source))


def _changes(candidate: Candidate, facts: Facts) -> Iterator[tuple[str, datetime, Source]]:
    service, file = candidate.service, candidate.file
    if file is not None:
        yield "its file was written", file.modified, file.source
    if service.last_written and service.name not in facts.bunches:
        yield "its service was set up", service.last_written, service.source


def _before_failures(when: datetime, times: Timeline) -> bool:
    """What changed only after boots had begun to fail did not make them fail."""
    first = [start.when for start in times.failed_starts[:1]]
    first += [crash.when for crash in times.crashes[:1]]
    return not first or when <= min(first) + _STAMP_STEP


def _installed(rule: Rule, facts: Facts) -> Iterator[Finding]:
    start = facts.times.good_start
    if start is None or not facts.times.is_failing:
        return
    for event in facts.installed:
        if not start.when < event.when or not _before_failures(event.when, facts.times):
            continue
        driver = _named(event.image_path.rsplit("\\", 1)[-1], event.service, facts)
        if driver:
            reason = (
                f"{driver} was installed as service {event.service} on {_utc(event.when)}, in the "
                "last session that came up; boots fail since."
            )
            yield Finding(driver, rule.id, rule.weight, reason, (event.source,))


# --- how far the boot came ----------------------------------------------------------------


def _last_loaded(rule: Rule, facts: Facts) -> Iterator[Finding]:
    log = facts.times.boot_log
    if log is None or not log.ends_early:
        return
    loaded = [line for line in log.block.lines if line.loaded]
    last = next((line for line in reversed(loaded) if not _is_noise(line)), None)
    if last is not None and last.driver in facts.candidates:
        reason = (
            f"{last.driver} is the last driver the failing boot loaded ({_day(log.block.started)}, "
            f"local time); its log stops there, after {len(loaded)} drivers."
        )
        source = Source(log.block.source.path, last.line)
        yield Finding(last.driver, rule.id, rule.weight, reason, (source, log.block.source))


def _is_noise(line: BootLogLine) -> bool:
    return knowledge.is_container(line.driver)


def _new_in_log(rule: Rule, facts: Facts) -> Iterator[Finding]:
    log = facts.times.boot_log
    if log is None or not log.good or not facts.times.is_failing:
        return
    before = {line.driver for block in log.good for line in block.lines if line.loaded}
    for line in log.block.lines:
        if line.loaded and line.driver not in before and line.driver in facts.candidates:
            reason = (
                f"{line.driver} is loaded by the failing boot ({_day(log.block.started)}, local "
                f"time) and by none of the {len(log.good)} earlier boots in the same log."
            )
            source = Source(log.block.source.path, line.line)
            yield Finding(line.driver, rule.id, rule.weight, reason, (source,))


# --- what records name --------------------------------------------------------------------


def _crash_names(rule: Rule, facts: Facts) -> Iterator[Finding]:
    for crash in facts.times.crashes:
        if crash.blamed in facts.candidates:
            stop = knowledge.stop_code(crash.bugcheck)
            name = f" {stop.name}" if stop.name else ""
            reason = (
                f"The crash recorded on {_utc(crash.when)}, stop code {crash.bugcheck:#x}{name}, "
                f"names {crash.blamed}."
            )
            yield Finding(crash.blamed, rule.id, rule.weight, reason, (crash.source,))


def _event_names(rule: Rule, facts: Facts) -> Iterator[Finding]:
    good = facts.times.last_good
    if good is None or not facts.times.is_failing:
        return
    usual = {event.name.lower() for event in facts.failed if event.when <= good.when}
    for event in facts.failed:
        driver = _named("", event.name, facts) if event.when > good.when else ""
        if driver and event.name.lower() not in usual:
            reason = (
                f"Event {event.event} of {_utc(event.when)} says that {event.name} failed to "
                "start; no earlier boot in the log says so."
            )
            yield Finding(driver, rule.id, rule.weight, reason, (event.source,))


def _named(file_name: str, service: str, facts: Facts) -> str:
    """The candidate an event means, by file name or by service name; "" when none."""
    wanted = file_name.lower()
    if wanted in facts.candidates:
        return wanted
    return next(
        (
            driver
            for driver, candidate in facts.candidates.items()
            if service and service.lower() in (candidate.service.name.lower(), driver)
        ),
        "",
    )


# --- what it does -------------------------------------------------------------------------


def _starts_early(rule: Rule, facts: Facts) -> Iterator[Finding]:
    crash = next(iter(facts.times.crashes[-1:]), None)
    log = facts.times.boot_log
    if crash is None and not (log and log.ends_early):
        return
    if crash and knowledge.stop_code(crash.bugcheck).area is not knowledge.Area.DRIVER:
        return
    early = Counter(item.service.start for item in facts.candidates.values())
    for driver, candidate in facts.candidates.items():
        service = candidate.service
        if service.start in _EARLY:
            many = early[service.start]
            rest = "the only one" if many == 1 else f"one of {many}"
            reason = (
                f"{driver} is a third-party {service.start}-start driver, {rest} on this machine: "
                "it runs in every boot, before anybody can log on."
            )
            source = Source(service.source.path, service.source.offset, service.source.key)
            yield Finding(driver, rule.id, rule.weight, reason, (source,))


# --- words --------------------------------------------------------------------------------


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _day(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else "unknown date"


RULES: tuple[Rule, ...] = (
    Rule(
        "changed-since-good-boot",
        Argument.CHANGE,
        60,
        "The driver's file or its service key was written after the last good boot began and "
        "before the first failure. Key times that many services share are Windows' own writing "
        "and do not count.",
        _changed,
    ),
    Rule(
        "installed-before-failure",
        Argument.CHANGE,
        60,
        "The Service Control Manager recorded (event 7045) that the driver was installed in the "
        "last session that came up.",
        _installed,
    ),
    Rule(
        "boot-log-last-loaded",
        Argument.BOOT_LOG,
        45,
        "ntbtlog.txt has a boot newer than the last good one; it ends before the drivers that "
        "complete boots load late, and this driver is the last it loaded, container modules "
        "left aside.",
        _last_loaded,
    ),
    Rule(
        "boot-log-new",
        Argument.BOOT_LOG,
        35,
        "The failing boot in ntbtlog.txt loaded this driver, and no earlier boot in the same file "
        "did.",
        _new_in_log,
    ),
    Rule(
        "crash-names-driver",
        Argument.CRASH,
        60,
        "A crash recorded since the last good boot names the driver.",
        _crash_names,
    ),
    Rule(
        "event-names-driver",
        Argument.EVENT,
        25,
        "Since the last good boot an event (7000, 7001, 7026 of the Service Control Manager, 219 "
        "of Kernel-PnP) says that the driver failed to start, and no earlier one does. A driver "
        "that was not loaded cannot crash, so this weighs little.",
        _event_names,
    ),
    Rule(
        "starts-early",
        Argument.ROLE,
        20,
        "A third-party boot-start or system-start driver, where boots crash with a stop code that "
        "points to drivers, or the boot log ends early. A prior, no more: it never suffices.",
        _starts_early,
    ),
)

ARGUMENTS: Mapping[str, Argument] = {rule.id: rule.argument for rule in RULES}
