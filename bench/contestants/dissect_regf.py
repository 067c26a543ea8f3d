"""dissect.regf at work, for bench/registry.py. It is under the AGPL: a process of its own."""

from __future__ import annotations

from pathlib import Path

from dissect.regf import regf

from bench.contestants.clock import Counts, main

WANTED = {"start", "type", "errorcontrol", "imagepath", "group", "tag"}


def services(path: str) -> Counts:
    with Path(path).open("rb") as file:
        hive = regf.RegistryHive(file)
        number = hive.open("Select").value("Current").value
        counts: dict[str, int] = {"services": 0, "start": 0, "imagepath": 0}
        for service in hive.open(f"ControlSet{number:03}\\Services").subkeys():
            found = {}
            for value in service.values():
                name = value.name.lower()
                if name in WANTED:
                    found[name] = value.data
            counts["services"] += 1
            counts["start"] += "start" in found
            counts["imagepath"] += "imagepath" in found
    return {**counts}


def walk(path: str) -> Counts:
    keys = values = size = 0
    with Path(path).open("rb") as file:
        pending = [regf.RegistryHive(file).root()]
        while pending:
            key = pending.pop()
            _ = (key.name, key.timestamp)
            keys += 1
            for value in key.values():
                _ = (value.name, value.type)
                values += 1
                size += len(value.data)
            pending += key.subkeys()
    return {"keys": keys, "values": values, "bytes": size}


if __name__ == "__main__":
    main({"services": services, "walk": walk})
