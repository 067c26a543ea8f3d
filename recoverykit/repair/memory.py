"""What a repair remembers of the machine it was made on, for the next visit to judge it by.

Written into the first line of the journal, read back from it. What cannot be read is not known:
the journal's own checks say whether it may be relied on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from recoverykit.diagnosis import aftermath, timeline
from recoverykit.diagnosis.aftermath import Applied, Marks
from recoverykit.errors import RecoveryKitError
from recoverykit.model import (
    Diagnosis,
    Evidence,
    Plan,
    RegistryChange,
    ValueChange,
    Verdict,
    WindowsInstall,
)
from recoverykit.repair import journal
from recoverykit.repair.journal import Journal
from recoverykit.repair.journal_lines import Entries
from recoverykit.repair.naming import DISABLED
from recoverykit.repair.state import file_state

_MOST = 20  # stop codes, suspects


def of(evidence: Sequence[Evidence], diagnosis: Diagnosis | None) -> dict[str, object]:
    """What to remember of a machine that is about to be repaired, as JSON's own types."""
    marks = aftermath.marks(evidence)
    stops = dict.fromkeys(stop.code for stop in timeline.build(evidence).stops)
    suspects = diagnosis.suspects if diagnosis else ()
    return {
        "newest": _iso(marks.newest),
        "boot_id": marks.boot_id,
        "last_driver": marks.last_driver,
        "startup_repair": _iso(marks.startup_repair),
        "stops": list(stops)[:_MOST],
        "suspects": [one.driver for one in suspects if one.verdict is not Verdict.UNKNOWN][:_MOST],
    }


def about(plan: Plan) -> dict[str, object]:
    """What the plan is about, for `applied`."""
    return {"driver": plan.driver, "service": plan.service}


def applied(install: WindowsInstall) -> tuple[Applied, ...]:
    """The repairs made to this installation, oldest first, undone ones too.

    Of what cannot be read nothing is known; the history says that.
    """
    found = []
    with suppress(OSError, RecoveryKitError):
        for one in journal.find(install.mount):
            with suppress(OSError, RecoveryKitError, ValueError, TypeError, KeyError):
                entries = one.read()
                if entries.committed and _is_of(entries, install):
                    found.append(_applied(one, entries))
    return tuple(found)


def _is_of(entries: Entries, install: WindowsInstall) -> bool:
    """Names of disks change from visit to visit; the folder on this volume does not."""
    return str(entries.begin.get("root", "")).rpartition(":/")[2] == install.folder


def _applied(one: Journal, entries: Entries) -> Applied:
    begin = entries.begin
    kept = begin.get("machine")
    service = str(begin.get("service", ""))
    return Applied(
        id=one.id,
        when=datetime.fromisoformat(str(begin["started"])),
        driver=str(begin.get("driver", "")).lower(),
        service=service,
        title=str(begin.get("summary", "")),
        stops=tuple(int(code) for code in kept["stops"]) if kept else (),
        suspects=tuple(str(name) for name in kept["suspects"]) if kept else (),
        marks=_marks(kept) if kept else None,
        hive_written=_hive_written(one, entries),
        disabled=_disables((c for intent in entries.intents for c in intent.changes), service),
        moved=next((i.target for i in entries.intents if i.moved_to and not i.installed), ""),
        standing=not one.ended(entries) and not entries.undo_begun,
    )


def _marks(kept: Mapping[str, Any]) -> Marks:
    boot_id = kept["boot_id"]
    return Marks(
        newest=_moment(kept["newest"]),
        boot_id=None if boot_id is None else int(boot_id),
        last_driver=str(kept["last_driver"]),
        startup_repair=_moment(kept["startup_repair"]),
    )


def _hive_written(one: Journal, entries: Entries) -> bool | None:
    """Whether Windows has written a hive since we did; None where we wrote none."""
    hives = [intent for intent in (*entries.intents, *entries.undoing) if intent.is_hive]
    if not hives:
        return None
    last = hives[-1]
    with suppress(OSError):
        return file_state(one.mount, last.target).sha256 != last.after
    return None


def _disables(changes: Iterable[RegistryChange], service: str) -> bool:
    return bool(service) and any(
        isinstance(change, ValueChange)
        and change.name.casefold() == "start"
        and change.key.casefold().endswith(f"\\services\\{service}".casefold())
        and change.after == DISABLED
        for change in changes
    )


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(text: object) -> datetime | None:
    return None if text is None else datetime.fromisoformat(str(text))
