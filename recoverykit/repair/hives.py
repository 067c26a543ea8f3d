"""Hives of a mounted volume: read with their logs, changed in memory, compared.

The logs beside a hive are never written: the new hive's sequence number lies beyond every entry
they hold, so Windows will not replay them over it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from recoverykit.formats import hive, hive_edit
from recoverykit.formats.hive import Hive
from recoverykit.formats.regf_log import Recovery
from recoverykit.model import SetValue

_LOGS = (".log", ".log1", ".log2")


def load(path: Path) -> tuple[Hive, Recovery]:
    """A hive, made whole from its logs. Raises FormatError if they cannot; OSError."""
    wanted = [path.name.casefold() + suffix for suffix in _LOGS]
    logs = [beside for beside in sorted(path.parent.iterdir()) if beside.name.casefold() in wanted]
    return hive.read(path.read_bytes(), [(log.name, log.read_bytes()) for log in logs])


def changed(recovery: Recovery, values: Iterable[SetValue], when: datetime) -> bytes:
    """The whole new file. Raises FormatError if a value is not as `before` says."""
    changes = [
        hive_edit.ValueChange(value.key, value.name, value.before, value.after, value.type)
        for value in values
    ]
    return hive_edit.edit(bytes(recovery.data), changes, sequence=recovery.sequence, when=when)


def inverse(values: Sequence[SetValue]) -> tuple[SetValue, ...]:
    return tuple(replace(value, before=value.after, after=value.before) for value in values)


def current(loaded: Hive, value: SetValue) -> bytes | None:
    """What a value holds now; None if it, or its key, is gone or has another type."""
    key = loaded.find(value.key)
    found = key.value(value.name) if key is not None else None
    return bytes(found.data) if found is not None and found.type == value.type else None


def differences(before: bytes, after: bytes) -> frozenset[tuple[str, str, bytes, bytes]]:
    """(key, name, before, after) of every value that differs; b"" where it was or is absent."""
    return frozenset(
        (
            found.key.casefold(),
            (found.name or "").casefold(),
            found.before or b"",
            found.after or b"",
        )
        for found in hive_edit.differences(Hive(before), Hive(after))
    )
