"""Print every key of hives as python-registry reads them: one JSON object a line.

    python tests/independent/python_registry_dump.py HIVE | -

The same lines as hivex_dump.py, imports none of our code. Names, types and raw data are what its
public classes answer, "(default)" for a nameless value included; the time is the FILETIME of its
key record, because the datetime it makes of it is rounded.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from typing import Any

from Registry import Registry, RegistryParse

Row = dict[str, Any]
_FAILS = (RegistryParse.RegistryException, struct.error, UnicodeDecodeError, ValueError)


def rows(path: str) -> Iterator[Row]:
    try:
        pending = [(Registry.Registry(path).root(), "")]
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
        yield {"key": name, "mtime": key._nkrecord.unpack_qword(4), "values": values}
        try:
            children = key.subkeys()
        except _FAILS as error:
            yield {"key": name, "error": f"subkeys: {error}"}
            continue
        for child in reversed(children):
            try:
                below = child.name()
            except _FAILS as error:
                yield {"key": name, "error": f"name: {error}"}
                continue
            pending.append((child, f"{name}\\{below}" if name else below))


def _value(value: Any) -> list[Any]:
    try:
        data = bytes(value.raw_data()).hex()
    except _FAILS:
        data = None
    return [value.name(), value.value_type(), data]


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
