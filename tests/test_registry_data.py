"""What is typed on a command line, as the bytes of a value."""

from __future__ import annotations

import pytest

from recoverykit import registry_data
from recoverykit.errors import UsageError
from recoverykit.model import RegistryData
from recoverykit.registry_data import ValueType


def wide(text: str) -> bytes:
    return text.encode("utf-16-le")


@pytest.mark.parametrize(
    ("kind", "words", "data"),
    [
        ("dword", ["4"], RegistryData(4, b"\4\0\0\0")),
        ("dword", ["0xFFFFFFFF"], RegistryData(4, b"\xff" * 4)),
        ("qword", ["0x100000000"], RegistryData(11, b"\0\0\0\0\1\0\0\0")),
        ("sz", ["two words"], RegistryData(1, wide("two words\0"))),
        ("sz", [""], RegistryData(1, b"\0\0")),
        ("expand_sz", ["%windir%\\𝄞"], RegistryData(2, wide("%windir%\\𝄞\0"))),
        ("multi_sz", ["a", "b c"], RegistryData(7, wide("a\0b c\0\0"))),
        ("multi_sz", [], RegistryData(7, b"\0\0")),
        ("binary", ["00ff10"], RegistryData(3, b"\0\xff\x10")),
        ("binary", ["00,ff,10"], RegistryData(3, b"\0\xff\x10")),
        ("binary", ["00", "ff", "10"], RegistryData(3, b"\0\xff\x10")),
        ("binary", [], RegistryData(3, b"")),
        ("none", ["01"], RegistryData(0, b"\1")),
    ],
)
def test_what_fits(kind: str, words: list[str], data: RegistryData) -> None:
    assert registry_data.encode(ValueType(kind), words) == data


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("dword", []),
        ("dword", ["4", "5"]),
        ("dword", ["four"]),
        ("dword", ["-1"]),
        ("dword", ["0x100000000"]),
        ("qword", ["0x10000000000000000"]),
        ("sz", ["two", "words"]),
        ("sz", ["\udcff"]),
        ("multi_sz", ["a", "", "b"]),
        ("binary", ["0"]),
        ("binary", ["xx"]),
    ],
)
def test_what_does_not(kind: str, words: list[str]) -> None:
    with pytest.raises(UsageError):
        registry_data.encode(ValueType(kind), words)
