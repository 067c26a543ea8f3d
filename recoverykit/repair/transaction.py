"""Apply a plan so that a power cut at any step can be undone.

    1. nobody else works on the volume, no earlier repair was left half done
    2. the disk still is what the plan saw, and has room
    3. every change is computed in memory; nothing was written so far
    4. the transaction's folder, protected; the journal's first line; plan.json, report.json,
       undo.cmd and undo.reg
    5. every change, in the order `actions` gives
    6. `verify` reads the disk again
    7. COMMIT in the journal; before-images stay, because undo is a feature, not only an escape

Whatever fails from 4 on is rolled back by `undo.take_back`, as the next run does for a power cut.
If that fails too, RollbackError says exactly what stands where.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from recoverykit import durable
from recoverykit.errors import (
    FormatError,
    RecoveryKitError,
    RollbackError,
    RolledBackError,
    TargetRefusedError,
)
from recoverykit.host import lock
from recoverykit.host.ntfs_metadata import PRIVATE_FILE
from recoverykit.model import Plan, TransactionInfo, WindowsInstall
from recoverykit.repair import actions, fallback, journal, memory, plan_json, undo, verify
from recoverykit.repair.actions import Change
from recoverykit.repair.journal import Journal
from recoverykit.repair.state import file_state
from recoverykit.repair.target_path import locate

_STAMP = "%Y%m%dT%H%M%SZ"


Proof = Callable[[], tuple[str, ...]]


def apply(
    install: WindowsInstall,
    plan: Plan,
    *,
    now: datetime,
    report: bytes | None = None,
    supply: Mapping[str, bytes] | None = None,
    proof: Proof | None = None,
    machine: Mapping[str, object] | None = None,
) -> TransactionInfo:
    """Carry a plan out on a volume that is mounted for writing at `install.mount`.

    `supply`: what the plan installs, by sha256. `proof`: asked before the commit, on top of our own
    reading back, for what is worse than it was, one sentence each; then all is put back.
    `machine`: what the next visit has to know of this one (`memory.of`).

    Raises TargetRefusedError, FormatError or RecoveryKitError with nothing changed, or everything
    put back; RollbackError if that failed.
    """
    try:
        with lock.exclusive(install.mount):
            _require_settled(install.mount)
            _require_unchanged(install.mount, plan)
            _require_space(install.mount, plan)
            changes = actions.prepare(install.mount, plan, now, supply or {})
            before = verify.look(install.mount, changes)
            transaction = _begin(install, plan, now, machine)
            info = journal.info(transaction)
            _perform(transaction, _Work(install, plan, changes, before, report, proof))
    except OSError as exc:
        raise _nothing_changed(exc) from exc
    return replace(info, state="committed", changed=tuple(change.target for change in changes))


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be done, all of it computed."""

    install: WindowsInstall
    plan: Plan
    changes: tuple[Change, ...]
    before: Mapping[str, verify.Listing]
    report: bytes | None
    proof: Proof | None


def _perform(transaction: Journal, work: _Work) -> None:
    """Steps 4 to 7, or everything put back."""
    try:
        places = actions.places(transaction, work.changes)
        _record(transaction, work, places)
        actions.stock(transaction, work.changes, places)
        for change in work.changes:
            actions.carry_out(transaction, change, places.get(change.target, ""))
        _require_proof(verify.problems(transaction, work.plan, work.changes, work.before))
        if work.proof is not None:
            _require_proof(work.proof())
        transaction.append("commit")
    except (OSError, RecoveryKitError) as exc:
        _roll_back(transaction, exc)
    except BaseException:  # somebody pressed Ctrl-C, memory ran out: put back, then let it pass
        undo.take_back(transaction)
        raise


def history(mount: Path) -> tuple[TransactionInfo, ...]:
    """Every transaction on a volume, oldest first; one whose journal was altered is "damaged"."""
    try:
        found = journal.find(mount)
    except (OSError, RecoveryKitError) as exc:
        return (TransactionInfo(journal.HOME, "damaged", None, str(exc), journal.HOME),)
    return tuple(_info(one) for one in found)


def _info(found: Journal) -> TransactionInfo:
    try:
        return journal.info(found)
    except (OSError, FormatError, ValueError) as exc:
        return TransactionInfo(found.id, "damaged", None, str(exc), found.relative)


def abandoned(mount: Path) -> TransactionInfo | None:
    """The transaction that was begun and neither committed nor taken back; it blocks `apply`."""
    return next((info for info in history(mount) if info.state == "abandoned"), None)


# --- before anything is written -----------------------------------------------------------


def _require_settled(mount: Path) -> None:
    for info in history(mount):
        if info.state == "abandoned":
            raise TargetRefusedError(
                f"an earlier repair ({info.id}) was interrupted and must be taken back first",
                hint=f"recoverykit undo --transaction {info.id}",
            )
        if info.state == "damaged":
            raise TargetRefusedError(
                f"{info.folder} cannot be relied on: {info.summary}",
                hint="Look into that folder on the volume, then move it away and try again.",
            )


def _require_unchanged(mount: Path, plan: Plan) -> None:
    for state in plan.preconditions:
        locate(mount, state.path)
        if file_state(mount, state.path) != state:
            raise TargetRefusedError(
                f"{state.path} is no longer what the plan saw; nothing was changed",
                hint="Diagnose it again and look at the new plan.",
            )


def _require_space(mount: Path, plan: Plan) -> None:
    status = os.statvfs(mount)
    free = status.f_bavail * status.f_frsize
    if free < plan.space_needed:
        raise TargetRefusedError(
            f"volume full: {plan.space_needed >> 20} MiB are needed for the copies that make the "
            f"repair undoable, {free >> 20} MiB are free; nothing was changed",
            hint="Free some space on the volume, for example by deleting memory dumps.",
        )


# --- the transaction ----------------------------------------------------------------------


def _begin(
    install: WindowsInstall, plan: Plan, now: datetime, machine: Mapping[str, object] | None
) -> Journal:
    begin = {
        "started": now.astimezone(UTC).isoformat(timespec="seconds"),
        "summary": plan.title,
        "root": plan.root,
        "volume": install.volume.identity or install.volume.serial,
        "plan": plan_json.digest(plan),
        "machine": machine,
        **memory.about(plan),
    }
    return journal.create(install.mount, _identity(install.mount, now), begin)


def _nothing_changed(exc: OSError) -> RecoveryKitError:
    if exc.errno == errno.ENOSPC:
        return TargetRefusedError("volume full: nothing was changed", hint="Free some space on it.")
    if exc.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return TargetRefusedError(f"the volume cannot be written ({exc}); nothing was changed")
    return RecoveryKitError(f"the transaction could not be begun ({exc}); nothing was changed")


def _identity(mount: Path, now: datetime) -> str:
    """UTC time and a random part; later than every id there is, even if the clock ran backwards."""
    stamp = now.astimezone(UTC)
    known = [found.id for found in journal.find(mount)]
    if known:
        last = datetime.strptime(known[-1].partition("-")[0], _STAMP).replace(tzinfo=UTC)
        stamp = max(stamp, last + timedelta(seconds=1))
    return f"{stamp.strftime(_STAMP)}-{secrets.token_hex(2)}"


def _record(transaction: Journal, work: _Work, places: Mapping[str, str]) -> None:
    """What is done and how it is taken back, for people and for a Windows that runs again."""
    files = {"plan.json": plan_json.to_json(work.plan).encode()}
    if work.report is not None:
        files["report.json"] = work.report
    files |= fallback.texts(work.plan, work.install, transaction.id, places)
    for name, content in files.items():
        durable.write(transaction.folder / name, content, PRIVATE_FILE)


def _require_proof(problems: tuple[str, ...]) -> None:
    if problems:
        raise RecoveryKitError(f"reading it back showed: {'; '.join(problems)}")


def _roll_back(transaction: Journal, cause: Exception) -> None:
    """Take everything back and say so. Always raises."""
    try:
        undo.take_back(transaction)
    except RollbackError as exc:
        raise RollbackError(f"{cause}; then {exc}", hint=exc.hint) from cause
    except (OSError, RecoveryKitError) as exc:
        raise RollbackError(
            f"the repair failed ({cause}) and could not be taken back ({exc})",
            hint=f"The originals are in {transaction.relative}: recoverykit undo tries again.",
        ) from cause
    raise RolledBackError(f"the repair failed and was taken back: {cause}") from cause
