"""Print every key of hives as dissect.regf reads them: one JSON object a line.

    python tests/independent/dissect_dump.py HIVE | -

The same lines as hivex_dump.py. dissect.regf is under the AGPL: nothing of ours imports it, this
file runs as a process of its own, and imports none of our code. A nameless value is "(Default)".
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dissect.regf import regf
from dissect.regf.exceptions import Error

Row = dict[str, Any]
_FAILS = (Error, NotImplementedError, AttributeError, EOFError, struct.error, ValueError)


def rows(path: str) -> Iterator[Row]:
    with Path(path).open("rb") as file:
        try:
            pending = [(regf.RegistryHive(file).root(), "")]
        except _FAILS as error:
            yield {"key": "", "error": f"open: {error}"}
            return
        while pending:
            key, name = pending.pop()
            try:
                values = [_value(value) for value in key.values()]
            except _FAILS as error:
                values = []
                yield {"key": name, "error": f"values: {error}"}
            yield {"key": name, "mtime": key.cell.LastWriteTime, "values": values}
            try:
                children = list(key.subkeys())
            except _FAILS as error:
                yield {"key": name, "error": f"subkeys: {error}"}
                continue
            pending += [
                (kid, f"{name}\\{kid.name}" if name else kid.name) for kid in reversed(children)
            ]


def _value(value: Any) -> list[Any]:
    try:
        data = value.data.hex()
    except _FAILS:
        data = None
    return [value.name, value.type, data]


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
