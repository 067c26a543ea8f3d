"""What a pack says must hold afterwards, read from the disk again. Reads only."""

from __future__ import annotations

from recoverykit import installs
from recoverykit.errors import RecoveryKitError, why
from recoverykit.formats.hive import Hive, Key, fold
from recoverykit.model import WindowsInstall
from recoverykit.packs import keys, search
from recoverykit.packs.detection import value_of
from recoverykit.packs.examiner import Examiner
from recoverykit.packs.pack import (
    Disabled,
    FileCondition,
    Gone,
    Holds,
    Pack,
    Present,
    Proof,
)

_DISABLED = 4


def verify(pack: Pack, install: WindowsInstall) -> tuple[str, ...]:
    """One sentence for everything that does not hold, or that cannot be read. Never raises."""
    found = []
    checking = _Checking(pack, install)
    for proof in pack.proofs:
        try:
            problem = checking.problem(proof)
        except (OSError, RecoveryKitError) as exc:
            problem = f"what the pack {pack.id} asks for cannot be checked: {why(exc)}"
        if problem:
            found.append(problem)
    return tuple(found)


class _Checking:
    def __init__(self, pack: Pack, install: WindowsInstall) -> None:
        self._pack, self._install = pack, install
        self._examiner = Examiner(install)
        self._hives: dict[str, Hive] = {}

    def problem(self, proof: Proof) -> str:
        """ "" where it holds."""
        if isinstance(proof, Gone):
            left = self._files(proof.condition)
            return f"{left} is still there" if left else ""
        if isinstance(proof, Present):
            condition = self._condition(proof.condition)
            shown = f"no file is {condition.pattern.text} as the pack wants it"
            return "" if self._files(proof.condition) else shown
        if isinstance(proof, Disabled):
            return self._disabled(proof.service)
        return self._holds(proof)

    def _condition(self, name: str) -> FileCondition:
        condition = self._pack.condition(name)
        if not isinstance(condition, FileCondition):
            raise RecoveryKitError(f"{name} is about no files")
        return condition

    def _files(self, name: str) -> str:
        """The first file that a condition finds; "" where there is none."""
        condition = self._condition(name)
        for path in search.find(self._install, condition.pattern):
            if self._examiner.passes(path, condition.test):
                return path
        return ""

    def _disabled(self, service: str) -> str:
        name = keys.KeyName(keys.SYSTEM, f"CurrentControlSet\\Services\\{service}")
        hive, path = self._located(name)
        key = hive.find(path)
        if key is None or all(_is_disabled(each) for each in _starts(key)):
            return ""
        return f"the service {service} still starts"

    def _holds(self, proof: Holds) -> str:
        hive, path = self._located(proof.key)
        if value_of(hive, path, proof.value) == proof.data:
            return ""
        wanted = "is still there" if proof.data is None else "is not what the pack wants"
        return f"{proof.value or '(default)'} of {proof.key.text} {wanted}"

    def _located(self, key: keys.KeyName) -> tuple[Hive, str]:
        path, below = keys.located(key, self._install)
        if fold(path) not in self._hives:
            self._hives[fold(path)] = installs.read_hive(self._install, path)[0]
        return self._hives[fold(path)], below


def _starts(service: Key) -> list[int | None]:
    """Start, and what overrides it."""
    start = service.value("Start")
    override = service.subkey("StartOverride")
    overrides = [] if override is None else [value.dword for value in override.values()]
    return [None if start is None else start.dword, *overrides]


def _is_disabled(start: int | None) -> bool:
    return start is None or start == _DISABLED
