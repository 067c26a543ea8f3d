"""Print every key of hives as hivex reads them: one JSON object a line.

    /usr/bin/python3 tests/independent/hivex_dump.py HIVE
    ... | /usr/bin/python3 tests/independent/hivex_dump.py -     paths, one a line

{"key": path below the root, "mtime": FILETIME, "values": [[name, type, data as hex], ...]}
A key comes before the keys in it, these in the order of its list. What hivex cannot give is an
"error" line for the key it belongs to, data that it cannot give is null. With "-", an empty line
ends each hive's. Runs with the system's Python (package python3-hivex), imports none of our code,
and does not look at transaction logs.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import hivex  # type: ignore[import-not-found,unused-ignore]  # of the system's Python only

Row = dict[str, Any]


def rows(path: str) -> Iterator[Row]:
    try:
        hive = hivex.Hivex(path)
        pending = [(hive.root(), "")]
    except (RuntimeError, OSError) as error:
        yield {"key": "", "error": f"open: {error}"}
        return
    while pending:
        node, name = pending.pop()
        try:
            values = [_value(hive, value) for value in hive.node_values(node)]
        except (RuntimeError, UnicodeDecodeError) as error:
            values = []
            yield {"key": name, "error": f"values: {error}"}
        yield {"key": name, "mtime": hive.node_timestamp(node), "values": values}
        try:
            children = hive.node_children(node)
        except RuntimeError as error:
            yield {"key": name, "error": f"subkeys: {error}"}
            continue
        for child in reversed(children):
            try:
                below = hive.node_name(child)
            except (RuntimeError, UnicodeDecodeError) as error:
                yield {"key": name, "error": f"name: {error}"}
                continue
            pending.append((child, f"{name}\\{below}" if name else below))


def _value(hive: Any, value: int) -> list[Any]:
    kind, _ = hive.value_type(value)
    try:
        data = hive.value_value(value)[1].hex()
    except RuntimeError:
        data = None
    return [hive.value_key(value), kind & 0xFFFF_FFFF, data]


def main(argument: str) -> None:
    serving = argument == "-"
    for path in map(str.strip, sys.stdin) if serving else [argument]:
        for row in rows(path):
            sys.stdout.write(json.dumps(row) + "\n")
        if serving:
            sys.stdout.write("\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
