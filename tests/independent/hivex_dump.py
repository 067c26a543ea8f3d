"""Print every key of a hive as hivex reads it: one JSON object a line.

    /usr/bin/python3 tests/independent/hivex_dump.py HIVE

{"key": path below the root, "mtime": FILETIME, "values": [[name, type, data as hex], ...]}
A name that hivex cannot give is an "error" line instead, data that it cannot give is null. Runs
with the system's Python (package python3-hivex), imports none of our code, and does not look at
transaction logs.
"""

from __future__ import annotations

import json
import sys

import hivex  # type: ignore[import-not-found,unused-ignore]  # of the system's Python only


def dump(path: str) -> None:
    hive = hivex.Hivex(path)
    pending = [(hive.root(), "")]
    while pending:
        node, name = pending.pop()
        values = []
        for value in hive.node_values(node):
            kind, _ = hive.value_type(value)
            try:
                data = hive.value_value(value)[1].hex()
            except RuntimeError:
                data = None
            values.append([hive.value_key(value), kind & 0xFFFF_FFFF, data])
        row = {"key": name, "mtime": hive.node_timestamp(node), "values": values}
        sys.stdout.write(json.dumps(row) + "\n")
        for child in hive.node_children(node):
            try:
                below = hive.node_name(child)
            except (RuntimeError, UnicodeDecodeError) as error:
                sys.stdout.write(json.dumps({"key": name, "error": str(error)}) + "\n")
                continue
            pending.append((child, f"{name}\\{below}" if name else below))


if __name__ == "__main__":
    dump(sys.argv[1])
