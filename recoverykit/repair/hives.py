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
    return recovered(path, path.read_bytes())


def recovered(path: Path, standing: bytes) -> tuple[Hive, Recovery]:
    """The same where the file's bytes were read already."""
    wanted = [path.name.casefold() + suffix for suffix in _LOGS]
    logs = [beside for beside in sorted(path.parent.iterdir()) if beside.name.casefold() in wanted]
    return hive.read(standing, [(log.name, log.read_bytes()) for log in logs])


def changed(recovery: Recovery, values: Iterable[SetValue], when: datetime) -> bytes:
    """The whole new file. Raises FormatError if a value is not as `before` says."""
    data = bytes(recovery.data)
    return hive_edit.edit(data, _changes(values), sequence=recovery.sequence, when=when)


def inverse(values: Sequence[SetValue]) -> tuple[SetValue, ...]:
    return tuple(replace(value, before=value.after, after=value.before) for value in values)


def current(loaded: Hive, value: SetValue) -> bytes | None:
    """What a value holds now; None if it, or its key, is gone or has another type."""
    key = loaded.find(value.key)
    found = key.value(value.name) if key is not None else None
    return bytes(found.data) if found is not None and found.type == value.type else None


def is_exactly(before: bytes, after: bytes, values: Iterable[SetValue]) -> bool:
    """Whether the hives differ in these values and in no other. Raises FormatError."""
    return hive_edit.is_exactly(before, after, _changes(values))


def _changes(values: Iterable[SetValue]) -> list[hive_edit.ValueChange]:
    return [
        hive_edit.ValueChange(value.key, value.name, value.before, value.after, value.type)
        for value in values
    ]
