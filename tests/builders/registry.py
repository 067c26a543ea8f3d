"""Hives from nothing, filled by hivex: what a test needs where no real hive is at hand."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import datetime
from functools import reduce
from operator import xor
from pathlib import Path
from typing import Any

from tests.builders.winbytes import HIVE, filetime
from tests.independent import registry

SZ, EXPAND_SZ, BINARY, DWORD, MULTI_SZ = 1, 2, 3, 4, 7
_BIN = 4096

Entry = int | str | bytes | list[str] | tuple[int, bytes]


def change(
    key: str, values: Mapping[str, Entry], written: datetime | None = None
) -> dict[str, Any]:
    """One change for `registry.edit`: int DWORD, str SZ, list MULTI_SZ, bytes BINARY."""
    made: dict[str, Any] = {
        "key": key,
        "values": {name: _encoded(value) for name, value in values.items()},
    }
    if written is not None:
        made["written"] = filetime(written)
    return made


def expand(text: str) -> tuple[int, bytes]:
    return EXPAND_SZ, (text + "\0").encode("utf-16-le")


def _encoded(value: Entry) -> tuple[int, str]:
    if isinstance(value, tuple):
        return value[0], value[1].hex()
    if isinstance(value, int):
        return DWORD, struct.pack("<I", value).hex()
    if isinstance(value, bytes):
        return BINARY, value.hex()
    if isinstance(value, str):
        return SZ, (value + "\0").encode("utf-16-le").hex()
    return MULTI_SZ, ("".join(part + "\0" for part in value) + "\0").encode("utf-16-le").hex()


def write(path: Path, changes: list[dict[str, Any]], written: datetime) -> None:
    """A new hive at `path` holding what `changes` say."""
    path.write_bytes(empty(written))
    registry.edit(path, changes)


def empty(written: datetime) -> bytes:
    """A hive of one bin: the root key and its security cell."""
    security = struct.pack("<2sHIIII", b"sk", 0, 0, 0, 1, len(HIVE)) + HIVE
    root_size = _cell_size(76 + 4)
    sk_at = 32 + root_size
    security = security[:4] + struct.pack("<II", sk_at, sk_at) + security[12:]
    root = struct.pack(
        "<2sHQ11I",
        b"nk",
        0x2C,  # the hive's root; no deletion; name in one byte per character
        filetime(written),
        0,
        0xFFFFFFFF,
        0,  # subkeys
        0,
        0xFFFFFFFF,
        0xFFFFFFFF,
        0,  # values
        0xFFFFFFFF,
        sk_at,
        0xFFFFFFFF,
        0,
    )
    root += struct.pack("<4I", 0, 0, 0, 0) + struct.pack("<HH", 4, 0) + b"ROOT"
    cells = _cell(root) + _cell(security)
    free = _BIN - 32 - len(cells)
    bin_head = struct.pack("<4sII8xQI", b"hbin", 0, _BIN, filetime(written), 0)
    data = bin_head + cells + struct.pack("<i", free).ljust(free, b"\0")
    head = struct.pack(
        "<4sIIQIIIIIII", b"regf", 1, 1, filetime(written), 1, 5, 0, 1, 32, _BIN, 1
    ).ljust(508, b"\0")
    checksum = reduce(xor, struct.unpack("<127I", head))
    return (head + struct.pack("<I", checksum)).ljust(4096, b"\0") + data


def _cell_size(content: int) -> int:
    return -(-(content + 4) // 8) * 8


def _cell(content: bytes) -> bytes:
    size = _cell_size(len(content))
    return (struct.pack("<i", -size) + content).ljust(size, b"\0")
