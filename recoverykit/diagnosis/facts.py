"""Evidence, sorted once for all rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TypeVar

from recoverykit.diagnosis import blame, knowledge, timeline
from recoverykit.diagnosis.blame import Blame
from recoverykit.diagnosis.stops import Stop
from recoverykit.diagnosis.timeline import Timeline
from recoverykit.model import (
    BootLogBlock,
    BootManagerEvent,
    DriverFile,
    DriverInstall,
    Evidence,
    Gap,
    Service,
    Source,
    StartType,
    WindowsInstall,
)

Item = TypeVar("Item", bound=Evidence)

EARLY = (StartType.BOOT, StartType.SYSTEM)
# Windows rewrites service keys in bunches at boot and during servicing; an installer writes few.
_BUNCH = 6
_BUNCH_WITHIN = timedelta(minutes=1)
_ANY_ZONE = timedelta(hours=15)
_SUMMER_TIME = timedelta(hours=1)
_FAILED = ("load-failed", "store-failed", "no-entry", "failed")
_RECENTLY = timedelta(days=14)  # before the newest stop: what recurs, recurs within days


@dataclass(frozen=True, slots=True)
class Candidate:
    """A driver that could keep this Windows from starting."""

    service: Service
    file: DriverFile | None


class Facts:
    """All evidence of one installation, by type, and what follows from it."""

    def __init__(self, install: WindowsInstall, evidence: Iterable[Evidence]) -> None:
        self.install = install
        self.evidence = tuple(evidence)
        self.times: Timeline = timeline.build(self.evidence)

    def all(self, kind: type[Item]) -> tuple[Item, ...]:
        """Every piece of evidence of one type, in the order it was collected."""
        return tuple(item for item in self.evidence if isinstance(item, kind))

    @cached_property
    def services(self) -> Mapping[str, Service]:
        """By name, case folded."""
        return {item.name.casefold(): item for item in self.all(Service)}

    @cached_property
    def files(self) -> Mapping[str, DriverFile]:
        """By path."""
        return {item.source.path: item for item in self.all(DriverFile)}

    @property
    def is_failing(self) -> bool:
        """Whether anything says that boots fail since the last good one."""
        return self.times.is_failing or bool(self.loader_failures)

    @property
    def is_healthy(self) -> bool:
        """Whether the newest thing known is a session that came up, or ended cleanly."""
        return self.times.is_healthy and not self.loader_failures

    @property
    def gaps(self) -> tuple[Gap, ...]:
        return self.all(Gap)

    @cached_property
    def knows_services(self) -> bool:
        """Whether a service that is not among the evidence does not exist.

        Not so where a part of the SYSTEM hive could not be read.
        """
        hive = self.install.system_hive
        return bool(self.services) and not any(gap.source.path == hive for gap in self.gaps)

    def source_of_version(self) -> Source:
        """Where it is written which Windows this is."""
        return Source(self.install.software_hive)

    def file_of(self, service: Service) -> DriverFile | None:
        return self.files.get(service.path or "")

    @cached_property
    def candidates(self) -> Mapping[str, Candidate]:
        """Who could do it again, by driver file name.

        Not: drivers that come with Windows, modules that others run inside, services that are
        disabled or have no file.
        """
        return {
            driver: candidate
            for driver, candidate in self.can_be_named.items()
            if candidate.service.path and candidate.service.start is not StartType.DISABLED
        }

    @cached_property
    def can_be_named(self) -> Mapping[str, Candidate]:
        """Whom a record may name: candidates, and drivers disabled or deleted since.

        One disabled since cannot crash again, but it did, and nobody it was called by.
        """
        found: dict[str, Candidate] = {}
        for service in self.all(Service):
            file = self.file_of(service)
            if service.driver and not knowledge.is_inbox(service.driver, file):
                known = found.get(service.driver)
                if known is None or _earlier(service, known.service):
                    found[service.driver] = Candidate(service, file)
        return found

    @cached_property
    def bunches(self) -> frozenset[str]:
        """Services whose keys were written together with many others."""
        return _bunches(self.all(Service))

    @cached_property
    def blames(self) -> tuple[Blame, ...]:
        """Whom the stops since the last good session name."""
        return self._blames(self.times.stops)

    @cached_property
    def named_directly(self) -> Mapping[str, int]:
        """How many stops since the last good session name a driver other than by the stack."""
        found: dict[str, int] = {}
        for one in self.blames:
            if one.how in blame.DIRECT:
                found[one.driver] = found.get(one.driver, 0) + 1
        return found

    @cached_property
    def recent_stops(self) -> tuple[Stop, ...]:
        """The stops since the last good session, and those of the days before them."""
        if not self.times.stops:
            return ()
        since = self.times.stops[-1].when - _RECENTLY
        return tuple(
            stop for stop in (*self.times.earlier_stops, *self.times.stops) if stop.when > since
        )

    @cached_property
    def recent_blames(self) -> tuple[Blame, ...]:
        return self._blames(self.recent_stops)

    def _blames(self, stops: Iterable[Stop]) -> tuple[Blame, ...]:
        return tuple(
            found for stop in stops for found in blame.of(stop, self.can_be_named.__contains__)
        )

    @cached_property
    def bias(self) -> int | None:
        """Minutes from the machine's local time to UTC, as what speaks local time carries them."""
        told = (item for item in self.evidence if isinstance(item, BootLogBlock | DriverInstall))
        return next((item.bias for item in told if item.bias is not None), None)

    @cached_property
    def loader_failures(self) -> tuple[BootManagerEvent, ...]:
        """What boot manager and loader logged as failed since a kernel last started.

        Their clock is the firmware's, in local time: it is believed to within a time zone where
        the zone is not known.
        """
        logs: dict[str, list[BootManagerEvent]] = {}
        for event in self.all(BootManagerEvent):
            logs.setdefault(event.source.path, []).append(event)
        return tuple(event for log in logs.values() for event in self._failures(log))

    def _failures(self, log: Sequence[BootManagerEvent]) -> list[BootManagerEvent]:
        ordered = sorted(log, key=lambda event: event.source.offset or 0)
        handed_over = [at for at, event in enumerate(ordered) if event.what == "kernel"]
        since = ordered[handed_over[-1] + 1 :] if handed_over else ordered
        return [event for event in since if event.what in _FAILED and self._is_new(event.when)]

    def _is_new(self, local: datetime | None) -> bool:
        good = self.times.last_good
        if local is None or good is None:
            return good is None
        slack = _ANY_ZONE if self.bias is None else _SUMMER_TIME
        return local + timedelta(minutes=self.bias or 0) > good.when - slack

    def named(self, file_name: str, service: str) -> str:
        """The candidate an event means, by file name or by service name; "" when none."""
        wanted = file_name.lower()
        if wanted in self.candidates:
            return wanted
        if not service:
            return ""
        wanted = service.lower()
        return next(
            (
                driver
                for driver, candidate in self.candidates.items()
                if wanted in (candidate.service.name.lower(), driver)
            ),
            "",
        )


def _earlier(one: Service, other: Service) -> bool:
    order = tuple(StartType)
    return order.index(one.start) < order.index(other.start)


def _bunches(services: Iterable[Service]) -> frozenset[str]:
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
