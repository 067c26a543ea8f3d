"""Every error recoverykit raises on purpose, and the exit code each one becomes.

Imports nothing from this project, so any module may import it. The codes are promised to
scripts: docs/exit-codes.md lists them.
"""

from __future__ import annotations

from typing import ClassVar


class RecoveryKitError(Exception):
    """Base: the operation stopped, and the target is as it was before."""

    code: ClassVar[str] = "failed"  # stable, kebab-case; part of the JSON output
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def why(exc: Exception) -> str:
    """An error as the end of a sentence, without the host's paths and without a full stop."""
    text = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
    return text.rstrip(".")


class UsageError(RecoveryKitError):
    """What was asked for cannot be understood, or contradicts itself."""

    code = "usage"
    exit_code = 2


class NoCulpritError(RecoveryKitError):
    """Nothing was found that we would act on."""

    code = "no-culprit"
    exit_code = 3


class UnverifiedError(RecoveryKitError):
    """The change was made, but reading it back did not prove it."""

    code = "changed-not-verified"
    exit_code = 4


class TargetRefusedError(RecoveryKitError):
    """The target cannot be worked on safely: locked, hibernated, full, read-only, RAID member."""

    code = "target-refused"
    exit_code = 5


class RolledBackError(RecoveryKitError):
    """A change failed on its way, and all of it was put back."""

    code = "rolled-back"


class FormatError(RecoveryKitError):
    """Bytes that do not follow their format: damaged, truncated or hostile."""

    code = "bad-format"
    exit_code = 10

    def __init__(self, structure: str, offset: int, problem: str, *, hint: str = "") -> None:
        super().__init__(f"{structure} at {offset:#x}: {problem}", hint=hint)
        self.structure, self.offset, self.problem = structure, offset, problem


class SignatureRefusedError(RecoveryKitError):
    """A signature that must hold does not."""

    code = "signature-refused"
    exit_code = 20


class RollbackError(RecoveryKitError):
    """Undo itself failed. The one error after which the target is *not* as it was."""

    code = "rollback-incomplete"
    exit_code = 30
