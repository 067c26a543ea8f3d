"""Lists of hashes as plain text: one SHA-256 a line, of files or Authenticode.

What `sha256sum` prints is such a list too: what follows the hash is its remark. Lines that are
empty or begin with "#" count for nothing. The LOLDrivers project publishes such lists.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from signing.errors import MalformedError

LARGEST = 16 * 1024 * 1024

_STRUCTURE = "list of hashes"
_LINE = re.compile(rb"([0-9A-Fa-f]{64})(?:[ \t]+[^\r\n]*)?")


@dataclass(frozen=True, slots=True, eq=False)
class HashList:
    """SHA-256 digests, each with the line that names it first."""

    name: str
    lines: Mapping[bytes, int]


def parse(data: bytes, name: str) -> HashList:
    """Raises MalformedError, whose text names the line: also for a list without any hash."""
    if len(data) > LARGEST:
        raise MalformedError(_STRUCTURE, 0, f"{len(data)} bytes are too many")
    lines: dict[bytes, int] = {}
    at = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    for number, raw in enumerate(data[at:].split(b"\n"), 1):
        line = raw.strip()
        if line and not line.startswith(b"#"):
            found = _LINE.fullmatch(line)
            if found is None:
                raise MalformedError(_STRUCTURE, at, f"line {number}: no SHA-256")
            lines.setdefault(bytes.fromhex(found[1].decode("ascii")), number)
        at += len(raw) + 1
    if not lines:
        raise MalformedError(_STRUCTURE, 0, "it names no hash")
    return HashList(name, lines)
