"""`.reg` text out: byte for byte what Windows writes, and the same when hivex reads it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoverykit.errors import FormatError
from recoverykit.formats import reg_parse, reg_text
from recoverykit.formats.hive import Hive, Key
from recoverykit.formats.reg_text import RegKey, RegValue
from recoverykit.model import RegistryData
from tests.builders import hive as builder
from tests.builders import registry as empty_hive
from tests.conftest import need, real
from tests.independent import registry as hivex

ROOT = "HKEY_CURRENT_USER\\Software\\Test"
HEAD = "Windows Registry Editor Version 5.00\r\n\r\n"


def sz(text: str) -> RegistryData:
    return RegistryData(1, (text + "\0").encode("utf-16-le", "surrogatepass"))


def line(name: str, data: RegistryData | None) -> str:
    """How one value is written."""
    text = reg_text.render([RegKey(ROOT, (RegValue(name, data),))])
    head, tail = f"{HEAD}[{ROOT}]\r\n", "\r\n\r\n"
    assert text.startswith(head)
    assert text.endswith(tail)
    return text[len(head) : -len(tail)]


# The first block is what reg.exe of Windows wrote, by Wine's tests of it.
@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        pytest.param("DWORD", RegistryData(4, b"\0\1\0\0"), '"DWORD"=dword:00000100', id="dword"),
        pytest.param("", sz("Default value name"), '@="Default value name"', id="default value"),
        pytest.param(
            "", RegistryData(4, b"\x78\x56\x34\x12"), "@=dword:12345678", id="default number"
        ),
        pytest.param("Binary", RegistryData(3, b"\x11\x22"), '"Binary"=hex:11,22', id="binary"),
        pytest.param(
            "Undefined hex",
            RegistryData(0x100, b"%PATH%\0"),
            '"Undefined hex"=hex(100):25,50,41,54,48,25,00',
            id="unknown type",
        ),
        pytest.param(
            "43981",
            RegistryData(0xABCD, b"Value\0"),
            '"43981"=hex(abcd):56,61,6c,75,65,00',
            id="lower case",
        ),
        pytest.param(
            'double"quote', sz('"Hi"'), '"double\\"quote"="\\"Hi\\""', id="quotes are escaped"
        ),
        pytest.param("\\foo\\bar", sz(""), '"\\\\foo\\\\bar"=""', id="backslashes are escaped"),
        pytest.param("count/up", sz("one/two"), '"count/up"="one/two"', id="slashes are not"),
        pytest.param("W", sz("\\0"), '"W"="\\\\0"', id="a backslash and a zero"),
        pytest.param(
            "Multiple strings",
            RegistryData(7, "Line1\0Line2\0Line3\0\0".encode("utf-16-le")),
            '"Multiple strings"=hex(7):4c,00,69,00,6e,00,65,00,31,00,00,00,4c,00,69,00,6e,\\\r\n'
            "  00,65,00,32,00,00,00,4c,00,69,00,6e,00,65,00,33,00,00,00,00,00",
            id="first line broken at 79",
        ),
        pytest.param(
            "String expansion",
            RegistryData(2, "%HOME%\\%PATH%\0".encode("utf-16-le")),
            '"String expansion"=hex(2):25,00,48,00,4f,00,4d,00,45,00,25,00,5c,00,25,00,50,\\\r\n'
            "  00,41,00,54,00,48,00,25,00,00,00",
            id="expand_sz",
        ),
        pytest.param("1a", RegistryData(0, b""), '"1a"=hex(0):', id="empty none"),
        pytest.param("1c", RegistryData(2, b""), '"1c"=hex(2):', id="empty expand_sz"),
        pytest.param("1d", RegistryData(3, b""), '"1d"=hex:', id="empty binary"),
        pytest.param("1e", RegistryData(4, b""), '"1e"=hex(4):', id="empty dword"),
        pytest.param("1h", RegistryData(0xABCD, b""), '"1h"=hex(abcd):', id="empty unknown"),
        # What no quoted string can hold. Windows loses it; hex(1) is what it reads again.
        pytest.param("n", RegistryData(1, b""), '"n"=hex(1):', id="sz without terminator"),
        pytest.param("n", RegistryData(1, b"a\0"), '"n"=hex(1):61,00', id="unterminated"),
        pytest.param("n", RegistryData(1, b"a\0\0"), '"n"=hex(1):61,00,00', id="odd length"),
        pytest.param("n", sz("a\0b"), '"n"=hex(1):61,00,00,00,62,00,00,00', id="NUL inside"),
        pytest.param("n", sz("a\n"), '"n"=hex(1):61,00,0a,00,00,00', id="line feed"),
        pytest.param("n", sz("a\r"), '"n"=hex(1):61,00,0d,00,00,00', id="carriage return"),
        pytest.param("n", sz("\ud800"), '"n"="\ud800"', id="lone surrogate"),
        pytest.param("n", RegistryData(4, b"\1"), '"n"=hex(4):01', id="short dword"),
        pytest.param("n", RegistryData(5, b"\1\2\3\4"), '"n"=hex(5):01,02,03,04', id="big endian"),
        pytest.param(
            "n",
            RegistryData(11, bytes(8)),
            '"n"=hex(b):00,00,00,00,00,00,00,00',
            id="qword",
        ),
        pytest.param(
            "n", RegistryData(0xFFFF0012, b"\0"), '"n"=hex(ffff0012):00', id="property type"
        ),
        pytest.param(
            "n" * 100,
            RegistryData(3, b"\1\2\3"),
            '"' + "n" * 100 + '"=hex:01,\\\r\n  02,03',
            id="a name longer than the line",
        ),
        pytest.param("n", None, '"n"=-', id="a value to delete"),
    ],
)
def test_one_value(name: str, data: RegistryData | None, expected: str) -> None:
    assert line(name, data) == expected


@pytest.mark.parametrize("width", range(1, 30))
def test_no_line_is_longer_than_80_columns_nor_broken_too_early(width: int) -> None:
    lines = line("n" * width, RegistryData(3, bytes(300))).split("\r\n")
    assert max(map(len, lines)) <= 80
    assert all(len(text) + 3 > 80 for text in lines[:1])
    assert {len(text) for text in lines[1:-1]} == {78}


def test_the_file_as_regedit_saves_it() -> None:
    keys = [
        RegKey(ROOT),
        RegKey(f"{ROOT}\\Sub", (RegValue("", sz("x")),)),
        RegKey("A", deleted=True),
    ]
    raw = b"".join(reg_text.encoded(reg_text.blocks(keys)))
    expected = f'\ufeff{HEAD}[{ROOT}]\r\n\r\n[{ROOT}\\Sub]\r\n@="x"\r\n\r\n[-A]\r\n\r\n'
    assert raw == expected.encode("utf-16-le")


@pytest.mark.parametrize("path", real("winroot/lumia_ControlSet001_Services_qcAud.reg"))
def test_a_real_export_comes_out_as_it_went_in(path: Path) -> None:
    raw = path.read_bytes()
    keys = reg_parse.parse(raw)
    assert len(keys) == 591
    assert sum(len(key.values) for key in keys) == 1461 + 372 + 2
    assert b"".join(reg_text.encoded(reg_text.blocks(keys))) == raw


@pytest.mark.parametrize("char", ["\0", "\r", "\n"], ids=["NUL", "CR", "LF"])
def test_names_that_no_line_can_hold_are_left_out_and_said_so(char: str) -> None:
    keys = [
        RegKey(f"{ROOT}\\a{char}b", (RegValue("lost", sz("x")),)),
        RegKey(ROOT, (RegValue(f"v{char}", sz("x")), RegValue("kept", sz("y")))),
    ]
    left_out: list[str] = []
    text = "".join(reg_text.blocks(keys, left_out))
    assert len(left_out) == 2
    assert char not in "".join(left_out)
    (key,) = reg_parse.parse(text.encode("utf-16-le", "surrogatepass"))
    assert (key.path, key.values) == (ROOT, (RegValue("kept", sz("y")),))
    with pytest.raises(FormatError, match="cannot be written as text"):
        reg_text.render(keys)


# --- there and back -----------------------------------------------------------------------

units = st.lists(st.integers(0, 0xFFFF), max_size=12)
names = units.map(
    lambda found: "".join(
        chr(unit) for unit in found if unit not in (0, 10, 13) and not 0xDC00 <= unit < 0xE000
    )
)
key_names = names.map(lambda name: name.replace("\\", "") or "k")
datas = st.builds(
    RegistryData, st.one_of(st.integers(0, 12), st.integers(0, 0xFFFFFFFF)), st.binary(max_size=90)
) | names.map(sz)
values = st.builds(RegValue, names, datas | st.none())
keys = st.builds(
    RegKey,
    st.lists(key_names, min_size=1, max_size=3).map(lambda found: "\\".join(["HKLM", *found])),
    st.lists(values, max_size=4).map(tuple),
) | key_names.map(lambda name: RegKey(f"HKLM\\{name}", deleted=True))


@settings(max_examples=150, deadline=None)
@given(st.lists(keys, max_size=4), st.sampled_from(["utf-16-le", "utf-16-be", "utf-8"]))
def test_parse_of_render_is_what_was_rendered(written: list[RegKey], encoding: str) -> None:
    text = "\ufeff" + reg_text.render(written)
    read = reg_parse.parse(text.encode(encoding, "surrogatepass"))
    assert [(key.path, key.values, key.deleted) for key in read] == [
        (key.path, key.values, key.deleted) for key in written
    ]


# --- hivex --------------------------------------------------------------------------------

TREE: builder.Tree = {
    "Plain": {
        "": builder.sz("the default"),
        "Number": builder.dword(4),
        "Long": builder.qword(1 << 40),
        "Path": builder.expand_sz("%SystemRoot%\\acme.sys"),
        "List": builder.multi_sz("one", "two"),
        "Bytes": builder.binary(bytes(range(256))),
        'Quo"ted\\name': builder.sz('C:\\Program Files\\"Acme"'),
        "Odd": builder.Raw(1, b"a\0b"),
        "Type": builder.Raw(0x1234, b"\1\2\3"),
        "Empty": builder.Raw(3, b""),
    },
    "Deep": {"Er": {"Still": {"v": builder.dword(1)}}, "Empty": {}},
}


def exported(hive: Hive) -> list[RegKey]:
    """All keys of a hive, read one by one."""
    return [
        RegKey(
            f"HKEY_LOCAL_MACHINE\\T\\{key.path}".rstrip("\\"),
            tuple(RegValue(v.name, RegistryData(v.type, bytes(v.data))) for v in key.values()),
        )
        for key in [hive.root, *_below(hive.root)]
    ]


def _below(key: Key) -> list[Key]:
    found = []
    for child in key.subkeys():
        found += [child, *_below(child)]
    return found


@need("hivexregedit")
def test_hivex_reads_our_text_as_the_hive_it_came_from(tmp_path: Path) -> None:
    source, copy, text = tmp_path / "source", tmp_path / "copy", tmp_path / "text.reg"
    source.write_bytes(builder.build(TREE))
    copy.write_bytes(empty_hive.empty(builder.WHEN))
    found = exported(Hive(source.read_bytes()))
    text.write_text(reg_text.render(found).replace("\r\n", "\n"))
    subprocess.run(
        ["hivexregedit", "--merge", "--prefix", "HKEY_LOCAL_MACHINE\\T", str(copy), str(text)],
        check=True,
        capture_output=True,
    )
    ours, theirs = hivex.registry(source), hivex.registry(copy)
    assert {path: key.values for path, key in theirs.items()} == {
        path: key.values for path, key in ours.items()
    }


@need("hivexregedit")
def test_our_parser_reads_what_hivex_exports(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(builder.build(TREE))
    assert_hivex_exports_the_same(source)


@need("hivexregedit")
@pytest.mark.parametrize("path", real("hives/bcd_win2go", "hives/bcd_asus/Boot_BCD"))
def test_real_hives_as_hivex_exports_them(path: Path) -> None:
    assert_hivex_exports_the_same(path)


def assert_hivex_exports_the_same(source: Path) -> None:
    done = subprocess.run(
        ["hivexregedit", "--export", "--prefix", "HKEY_LOCAL_MACHINE\\T", str(source), "\\"],
        check=True,
        capture_output=True,
    )
    read = {key.path.rstrip("\\"): set(key.values) for key in reg_parse.parse(done.stdout)}
    assert read == {key.path: set(key.values) for key in exported(Hive(source.read_bytes()))}
