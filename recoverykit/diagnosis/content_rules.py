"""What speaks against a data file of a driver: definitions, rules, channel files.

On 19 July 2024 csagent.sys crashed 8.5 million machines; the driver had not changed, the
newest of its channel files had (CrowdStrike, "Channel File 291" root cause analysis). A content
file is looked at only where a crash names its driver directly and the driver itself did not change.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from recoverykit.diagnosis import blame, driver_rules
from recoverykit.diagnosis.facts import Facts
from recoverykit.diagnosis.rule import Argument, Check, Rule, utc
from recoverykit.model import ContentFile, Finding, Kind

_BARELY = 5
_CLEARLY = timedelta(minutes=1)  # newer than the next: one update writes its files within seconds


def name(file: ContentFile) -> str:
    """The file's name, as a suspect is called."""
    return file.source.path.rsplit("/", 1)[-1]


def suspected(facts: Facts) -> dict[str, list[ContentFile]]:
    """Content files changed since the last good boot, newest first, by their blamed driver."""
    found: dict[str, list[ContentFile]] = {}
    for driver in sorted({one.driver for one in facts.blames if one.how in blame.DIRECT}):
        if driver_rules.is_changed(driver, facts):
            continue
        files = [
            file
            for file in facts.all(ContentFile)
            if file.driver == driver
            and driver_rules.in_window(file.modified, facts)
            and not _crashed_before(file, facts)
        ]
        if files:
            found[driver] = sorted(files, key=lambda file: file.modified, reverse=True)
    return found


def _crashed_before(file: ContentFile, facts: Facts) -> bool:
    """Whether the driver crashed as well before this file was there."""
    return any(
        one.driver == file.driver and one.how in blame.DIRECT and one.stop.when < file.modified
        for one in facts.recent_blames
    )


def _changed(rule: Rule, facts: Facts) -> Iterator[Finding]:
    for driver, files in suspected(facts).items():
        for file in files:
            reason = (
                f"{name(file)}, a data file of {driver}, was written on {utc(file.modified)}, "
                f"after the last good boot began; {driver} itself did not change."
            )
            yield rule.found(name(file), reason, file.source)


def _of_blamed(rule: Rule, facts: Facts) -> Iterator[Finding]:
    for driver, files in suspected(facts).items():
        told = [one for one in facts.blames if one.driver == driver and one.how in blame.DIRECT]
        for file in files:
            reason = (
                f"{driver}, which reads {name(file)}, is what Windows crashed in on "
                f"{utc(told[0].stop.when)}: {told[0].how}."
            )
            yield rule.found(name(file), reason, *(one.source for one in told))


def _newest(rule: Rule, facts: Facts) -> Iterator[Finding]:
    for driver, files in suspected(facts).items():
        first = files[0]
        alone = len(files) == 1
        rest = "the only one" if alone else f"the newest of {len(files)}"
        reason = f"{name(first)} is {rest} of {driver}'s data files changed in that time."
        clearly = alone or first.modified - files[1].modified >= _CLEARLY
        yield rule.found(name(first), reason, first.source, weight=None if clearly else _BARELY)


def _blank(rule: Rule, facts: Facts) -> Iterator[Finding]:
    for driver, files in suspected(facts).items():
        for file in files:
            if file.blank:
                reason = f"{name(file)} of {driver} begins with nothing but zeros."
                yield rule.found(name(file), reason, file.source)


def _content(id_: str, argument: Argument, weight: int, text: str, check: Check) -> Rule:
    return Rule(id_, Kind.CONTENT, argument, weight, text, check)


RULES: tuple[Rule, ...] = (
    _content(
        "content-changed",
        Argument.CHANGE,
        50,
        "A data file beside a driver that a crash names directly was written after the last good "
        "boot began and before the first failure, while the driver and its service were not, and "
        "no crash of the two weeks before names the driver already.",
        _changed,
    ),
    _content(
        "content-of-blamed-driver",
        Argument.CRASH,
        50,
        "The driver that reads the file is the one that a crash since the last good boot names "
        "directly.",
        _of_blamed,
    ),
    _content(
        "content-newest",
        Argument.ROLE,
        25,
        "Of the driver's data files changed in that time the file is the newest. By less than a "
        "minute that counts five: files written together are equally suspect.",
        _newest,
    ),
    _content(
        "content-blank",
        Argument.FILE,
        20,
        "The file begins with 4 KiB of zeros: it was never written out.",
        _blank,
    ),
)
