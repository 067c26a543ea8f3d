"""Hives as hivex sees them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SYSTEM_PYTHON = "/usr/bin/python3"  # where Debian's python3-hivex lives
_TOOL = Path(__file__).with_name("hivex_tool.py")

Value = tuple[int, str]  # registry type, hex


@dataclass(frozen=True, slots=True)
class Key:
    written: int  # FILETIME
    values: dict[str, Value]


def registry(hive: Path) -> dict[str, Key]:
    """Every key of the hive by its path below the root ("" is the root)."""
    return {path: _key(entry) for path, entry in json.loads(_call("dump", hive)).items()}


def key(hive: Path, path: str) -> Key:
    """One key of the hive."""
    return _key(json.loads(_call("key", hive, path)))


def _key(entry: dict[str, Any]) -> Key:
    values = {name: (kind, data) for name, (kind, data) in entry["values"].items()}
    return Key(entry["written"], values)


def driver_services(hive: Path) -> dict[str, Any]:
    """Driver services, group order and time zone of the current control set."""
    found: dict[str, Any] = json.loads(_call("services", hive))
    return found


def edit(hive: Path, changes: Sequence[dict[str, Any]]) -> None:
    """Change a hive in place; see hivex_tool. Without changes: make a dirty hive clean."""
    _call("edit", hive, stdin=json.dumps(list(changes)))


def changed_values(
    before: dict[str, Key], after: dict[str, Key]
) -> dict[str, tuple[Value | None, Value | None]]:
    """ "key\\name" -> (before, after) of every value that differs, appeared or vanished."""
    flat_before, flat_after = _flat(before), _flat(after)
    return {
        name: (flat_before.get(name), flat_after.get(name))
        for name in sorted(flat_before.keys() | flat_after.keys())
        if flat_before.get(name) != flat_after.get(name)
    }


def _flat(keys: dict[str, Key]) -> dict[str, Value]:
    flat: dict[str, Value] = {}
    for path, key in keys.items():
        flat[path + "\\"] = (-1, "")  # the key itself: an empty key may vanish too
        flat.update({f"{path}\\{name}": value for name, value in key.values.items()})
    return flat


def _call(verb: str, hive: Path, *arguments: str, stdin: str = "") -> str:
    done = subprocess.run(
        [SYSTEM_PYTHON, str(_TOOL), verb, str(hive), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin"},  # nothing of ours on the path
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
