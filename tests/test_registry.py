"""`recoverykit reg`, as a user runs it, on a folder that is a Windows volume."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from recoverykit import cli, cli_reg, pipeline
from recoverykit.formats import reg_parse
from recoverykit.model import Outcome
from recoverykit.repair import transaction
from recoverykit.visit import Options
from tests import reg_volume
from tests.builders import hive as builder
from tests.conftest import REPOSITORY
from tests.reg_volume import ACME, SOFTWARE, SYSTEM

KEY = "HKLM\\SYSTEM\\CurrentControlSet\\Services\\Acme"
# The sub-app by itself, under the main program's error handling.
_CODE = "from recoverykit import cli, cli_reg; cli.app = cli_reg.app; cli.main()"


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw)
        return found


def reg(*arguments: str | Path) -> Done:
    """`recoverykit reg ARGUMENTS`, in this process: a new one takes most of its time to start."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setenv("COLUMNS", "200")
        patch.setattr(sys, "argv", ["recoverykit reg", *map(str, arguments)])
        patch.setattr(cli, "app", cli_reg.app)
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
    return Done(code, out.getvalue().encode(), err.getvalue())


def export(*arguments: str | Path, stdout: int = subprocess.PIPE) -> Done:
    """`recoverykit reg export ARGUMENTS` into what a shell would connect it to."""
    argv = [sys.executable, "-c", _CODE, "export", *map(str, arguments)]
    done = subprocess.run(
        argv,
        cwd=REPOSITORY,
        stdout=stdout,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return Done(done.returncode, done.stdout or b"", done.stderr.decode())


def undo(volume: Path) -> None:
    """The newest transaction, taken back as by `recoverykit undo --yes`."""
    done = pipeline.undo(volume, options=Options(ask=lambda _: True))
    assert [entry.outcome for entry in done.installations] == [Outcome.UNDONE]


def contents(root: Path) -> dict[str, str]:
    """Every file below `root` with its hash; our own folder left out."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and "RecoveryKit" not in path.parts
    }


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    return reg_volume.build(tmp_path / "volume")


# --- get ----------------------------------------------------------------------------------


def test_a_key_for_people(volume: Path) -> None:
    done = reg("get", volume, KEY)
    assert done.code == 0
    assert done.out.splitlines() == [
        f"HKEY_LOCAL_MACHINE\\SYSTEM\\{ACME}",
        f"    last written 2024-05-01 12:00:00 UTC, in {SYSTEM} of {volume}:/Windows",
        "    Type       REG_DWORD      0x00000001 (1)",
        "    Start      REG_DWORD      0x00000003 (3)",
        "    ImagePath  REG_EXPAND_SZ  system32\\drivers\\acme.sys",
        "    List       REG_MULTI_SZ   eins\\0zwei",
        "    (default)  REG_SZ         default",
        "    1 subkey:",
        "      Parameters",
    ]
    assert done.err == "note: CurrentControlSet is ControlSet002: the next boot uses it.\n"


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("start", "Start  REG_DWORD  0x00000003 (3)"),
        ("", "(default)  REG_SZ  default"),
    ],
)
def test_one_value_for_people(volume: Path, value: str, line: str) -> None:
    assert reg("get", volume, KEY, value).out == f"{line}\n"


def test_what_a_hive_says_cannot_steer_the_terminal(volume: Path) -> None:
    done = reg("get", volume, f"{KEY}\\Parameters")
    assert "Evil\\x1b[2J\\u202e  REG_SZ         \\x1b[31mred\\u202e" in done.out


def test_a_key_for_scripts(volume: Path) -> None:
    found = reg("get", volume, KEY, "--json").json
    values = found.pop("values")
    assert found.pop("version")
    assert found == {
        "schema": "recoverykit.registry/1",
        "root": f"{volume}:/Windows",
        "hive": SYSTEM,
        "key": f"HKEY_LOCAL_MACHINE\\SYSTEM\\{ACME}",
        "path": ACME,
        "class": None,
        "last_written": "2024-05-01T12:00:00+00:00",
        "last_written_filetime": 133590384000000000,
        "link": False,
        "subkeys": ["Parameters"],
        "notes": ["CurrentControlSet is ControlSet002: the next boot uses it."],
    }
    assert [value["decoded"] for value in values] == [
        1,
        3,
        "system32\\drivers\\acme.sys",
        ["eins", "zwei"],
        "default",
    ]
    start = {"name": "Start", "type": 4, "type_name": "REG_DWORD", "data": "03000000", "decoded": 3}
    assert values[1] == start
    one = reg("get", volume, KEY, "Start", "--json").json
    assert (one["values"], one["subkeys"]) == ([start], None)


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["HKLM\\SYSTEM\\Nothing"], 3, "there is no key HKEY_LOCAL_MACHINE\\SYSTEM\\Nothing"),
        ([KEY, "Nothing"], 3, "has no value Nothing"),
        (["HKCU\\Software"], 2, "nobody is logged on"),
        (["HKLM\\SYSTEM", "--install", "elsewhere"], 2, "no installation elsewhere"),
    ],
)
def test_what_is_not_there(volume: Path, arguments: list[str], code: int, problem: str) -> None:
    done = reg("get", volume, *arguments)
    assert (done.code, done.raw) == (code, b"")
    assert problem in done.err


def test_a_target_without_windows(tmp_path: Path) -> None:
    done = reg("get", tmp_path, KEY)
    assert done.code == 3
    assert "no Windows installation was found" in done.err


# --- a hive by itself ---------------------------------------------------------------------


def test_a_hive_file_can_be_read(tmp_path: Path) -> None:
    hive = tmp_path / "SYSTEM"
    hive.write_bytes(builder.build(reg_volume.SYSTEM_TREE))
    assert reg("get", hive, "Select", "Current").out == "Current  REG_DWORD  0x00000002 (2)\n"
    exported = export(hive, "Select").out
    assert "[HKEY_LOCAL_MACHINE\\SYSTEM\\Select]\r\n" in exported


def test_a_dirty_hive_file_is_read_with_its_log(tmp_path: Path) -> None:
    old = builder.build({"k": {"v": builder.dword(1)}})
    dirty, log = builder.dirty_with_log(old, builder.build({"k": {"v": builder.dword(2)}}))
    (tmp_path / "hive").write_bytes(dirty)
    (tmp_path / "hive.LOG1").write_bytes(log)
    done = reg("get", tmp_path / "hive", "k", "v")
    assert done.out == "v  REG_DWORD  0x00000002 (2)\n"
    assert "its logs were applied in memory" in done.err

    (tmp_path / "hive.LOG1").unlink()
    refused = reg("get", tmp_path / "hive", "k", "v")
    assert refused.code == 10
    assert "dirty" in refused.err
    assert "--as-is" in refused.err

    stale = reg("get", tmp_path / "hive", "k", "v", "--as-is")
    assert stale.out == "v  REG_DWORD  0x00000001 (1)\n"
    assert "may be stale" in stale.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["set", "k", "v", "--type", "dword", "1"],
        ["delete", "k"],
    ],
)
def test_a_hive_file_is_not_changed(tmp_path: Path, arguments: list[str]) -> None:
    hive = tmp_path / "hive"
    hive.write_bytes(builder.build({"k": {}}))
    before = contents(tmp_path)
    done = reg(arguments[0], hive, *arguments[1:], "--yes")
    assert done.code == 5
    assert "journal" in done.err
    assert contents(tmp_path) == before


# --- export -------------------------------------------------------------------------------


def test_an_export_is_what_it_is_written_to(volume: Path, tmp_path: Path) -> None:
    by_option, by_shell = tmp_path / "a.reg", tmp_path / "b.reg"
    assert export(volume, KEY, "-o", by_option).code == 0
    with by_shell.open("wb") as file:
        export(volume, KEY, stdout=file.fileno())
    piped = export(volume, KEY)

    assert by_option.read_bytes().startswith(b"\xff\xfeW\0i\0")
    assert by_option.read_bytes() == by_shell.read_bytes()
    assert by_option.read_bytes().decode("utf-16") == piped.out
    assert reg_parse.parse(piped.raw) == reg_parse.parse(by_option.read_bytes())
    assert piped.out.splitlines()[2:8] == [
        f"[HKEY_LOCAL_MACHINE\\SYSTEM\\{ACME}]",
        '"Type"=dword:00000001',
        '"Start"=dword:00000003',
        '"ImagePath"=hex(2):73,00,79,00,73,00,74,00,65,00,6d,00,33,00,32,00,5c,00,64,00,\\',
        "  72,00,69,00,76,00,65,00,72,00,73,00,5c,00,61,00,63,00,6d,00,65,00,2e,00,73,\\",
        "  00,79,00,73,00,00,00",
    ]


def test_an_export_to_a_terminal_is_harmless(volume: Path) -> None:
    reader, terminal = pty.openpty()
    with os.fdopen(reader, "rb", buffering=0) as screen:
        done = export(volume, f"{KEY}\\Parameters", stdout=terminal)
        os.close(terminal)
        shown = screen.read(4096)
    assert done.code == 0
    assert b"\x1b" not in shown
    assert b'"Evil\\x1b[2J\\u202e"="\\x1b[31mred\\u202e"' in shown


def test_nothing_is_written_for_a_key_that_is_not_there(volume: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.reg"
    assert export(volume, "HKLM\\SYSTEM\\Nothing", "-o", output).code == 3
    assert not output.exists()


def test_a_name_that_text_cannot_hold_is_said(tmp_path: Path) -> None:
    hive = tmp_path / "hive"
    hive.write_bytes(builder.build({"a\0b": {}, "c": {}}))
    done = export(hive, "")
    assert done.code == 0
    assert "; left out: the key" in done.out
    assert "NUL" in done.err


def test_of_a_damaged_hive_the_rest_is_exported(tmp_path: Path) -> None:
    image = bytearray(builder.build({"a": {}, "broken": {}, "c": {"v": builder.dword(1)}}))
    image[image.index(b"broken") - 76] = 0xFF  # its signature
    (tmp_path / "hive").write_bytes(image)
    done = export(tmp_path / "hive", "")
    assert done.code == 10
    paths = [key.path for key in reg_parse.parse(done.raw)]
    root = "HKEY_LOCAL_MACHINE\\hive"
    assert paths == [root, f"{root}\\a", f"{root}\\c"]
    assert "damaged in 1 place; what lies there is not in the export" in done.err


# --- set, delete, import ------------------------------------------------------------------


def test_set_and_back(volume: Path) -> None:
    before = contents(volume)
    done = reg("set", volume, KEY, "Start", "--type", "dword", "4", "--yes", "--json")
    assert done.code == 0, done
    assert done.json["verb"] == "reg set"
    (entry,) = done.json["installations"]
    assert entry["outcome"] == "applied"
    assert entry["plan"]["actions"] == [
        {
            "action": "set-value",
            "hive": SYSTEM,
            "key": ACME,
            "name": "Start",
            "type": 4,
            "before": "03000000",
            "after": "04000000",
        }
    ]
    assert reg("get", volume, KEY, "Start", "--json").json["values"][0]["decoded"] == 4
    assert [info.summary for info in transaction.history(volume)] == [
        f"set Start of HKEY_LOCAL_MACHINE\\SYSTEM\\{ACME}"
    ]

    undo(volume)
    assert contents(volume) == before


def test_a_key_is_created_with_its_value(volume: Path) -> None:
    arguments = (
        volume,
        "HKLM\\SOFTWARE\\Acme\\Deep",
        "List",
        "-t",
        "multi_sz",
        "a",
        "b c",
        "--yes",
    )
    refused = reg("set", *arguments, "--json")
    assert refused.code == 3
    assert refused.json["installations"][0]["outcome"] == "failed"
    assert "--create" in refused.json["installations"][0]["error"]

    assert reg("set", *arguments, "--create").code == 0
    shown = reg("get", volume, "HKLM\\SOFTWARE\\Acme\\Deep", "--json").json["values"]
    assert [(value["name"], value["decoded"]) for value in shown] == [("List", ["a", "b c"])]


def test_delete_a_tree_and_back(volume: Path) -> None:
    before = contents(volume)
    whole = export(volume, "HKLM\\SYSTEM").raw
    refused = reg("delete", volume, KEY, "--yes")
    assert refused.code == 2
    assert "has 1 subkey (--tree deletes them with it.)" in refused.out

    assert reg("delete", volume, KEY, "--tree", "--yes").code == 0
    assert reg("get", volume, KEY).code == 3

    undo(volume)
    assert export(volume, "HKLM\\SYSTEM").raw == whole
    assert contents(volume) == before


def test_import_over_several_hives_and_back(volume: Path, tmp_path: Path) -> None:
    before = contents(volume)
    file = tmp_path / "fix.reg"
    file.write_text(
        "Windows Registry Editor Version 5.00\r\n\r\n"
        f'[{KEY}]\r\n"Start"=dword:00000004\r\n"List"=-\r\n\r\n'
        '[HKEY_LOCAL_MACHINE\\SOFTWARE\\Acme]\r\n@="ä"\r\n\r\n'
        "[-HKEY_USERS\\Anna\\Software\\Acme]\r\n".replace("HKLM", "HKEY_LOCAL_MACHINE"),
        encoding="utf-16",
    )
    done = reg("import", volume, file, "--yes", "--json")
    assert done.code == 0, done
    (entry,) = done.json["installations"]
    assert len(entry["plan"]["actions"]) == 6
    assert contents(volume).keys() - before.keys() <= {
        f"{name}.LOG1" for name in (SYSTEM, SOFTWARE, "Users/Anna/NTUSER.DAT")
    }
    assert transaction.history(volume)[0].summary == (
        "import fix.reg (2 values set, 2 values deleted, 1 key created, 1 key deleted)"
    )
    assert reg("get", volume, "HKLM\\SOFTWARE\\Acme", "").out == "(default)  REG_SZ  ä\n"
    assert reg("get", volume, "HKU\\anna\\Software\\Acme").code == 3

    undo(volume)
    assert contents(volume) == before


@pytest.mark.parametrize(
    ("body", "code", "problem"),
    [
        ('[HKLM\\SOFTWARE\\a]\n"x"=nonsense\n', 10, "line 4"),
        ("[HKLM\\SOFTWARE\\a]\n[HKEY_CURRENT_USER\\a]\n", 2, "fix.reg, line 4: nobody"),
        ("[-HKLM\\SYSTEM]\n", 2, "root of a hive"),
    ],
)
def test_a_file_is_imported_whole_or_not_at_all(
    volume: Path, tmp_path: Path, body: str, code: int, problem: str
) -> None:
    before = contents(volume)
    (tmp_path / "fix.reg").write_text(f"REGEDIT4\n\n{body}")
    done = reg("import", volume, tmp_path / "fix.reg", "--yes")
    assert done.code == code
    assert problem in done.out + done.err
    assert contents(volume) == before


def test_an_export_can_be_imported_and_changes_nothing(volume: Path, tmp_path: Path) -> None:
    file = tmp_path / "all.reg"
    export(volume, "HKLM\\SYSTEM", "-o", file)
    before = contents(volume)
    done = reg("import", volume, file, "--yes", "--json")
    assert done.code == 0
    (entry,) = done.json["installations"]
    assert (entry["outcome"], entry["plan"]) == ("nothing-to-do", None)
    assert contents(volume) == before


def test_names_on_a_disk_cannot_steer_the_terminal(volume: Path) -> None:
    profile = volume / "Users/\u202eanna"
    profile.mkdir()
    (profile / "NTUSER.DAT").write_bytes(builder.build({}))
    done = reg("get", volume, "HKCU\\Software")
    assert "HKU\\\\u202eanna" in done.err


def test_the_guard_warns_an_expert(volume: Path) -> None:
    disk = KEY.replace("Acme", "disk")
    done = reg("set", volume, disk, "Start", "-t", "dword", "4", "--dry-run")
    assert done.code == 0
    assert "Note: Windows may not start afterwards. disk.sys must not be disabled" in done.out
    harmless = reg("set", volume, KEY, "Start", "-t", "dword", "4", "--dry-run")
    assert "may not start" not in harmless.out


def test_the_plan_is_shown_and_asked_for(volume: Path) -> None:
    before = contents(volume)
    arguments = (volume, KEY, "Start", "-t", "dword", "4")
    planned = reg("set", *arguments, "--dry-run")
    assert "Set Start of ControlSet002\\Services\\Acme from 3 (on demand) to 4" in planned.out
    unasked = reg("set", *arguments, "--json")
    assert unasked.json["installations"][0]["outcome"] == "refused"
    other = reg("set", *arguments, "--yes", "--plan", "0" * 64)
    assert other.code == 5
    assert contents(volume) == before

    digest = reg("set", *arguments, "--dry-run", "--json").json["installations"][0]["plan"][
        "digest"
    ]
    assert reg("set", *arguments, "--yes", "--plan", digest).code == 0


# --- several installations ----------------------------------------------------------------


def test_of_several_installations_one_is_named(volume: Path) -> None:
    reg_volume.build(volume, "Windows2")
    roots = [f"{volume}:/Windows", f"{volume}:/Windows2"]
    for done in (reg("get", volume, KEY), reg("delete", volume, KEY, "--tree", "--dry-run")):
        assert done.code == 2
        assert f"--install: {', '.join(roots)}" in done.err

    arguments = (volume, KEY, "Start", "-t", "dword", "4", "--yes", "--json")
    done = reg("set", *arguments, "--install", roots[1])
    assert done.code == 0
    assert [entry["root"] for entry in done.json["installations"]] == [roots[1]]
    starts = [
        reg("get", volume, KEY, "Start", "--json", "--install", root).json["values"][0]["decoded"]
        for root in roots
    ]
    assert starts == [3, 4]
