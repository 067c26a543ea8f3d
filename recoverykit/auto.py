"""What the medium runs at boot: check the medium, diagnose, then repair as it was told.

The kernel command line decides (docs/boot-options.md): `rk.mode=ask` shows the technician's
screen, `repair` acts on proven culprits without a question, `diagnose` changes nothing. No disk
is opened before the medium has proved to be what its builder signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from recoverykit import (
    console,
    medium,
    pipeline,
    remedy,
    report,
    report_html,
    report_json,
    settings,
)
from recoverykit.console import Screen
from recoverykit.errors import RecoveryKitError, SignatureRefusedError
from recoverykit.host import consoles, medium_device, reports
from recoverykit.model import LogPolicy, Outcome, Report, TransactionInfo
from recoverykit.proposal import Choices
from recoverykit.remedy import Remedy
from recoverykit.settings import Settings
from recoverykit.visit import Options
from signing import keys
from signing.errors import SigningError


class Mode(StrEnum):
    ASK = "ask"
    REPAIR = "repair"
    DIAGNOSE = "diagnose"


class BootMedium(Protocol):
    """The medium this system came from, mounted read-only (recoverykit.host.medium_device)."""

    @property
    def mount(self) -> Path: ...

    @property
    def devices(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class Ended:
    """How the session ended: its exit code, and what a person asked for last."""

    exit_code: int
    power: str = ""  # "reboot", "poweroff" or "" (as the command line says)


def main(cmdline: Mapping[str, str], booted_from: BootMedium | None) -> Ended:
    """Run the session on every console; `cmdline` holds the kernel's key=value words."""
    with consoles.opened() as terminals:
        screen = Screen(terminals.write, terminals.read_line)
        ended = _session(screen, cmdline, booted_from)
        screen.say(f"RK-END {ended.exit_code}")
        return ended


def _session(screen: Screen, cmdline: Mapping[str, str], booted_from: BootMedium | None) -> Ended:
    mode = _mode(cmdline, screen)
    try:
        recipe = _check_medium(screen, cmdline, booted_from)
        choices = _choices(recipe)
    except RecoveryKitError as exc:
        screen.say(f"REFUSED: {exc}")
        screen.say(exc.hint or "Write the stick again from the image, and check the image first.")
        screen.say("No disk of this computer was opened.")
        return Ended(exc.exit_code, _ask_power(screen) if mode is Mode.ASK else "")
    options = replace(_options(screen, cmdline, booted_from, mode), choices=choices)
    if mode is Mode.ASK:
        return _technician(screen, options)
    return Ended(_unattended(screen, options, mode))


def _keep(screen: Screen, found: Report, options: Options) -> None:
    """A copy for whoever carries the stick; a medium without room for it is normal."""
    if not found.installations:
        return
    about = found.installations[0].install.volume.serial or "disk"
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{about}-{found.verb}"
    files = {
        f"{name}.json": report_json.to_json(found).encode(),
        f"{name}.txt": report.to_text(found, details=True).encode(),
        f"{name}.html": report_html.to_html(found).encode(),
    }
    try:
        where = reports.save(options.exclude, files)
    except OSError as exc:
        screen.say(f"The report could not be written to the medium: {exc}.")
        return
    if where:
        screen.say(f"The report was written to {where} ({name}.json, .txt and .html).")


def _mode(cmdline: Mapping[str, str], screen: Screen) -> Mode:
    word = cmdline.get("rk.mode", Mode.ASK)
    try:
        return Mode(word)
    except ValueError:
        # A typo must never turn into an unattended change.
        screen.say(f"Unknown rk.mode={word}: nothing will be changed (rk.mode=diagnose).")
        return Mode.DIAGNOSE


def _options(
    screen: Screen, cmdline: Mapping[str, str], booted_from: BootMedium | None, mode: Mode
) -> Options:
    default = LogPolicy.ASK if mode is Mode.ASK else LogPolicy.REPLAY
    policy = default
    with suppress(ValueError):
        policy = LogPolicy(cmdline.get("rk.ntfs_log", default))
    return Options(
        unattended=mode is not Mode.ASK,
        dry_run=mode is Mode.DIAGNOSE,
        ntfs_log=policy,
        exclude=booted_from.devices if booted_from else frozenset(),
        say=lambda text: screen.say(f"... {text}"),
        ask=screen.confirm if mode is Mode.ASK else None,
    )


def _choices(recipe: Settings) -> Choices:
    """What the administrator decided at the desk. Raises SignatureRefusedError."""
    try:
        trust = tuple(keys.load_certificate(path) for path in recipe.driver_trust)
    except SigningError as exc:
        raise SignatureRefusedError(f"a certificate on this medium: {exc}") from exc
    return Choices(folders=recipe.replacements, trust=trust)


def _check_medium(
    screen: Screen, cmdline: Mapping[str, str], booted_from: BootMedium | None
) -> Settings:
    """Raises SignatureRefusedError; FormatError for settings that no builder writes."""
    state = medium.verify_payload()
    recipe = settings.load()
    screen.say(
        console.banner(
            state.image_id or cmdline.get("rk.image", ""),
            state.signer.replace(", key ", ",\nkey "),
            development=state.development,
            settings=recipe,
        )
    )
    if booted_from is None:
        screen.say("The medium itself was not found again; the running payload is unchanged.")
        return recipe
    screen.say("... Checking the medium")
    medium.verify_medium(booted_from.mount, image_id=state.image_id)
    with suppress(OSError):  # then it stays mounted, read-only, and only reports suffer
        medium_device.release(booted_from.mount)
    screen.say("The medium is unchanged since it was signed.")
    return recipe


# --- nobody watches -----------------------------------------------------------------------


def _unattended(screen: Screen, options: Options, mode: Mode) -> int:
    _reopen(screen, options)
    found = pipeline.diagnose(None, options)
    screen.say("RK-REPORT")
    screen.say(console.overview(found))
    if mode is Mode.DIAGNOSE:
        _keep(screen, found, options)
        return found.exit_code
    for taken_back in pipeline.take_back_interrupted(None, found, options):
        screen.say(console.overview(taken_back))
        found = pipeline.diagnose(None, options)
    found = _packs_applied(screen, found, options)
    done = pipeline.carry_out(found, options)
    screen.say("RK-DONE")
    screen.say(console.overview(done))
    _keep(screen, done, options)
    return done.exit_code


def _reopen(screen: Screen, options: Options) -> None:
    """Before anything is looked at: what an interrupted repair shut cannot be looked at."""
    try:
        for text in pipeline.reopen(None, replace(options, say=lambda _: None)):
            screen.say(text)
    except RecoveryKitError as exc:
        screen.say(f"A volume that an interrupted repair shut stays shut: {exc}")


def _packs_applied(screen: Screen, found: Report, options: Options) -> Report:
    """What the organisation says comes first; where it acted, nothing else is done at this visit.

    What is left to repair is what stands in the answer.
    """
    for signed in _carried(screen):
        planned = remedy.plan(None, signed, options)
        if any(entry.plan or entry.refusals for entry in planned.installations):
            screen.say(console.overview(planned))
        if not any(entry.plan for entry in planned.installations):
            continue
        done = pipeline.carry_out(planned, options, remedy.job(signed))
        screen.say(console.overview(done))
        _keep(screen, done, options)
        if any(entry.outcome is Outcome.APPLIED for entry in done.installations):
            return _settled(done, pipeline.diagnose(None, options))
    return found


def _carried(screen: Screen) -> tuple[Remedy, ...]:
    try:
        return remedy.carried()
    except RecoveryKitError as exc:
        screen.say(f"The remediation packs of this medium are not used: {exc}")
        return ()


def _settled(done: Report, found: Report) -> Report:
    """The diagnosis without plans for those that a pack has just repaired."""
    roots = {entry.install.root for entry in done.installations if entry.outcome is Outcome.APPLIED}
    entries = (
        replace(entry, plan=None, plan_digest="", exit_code=0)
        if entry.install.root in roots
        else entry
        for entry in found.installations
    )
    return replace(found, installations=tuple(entries))


# --- the technician -----------------------------------------------------------------------


def _technician(screen: Screen, options: Options) -> Ended:
    _reopen(screen, options)
    found = pipeline.diagnose(None, options)
    screen.say("RK-REPORT")
    screen.say(console.overview(found))
    found = _packs_applied(screen, found, options)
    while True:
        undoable = _undoable(options)
        choice = screen.choose("What shall be done?", console.menu(found, undoable))
        if choice in (None, "r", "p"):
            power = {"r": "reboot", "p": "poweroff"}.get(choice or "", "")
            return Ended(found.exit_code, power)
        if choice == "y":
            found = _carried_out(screen, found, options)
        elif choice == "d":
            screen.say(console.overview(found, details=True))
        elif choice == "u":
            screen.say(console.overview(_undone(undoable, options)))
        else:
            found = pipeline.diagnose(None, options)
            screen.say(console.overview(found))


def _carried_out(screen: Screen, found: Report, options: Options) -> Report:
    done = pipeline.carry_out(found, options)
    screen.say(console.overview(done))
    _keep(screen, done, options)
    applied = [entry for entry in done.installations if entry.outcome is Outcome.APPLIED]
    if any(line.ok is False for entry in applied for line in entry.checks_after):
        screen.say("Take the stick out, then restart. The boot check still finds faults (above):")
        screen.say("if Windows does not start, boot this medium again.")
    elif applied:
        screen.say("Take the stick out, then restart: Windows should start now.")
    return done


def _undoable(options: Options) -> tuple[TransactionInfo, ...]:
    entries = pipeline.history(None, replace(options, say=lambda _: None)).installations
    return tuple(info for entry in entries for info in entry.history if info.state != "undone")


def _undone(undoable: tuple[TransactionInfo, ...], options: Options) -> Report:
    return pipeline.undo(None, max(info.id for info in undoable), options)


def _ask_power(screen: Screen) -> str:
    answer = screen.choose("What now?", {"r": "restart", "p": "power off"})
    return {"r": "reboot", "p": "poweroff"}.get(answer or "", "")
