"""Changes of a registry as JSON fields: in plans, journals and reports alike.

    {"key": K, "name": N, "before": null or {"type": 4, "data": "hex"}, "after": ...}      a value
    {"key": K, "before": null or {"class": "", "security": "hex"}, "after": ...}           a key

Lone surrogates, legal in names of the registry, survive JSON as escapes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from recoverykit.model import KeyChange, RegistryChange, RegistryData, RegistryKey, ValueChange


def describe(change: RegistryChange) -> dict[str, object]:
    """The fields that `parse` reads back."""
    if isinstance(change, ValueChange):
        return {
            "key": change.key,
            "name": change.name,
            "before": _data(change.before),
            "after": _data(change.after),
        }
    return {"key": change.key, "before": _key(change.before), "after": _key(change.after)}


def length(change: RegistryChange) -> int:
    """Bytes a change takes in a journal: names in JSON are ASCII, up to six for a character."""
    return len(json.dumps(describe(change)))


def _data(data: RegistryData | None) -> dict[str, object] | None:
    return None if data is None else {"type": data.type, "data": data.data.hex()}


def _key(key: RegistryKey | None) -> dict[str, object] | None:
    return None if key is None else {"class": key.class_name, "security": key.security.hex()}


def parse(fields: Mapping[str, Any]) -> RegistryChange:
    """Raises KeyError, TypeError or ValueError for what `describe` did not write."""
    key = str(fields["key"])
    if "name" in fields:
        before, after = (_parse_data(fields[when]) for when in ("before", "after"))
        return ValueChange(key, str(fields["name"]), before, after)
    was, now = (_parse_key(fields[when]) for when in ("before", "after"))
    return KeyChange(key, was, now)


def _parse_data(fields: Mapping[str, Any] | None) -> RegistryData | None:
    if fields is None:
        return None
    return RegistryData(int(fields["type"]), bytes.fromhex(fields["data"]))


def _parse_key(fields: Mapping[str, Any] | None) -> RegistryKey | None:
    if fields is None:
        return None
    return RegistryKey(str(fields["class"]), bytes.fromhex(fields["security"]))
