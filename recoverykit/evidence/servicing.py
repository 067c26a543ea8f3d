"""Updates that wait for a boot, and renames that boots did not get done.

A pending restart is nothing bad: every update has one. What tells an update that does not get
finished is servicing's own log (failures at a start, start after start without an end), a restart
that is in progress, and errors of the queue. What the queue's file alone says is marked as a
leftover (active False) when nothing on the machine would run it any more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

from recoverykit.errors import RecoveryKitError, why
from recoverykit.evidence import reading, servicing_markers
from recoverykit.evidence.services import time_zone_bias
from recoverykit.formats import cbs_log, pending_xml, pfro
from recoverykit.formats.hive import Hive
from recoverykit.model import (
    Evidence,
    Gap,
    PendingServicing,
    RenameFailed,
    Source,
    WindowsInstall,
)

MAX_QUEUE = 4 << 20  # of pending.xml: it says all we ask in its beginning
MAX_LOG = 1 << 20  # of PFRO.log and CBS.log: their ends
MAX_EXECUTOR_LOG = 64 << 10
MANY_STARTS = 3  # an update that goes well needs one or two
_MAX_NAMED = 10
_FAILED = re.compile(r"\b(?:0x)?c0[0-9a-f]{6}\b", re.IGNORECASE)  # an NTSTATUS of the error kind
_RUN_QUEUE = ("SetupExecute", "PoqexecCmdline")


def collect(install: WindowsInstall, system: Hive) -> Iterator[Evidence]:
    """Everything that waits. `system`: the SYSTEM hive, made whole."""
    marks = [
        *servicing_markers.system(install, system),
        *servicing_markers.software(install),
    ]
    files = [
        *_guarded(install, "WinSxS/pending.xml", MAX_QUEUE, _queue),
        *_guarded(install, "WinSxS/reboot.xml", 0, _reboot),
    ]
    if any(isinstance(item, PendingServicing) for item in (*marks, *files)):
        marks += servicing_markers.components(install)
    runs = any(isinstance(item, PendingServicing) and _runs_queue(item) for item in marks)
    if runs or files:  # else its old errors are history
        files += _guarded(install, "WinSxS/poqexec.log", MAX_EXECUTOR_LOG, _executor)
    for item in marks:
        yield _left_over(item) if not files and _is_identifier(item) else item
    for item in files:
        yield item if runs else _left_over(item)
    yield from _guarded(install, "PFRO.log", MAX_LOG, _failed_renames)
    bias = time_zone_bias(install, system)
    for item in _guarded(install, "Logs/CBS/CBS.log", MAX_LOG, _startups):
        yield _in_utc(item, bias) if isinstance(item, PendingServicing) else item


def _runs_queue(item: PendingServicing) -> bool:
    if _is_identifier(item):
        return True
    return item.what in _RUN_QUEUE and servicing_markers.is_queue(item.text)


def _is_identifier(item: Evidence) -> bool:
    """The component store's name for a queue: worth nothing without the queue's file."""
    return isinstance(item, PendingServicing) and item.what == "PendingXmlIdentifier"


def _left_over(item: Evidence) -> Evidence:
    return replace(item, active=False) if isinstance(item, PendingServicing) else item


# --- files --------------------------------------------------------------------------------


def _guarded(
    install: WindowsInstall,
    name: str,
    limit: int,
    meaning: Callable[[reading.Content], Iterator[Evidence]],
) -> Iterator[Evidence]:
    """What a file of the Windows folder means; nothing where it is absent."""
    path = f"{install.folder}/{name}"
    read = reading.beginning if name.endswith(".xml") else reading.end
    try:
        content = read(install.mount, path, limit)
        if content is not None:
            yield from meaning(content)
    except (OSError, RecoveryKitError) as exc:
        yield Gap(Source(path), f"{name} cannot be read: {why(exc)}.")


def _queue(content: reading.Content) -> Iterator[Evidence]:
    found = pending_xml.parse(content.data)
    least = "at least " if content.size > len(content.data) else ""
    text = f"The queue of an update holds {least}{found.operations} operations"
    if found.drivers:
        names = reading.plain(", ".join(found.drivers[:_MAX_NAMED]))
        more = len(found.drivers) - _MAX_NAMED
        text += f"; drivers among them: {names}" + (f" and {more} more" if more > 0 else "")
    yield PendingServicing(Source(content.path), "pending.xml", f"{text}.", content.written)


def _reboot(content: reading.Content) -> Iterator[Evidence]:
    text = "Servicing left instructions for the restart."
    yield PendingServicing(Source(content.path), "reboot.xml", text, content.written)


def _executor(content: reading.Content) -> Iterator[Evidence]:
    """The executor's last error. Its log's format is not published: a code is all we look for."""
    text = content.data.decode("utf-16-le" if content.data[1:2] == b"\0" else "utf-8", "replace")
    failed = [line for line in text.splitlines() if _FAILED.search(line[:2048])]
    if failed:
        told = reading.plain(failed[-1].strip("\ufeff\0 "))
        text = f'The executor of the queue logged an error: "{told}".'
        yield PendingServicing(Source(content.path), "poqexec.log", text, content.written)


def _failed_renames(content: reading.Content) -> Iterator[Evidence]:
    if content.skipped:
        reason = f"Only its end was read: lines count from byte {content.skipped}."
        yield Gap(Source(content.path), reason)
    for failure in pfro.parse(content.data):
        source = Source(content.path, failure.line)
        yield RenameFailed(source, failure.when, failure.old, failure.code)


def _startups(content: reading.Content) -> Iterator[Evidence]:
    """Times are those of the machine here: see _in_utc."""
    found = cbs_log.parse(content.data)
    for failure in found.failures:
        source = Source(content.path, content.skipped + failure.offset)
        text = f"Servicing logged a failure: {reading.plain(failure.text)}"
        yield PendingServicing(source, "CBS.log", text, failure.when)
    if found.begun >= MANY_STARTS:
        text = f"Servicing had work to do at {found.begun} starts in a row and did not finish it."
        yield PendingServicing(Source(content.path), "CBS.log", text)


def _in_utc(item: PendingServicing, bias: int | None) -> PendingServicing:
    """Its time by the machine's clock becomes UTC; without a time zone there is none."""
    if item.when is None:
        return item
    if bias is None:
        return replace(item, when=None)
    try:
        return replace(item, when=item.when + timedelta(minutes=bias))
    except OverflowError:
        return replace(item, when=None)
