"""hivex at work, for bench/registry.py: C behind the system's Python. It knows nothing of logs."""

from __future__ import annotations

import struct

import hivex  # type: ignore[import-not-found,unused-ignore]  # of the system's Python only

from bench.contestants.clock import Counts, main

WANTED = {"start", "type", "errorcontrol", "imagepath", "group", "tag"}


def _services(hive: hivex.Hivex) -> int:
    root = hive.root()
    select = hive.node_get_child(root, "Select")
    number = hive.value_dword(hive.node_get_value(select, "Current"))
    node: int = hive.node_get_child(root, f"ControlSet{number:03}")
    return int(hive.node_get_child(node, "Services"))


def services(path: str) -> Counts:
    hive = hivex.Hivex(path)
    counts: dict[str, int] = {"services": 0, "start": 0, "imagepath": 0}
    for service in hive.node_children(_services(hive)):
        found = {}
        for value in hive.node_values(service):
            name = hive.value_key(value).lower()
            if name in WANTED:
                found[name] = hive.value_value(value)
        counts["services"] += 1
        counts["start"] += "start" in found
        counts["imagepath"] += "imagepath" in found
    return {**counts}


def walk(path: str) -> Counts:
    keys = values = size = 0
    hive = hivex.Hivex(path)
    pending = [hive.root()]
    while pending:
        node = pending.pop()
        _ = (hive.node_name(node), hive.node_timestamp(node))
        keys += 1
        for value in hive.node_values(node):
            name = hive.value_key(value)
            kind, data = hive.value_value(value)
            _ = (name, kind)
            values += 1
            size += len(data)
        pending += hive.node_children(node)
    return {"keys": keys, "values": values, "bytes": size}


def edit(path: str) -> Counts:
    """One DWORD changed and committed: the whole file written again, without fsync."""
    hive = hivex.Hivex(path, write=True)
    service = hive.node_get_child(_services(hive), "Tcpip")
    new = struct.pack("<I", 4)
    hive.node_set_value(service, {"key": "Start", "t": 4, "value": new})
    hive.commit(None)
    return {"start": 4}


if __name__ == "__main__":
    main({"services": services, "walk": walk, "edit": edit})
