"""What a pack that applies would do here: one plan over all its acts, or the reason for none.

Decides, and writes nothing. Drivers go through the planner and the guard of every repair, values
through that of `recoverykit reg`. One act that is refused refuses the whole pack.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from recoverykit import installs
from recoverykit.errors import NoCulpritError, RecoveryKitError, why
from recoverykit.formats.hive import Hive, fold
from recoverykit.model import (
    Evidence,
    FileState,
    Finding,
    Plan,
    QuarantineFile,
    Refusal,
    Service,
    Suspect,
    Verdict,
    WindowsInstall,
)
from recoverykit.packs import keys, places, service_values, supply
from recoverykit.packs.detection import Detection, Seen, detect
from recoverykit.packs.merging import merged
from recoverykit.packs.pack import (
    Act,
    DeleteValue,
    DriverCondition,
    Pack,
    Quarantine,
    Replace,
    SetValue,
)
from recoverykit.packs.supply import NOTHING, Given
from recoverykit.repair import plan as planning
from recoverykit.repair import registry_plan
from recoverykit.repair.edits import MARGIN
from recoverykit.repair.state import can_be_put_back, file_state

MOST_BYTES = 4 << 30  # of files one pack moves

_WEIGHT = 100  # a signed pack is no suspicion: its author knows


@dataclass(frozen=True, slots=True)
class Made:
    """A plan, and the new files in it by their sha256."""

    plan: Plan
    supply: Mapping[str, bytes] = field(default_factory=dict, repr=False)


class _RefusedError(Exception):
    """One act cannot be done. Never leaves this module."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


def make(
    pack: Pack,
    install: WindowsInstall,
    evidence: Sequence[Evidence],
    hive: Hive,
    given: Given = NOTHING,
    detection: Detection | None = None,
) -> Made | Refusal | None:
    """None: the pack does not apply here, or all of it is so already.

    `hive`: SYSTEM, read with its logs; `detection`: if it was made already. Reads the files
    involved to name their hashes. Raises OSError and FormatError where those cannot be read.
    """
    if not pack.signer:
        return _refusal(pack, "nobody has signed it.")
    found = detection or detect(pack, install, evidence)
    if found.applies is not True:
        return None if found.applies is False else _refusal(pack, found.text)
    work = _Work(pack, install, evidence, hive, given, found)
    try:
        plans = [plan for act in pack.acts for plan in work.planned(act)]
        if not plans:
            return None
        plan = merged(plans, f"apply pack {pack.id}: {pack.title}", _reason(pack, found))
    except _RefusedError as exc:
        return exc.refusal
    except RecoveryKitError as exc:
        return _refusal(pack, f"{why(exc)}.")
    return Made(plan, work.supply)


def _refusal(pack: Pack, reason: str) -> Refusal:
    return Refusal("", "", f"The remediation pack {pack.id} was refused whole: {reason}")


def _reason(pack: Pack, found: Detection) -> str:
    seen = " ".join(item.text for item in found.seen if item.holds)
    return f"The remediation pack {pack.id}, signed by {pack.signer}, applies here. {seen}"


@dataclass(slots=True)
class _Work:
    """All that planning an act needs."""

    pack: Pack
    install: WindowsInstall
    evidence: Sequence[Evidence]
    hive: Hive
    given: Given
    found: Detection
    supply: dict[str, bytes] = field(default_factory=dict)
    moved: int = 0
    software: Hive | None = None

    def planned(self, act: Act) -> list[Plan]:
        """Nothing where the act has nothing to do."""
        if isinstance(act, SetValue | DeleteValue):
            return self._value(act)
        seen = self.found.of(act.condition)
        if not seen.holds:
            return []  # another of the conditions made the pack apply
        if isinstance(act, Replace):
            return self._replacement(act, seen)
        if isinstance(self.pack.condition(act.condition), DriverCondition):
            return self._drivers(act, seen)
        return [self._moved(path) for path in seen.paths]

    def refuse(self, reason: str) -> _RefusedError:
        return _RefusedError(_refusal(self.pack, reason))

    # --- drivers and files ----------------------------------------------------------------

    def _drivers(self, act: Quarantine, seen: Seen) -> list[Plan]:
        if not seen.services:
            raise self.refuse(
                f"{act.condition} is about a program: set its Start value instead of moving it."
            )
        plans = []
        for service in _one_of_each_file(seen.services):
            suspect = self._suspect(service.path, service, seen)
            made = planning.make(self.install, suspect, self.evidence, self.hive)
            if isinstance(made, Refusal):
                reason = f"{act.condition}: {made.reason}"
                whole = _refusal(self.pack, reason).reason
                raise _RefusedError(Refusal(made.driver, made.service, whole, made.role))
            plans.append(made)
        return plans

    def _suspect(self, path: str | None, service: Service | None, seen: Seen) -> Suspect:
        driver = service.driver if service else (path or "").rpartition("/")[2].lower()
        reason = f"The remediation pack {self.pack.id} names it: {self.pack.title}."
        finding = Finding(driver, "pack", _WEIGHT, reason, seen.sources)
        name = service.name if service else ""
        return Suspect(driver, name, Verdict.CULPRIT, _WEIGHT, (finding,), path)

    def _moved(self, path: str) -> Plan:
        reason = places.refuse_moving(path, self.install, self.evidence)
        if not reason and not can_be_put_back(self.install.mount / path):
            reason = "it has other hard links, so it could not be put back exactly"
        if reason:
            raise self.refuse(f"{path} is not moved: {reason}.")
        state = file_state(self.install.mount, path)
        self.moved += state.size
        if self.moved > MOST_BYTES:
            raise self.refuse(f"its files have more than {MOST_BYTES >> 30} GiB.")
        return Plan(
            root=self.install.root,
            driver="",
            service="",
            reason="",
            actions=(QuarantineFile(path, state.sha256, state.size),),
            preconditions=(state,),
            space_needed=2 * state.size + MARGIN,
        )

    def _replacement(self, act: Replace, seen: Seen) -> list[Plan]:
        if len(seen.paths) != 1:
            raise self.refuse(
                f"{act.condition} finds {len(seen.paths)} files; one is replaced at a time."
            )
        path = seen.paths[0]
        reason = places.refuse_replacing(path, self.install, self.evidence)
        if reason:
            raise self.refuse(f"{path} is not replaced: {reason}.")
        state = file_state(self.install.mount, path)
        if state.sha256 == act.sha256:
            return []
        content = supply.find(act, path, self.install, self.evidence, self.given)
        self.supply[act.sha256] = content
        new = FileState(path, act.sha256, len(content))
        service = seen.services[0] if seen.services else None
        suspect = self._suspect(path, service, seen)
        origin = f"remediation pack {self.pack.id} ({act.file})"
        return [planning.replacing(self.install, suspect, path, new, origin)]

    # --- values ---------------------------------------------------------------------------

    def _value(self, act: SetValue | DeleteValue) -> list[Plan]:
        path, key = keys.located(act.key, self.install)
        if act.key.hive == keys.SYSTEM and self.install.control_set == installs.NO_CONTROL_SET:
            raise self.refuse("the SYSTEM hive cannot be read.")
        hive = self._hive(act.key)
        try:
            changes = (
                registry_plan.set_value(hive, key, act.value, act.data, create=act.create)
                if isinstance(act, SetValue)
                else registry_plan.delete_value(hive, key, act.value)
            )
        except NoCulpritError as exc:
            if isinstance(act, DeleteValue):
                return []  # it is so already
            raise self.refuse(f"{act.key.text}: {why(exc)}; create = true makes it.") from exc
        reason = service_values.refuse(act, changes, self.install, self.evidence, hive)
        if reason:
            raise self.refuse(f"{act.value or '(default)'} of {act.key.text}: {reason}.")
        plan = registry_plan.make(self.install, {path: changes}, title="", reason="")
        return [] if plan is None else [plan]

    def _hive(self, key: keys.KeyName) -> Hive:
        if key.hive == keys.SYSTEM:
            return self.hive
        if self.software is None:
            self.software, _ = installs.read_hive(self.install, self.install.software_hive)
        return self.software


def _one_of_each_file(services: Sequence[Service]) -> list[Service]:
    """The planner finds the other services of a file by itself."""
    found: dict[str, Service] = {}
    for service in services:
        found.setdefault(fold(service.path or f"\0{service.name}"), service)
    return list(found.values())
