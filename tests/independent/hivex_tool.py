"""Read and edit registry hives with hivex. Run by the system's Python: hivex is not on PyPI.

    hivex_tool.py dump HIVE        every key and value as JSON on standard output
    hivex_tool.py key HIVE PATH    the same of one key
    hivex_tool.py services HIVE    the driver services of the current control set
    hivex_tool.py edit HIVE        applies the JSON list of changes on standard input, commits

hivex ignores transaction logs: edit clean hives, or dirty ones whose logs are thrown away.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import hivex  # type: ignore[import-not-found]  # Debian's python3-hivex: not in our venv

DWORD = 4


def _values(hive: Any, node: int) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for value in hive.node_values(node):
        kind, data = hive.value_value(value)
        found[hive.value_key(value)] = [kind, data.hex()]
    return found


def dump(hive: Any) -> dict[str, Any]:
    """Key path -> {"written": FILETIME, "values": {name: [type, hex]}}."""
    found: dict[str, Any] = {}
    pending = [(hive.root(), "")]
    while pending:
        node, path = pending.pop()
        found[path] = {"written": hive.node_timestamp(node), "values": _values(hive, node)}
        for child in hive.node_children(node):
            name = hive.node_name(child)
            pending.append((child, f"{path}\\{name}" if path else name))
    return found


def services(hive: Any) -> dict[str, Any]:
    """What a builder of a matching disk must know; strings decoded, DWORDs as numbers."""
    found = []
    for node in hive.node_children(_find(hive, _control_set(hive) + "\\Services")):
        values = {name: _plain(*entry) for name, entry in _values(hive, node).items()}
        if values.get("Type") in (1, 2, 8):
            wanted = ("Type", "Start", "Group", "ImagePath")
            found.append({"Name": hive.node_name(node), **{key: values.get(key) for key in wanted}})
    zone = _find(hive, _control_set(hive) + "\\Control\\TimeZoneInformation")
    order = _find(hive, _control_set(hive) + "\\Control\\ServiceGroupOrder")
    bias = 0 if zone is None else _plain(*_values(hive, zone)["ActiveTimeBias"])
    groups = [] if order is None else _plain(*_values(hive, order)["List"])
    return {
        "control_set": _control_set(hive),
        "services": found,
        "bias": bias - (1 << 32) if bias >= 1 << 31 else bias,
        "groups": groups,
    }


def _control_set(hive: Any) -> str:
    current = _values(hive, _find(hive, "Select"))["Current"]
    return f"ControlSet{_plain(*current):03}"


def _plain(kind: int, data: str) -> Any:
    raw = bytes.fromhex(data)
    if kind == DWORD and len(raw) == 4:
        return int.from_bytes(raw, "little")
    if kind in (1, 2):
        return raw.decode("utf-16-le", "replace").rstrip("\0")
    if kind == 7:
        return [part for part in raw.decode("utf-16-le", "replace").split("\0") if part]
    return data


def _find(hive: Any, path: str) -> Any:
    node = hive.root()
    for part in path.split("\\"):
        node = None if node is None else hive.node_get_child(node, part)
    return node


def _ensure(hive: Any, path: str) -> tuple[int, list[int]]:
    """The key's node, and the nodes whose time stamps Windows would have touched."""
    node, touched = hive.root(), []
    for part in path.split("\\"):
        child = hive.node_get_child(node, part)
        if child is None:
            touched.append(node)
            child = hive.node_add_child(node, part)
        node = child
    return node, [*touched, node]


def edit(hive: Any, changes: list[dict[str, Any]]) -> dict[int, int]:
    """Apply changes; returns node -> FILETIME of the last write to stamp after the commit."""
    stamps: dict[int, int] = {}
    for change in changes:
        if change.get("delete"):
            hive.node_delete_child(_find(hive, change["key"]))
            continue
        node, touched = _ensure(hive, change["key"])
        for name, (kind, data) in change["values"].items():
            hive.node_set_value(node, {"key": name, "t": kind, "value": bytes.fromhex(data)})
        if "written" in change:
            stamps.update(dict.fromkeys(touched, change["written"]))
    hive.commit(None)
    return stamps


def _stamp(path: Path, stamps: dict[int, int]) -> None:
    """hivex lets new keys inherit the parent's time; a node's handle is its offset."""
    with path.open("r+b") as file:
        for node, written in stamps.items():
            file.seek(node + 8)
            file.write(struct.pack("<Q", written))


def one(hive: Any, path: str) -> dict[str, Any]:
    """The entry `dump` would have for one key."""
    node = _find(hive, path)
    return {"written": hive.node_timestamp(node), "values": _values(hive, node)}


def main(verb: str, name: str, key: str = "") -> None:
    path = Path(name)
    if verb == "edit":
        _stamp(path, edit(hivex.Hivex(name, write=True), json.load(sys.stdin)))
        return
    hive = hivex.Hivex(name)
    if verb == "key":
        json.dump(one(hive, key), sys.stdout)
    else:
        json.dump(dump(hive) if verb == "dump" else services(hive), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
