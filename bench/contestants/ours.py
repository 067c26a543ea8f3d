"""recoverykit at work, for bench/registry.py."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench.contestants.clock import Counts, main
from recoverykit.formats import hive_save
from recoverykit.formats.hive import REG_DWORD, Hive
from recoverykit.formats.hive_editor import Editor
from recoverykit.formats.regf_log import recover
from recoverykit.model import RegistryData, ValueChange
from recoverykit.repair import hives

FOUR = (4).to_bytes(4, "little")
WANTED = ("Start", "Type", "ErrorControl", "ImagePath", "Group", "Tag")


def _open(path: str) -> Hive:
    with Path(path).open("rb") as file:
        return Hive(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def services(path: str) -> Counts:
    hive = _open(path)
    select = hive.find("Select")
    current = select.value("Current") if select is not None else None
    number = current.dword if current is not None else None
    assert number is not None
    key = hive.find(f"ControlSet{number:03}\\Services")
    assert key is not None
    counts: dict[str, int] = {"services": 0, "start": 0, "imagepath": 0}
    for service in key.subkeys():
        found = [value.data if value is not None else None for value in service.values_of(*WANTED)]
        counts["services"] += 1
        counts["start"] += found[0] is not None
        counts["imagepath"] += found[3] is not None
    return {**counts}


def walk(path: str) -> Counts:
    keys = values = size = 0
    for key in _open(path).walk():
        keys += 1
        _ = (key.name, key.ticks)
        for _, _, data in key.values:
            values += 1
            size += len(data)
    return {"keys": keys, "values": values, "bytes": size}


def recovery(path: str, *logs: str) -> Callable[[], Counts]:
    contents = [(log, Path(log).read_bytes()) for log in logs]
    image = recover(Path(path).read_bytes(), contents).data
    return lambda: {"bins": hashlib.sha256(bytes(image)[4096:]).hexdigest()[:12]}


def edit(path: str) -> Counts:
    """One DWORD changed and saved: in place, its sector and the header, each synced."""
    files = hives.files(Path(path))
    hive, found = hives.recovered(files)
    editor = Editor(found.data, datetime.now(UTC))
    editor.set_value(_tcpip(hive), "Start", REG_DWORD, FOUR)
    patched = editor.patched(found.sequence + 1)
    assert patched is not None
    _write(path, hive_save.save(files, found, patched, numbers_only=editor.in_place))
    return {"start": 4}


def proven(path: str) -> Counts:
    """The same as a repair does it: expected before, read back after, and nothing else differs."""
    files = hives.files(Path(path))
    hive, found = hives.recovered(files)
    key = hive.find(_tcpip(hive))
    value = key.value("Start") if key is not None else None
    assert value is not None
    was, now = RegistryData(REG_DWORD, value.data), RegistryData(REG_DWORD, FOUR)
    edited = hives.changed(found, [ValueChange(_tcpip(hive), "Start", was, now)], datetime.now(UTC))
    saving = hive_save.save(files, found, edited.content, numbers_only=edited.numbers_only)
    _write(path, saving)
    return {"start": 4}


def _tcpip(hive: Hive) -> str:
    select = hive.find("Select")
    current = select.value("Current") if select is not None else None
    assert current is not None
    return f"ControlSet{current.dword:03}\\Services\\Tcpip"


def _write(path: str, saving: hive_save.Saving) -> None:
    hives.write(Path(path).parent, saving.steps, None)


if __name__ == "__main__":
    works = {"services": services, "walk": walk, "edit": edit, "proven": proven}
    main({**works, "recovery": recovery})
