"""What speaks against a driver. Pure functions from facts to findings.

Nobody is accused who cannot have done it (facts.Facts.candidates), and rules look only at what is
newer than the last good boot.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from recoverykit.diagnosis import blame, knowledge
from recoverykit.diagnosis.blame import Blame, How
from recoverykit.diagnosis.facts import EARLY, Candidate, Facts
from recoverykit.diagnosis.rule import Argument, Check, Rule, day, times, utc
from recoverykit.diagnosis.timeline import Timeline
from recoverykit.model import (
    BootLogLine,
    DriverFailed,
    DriverInstall,
    DriverPackage,
    DriverRefused,
    Finding,
    Kind,
    RenameFailed,
    ServiceInstalled,
    Source,
    Vouching,
)

_STAMP_STEP = timedelta(seconds=2)  # FAT keeps even seconds
_SUMMER_TIME = timedelta(hours=1)
_MANY = 3  # stops that make repetition certain
_SHARE = 0.6  # of the stops must name the driver


# --- when it came -------------------------------------------------------------------------


def untried(facts: Facts) -> tuple[str, ...]:
    """Early-starting drivers that changed in the newest session: no boot has proven them yet."""
    start = facts.times.good_start
    return tuple(
        driver
        for driver, candidate in facts.candidates.items()
        if start is not None
        and candidate.service.start in EARLY
        and any(start.when < when for _, when, _ in _changes(candidate, facts))
    )


def is_changed(driver: str, facts: Facts) -> bool:
    """Whether a driver changed in the time that matters."""
    return any(
        finding.driver == driver for rule in CHANGE_RULES for finding in rule.check(rule, facts)
    )


def in_window(when: datetime, facts: Facts, slack: timedelta = timedelta(0)) -> bool:
    """After the last good boot began, and before anything failed."""
    start = facts.times.good_start
    return (
        start is not None
        and start.when - slack < when
        and _before_failures(when - slack, facts.times)
    )


def _before_failures(when: datetime, timeline: Timeline) -> bool:
    """What changed only after boots had begun to fail did not make them fail."""
    first = timeline.first_failure
    return first is None or when <= first + _STAMP_STEP


def _changed(rule: Rule, facts: Facts) -> Iterator[Finding]:
    start = facts.times.good_start
    if start is None or not facts.is_failing:
        return
    for driver, candidate in facts.candidates.items():
        changes = [
            (what, when, source)
            for what, when, source in _changes(candidate, facts)
            if in_window(when, facts)
        ]
        if changes:
            told = " and ".join(f"{what} on {utc(when)}" for what, when, _ in changes)
            reason = (
                f"{driver}: {told}, after the last good boot began on {utc(start.when)}; "
                "no boot has come up since."
            )
            sources = tuple(source for _, _, source in changes)
            yield rule.found(driver, reason, *sources, start.source)


def _changes(candidate: Candidate, facts: Facts) -> Iterator[tuple[str, datetime, Source]]:
    service, file = candidate.service, candidate.file
    if file is not None:
        yield "its file was written", file.modified, file.source
    if service.last_written and service.name not in facts.bunches:
        yield "its service was set up", service.last_written, service.source


def _installed(rule: Rule, facts: Facts) -> Iterator[Finding]:
    if not facts.is_failing:
        return
    for event in facts.all(ServiceInstalled):
        if not in_window(event.when, facts):
            continue
        driver = facts.named(knowledge.file_name(event.image_path), event.service)
        if driver:
            reason = (
                f"{driver} was installed as service {event.service} on {utc(event.when)}, in the "
                "last session that came up; boots fail since."
            )
            yield rule.found(driver, reason, event.source)


def _set_up(rule: Rule, facts: Facts) -> Iterator[Finding]:
    """setupapi.dev.log: which drivers a device installation of the last good session brought."""
    if not facts.is_failing:
        return
    for section in facts.all(DriverInstall):
        if section.when is None or section.bias is None or section.status.startswith("FAIL"):
            continue
        when = section.when + timedelta(minutes=section.bias)
        if not in_window(when, facts, _SUMMER_TIME):
            continue
        for driver in _of_section(section, facts):
            reason = (
                f"{driver} was installed by '{section.title}' on {day(section.when)} (local time), "
                "in the last session that came up; boots fail since."
            )
            yield rule.found(driver, reason, section.source)


def _of_section(section: DriverInstall, facts: Facts) -> list[str]:
    """The candidates a section of setupapi.dev.log installed."""
    services = set(section.services)
    for package in facts.all(DriverPackage):
        if section.inf and section.inf in (package.published, package.original):
            services.update(package.services)
    found = {facts.named(name, "") for name in section.files}
    found |= {facts.named("", service) for service in services}
    return sorted(found - {""})


# --- how far the boot came ----------------------------------------------------------------


def _last_loaded(rule: Rule, facts: Facts) -> Iterator[Finding]:
    log = facts.times.boot_log
    if log is None or not log.ends_early:
        return
    loaded = [line for line in log.block.lines if line.loaded]
    last = next((line for line in reversed(loaded) if not _is_noise(line)), None)
    if last is not None and last.driver in facts.candidates and not log.came_past(last.driver):
        reason = (
            f"{last.driver} is the last driver the failing boot loaded ({day(log.block.started)}, "
            f"local time); its log stops there, after {len(loaded)} drivers."
        )
        source = Source(log.block.source.path, last.line)
        yield rule.found(last.driver, reason, source, log.block.source)


def _is_noise(line: BootLogLine) -> bool:
    return knowledge.is_container(line.driver)


def _new_in_log(rule: Rule, facts: Facts) -> Iterator[Finding]:
    log = facts.times.boot_log
    if log is None or not log.good or not facts.is_failing:
        return
    before = {line.driver for block in log.good for line in block.lines if line.loaded}
    for line in log.block.lines:
        if line.loaded and line.driver not in before and line.driver in facts.candidates:
            reason = (
                f"{line.driver} is loaded by the failing boot ({day(log.block.started)}, local "
                f"time) and by none of the {len(log.good)} earlier boots in the same log."
            )
            source = Source(log.block.source.path, line.line)
            yield rule.found(line.driver, reason, source)


# --- what crashes point to ----------------------------------------------------------------


def _crash_names(rule: Rule, facts: Facts) -> Iterator[Finding]:
    for driver, found in _by_driver(facts.blames, blame.DIRECT).items():
        first = found[0]
        detail = f" ({first.detail})" if first.detail else ""
        reason = f"{driver}: {_crash(first)}, and {first.how}{detail}.{_now(driver, facts)}"
        weight = rule.weight - 10 if all(one.how is How.REPORT for one in found) else None
        yield rule.found(driver, reason, *(one.source for one in found), weight=weight)


def _now(driver: str, facts: Facts) -> str:
    """What was done about a driver since, if anything."""
    if driver in facts.candidates:
        return ""
    gone = facts.can_be_named[driver].service.path is None
    return " Its file is gone now." if gone else " Its service is disabled now."


def _crash_stack(rule: Rule, facts: Facts) -> Iterator[Finding]:
    for driver, found in _by_driver(facts.blames, (How.STACK,)).items():
        first = found[0]
        reason = f"{driver}: {_crash(first)}, and {first.how} ({first.detail})."
        yield rule.found(driver, reason, *(one.source for one in found))


def _crashed_before(rule: Rule, facts: Facts) -> Iterator[Finding]:
    """The same stop code days before, with a dump that says more than the newest one does."""
    if facts.blames:
        return
    codes = {stop.code for stop in facts.times.stops}
    earlier = tuple(one for one in facts.recent_blames if one.stop.code in codes)
    for driver, found in _by_driver(earlier, blame.DIRECT).items():
        reason = (
            f"{driver}: {_crash(found[0])}, and {found[0].how}; since the last good boot Windows "
            "stopped with the same code, and no dump of that names anybody."
        )
        yield rule.found(driver, reason, *(one.source for one in found))


def _repeats(rule: Rule, facts: Facts) -> Iterator[Finding]:
    """Crash after crash names the same driver, one since the last good boot among them."""
    stops = len(facts.recent_stops)
    current = {found.driver for found in facts.blames}
    for driver, found in _by_driver(facts.recent_blames, tuple(How)).items():
        if driver not in current or len(found) < 2 or len(found) < _SHARE * stops:
            continue
        reason = (
            f"{driver} is named by {len(found)} of the {times(stops, 'crash')} of the last "
            f"{_days(found)}."
        )
        weight = rule.weight if len(found) >= _MANY else rule.weight - 5
        yield rule.found(driver, reason, *(one.source for one in found), weight=weight)


def _days(found: list[Blame]) -> str:
    moments = [one.stop.when for one in found]
    return times(max(1, (max(moments) - min(moments)).days + 1), "day")


def _by_driver(blames: tuple[Blame, ...], ways: tuple[How, ...]) -> dict[str, list[Blame]]:
    """The strongest way first."""
    found: defaultdict[str, list[Blame]] = defaultdict(list)
    for one in blames:
        if one.how in ways:
            found[one.driver].append(one)
    order = tuple(How)
    for against in found.values():
        against.sort(key=lambda one: order.index(one.how))
    return found


def _crash(found: Blame) -> str:
    stop = knowledge.stop_code(found.stop.code)
    name = f" {stop.name}" if stop.name else ""
    return f"Windows stopped on {utc(found.stop.when)} with {found.stop.code:#x}{name}"


# --- what other records name --------------------------------------------------------------


def _event_names(rule: Rule, facts: Facts) -> Iterator[Finding]:
    good = facts.times.last_good
    if good is None or not facts.is_failing:
        return
    events = facts.all(DriverFailed)
    usual = {event.name.lower() for event in events if event.when <= good.when}
    for event in events:
        driver = facts.named("", event.name) if event.when > good.when else ""
        if driver and event.name.lower() not in usual:
            reason = (
                f"Event {event.event} of {utc(event.when)} says that {event.name} failed to "
                "start; no earlier boot in the log says so."
            )
            yield rule.found(driver, reason, event.source)


def _refused(rule: Rule, facts: Facts) -> Iterator[Finding]:
    good = facts.times.last_good
    if good is None or not facts.is_failing:
        return
    events = [event for event in facts.all(DriverRefused) if event.enforced]
    usual = {event.driver for event in events if event.when <= good.when}
    for event in events:
        if event.when <= good.when or event.driver in usual:
            continue
        if event.driver in facts.candidates:
            reason = (
                f"Code integrity refused {event.driver} on {utc(event.when)} (event "
                f"{event.event}); it never did before in the same log."
            )
            yield rule.found(event.driver, reason, event.source)


def _not_loaded(rule: Rule, facts: Facts) -> Iterator[Finding]:
    for event in facts.loader_failures:
        driver = knowledge.file_name(event.application)
        if driver in facts.candidates:
            reason = f"The loader's log says that {driver} failed to load ({event.status:#x})."
            yield rule.found(driver, reason, event.source)


def _repair_names(rule: Rule, facts: Facts) -> Iterator[Finding]:
    repair = facts.times.repair
    if repair is None:
        return
    for path in repair.files:
        driver = knowledge.file_name(path)
        if driver in facts.can_be_named:
            cause = next((text for text in repair.causes if driver in text.lower()), path)
            reason = f"Startup Repair names {driver}: {cause!r}.{_now(driver, facts)}"
            yield rule.found(driver, reason, repair.source)


def _not_replaced(rule: Rule, facts: Facts) -> Iterator[Finding]:
    start = facts.times.good_start
    if start is None or not facts.is_failing:
        return
    for failed in facts.all(RenameFailed):
        driver = facts.named(knowledge.file_name(failed.path), "")
        bias = facts.bias
        if driver and failed.when is not None and bias is not None:
            when = failed.when + timedelta(minutes=bias)
            if when > start.when - _SUMMER_TIME:
                reason = (
                    f"{driver} was to be replaced or deleted at a boot, and was not (error "
                    f"{failed.code:#x})."
                )
                yield rule.found(driver, reason, failed.source)


# --- what its file is like ----------------------------------------------------------------


def _damaged(rule: Rule, facts: Facts) -> Iterator[Finding]:
    for driver, candidate in facts.candidates.items():
        file = candidate.file
        if file is None or candidate.service.start not in EARLY:
            continue
        wrong = _wrong_with(candidate, facts)
        if wrong:
            yield rule.found(driver, f"{driver} cannot be loaded: {wrong}.", file.source)


def _wrong_with(candidate: Candidate, facts: Facts) -> str:
    file = candidate.file
    if file is None:
        return ""
    if file.damage:
        return file.damage
    ours = facts.install.architecture
    if ours and file.machine and file.machine != ours:
        return f"it is made for {file.machine}, this Windows is {ours}"
    if file.vouching is Vouching.TAMPERED:
        return "its bytes are not those that were signed"
    return ""


def _imports(rule: Rule, facts: Facts) -> Iterator[Finding]:
    for driver, candidate in facts.candidates.items():
        file = candidate.file
        if file is not None and file.unresolved and candidate.service.start in EARLY:
            listed = ", ".join(file.unresolved[:3])
            reason = f"{driver} needs what this Windows does not export: {listed}."
            yield rule.found(driver, reason, file.source)


# --- what it does -------------------------------------------------------------------------


def _starts_early(rule: Rule, facts: Facts) -> Iterator[Finding]:
    stop = next(iter(facts.times.stops[-1:]), None)
    log = facts.times.boot_log
    if stop is None and not (log and log.ends_early):
        return
    if stop and knowledge.area(stop.code, stop.parameters) is not knowledge.Area.DRIVER:
        return
    early = Counter(item.service.start for item in facts.candidates.values())
    for driver, candidate in facts.candidates.items():
        service = candidate.service
        if service.start in EARLY:
            many = early[service.start]
            rest = "the only one" if many == 1 else f"one of {many}"
            reason = (
                f"{driver} is a third-party {service.start}-start driver, {rest} on this machine: "
                "it runs in every boot, before anybody can log on."
            )
            yield rule.found(driver, reason, service.source)


def _driver(id_: str, argument: Argument, weight: int, text: str, check: Check) -> Rule:
    return Rule(id_, Kind.DRIVER, argument, weight, text, check)


CHANGE_RULES: tuple[Rule, ...] = (
    _driver(
        "changed-since-good-boot",
        Argument.CHANGE,
        60,
        "The driver's file or its service key was written after the last good boot began and "
        "before the first failure. Key times that many services share are Windows' own writing "
        "and do not count.",
        _changed,
    ),
    _driver(
        "installed-before-failure",
        Argument.CHANGE,
        60,
        "The Service Control Manager recorded (event 7045) that the driver was installed in the "
        "last session that came up.",
        _installed,
    ),
    _driver(
        "set-up-before-failure",
        Argument.CHANGE,
        55,
        "setupapi.dev.log has a section of the last session that came up which installed the "
        "driver: it names its file or its service, or the INF that its package was published as.",
        _set_up,
    ),
)

RULES: tuple[Rule, ...] = (
    *CHANGE_RULES,
    _driver(
        "boot-log-last-loaded",
        Argument.BOOT_LOG,
        45,
        "ntbtlog.txt has a boot newer than the last good one; it ends before the drivers that "
        "complete boots load late, and this driver is the last it loaded, container modules "
        "left aside. Not so where another failed boot came well past it.",
        _last_loaded,
    ),
    _driver(
        "boot-log-new",
        Argument.BOOT_LOG,
        35,
        "The failing boot in ntbtlog.txt loaded this driver, and no earlier boot in the same file "
        "did.",
        _new_in_log,
    ),
    _driver(
        "crash-names-driver",
        Argument.CRASH,
        60,
        "A crash since the last good boot names the driver: the kernel's own verdict in the dump, "
        "the faulting instruction, the address of a driver unloaded before, the caller that asked "
        "for the stop, or the record of the crash. What Windows Error Reporting alone says counts "
        "ten less.",
        _crash_names,
    ),
    _driver(
        "crash-stack",
        Argument.CRASH,
        30,
        "The driver is the first on the crashing thread's stack that neither comes with Windows "
        "nor is a container module, where nothing in the dump names a driver directly. Words on "
        "a raw stack may be left over from earlier calls: on its own this is weak.",
        _crash_stack,
    ),
    _driver(
        "crash-named-before",
        Argument.CRASH,
        35,
        "No crash since the last good boot names anybody, but one of the two weeks before it, with "
        "the same stop code, names the driver directly.",
        _crashed_before,
    ),
    _driver(
        "crashes-repeat",
        Argument.REPEAT,
        25,
        "At least two crashes of the last two weeks, one of them since the last good boot, and "
        "most of all crashes in that time name the same driver. Two count five less than three.",
        _repeats,
    ),
    _driver(
        "event-names-driver",
        Argument.EVENT,
        25,
        "Since the last good boot an event (7000, 7001, 7026 of the Service Control Manager, 219 "
        "of Kernel-PnP) says that the driver failed to start, and no earlier one does. A driver "
        "that was not loaded cannot crash, so this weighs little.",
        _event_names,
    ),
    _driver(
        "code-integrity-refused",
        Argument.EVENT,
        40,
        "Since the last good boot code integrity refused to load the driver, and never before in "
        "the same log. Audit events do not count.",
        _refused,
    ),
    _driver(
        "loader-refused",
        Argument.EVENT,
        50,
        "Since a kernel last started the loader's own log (bootstat.dat, BOOTSTAT.DAT) says that "
        "the driver's file could not be loaded.",
        _not_loaded,
    ),
    _driver(
        "startup-repair-names-file",
        Argument.REPAIR,
        60,
        "Startup Repair ran since the last good boot and named the driver's file as a root cause. "
        "One that is not there any more is named as well.",
        _repair_names,
    ),
    _driver(
        "not-replaced",
        Argument.REPAIR,
        20,
        "PFRO.log says that the driver's file was to be replaced or deleted at a boot since the "
        "last good one, and was not.",
        _not_replaced,
    ),
    _driver(
        "file-damaged",
        Argument.FILE,
        50,
        "The file of a boot-start or system-start driver cannot be loaded: it is cut off, blank, "
        "made for another kind of processor, its checksum is wrong, or its bytes are not those "
        "that were signed.",
        _damaged,
    ),
    _driver(
        "imports-missing",
        Argument.FILE,
        40,
        "A boot-start or system-start driver imports functions that this Windows' own kernel and "
        "drivers do not export.",
        _imports,
    ),
    _driver(
        "starts-early",
        Argument.ROLE,
        20,
        "A third-party boot-start or system-start driver, where boots crash with a stop code that "
        "points to drivers, or the boot log ends early. A prior, no more: it never suffices.",
        _starts_early,
    ),
)
