"""`.reg` text in: what Windows accepts is accepted alike, everything else refused at its line.

The tables follow Wine's tests of reg.exe, which are run on Windows: a line Windows takes gives the
same value here; one that Windows skips without a word ends the import here.
"""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import reg_parse
from recoverykit.formats.reg_text import RegKey
from recoverykit.model import RegistryData
from tests.conftest import real

KEY = "HKEY_CURRENT_USER\\Software\\Test"
FIVE, FOUR = "Windows Registry Editor Version 5.00", "REGEDIT4"
Read = dict[str, RegistryData | None]


def parsed(body: str, header: str = FIVE) -> tuple[RegKey, ...]:
    return reg_parse.parse(f"{header}\n\n[{KEY}]\n{body}".encode())


def values(body: str, header: str = FIVE) -> Read:
    (key,) = parsed(body, header)
    assert key.path == KEY
    return {value.name: value.data for value in key.values}


def wide(text: str) -> bytes:
    return text.encode("utf-16-le")


def sz(text: str) -> RegistryData:
    return RegistryData(1, wide(text + "\0"))


def dword(number: int) -> RegistryData:
    return RegistryData(4, number.to_bytes(4, "little"))


@pytest.mark.parametrize(
    "header",
    [FIVE, FOUR, f" {FOUR}", f"\t{FOUR}", f"{FIVE}  ", FIVE.replace("5.00", "5.00\r")],
)
def test_headers_that_windows_takes(header: str) -> None:
    assert reg_parse.parse(f"{header}\n[{KEY}]\n".encode()) == (RegKey(KEY, line=2),)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "regedit4",
        "REGEDIT",
        "REGEDIT3",
        "REGEDIT5",
        "REGEDIT 4",
        "REGEDIT4FOO",
        "REGEDIT4 FOO",
        "1REGEDIT4",
        "\nREGEDIT4",
        "Windows Registry Editor Version 4.00",
        "Windows Registry Editor Version 5",
        "WINDOWS REGISTRY EDITOR VERSION 5.00",
        "Windows Registry Editor version 5.00",
        "[HKEY_CURRENT_USER\\a]",
    ],
)
def test_other_headers_import_nothing(header: str) -> None:
    with pytest.raises(FormatError, match="no registry file"):
        reg_parse.parse(f'{header}\n\n[{KEY}]\n"a"="b"\n'.encode())


LINE = wide("Line concatenation\0\0")

TAKEN = {
    '"a"="Value 2";comment': {"a": sz("Value 2")},
    '"a"="Value1"  ;comment': {"a": sz("Value1")},
    '"a"="Value1"\t\t;comment': {"a": sz("Value1")},
    '"a"=";comment2"': {"a": sz(";comment2")},
    '"a"="#comment1"': {"a": sz("#comment1")},
    '"a"="Value ;comment6"': {"a": sz("Value ;comment6")},
    '#comment\\\n"a"="Line 1"\n;comment\\\n"b"="Line 2"': {"a": sz("Line 1"), "b": sz("Line 2")},
    '    ;"Comment4"="Value 4"\n    #"x"="y"': {},
    '"a"="Value1"\n\n\n"b"="Value2"\n\n': {"a": sz("Value1"), "b": sz("Value2")},
    '"a"="No newline"': {"a": sz("No newline")},
    '"a"=dword:1': {"a": dword(1)},
    '"a"=dword:4444': {"a": dword(0x4444)},
    '"a"=dword:02040608 ;comment': {"a": dword(0x2040608)},
    '"a"=dword:00000004;comment': {"a": dword(4)},
    '"a"=dword:1234;5678': {"a": dword(0x1234)},
    '"a"=""\n""="Default Value Name"': {"a": sz(""), "": sz("Default Value Name")},
    '@="Test"': {"": sz("Test")},
    '"double\\"quote"="valid \\"or\\" not"': {'double"quote': sz('valid "or" not')},
    '"Wine\\\\31"="Test value"': {"Wine\\31": sz("Test value")},
    '"a"=-': {"a": None},
    '"a"=  -': {"a": None},
    '"a"=  \t-\t  ': {"a": None},
    '"a"=- ;comment': {"a": None},
    '"a"=hex:11,22,33,44,\\;comment\n  55,66,\\\n  77,88': {
        "a": RegistryData(3, bytes.fromhex("1122334455667788"))
    },
    '"a"=hex:11,22,': {"a": RegistryData(3, b"\x11\x22")},
    '"a"=hex:11,22  ;comment': {"a": RegistryData(3, b"\x11\x22")},
    '"a"=hex:\\\n  25,48': {"a": RegistryData(3, b"\x25\x48")},
    '"a"=hex:11,  \\  ;comment\n  22': {"a": RegistryData(3, b"\x11\x22")},
    '"a"=hex:11,\\\t  ;comment\n  22': {"a": RegistryData(3, b"\x11\x22")},
    '"a"=hex:11,\\\n\n  22,\\\n\t\n \n  33': {"a": RegistryData(3, b"\x11\x22\x33")},
    '"a"=hex:11,\\\n  ;comment\n  22': {"a": RegistryData(3, b"\x11\x22")},
    '"a"=hex:11,\\\n;comment\n  22': {"a": RegistryData(3, b"\x11\x22")},
    '"a"=hex(0):56,61,\\': {"a": RegistryData(0, b"Va")},
    '"a"=hex(10):56': {"a": RegistryData(0x10, b"V")},
    '"a"=hex(7fffffff):56': {"a": RegistryData(0x7FFFFFFF, b"V")},
    '"a"=hex(ffffffff):56': {"a": RegistryData(0xFFFFFFFF, b"V")},
    '"a"=hex(3):12,34': {"a": RegistryData(3, b"\x12\x34")},
    '"a"=hex(4):40,30,20,10': {"a": dword(0x10203040)},
    '"a"=hex(1):': {"a": RegistryData(1, b"")},
    '"a"=hex:': {"a": RegistryData(3, b"")},
    '"a"=hex:1,2,f': {"a": RegistryData(3, b"\x01\x02\x0f")},
}


@pytest.mark.parametrize(("body", "expected"), TAKEN.items(), ids=map(repr, TAKEN))
@pytest.mark.parametrize("eol", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_what_windows_takes(body: str, expected: Read, eol: str) -> None:
    text = f"{FIVE}\n\n[{KEY}]\n{body}".replace("\n", eol)
    (key,) = reg_parse.parse(text.encode())
    assert {value.name: value.data for value in key.values} == expected


SKIPPED = [
    '"a"="Value 1"#comment',
    '"a"=dword:01020304 #comment',
    '"a"=#"Value 8"',
    '"a"=;"Value 9"',
    '"a"=dword:',
    '"a"=dword:hello',
    '"a"=dword:123456789',
    '"a"=dword:012345678',
    '"a"=dword:0x123',
    '"a"=dword:123 456',
    '"a"=dword:1234\\\n5678',
    '"a"="foo"bar"',
    '"a"="foo""bar"',
    '"a"=',
    '"a"=\\"',
    '"a"=\\"Value\\"',
    '"a"=Asdffdsa"',
    '"a"="Asdffdsa',
    '"a"=Asdffdsa',
    'a"="Asdffdsa"',
    '"a="Asdffdsa"',
    'a="Asdffdsa"',
    '"a=Asdffdsa"',
    '"a"="Test \\\nValue"',
    '"a\\\nb"="Value 1"',
    '"a"=-"Test"',
    '"a"=- #comment',
    '"a"=hex:11,22\\\n,33',
    '"a"=hex:11,22\\\n  ,33',
    '"a"=hex:11,22\\\n  33',
    '"a"=hex:11,2\\\n2,33',
    '"a"=hex:11,\\#comment\n  22',
    '"a"=hex:11,\\\n  #comment\n  22',
    '"a"=hex:11,22,\n  33',
    '"a"=hex:25,100,00',
    '"a"=hex:25,\\4f',
    '"a"=hex:25\\ ,4f',
    '"a"=hex:\\25',
    '"a"=hex:25,\\,4f',
    '"a"=hex:25,\\\\\n  4f',
    '"a"=hex:,\\\n  25',
    '"a"=hex:25,\\\n\\\n  4f',
    '"a"=hex:25,\\\n  \\\n  4f',
    '"a"=hex:25,/\n  4f',
    '"a"=hex:25,\\\n"b"="c"',
    '"a"=hex:25,\\\n[HKEY_CURRENT_USER\\b]',
    '"a"=hex(100000000):56',
    '"a"=hex(0x2):56',
    '"a"=hex(x2):56',
    "HKEY_CURRENT_USER\\b]",
    "[HKEY_CURRENT_USER\\b",
    "[ HKEY_CURRENT_USER\\b]",
    "[- HKEY_CURRENT_USER\\b]",
    "[HKEY_CURRENT_USER\\a\\\nb]",
    '[-HKEY_CURRENT_USER\\b]\n"a"=dword:12345678',
    # Of these nobody knows what Windows makes.
    '"a"="C:\\Windows"',
    "[]",
    "[-]",
    "[\\]",
    "[HKEY_CURRENT_USER\\\\b]",
    "[HKEY_CURRENT_USER\\b] x",
    '"a"="b\0"',
]


@pytest.mark.parametrize("body", SKIPPED)
def test_what_windows_skips_refuses_the_file_at_its_line(body: str) -> None:
    with pytest.raises(FormatError) as caught:
        parsed(f'"before"="x"\n{body}\n"after"="y"\n')
    first = 5 + body.count("\n") + 1
    assert any(f"line {number} " in str(caught.value) for number in range(5, first + 1))


def test_a_string_may_hold_line_breaks_as_regedit_exports_them() -> None:
    assert values('"a"="one\r\ntwo"\r\n"b"="c"') == {"a": sz("one\r\ntwo"), "b": sz("c")}


@pytest.mark.parametrize(
    ("line", "path", "deleted"),
    [
        ('[HKLM\\Sub"1]', 'HKLM\\Sub"1', False),
        ("[HKLM\\Sub/2]", "HKLM\\Sub/2", False),
        ("[HKLM\\Sub ]", "HKLM\\Sub ", False),
        ("[HKLM\\Sub\t]", "HKLM\\Sub\t", False),
        ("[HKLM\\Sub\\]", "HKLM\\Sub", False),
        ("[HKLM\\Sub\\\\]", "HKLM\\Sub", False),
        ("[HKLM\\a]b]", "HKLM\\a]b", False),
        ("[HKLM\\a] ;comment", "HKLM\\a", False),
        ("[-HKLM\\a]", "HKLM\\a", True),
    ],
)
def test_keys(line: str, path: str, deleted: bool) -> None:
    assert reg_parse.parse(f"{FIVE}\r\n{line}\r\n".encode()) == (
        RegKey(path, deleted=deleted, line=2),
    )


# --- versions and encodings ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "data"),
    [
        ("hex(2):25,50,41,54,48,25,00", RegistryData(2, wide("%PATH%\0"))),
        ("hex(2):25,50,41,54,48", RegistryData(2, wide("%PATH\0"))),
        ("hex(7):61,00,62,00,00", RegistryData(7, wide("a\0b\0\0"))),
        ("hex(1):80,00", RegistryData(1, wide("€\0"))),
        ("hex(1):81,00", RegistryData(1, wide("\x81\0"))),
        ("hex(2):", RegistryData(2, b"")),
        ("hex(0):41,42", RegistryData(0, b"AB")),
    ],
)
def test_texts_of_the_old_version_are_ansi(body: str, data: RegistryData) -> None:
    assert values(f'"a"={body}', FOUR) == {"a": data}


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-16", f'{FIVE}\r\n[K]\r\n"ä€"="日本"\r\n'),
        ("utf-16-le", f'{FIVE}\r\n[K]\r\n"ä€"="日本"\r\n'),
        ("utf-8", f'{FIVE}\r\n[K]\r\n"ä€"="日本"\r\n'),
        ("utf-8-sig", f'{FIVE}\r\n[K]\r\n"ä€"="日本"\r\n'),
        ("utf-8-sig", f'{FOUR}\r\n[K]\r\n"ä€"="日本"\r\n'),
        ("cp1252", f'{FIVE}\r\n[K]\r\n"ä€"="ö"\r\n'),
        ("cp1252", f'{FOUR}\r\n[K]\r\n"ä€"="ö"\r\n'),
    ],
)
def test_encodings(encoding: str, text: str) -> None:
    (key,) = reg_parse.parse(text.encode(encoding))
    (value,) = key.values
    assert value.name == "ä€"
    assert value.data == sz(text.rpartition("=")[2].strip().strip('"'))


def test_ansi_is_believed_where_the_version_says_so() -> None:
    """The bytes are UTF-8 as well: REGEDIT4 says that they are not meant so."""
    (key,) = reg_parse.parse(f'{FOUR}\n[K]\n"a"="ä"\n'.encode())
    assert key.values[0].data == sz("Ã¤")


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"\xff\xfeW", "UTF-16"),
        (b"\xef\xbb\xbf\xff", "UTF-8"),
        (b"x" * (reg_parse.MOST_BYTES + 1), "longer than 64 MiB"),
        (f"{FIVE}\n[K]\n\0".encode(), "NUL"),
        (b"", "no registry file"),
    ],
    ids=["odd", "not UTF-8", "long", "NUL", "empty"],
)
def test_what_is_no_text(raw: bytes, problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        reg_parse.parse(raw)


# --- hostile text -------------------------------------------------------------------------


def test_more_keys_than_anybody_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reg_parse, "MOST_ENTRIES", 10)
    with pytest.raises(FormatError, match=r"line 13 .*more than 10 keys and values"):
        parsed('"a"=-\n' * 20)


@pytest.mark.parametrize(
    "body",
    [
        '"a"="' + "\\\\" * 500_000,
        '"a"=hex:' + "0 " * 500_000,
        '"a"=hex:' + "00," * 500_000 + "x",
        '"a"=hex:00,' + "\\\n" * 500_000,
        " \t" * 500_000 + "x",
        ";\n" * 500_000 + "x",
        "[" + "]" * 1_000_000 + "x",
        '"' + "a" * 1_000_000,
    ],
    ids=["escapes", "spaces", "bytes", "continued", "blanks", "comments", "brackets", "name"],
)
def test_a_million_characters_take_no_time(body: str) -> None:
    """The suite's timeout is the bound: anything quadratic would take hours."""
    with pytest.raises(FormatError):
        parsed(body)


@pytest.mark.parametrize("path", real("winroot/lumia_ControlSet001_Services_qcAud.reg"))
def test_mutations_fail_in_one_way_only(path: Path) -> None:
    text = path.read_bytes()[:6000].decode("utf-16", "ignore")
    sample = text + f'"m"=hex(7):61,00,\\\r\n  00,00 ;x\r\n[-{KEY}]\r\n[K]\r\n@=-\r\n'
    good = sample.encode()
    rng = random.Random(20261122)
    refused = 0
    for _ in range(1500):
        bad = bytearray(good[: rng.randrange(len(good) // 2, len(good) + 1)])
        for _ in range(rng.randrange(1, 6)):
            bad[rng.randrange(len(bad))] = rng.choice((*b'\\"\r\n[]-,;:@=\0 ', rng.randrange(256)))
        with suppress(FormatError):
            reg_parse.parse(bytes(bad))
            refused -= 1
        refused += 1
    assert refused > 500
