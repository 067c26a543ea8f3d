"""Every error signing raises on purpose. Imports nothing, so any module may import it.

The programs above map these to exit codes: 20 for a signature that does not hold, 2 for key files
that cannot be used. Nothing else may escape from bytes, however hostile.
"""

from __future__ import annotations

from typing import ClassVar


class SigningError(Exception):
    """Base: the bytes are not vouched for, so they must not be used."""

    code: ClassVar[str] = "signature-refused"  # stable, kebab-case; part of the JSON output

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class MalformedError(SigningError):
    """Bytes that do not follow their format. `offset`: where in what was given."""

    code = "malformed-signature"

    def __init__(self, structure: str, offset: int, problem: str) -> None:
        super().__init__(f"{structure} at {offset:#x}: {problem}")
        self.structure, self.offset, self.problem = structure, offset, problem


class UntrustedError(SigningError):
    """The signature may hold, but nobody we trust made it."""

    code = "untrusted-signer"


class TamperedError(SigningError):
    """What was signed is not what is here. `path` names the first thing that differs."""

    code = "content-differs"

    def __init__(self, path: str, problem: str, *, hint: str = "") -> None:
        # The name of a file that somebody added may hold escape sequences for a terminal.
        shown = "".join(letter if letter.isprintable() else "?" for letter in path)
        super().__init__(f"{shown}: {problem}", hint=hint)
        self.path, self.problem = path, problem


class KeyFileError(SigningError):
    """The organisation's key files are missing, damaged, locked, expired or in the way."""

    code = "key-file"
