"""undo.cmd and undo.reg: run where Wine is, held to a grammar, and applied with our own engine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoverykit.errors import TargetRefusedError
from recoverykit.formats import hive, hive_edit, reg_parse, reg_text
from recoverykit.formats.reg_text import RegKey, RegValue
from recoverykit.model import (
    Action,
    EditHive,
    FileState,
    InstallFile,
    KeyChange,
    Plan,
    QuarantineFile,
    RegistryChange,
    RegistryData,
    RegistryKey,
    ValueChange,
)
from recoverykit.repair import fallback, hives, journal, registry_back, registry_plan, transaction
from recoverykit.repair import undo as undoing
from tests.independent import registry as hivex
from tests.repair import batch_check, target, wine
from tests.repair.wine import Wine

CAMPAIGN = int(os.environ.get("RECOVERYKIT_FALLBACK_EXAMPLES", "60"))
ID = "20261122T174501Z-abcd"
QUARANTINE = f"RecoveryKit/{ID}/quarantine"
DRIVERS = "windows/system32/drivers"
SYSTEM = "windows/system32/config/SYSTEM"
SERVICE, CLASS = target.SERVICE, "ControlSet001\\Control\\Class\\{4d36e967}"
ROOT = "HKEY_LOCAL_MACHINE\\SYSTEM"
OLD, NEW, BAD, ADDED = b"MZ old" * 100, b"MZ new" * 90, b"MZ bad" * 50, b"MZ added"


def dword(number: int) -> RegistryData:
    return RegistryData(4, number.to_bytes(4, "little"))


def text(words: str, kind: int = 1) -> RegistryData:
    return RegistryData(kind, (words + "\0").encode("utf-16-le"))


def words(*each: str) -> RegistryData:
    return RegistryData(7, "".join(word + "\0" for word in (*each, "")).encode("utf-16-le"))


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


CHANGES: tuple[RegistryChange, ...] = (
    ValueChange(SERVICE, "Start", dword(0), dword(4)),
    ValueChange(SERVICE, "Group", text("Filter Here"), None),
    ValueChange(SERVICE, "Note", None, text("by 100% us & (them)")),
    ValueChange(SERVICE, "ImagePath", text("a (b).sys", 2), text("x", 2)),
    ValueChange(SERVICE, "Blob", RegistryData(3, b"\xab\xcd"), RegistryData(3, b"\x01")),
    ValueChange(SERVICE, "", text("was it"), text("is it (now)")),
    ValueChange(CLASS, "UpperFilters", words("acme", "disk"), words("disk")),
    KeyChange(f"{SERVICE}\\New", None, RegistryKey()),
    ValueChange(f"{SERVICE}\\New", "a", None, dword(1)),
    KeyChange(f"{SERVICE}\\New\\Sub", None, RegistryKey()),
    ValueChange(f"{SERVICE}\\Old", "b", dword(7), None),
    KeyChange(f"{SERVICE}\\Old", RegistryKey(), None),
)
HARD: tuple[RegistryChange, ...] = (  # for Wine
    ValueChange(SERVICE, "More", None, text("^ %LOCALAPPDATA% !x! & 'y'")),
    ValueChange(SERVICE, "Path", text("%SystemRoot%\\a (b).sys", 2), text("x", 2)),
)
FILES: tuple[Action, ...] = (
    QuarantineFile(f"{DRIVERS}/acme flt.sys", digest(BAD), len(BAD)),
    InstallFile(f"{DRIVERS}/disk.sys", digest(OLD), digest(NEW), len(NEW), "DriverStore"),
    InstallFile(f"{DRIVERS}/added.sys", "", digest(ADDED), len(ADDED), "DriverStore"),
)
MOVES = {f"{DRIVERS}/{name}": f"{QUARANTINE}/{name}" for name in ("acme flt.sys", "disk.sys")}


def plan(changes: Sequence[RegistryChange] = CHANGES, files: Sequence[Action] = FILES) -> Plan:
    edits: tuple[Action, ...] = (EditHive(SYSTEM, tuple(changes)),) if changes else ()
    states = (FileState(f"{DRIVERS}/disk.sys", digest(OLD), len(OLD)),)
    return Plan(
        "disk.img#3:/windows", "acme.sys", "acme", "", (*edits, *files), states, 0, "quarantine %x"
    )


def texts(made: Plan | None = None, moves: dict[str, str] | None = None) -> dict[str, bytes]:
    install = replace(target.install(Path("/mnt")), folder="windows", system_hive=SYSTEM)
    return fallback.texts(made or plan(), install, ID, MOVES if moves is None else moves)


# --- run by cmd.exe -----------------------------------------------------------------------

IN_WINE = pytest.mark.skipif(not wine.found(), reason="not installed: wine")
LONG = pytest.mark.campaign


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wine]:
    made = wine.make(tmp_path_factory.mktemp("wine"))
    yield made
    made.stop()


@pytest.fixture
def repaired(windows: Wine) -> Wine:
    """That Windows as the repair left it."""
    home = windows.drive / "RecoveryKit" / ID
    for old in sorted(home.rglob("*"), reverse=True):
        old.rmdir() if old.is_dir() else old.unlink()
    (home / "quarantine").mkdir(parents=True, exist_ok=True)
    for name, content in texts().items():
        (home / name).write_bytes(content)
    (home / "journal.jsonl").write_bytes(b"{}")
    drivers = windows.drive / DRIVERS
    (drivers / "acme flt.sys").unlink(missing_ok=True)
    (drivers / "disk.sys").write_bytes(NEW)
    (drivers / "added.sys").write_bytes(ADDED)
    (home / "quarantine" / "acme flt.sys").write_bytes(BAD)
    (home / "quarantine" / "disk.sys").write_bytes(OLD)
    fill(windows, after=True)
    return windows


def fill(windows: Wine, *, after: bool) -> None:
    """The registry before or after the repair, whatever it was."""
    keys: dict[str, list[RegValue]] = {SERVICE: [], CLASS: []}
    for change in CHANGES:
        state = change.after if after else change.before
        if isinstance(change, KeyChange) and state is not None:
            keys.setdefault(change.key, [])
        if isinstance(change, ValueChange) and isinstance(state, RegistryData):
            keys.setdefault(change.key, []).append(RegValue(change.name, state))
    windows.imported(
        reg(
            RegKey(f"{ROOT}\\{SERVICE}", deleted=True),
            RegKey(f"{ROOT}\\{CLASS}", deleted=True),
            *(RegKey(f"{ROOT}\\{key}", tuple(values)) for key, values in keys.items()),
        )
    )


def reg(*keys: RegKey) -> bytes:
    return b"".join(reg_text.encoded(reg_text.blocks(keys)))


def run(windows: Wine, *arguments: str) -> tuple[int, str]:
    return windows.batch(f"C:\\RecoveryKit\\{ID}\\undo.cmd", *arguments)


def look(windows: Wine) -> tuple[dict[str, bytes], str]:
    """Every file that is not Windows' own, and the registry."""
    drivers = windows.drive / DRIVERS
    named = [drivers / name for name in ("acme flt.sys", "disk.sys", "added.sys")]
    named += [path for path in (windows.drive / "RecoveryKit").rglob("*") if path.is_file()]
    files = {path.name: path.read_bytes() for path in named if path.is_file()}
    keys = (windows.exported(f"{ROOT}\\{key}") for key in (SERVICE, CLASS))
    return files, "".join(keys)


@IN_WINE
def test_a_running_windows_takes_everything_back(repaired: Wine) -> None:
    code, said = run(repaired, "/yes")
    assert code == 0, said
    files, registry = look(repaired)
    assert files["acme flt.sys"] == BAD
    assert files["disk.sys"] == OLD
    assert "added.sys" not in files
    assert {files["0001.installed"], files["0002.installed"]} == {NEW, ADDED}
    assert "journal.undone" in files
    assert "undo.tmp" not in files
    fill(repaired, after=False)
    assert registry == look(repaired)[1]
    assert run(repaired, "/yes")[0] == 3


@LONG
@IN_WINE
def test_looking_changes_nothing(repaired: Wine) -> None:
    before = look(repaired)
    code, said = run(repaired, "/dry")
    assert code == 0
    assert f"To take back: {len(CHANGES) + len(FILES)}. Back already: 0. In the way: 0." in said
    assert run(repaired, "/what")[0] == 2
    assert look(repaired) == before


def value(key: str, name: str, data: RegistryData) -> bytes:
    return reg(RegKey(f"{ROOT}\\{key}", (RegValue(name, data),)))


@IN_WINE
@pytest.mark.parametrize(
    "since",
    [
        pytest.param(value(SERVICE, "Start", dword(2)), marks=LONG),
        pytest.param(value(SERVICE, "Note", text('"=="" del C:\\*.*')), marks=LONG),
        pytest.param(value(SERVICE, "", text("is it (not)")), marks=LONG),
        pytest.param(value(CLASS, "UpperFilters", words("disk", "new")), marks=LONG),
        pytest.param(value(f"{SERVICE}\\New", "b", dword(1)), marks=LONG),
        pytest.param(value(f"{SERVICE}\\New\\Sub\\Deeper", "b", dword(1)), marks=LONG),
        pytest.param(value(f"{SERVICE}\\Old", "b", dword(8)), marks=LONG),
        pytest.param(reg(RegKey(f"{ROOT}\\{SERVICE}", (RegValue("Start", None),))), marks=LONG),
    ],
)
def test_a_value_that_is_nobodys_refuses_the_whole(repaired: Wine, since: bytes) -> None:
    repaired.imported(since)
    before = look(repaired)
    code, said = run(repaired, "/yes")
    assert code == 5, said
    assert look(repaired) == before


@LONG
@IN_WINE
@pytest.mark.parametrize("name", ["acme flt.sys", "disk.sys", "added.sys"])
def test_another_file_in_the_way_refuses_the_whole(repaired: Wine, name: str) -> None:
    (repaired.drive / DRIVERS / name).write_bytes(b"somebody else's")
    before = look(repaired)
    code, said = run(repaired, "/yes")
    assert code == 5, said
    assert name in said
    assert look(repaired) == before


@LONG
@IN_WINE
def test_an_original_that_is_gone_refuses_the_whole(repaired: Wine) -> None:
    (repaired.drive / QUARANTINE / "disk.sys").write_bytes(b"cut off")
    before = look(repaired)
    assert run(repaired, "/yes")[0] == 5
    assert look(repaired) == before


@LONG
@IN_WINE
@pytest.mark.parametrize("files", [0, 1, 2, 3])
@pytest.mark.parametrize("values", [False, True])
def test_it_goes_on_where_it_or_the_repair_was_cut(
    repaired: Wine, files: int, values: bool
) -> None:
    """Any part of it may be as it was before the repair."""
    drivers, home = repaired.drive / DRIVERS, repaired.drive / "RecoveryKit" / ID
    if files > 0:
        (drivers / "added.sys").unlink()
    if files > 1:
        (drivers / "disk.sys").unlink()  # set aside, and the original not back yet
    if files > 2:
        (home / "quarantine" / "acme flt.sys").rename(drivers / "acme flt.sys")
    if values:
        repaired.imported(value(SERVICE, "Start", dword(0)))
    code, said = run(repaired, "/yes")
    assert code == 0, said
    found, registry = look(repaired)
    assert (found["acme flt.sys"], found["disk.sys"]) == (BAD, OLD)
    fill(repaired, after=False)
    assert registry == look(repaired)[1]


@LONG
@IN_WINE
def test_it_refuses_to_run_elsewhere(repaired: Wine) -> None:
    home = repaired.drive / "RecoveryKit" / ID
    (repaired.drive / "undo.cmd").write_bytes((home / "undo.cmd").read_bytes())
    assert repaired.batch("C:\\undo.cmd", "/yes")[0] == 2
    (repaired.drive / "undo.cmd").unlink()
    (home / "journal.jsonl").unlink()
    assert run(repaired, "/yes")[0] == 2


@LONG
@IN_WINE
def test_another_windows_than_the_running_one_is_opened_from_outside(repaired: Wine) -> None:
    """Wine cannot load hives, which is told like one that Windows holds open."""
    install = replace(target.install(Path("/mnt")), folder="other", system_hive="other/SYSTEM")
    made = replace(plan(), actions=(EditHive("other/SYSTEM", CHANGES), *FILES))
    content = fallback.texts(made, install, ID, MOVES)[fallback.COMMAND]
    (repaired.drive / "RecoveryKit" / ID / "undo.cmd").write_bytes(content)
    before = look(repaired)
    code, said = run(repaired, "/yes")
    assert code == 1, said
    assert look(repaired) == before


def hashed(content: bytes, *, old: bool) -> bytes:
    """What certutil prints: in Windows 10 as one word, in 7 a space between bytes."""
    found = digest(content)
    if old:
        found = " ".join(found[at : at + 2] for at in range(0, 64, 2))
    words = f"SHA256-Hash von C:\\x:\r\n{found}\r\nCertUtil: -hashfile-Befehl ausgef\u00fchrt.\r\n"
    return words.encode("cp850")


@IN_WINE
@LONG
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("altered", ["", "disk.sys", "kept"])
def test_files_are_told_by_their_hash(repaired: Wine, old: bool, altered: str) -> None:
    """With what certutil would print in a file beside each: Wine's own prints nothing."""
    home, drivers = repaired.drive / "RecoveryKit" / ID, repaired.drive / DRIVERS
    content = texts(plan(()))[fallback.COMMAND]
    for was, now in (
        (b'"%TOOLS%\\certutil.exe" -hashfile "%FILE%" SHA256', b'type "%FILE%.sha"'),
        (b'if not exist "%TOOLS%\\certutil.exe"', b'if exist "C:\\none"'),
    ):
        assert was in content
        content = content.replace(was, now)
    (home / "undo.cmd").write_bytes(content)
    for path, there in (
        (drivers / "disk.sys", NEW),
        (drivers / "added.sys", ADDED),
        (home / "quarantine/disk.sys", OLD),
        (home / "quarantine/acme flt.sys", BAD),
    ):
        wrong = altered == (path.name if path.parent == drivers else "kept")
        said = hashed(b"another" if wrong else there, old=old)
        path.with_name(f"{path.name}.sha").write_bytes(said)
    code, output = run(repaired, "/dry")
    assert code == (5 if altered else 0), output
    for path in (*drivers.glob("*.sha"), *home.rglob("*.sha")):
        path.unlink()


@IN_WINE
@LONG
@pytest.mark.parametrize(
    ("kept", "there", "code"),
    [(True, False, 0), (False, True, 0), (True, True, 5), (False, False, 5)],
)
def test_a_compressed_original_only_has_to_be_there(
    repaired: Wine, kept: bool, there: bool, code: int
) -> None:
    target, home = repaired.drive / DRIVERS / "acme flt.sys", repaired.drive / QUARANTINE
    made = plan((), [QuarantineFile(f"{DRIVERS}/acme flt.sys", digest(b"identity"), 0)])
    content = texts(made)[fallback.COMMAND]
    batch_check.lines(content)
    (repaired.drive / "RecoveryKit" / ID / "undo.cmd").write_bytes(content)
    if there:
        target.write_bytes(BAD)
    if not kept:
        (home / "acme flt.sys").unlink()
    done, said = run(repaired, "/yes")
    assert done == code, said
    assert target.is_file() is (code == 0 or there)


# --- what cannot be run here --------------------------------------------------------------


def test_the_batch_file_keeps_to_the_grammar() -> None:
    found = batch_check.lines(texts(plan([*CHANGES, *HARD]))[fallback.COMMAND])
    assigned = batch_check.assigned(found)
    for variable, wanted in (
        ("DIR", "%ROOT%windows\\system32\\drivers"),
        ("NAME", "acme flt.sys"),
        ("KEPT", "%HERE%quarantine\\acme flt.sys"),
        ("KEY", "%AT0%\\ControlSet001\\Services\\acme"),
        ("OURS", "REG_SZ    by 100% us & (them)"),
        ("OURS", "REG_SZ    ^ %LOCALAPPDATA% !x! & 'y'"),
        ("WAS", "REG_EXPAND_SZ    %SystemRoot%\\a (b).sys"),
        ("WAS", "REG_MULTI_SZ    acme\\0disk"),
        ("WAS", "REG_BINARY    ABCD"),
        ("OURS", "absent"),
        ("OLDHASH", digest(OLD)),
    ):
        assert (variable, wanted) in assigned


NAMES = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x1F600, exclude_characters='/\\:*?"<>|'),
    min_size=1,
    max_size=12,
).filter(lambda name: name.strip(". ") == name)
KEY_NAMES = st.text(st.characters(min_codepoint=1, exclude_characters="\\"), min_size=1, max_size=9)
DATA = st.none() | st.builds(
    RegistryData,
    st.sampled_from([0, 1, 2, 3, 4, 7, 11, 0x100]),
    st.binary(max_size=12)
    | st.text(max_size=9).map(lambda one: f"{one}\0\0".encode("utf-16-le", "surrogatepass")),
)
VALUES = st.builds(ValueChange, KEY_NAMES, KEY_NAMES | st.just(""), DATA, DATA)


@settings(max_examples=CAMPAIGN, deadline=None)
@given(st.lists(NAMES, min_size=2, max_size=4), st.lists(VALUES, max_size=3), st.text(max_size=30))
def test_whatever_a_plan_holds_is_said_exactly_or_refused(
    path: list[str], changes: list[ValueChange], title: str
) -> None:
    where = "/".join(path)
    files = [QuarantineFile(where, digest(BAD), len(BAD))]
    made = replace(plan(changes, files), title=title)
    found = texts(made, {where: f"{QUARANTINE}/{path[-1]}"})
    lines = batch_check.lines(found[fallback.COMMAND])
    if any(line == "exit /b 5" for line in lines[-1:]):  # it says that it cannot do this one
        return
    assigned = batch_check.assigned(lines)
    net = hive_edit.net(changes)
    keys = [said for name, said in assigned if name == "KEY"]
    assert keys == [f"%AT0%\\{change.key}" for change in net]
    if all(name.isascii() and name.isprintable() for name in path):
        assert ("DIR", "%ROOT%" + "\\".join(path[:-1])) in assigned
        assert ("NAME", path[-1]) in assigned
    else:
        assert not any(ord(char) > 126 for _, said in assigned for char in said)
    for change in net:
        if isinstance(change, ValueChange) and change.after is not None:
            assert ("OURS", str(registry_back.as_queried(change.after))) in assigned


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (ValueChange(SERVICE, "caf\u00e9", None, dword(1)), "characters"),
        (ValueChange(SERVICE, 'a"b', None, dword(1)), "quotation marks"),
        (ValueChange(SERVICE, "a\nb", None, dword(1)), "characters"),
        (ValueChange(SERVICE, "ends\\", None, dword(1)), "reg.exe"),
        (ValueChange(SERVICE, "/ve", None, dword(1)), "reg.exe"),
        (ValueChange(SERVICE, "x", None, RegistryData(3, bytes(5000))), "too long"),
        (ValueChange(SERVICE, "x", None, RegistryData(0x77, b"12")), "cannot be compared"),
        (ValueChange(SERVICE, "x", None, RegistryData(1, b"a")), "cannot be compared"),
        (KeyChange(SERVICE, RegistryKey(security=b"1"), RegistryKey(security=b"2")), "permissions"),
    ],
)
def test_what_a_batch_file_cannot_look_at_it_refuses_as_a_whole(
    change: RegistryChange, why: str
) -> None:
    found = texts(plan([*CHANGES, change]))
    lines = batch_check.lines(found[fallback.COMMAND])
    assert lines[-1] == "exit /b 5"
    assert any(why in line for line in lines)
    assert not any("import" in line or "move" in line for line in lines)


def test_more_than_it_goes_through_is_refused() -> None:
    many = [ValueChange(SERVICE, f"v{n}", None, dword(n)) for n in range(fallback.MOST)]
    assert "400" in texts(plan(many))[fallback.COMMAND].decode()


def test_hives_that_no_running_windows_shows_are_for_a_recovery_console() -> None:
    made = replace(plan(), actions=(EditHive("Users/eve/NTUSER.DAT", CHANGES[:1]),))
    found = texts(made)
    lines = batch_check.lines(found[fallback.COMMAND])
    assert lines[lines.index("if defined OFFLINE goto load") + 1] == "goto elsewhere"
    assert reg_parse.parse(found[fallback.ONLINE]) == ()
    (key,) = reg_parse.parse(found[fallback.OFFLINE])
    assert key.path == f"HKEY_LOCAL_MACHINE\\RecoveryKit0\\{SERVICE}"


def test_files_alone_need_no_registry() -> None:
    found = texts(plan(()))
    assert set(found) == {fallback.COMMAND}
    assert not any("import" in line for line in batch_check.lines(found[fallback.COMMAND]))


def test_names_that_are_not_ascii_are_looked_up() -> None:
    where = "Windows/\u00e9t\u00e9/caf\u00e9 \U0001f600.sys"
    made = plan((), [QuarantineFile(where, digest(BAD), len(BAD))])
    found = texts(made, {where: f"{QUARANTINE}/caf\u00e9 \U0001f600.sys"})
    lines = batch_check.lines(found[fallback.COMMAND])
    assert 'for /d %%D in ("%DIR%\\?t?") do set "DIR=%%~fD"' in lines
    assert 'for %%F in ("%HERE%quarantine\\caf? ??.sys") do set "NAME=%%~nxF"' in lines
    other = texts(made, {where: f"{QUARANTINE}/0003-caf\u00e9 \U0001f600.sys"})
    assert batch_check.lines(other[fallback.COMMAND])[-1] == "exit /b 5"


def test_a_quarantine_elsewhere_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="quarantine"):
        texts(moves={f"{DRIVERS}/acme flt.sys": "Windows/x.sys"})


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (b"echo caf\xc3\xa9\r\n", "line of DOS"),
        (b"echo a & del x\r\n", "means more"),
        (b'set "A=50%"\r\n', "loose"),
        (b'if exist "%B%" goto end\r\n', "nobody sets"),
        (b"goto nowhere\r\n", "no such label"),
        (b'if "!A!"=="x" exit /b 1\r\n', "exclamation"),
        (b'echo "a\r\n', "other half"),
        (b"format C:\r\n", "not a statement"),
        (b"echo a\n", "line of DOS"),
    ],
)
def test_the_grammar_can_fail(broken: bytes, why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        batch_check.lines(broken)


# --- undo.reg, by our own engine ----------------------------------------------------------


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.mkdir()
    target.build(path)
    return path


def moves_of(made: Plan) -> dict[str, str]:
    return {
        action.path: f"{QUARANTINE}/{action.path.rpartition('/')[2]}"
        for action in made.actions
        if isinstance(action, QuarantineFile)
    }


def import_with_our_engine(mount: Path, raw: bytes, root: str = ROOT) -> None:
    """What `reg import` would do to the hive, and Windows to its file."""
    keys = [replace(key, path=key.path[len(root) + 1 :]) for key in reg_parse.parse(raw)]
    path = mount / target.SYSTEM
    loaded, recovery = hives.load(path)
    changes = registry_plan.merge(loaded, keys)
    edited = hive_edit.edit(recovery.data, changes, sequence=recovery.sequence + 5, when=target.NOW)
    path.write_bytes(edited.image)


@pytest.mark.parametrize(
    ("name", "root"),
    [(fallback.ONLINE, ROOT), (fallback.OFFLINE, "HKEY_LOCAL_MACHINE\\RecoveryKit0")],
)
def test_the_reg_file_takes_the_registry_back(mount: Path, name: str, root: str) -> None:
    before = hivex.registry(mount / target.SYSTEM)
    made = target.rich_plan(mount)
    found = fallback.texts(made, target.install(mount), ID, moves_of(made))
    transaction.apply(target.install(mount), made, now=target.NOW)
    assert hivex.changed_values(before, hivex.registry(mount / target.SYSTEM)) != {}
    import_with_our_engine(mount, found[name], root)
    assert hivex.changed_values(before, hivex.registry(mount / target.SYSTEM)) == {}


@st.composite
def hive_changes(draw: st.DrawFn) -> list[RegistryChange]:
    """A key or two made, some values set and deleted, a key removed."""
    names = st.text(st.characters(codec="utf-16", exclude_characters="\\\0\r\n"), max_size=6)
    data = st.builds(
        RegistryData, st.sampled_from([0, 3, 4, 5, 6, 8, 11, 0xFFFF0001]), st.binary(max_size=40)
    )
    made: list[RegistryChange] = [
        ValueChange(SERVICE, "Type", dword(1), draw(data)),
        ValueChange(SERVICE, "Start", dword(0), draw(st.none() | data)),
        KeyChange(f"{SERVICE}\\new", None, RegistryKey()),
        KeyChange(f"{SERVICE}\\new\\below", None, RegistryKey()),
    ]
    below = draw(st.lists(names, max_size=3, unique_by=hive.fold))
    made += [ValueChange(f"{SERVICE}\\new\\below", name, None, draw(data)) for name in below]
    if draw(st.booleans()):
        made += [
            ValueChange(target.OVERRIDE, "0", dword(0), None),
            ValueChange(target.OVERRIDE, "1", dword(4), None),
            KeyChange(target.OVERRIDE, RegistryKey(), None),
        ]
    return made


@settings(max_examples=CAMPAIGN, deadline=None)
@given(hive_changes())
def test_the_reg_file_is_the_exact_inverse(changes: list[RegistryChange]) -> None:
    original = target.system_hive()
    old = hive.Hive(original)
    changed = hive_edit.edit(original, changes, sequence=9, when=target.NOW).image
    net = hive_edit.net(changes)
    keys = [*registry_back.keys(net, ROOT)]
    raw = b"".join(reg_text.encoded(reg_text.blocks(keys, [])))
    read = [replace(key, path=key.path[len(ROOT) + 1 :]) for key in reg_parse.parse(raw)]
    back = registry_plan.merge(hive.Hive(changed), read)
    restored = hive_edit.edit(changed, back, sequence=10, when=target.NOW).image
    assert [*hive_edit.differences(old, hive.Hive(restored))] == []


def test_what_the_reg_file_cannot_bring_back_is_said() -> None:
    lost = KeyChange(f"{SERVICE}\\Own", RegistryKey("klass", b"\1\0\4\x80"), None)
    odd = ValueChange(SERVICE, "Odd", RegistryData(1, b"a\0"), None)
    found = texts(plan([*CHANGES, lost, odd]))
    command, online = found[fallback.COMMAND].decode(), found[fallback.ONLINE].decode("utf-16")
    for said in ("without its own permissions and its class name", "the end it had not"):
        assert said in command
        assert said in online


# --- and the medium afterwards ------------------------------------------------------------


def deeper(mount: Path) -> Plan:
    """Keys and values that come and go, and a key that goes with all it holds."""
    made = target.rich_plan(mount)
    loaded, _ = hives.load(mount / target.SYSTEM)
    override = loaded.find(target.OVERRIDE)
    assert override is not None
    gone: tuple[RegistryChange, ...] = (
        ValueChange(target.OVERRIDE, "0", dword(4), None),
        ValueChange(target.OVERRIDE, "1", dword(4), None),
        KeyChange(target.OVERRIDE, hive_edit.key_state(override), None),
    )
    edit, *rest = made.actions
    assert isinstance(edit, EditHive)
    return replace(made, actions=(EditHive(edit.hive, (*edit.changes, *gone)), *rest))


def begun(mount: Path, plan_of: Callable[[Path], Plan]) -> tuple[Plan, dict[str, bytes], str]:
    """A repair that was made, the fallback of it, and its id."""
    made = plan_of(mount)
    info = transaction.apply(target.install(mount), made, now=target.NOW)
    moves = {
        action.path: f"RecoveryKit/{info.id}/quarantine/{action.path.rpartition('/')[2]}"
        for action in made.actions
        if isinstance(action, QuarantineFile)
    }
    assert all((mount / kept).is_file() for kept in moves.values())
    return made, fallback.texts(made, target.install(mount), info.id, moves), info.id


@pytest.mark.parametrize("plan_of", [target.plan, target.rich_plan, deeper])
@pytest.mark.parametrize("files", [False, True])
@pytest.mark.parametrize("values", [False, True])
def test_the_medium_goes_on_where_the_batch_file_stopped(
    mount: Path, files: bool, values: bool, plan_of: Callable[[Path], Plan]
) -> None:
    before = hivex.registry(mount / target.SYSTEM)
    _, found, identity = begun(mount, plan_of)
    driver = mount / target.DRIVER
    if files:
        (mount / "RecoveryKit" / identity / "quarantine" / driver.name).rename(driver)
    if values:
        import_with_our_engine(mount, found[fallback.ONLINE])
    assert undoing.undo(mount).state == "undone"
    assert driver.read_bytes() == b"MZ acme" * 1000
    assert hivex.changed_values(before, hivex.registry(mount / target.SYSTEM)) == {}


def test_a_repair_that_the_batch_file_took_back_is_undone_for_the_medium(mount: Path) -> None:
    _, found, identity = begun(mount, target.plan)
    home = mount / "RecoveryKit" / identity
    (home / "quarantine" / "acme filter.sys").rename(mount / target.DRIVER)
    import_with_our_engine(mount, found[fallback.ONLINE])
    (home / journal.OPEN).rename(home / journal.CLOSED)
    (known,) = transaction.history(mount)
    assert known.state == "undone"
    assert transaction.abandoned(mount) is None
    again = target.plan(mount)
    assert transaction.apply(target.install(mount), again, now=target.NOW).state == "committed"


def test_a_file_of_somebody_else_still_stops_the_medium(mount: Path) -> None:
    begun(mount, target.plan)
    (mount / target.DRIVER).write_bytes(b"a newer one")
    with pytest.raises(TargetRefusedError, match="another file"):
        undoing.undo(mount)
