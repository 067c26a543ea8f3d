"""python-registry at work, for bench/registry.py."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

from Registry import Registry
from Registry.RegistryLog import RegistryLog

from bench.contestants.clock import Counts, main

WANTED = {"start", "type", "errorcontrol", "imagepath", "group", "tag"}


def services(path: str) -> Counts:
    registry = Registry.Registry(path)
    number = registry.open("Select").value("Current").value()
    counts: dict[str, int] = {"services": 0, "start": 0, "imagepath": 0}
    for service in registry.open(f"ControlSet{number:03}\\Services").subkeys():
        found = {}
        for value in service.values():
            name = value.name().lower()
            if name in WANTED:
                found[name] = value.raw_data()
        counts["services"] += 1
        counts["start"] += "start" in found
        counts["imagepath"] += "imagepath" in found
    return {**counts}


def walk(path: str) -> Counts:
    keys = values = size = 0
    pending = [Registry.Registry(path).root()]
    while pending:
        key = pending.pop()
        _ = (key.name(), key.timestamp())
        keys += 1
        for value in key.values():
            _ = (value.name(), value.value_type())
            values += 1
            size += len(value.raw_data())
        pending += key.subkeys()
    return {"keys": keys, "values": values, "bytes": size}


def recovery(path: str, *logs: str) -> Callable[[], Counts]:
    buffer = io.BytesIO(Path(path).read_bytes())
    opened = []
    for log in logs:
        buffer.seek(0)
        opened.append(RegistryLog(buffer, io.BytesIO(Path(log).read_bytes())))
    first, second = opened if opened[0].is_starting_log(opened[1]) else opened[::-1]
    last = first.recover_hive()
    second.reload_primary_regf()
    second.recover_hive_continue(last + 1)
    return lambda: {"bins": hashlib.sha256(buffer.getvalue()[4096:]).hexdigest()[:12]}


if __name__ == "__main__":
    main({"services": services, "walk": walk, "recovery": recovery})
