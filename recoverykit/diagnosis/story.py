"""The story of a machine's last days, for people: boots, installs, changes, crashes, repairs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from recoverykit.diagnosis import content_rules, knowledge
from recoverykit.diagnosis.facts import Facts
from recoverykit.model import (
    ContentFile,
    DiskTrouble,
    DriverInstall,
    HardwareError,
    Moment,
    ServiceInstalled,
    StartupRepair,
    UpdateEvent,
)

# WindowsUpdateClient 43, Servicing 1 and 4: not there yet.
_UPDATE = {1: "begun", 4: "waits for a restart", 43: "installation begun"}
_BEFORE = timedelta(days=30)  # before the last good session: what may still matter
_MOST = 200  # entries; the newest are kept


def tell(facts: Facts) -> tuple[Moment, ...]:
    """What happened, oldest first; at most the newest 200 entries."""
    moments = sorted(
        {moment for source in _SOURCES for moment in source(facts)},
        key=lambda moment: (moment.when, moment.what, moment.text),
    )
    anchor = facts.times.last_good or (moments[-1] if moments else None)
    if anchor is None:
        return ()
    kept = [moment for moment in moments if moment.when > anchor.when - _BEFORE]
    return tuple(kept[-_MOST:])


def _sessions(facts: Facts) -> Iterator[Moment]:
    for session in facts.times.sessions:
        yield Moment(session.start.when, "boot", "A boot began", (session.start.source,))
        if session.last_sign is not None and not session.crashed:
            text = "Shut down cleanly" if session.clean else "The session was alive"
            yield Moment(session.last_sign.when, "good", text, (session.last_sign.source,))
    for event in facts.times.unexpected:
        text = "A boot says that the session before it just stopped"
        yield Moment(event.when, "crash", text, (event.source,))


def _stops(facts: Facts) -> Iterator[Moment]:
    named: dict[int, str] = {}
    for blame in facts.recent_blames:
        named.setdefault(id(blame.stop), blame.driver)
    for stop in (*facts.times.earlier_stops, *facts.times.stops):
        code = knowledge.stop_code(stop.code)
        by = f", {named[id(stop)]}" if id(stop) in named else ""
        text = f"Windows stopped: {stop.code:#x} {code.name}".rstrip() + by
        yield Moment(stop.when, "crash", text, stop.sources)


def _installs(facts: Facts) -> Iterator[Moment]:
    for event in facts.all(ServiceInstalled):
        yield Moment(event.when, "install", f"Service {event.service} installed", (event.source,))
    for section in facts.all(DriverInstall):
        if section.when is not None and section.bias is not None:
            when = section.when + timedelta(minutes=section.bias)
            yield Moment(when, "install", section.title, (section.source,))


def _changes(facts: Facts) -> Iterator[Moment]:
    start = facts.times.good_start
    since = start.when - _BEFORE if start else None
    for driver, candidate in facts.candidates.items():
        file = candidate.file
        if file is not None and since is not None and file.modified > since:
            yield Moment(file.modified, "change", f"{driver} was written", (file.source,))
    for content in facts.all(ContentFile):
        if since is not None and content.modified > since:
            text = f"{content_rules.name(content)} (data of {content.driver}) was written"
            yield Moment(content.modified, "change", text, (content.source,))


def _repairs(facts: Facts) -> Iterator[Moment]:
    for repair in facts.all(StartupRepair):
        causes = "; ".join(repair.causes) or "no root cause named"
        yield Moment(repair.written, "repair", f"Startup Repair: {causes}", (repair.source,))


def _updates(facts: Facts) -> Iterator[Moment]:
    for event in facts.all(UpdateEvent):
        outcome = "failed to install" if event.failed else _UPDATE.get(event.event, "installed")
        yield Moment(event.when, "update", f"{event.title}: {outcome}", (event.source,))


def _trouble(facts: Facts) -> Iterator[Moment]:
    for trouble in facts.all(DiskTrouble):
        if trouble.severe:
            text = f"{trouble.provider} {trouble.event}: {trouble.text}"
            yield Moment(trouble.when, "trouble", text, (trouble.source,))
    for error in facts.all(HardwareError):
        text = f"WHEA {error.event}: {'fatal' if error.fatal else 'corrected'} hardware error"
        yield Moment(error.when, "trouble", text, (error.source,))


_SOURCES = (_sessions, _stops, _installs, _changes, _repairs, _updates, _trouble)
