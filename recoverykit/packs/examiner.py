"""Does a file pass a test of a pack? Reads as little of it as the test needs.

What costs most comes last: a file of the wrong size or time is not opened further, and only one
that passes all else is read whole for its hash.
"""

from __future__ import annotations

import hashlib
import re

from recoverykit.errors import FormatError, RecoveryKitError
from recoverykit.evidence import files
from recoverykit.evidence.files import OpenFile
from recoverykit.formats import pe, pe_resources
from recoverykit.model import WindowsInstall
from recoverykit.packs.pack import ANY, FileTest, Span, Version

MOST_HASHED = 1 << 30  # bytes, of all files of one pack

_CHUNK = 1 << 20
_NUMBERS = re.compile(r"\d{1,9}(?:[., ]+\d{1,9}){0,3}")


class Examiner:
    """Looks at files, and knows how much it has read."""

    def __init__(self, install: WindowsInstall) -> None:
        self._install = install
        self._left = MOST_HASHED

    def passes(self, path: str, test: FileTest) -> bool:
        """Raises OSError, FormatError, RecoveryKitError where that cannot be told."""
        if test == FileTest():
            return True
        with files.opened(self._install, path) as file:
            if test.size is not None and file.size != test.size:
                return False
            if test.since is not None and file.modified < test.since:
                return False
            if test.before is not None and file.modified >= test.before:
                return False
            if test.header and pe.read_at(file.stream, 0, len(test.header)) != test.header:
                return False
            if test.version != ANY and not _version_fits(file, test.version):
                return False
            return not test.sha256 or self._sha256(path, file) in test.sha256

    def _sha256(self, path: str, file: OpenFile) -> str:
        self._left -= file.size
        if self._left < 0:
            raise RecoveryKitError(f"{path} was not read: {MOST_HASHED >> 20} MiB are enough")
        digest, at = hashlib.sha256(), 0
        while chunk := pe.read_at(file.stream, at, _CHUNK):
            digest.update(chunk)
            at += len(chunk)
            if at > file.size:
                raise RecoveryKitError(f"{path} grew while it was read")
        return digest.hexdigest()


def _version_fits(file: OpenFile, span: Span) -> bool:
    """A file without a version, or that is no executable, fits none."""
    try:
        found = pe_resources.version(file.stream, pe.headers(file.stream)).version
    except FormatError as exc:
        if exc.structure == pe.FILE:
            return False
        raise
    version = numbers(found)
    return version is not None and span.holds(version)


def numbers(text: str) -> Version | None:
    """ "10.0.19041.1 (WinBuild)" -> (10, 0, 19041, 1); None where it begins with no number."""
    match = _NUMBERS.match(text.strip()) if text.isascii() else None
    return tuple(int(part) for part in re.split(r"[., ]+", match[0])) if match else None
