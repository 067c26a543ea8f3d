"""undo.cmd and undo.reg: a repair taken back with nothing but what Windows itself has.

They lie beside the journal from before the first change, for the day on which Windows runs again
and no medium is at hand; they also serve a repair that was cut in the middle, because every step
first looks at what stands there. From the repaired Windows the registry is imported as it runs;
from a recovery console, or another Windows, the hives of the repaired one are loaded for it, which
undo-offline.reg is for. docs/undo.md tells what happens in which state, and the limits.

Never a blind copy back. A file is moved only where nothing stands, or what the repair put there
(size and SHA-256; size alone where there is no certutil, as in recovery consoles; of an original
that Windows compressed, WOF, the hash is not that of its bytes: it only must be there). A value is
written only if all of them still are as the repair left them, or back already; one that is neither,
and nothing is changed at all. What a batch file cannot look at, it refuses as a whole: names and
data that are not ASCII, odd types, more changes than it can go through in reasonable time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from recoverykit.formats import hive_edit, reg_text
from recoverykit.formats.reg_text import RegKey
from recoverykit.model import (
    EditHive,
    InstallFile,
    Plan,
    QuarantineFile,
    RegistryChange,
    ValueChange,
    WindowsInstall,
)
from recoverykit.repair import batch, fallback_script, registry_back
from recoverykit.repair.batch import UnsayableError

COMMAND, ONLINE, OFFLINE = "undo.cmd", "undo.reg", "undo-offline.reg"
MOST = 400  # files, keys and values: each takes a running Windows about a tenth of a second

_LIVE = {
    "SYSTEM": "HKEY_LOCAL_MACHINE\\SYSTEM",
    "SOFTWARE": "HKEY_LOCAL_MACHINE\\SOFTWARE",
    "SAM": "HKEY_LOCAL_MACHINE\\SAM",
    "SECURITY": "HKEY_LOCAL_MACHINE\\SECURITY",
    "DEFAULT": "HKEY_USERS\\.DEFAULT",
}
_LOADED = "HKEY_LOCAL_MACHINE\\RecoveryKit"  # and the hive's number
_QUARANTINE = "quarantine"
_CONFIG = "System32/config/"
_EMPTY = hashlib.sha256().hexdigest()
_Moved = QuarantineFile | InstallFile


@dataclass(frozen=True, slots=True)
class _Hive:
    """A hive and what has to be taken back in it."""

    path: str  # relative to the volume
    live: str  # where Windows shows it while it runs; "": nowhere that is known
    loaded: str  # where it is loaded to from outside
    net: tuple[RegistryChange, ...]


def texts(
    plan: Plan, install: WindowsInstall, identity: str, moves: Mapping[str, str]
) -> dict[str, bytes]:
    """The files to be written beside the journal before the first change, by name. Pure.

    `moves`: for every file that is moved away, its path relative to the volume, and the path it
    is moved to. Never raises for what a plan can hold: what cannot be taken back this way is said
    in undo.cmd, which then does nothing else.
    """
    hives = _hives(plan, install)
    limits = tuple(text for hive in hives for text in registry_back.limits(hive.net))
    try:
        command = _command(plan, install, identity, moves, hives, limits)
    except UnsayableError as exc:
        command = _refusal(plan, identity, str(exc))
    live = [key for hive in hives if hive.live for key in registry_back.keys(hive.net, hive.live)]
    loaded = [key for hive in hives for key in registry_back.keys(hive.net, hive.loaded)]
    found = {COMMAND: command}
    if hives:
        found |= {ONLINE: _registry(live, limits), OFFLINE: _registry(loaded, limits)}
    return found


def _hives(plan: Plan, install: WindowsInstall) -> tuple[_Hive, ...]:
    changes: dict[str, list[RegistryChange]] = {}
    for action in plan.actions:
        if isinstance(action, EditHive):
            changes.setdefault(action.hive, []).extend(action.changes)
    nets = ((path, hive_edit.net(found)) for path, found in changes.items())
    return tuple(
        _Hive(path, _live(install, path), f"{_LOADED}{number}", net)
        for number, (path, net) in enumerate(item for item in nets if item[1])
    )


def _live(install: WindowsInstall, path: str) -> str:
    """Where a running Windows shows a hive; "" for those of users and of the boot store."""
    folder = f"{install.folder}/{_CONFIG}".casefold()
    own = path.casefold().startswith(folder)
    return _LIVE.get(path[len(folder) :].upper(), "") if own else ""


def _kept(path: str, identity: str) -> str:
    """The name of a file in the quarantine."""
    folder, _, name = path.rpartition("/")
    if folder != f"RecoveryKit/{identity}/{_QUARANTINE}":
        raise ValueError(f"{path} does not lie in the quarantine of {identity}")
    return name


# --- .reg ---------------------------------------------------------------------------------


def _registry(keys: Sequence[RegKey], limits: Sequence[str]) -> bytes:
    left_out: list[str] = []
    header, *blocks = reg_text.blocks(keys, left_out)
    notes = [
        "; Written unconditionally: undo.cmd looks first whether all of it still is ours.",
        *(f"; {limit.translate(_ONE_LINE)}" for limit in limits),
        "",
        "",
    ]
    return b"".join(reg_text.encoded([header, reg_text.EOL.join(notes), *blocks]))


_ONE_LINE = dict.fromkeys((*range(32), 127), "?")


# --- undo.cmd -----------------------------------------------------------------------------


def _refusal(plan: Plan, identity: str, problem: str) -> bytes:
    lines = [
        "@echo off",
        f"rem recoverykit {identity}: {batch.shown(plan.title)}",
        "echo This repair cannot be taken back by a batch file:",
        f"echo {batch.shown(problem)}",
        f"echo Boot the medium: recoverykit undo --transaction {identity}",
        'if "%~1"=="" pause',
        "exit /b 5",
    ]
    return batch.encoded(lines)


def _command(
    plan: Plan,
    install: WindowsInstall,
    identity: str,
    moves: Mapping[str, str],
    hives: Sequence[_Hive],
    limits: Sequence[str],
) -> bytes:
    """Raises UnsayableError."""
    if not batch.is_plain(install.folder):
        raise UnsayableError(
            "the name of its Windows folder has characters that no batch file can hold"
        )
    moved = [act for act in plan.actions if isinstance(act, QuarantineFile | InstallFile)]
    kept = {path: _kept(to, identity) for path, to in moves.items()}
    if len(moved) + sum(len(hive.net) for hive in hives) > MOST:
        raise UnsayableError(f"it has more than {MOST} changes")
    names = {"id": identity, "folder": batch.literal(install.folder)}
    files = [*_files(plan, moved, kept)]
    registry = [*_checks(hives)]
    lines = [
        "@echo off",
        f"rem recoverykit {identity}: takes back: {batch.shown(plan.title)}",
        *(f"rem Limit: {batch.shown(limit)}" for limit in limits),
        *_part(fallback_script.PLACE, names),
        *_opening(hives),
        *_part(fallback_script.COURSE, {**names, "import": "\n".join(_import(hives))}),
        *_closing(hives),
        ":files",
        *files,
        "exit /b 0",
        ":registry",
        *registry,
        "exit /b 0",
        *(_part(fallback_script.FILE, {}) if files else ()),
        *(_part(fallback_script.REGISTRY, {}) if registry else ()),
        *_part(fallback_script.TELL, {}),
    ]
    return batch.encoded(batch.line(text) for text in lines)


def _part(text: str, names: Mapping[str, str]) -> list[str]:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text.strip("\n").split("\n")


def _opening(hives: Sequence[_Hive]) -> Iterator[str]:
    """Where each hive is: shown by this Windows, or to be loaded."""
    yield "if defined OFFLINE goto load"
    for number, hive in enumerate(hives):
        if not hive.live:
            yield "goto elsewhere"
            break
        yield f'set "AT{number}={hive.live}"'
    yield "goto look"
    yield ":load"
    for number, hive in enumerate(hives):
        path = _backslashed(hive.path)
        if not batch.is_plain(path):
            raise UnsayableError(f"{hive.path} has characters that a batch file cannot hold")
        yield f'set "AT{number}={hive.loaded}"'
        yield f'"%REG%" unload "%AT{number}%" >nul 2>nul'  # of a run that was killed
        yield f'"%REG%" load "%AT{number}%" "%ROOT%{batch.literal(path)}" >nul 2>nul'
        yield "if errorlevel 1 goto notloaded"
        yield f'set "LOADED{number}=1"'


def _import(hives: Sequence[_Hive]) -> Iterator[str]:
    if hives:
        yield f'set "FILE=%HERE%{ONLINE}"'
        yield f'if defined OFFLINE set "FILE=%HERE%{OFFLINE}"'
        yield '"%REG%" import "%FILE%" >nul 2>nul'
        yield 'if errorlevel 1 set "FAILED=1"'
    else:
        yield "rem no registry"


def _closing(hives: Sequence[_Hive]) -> Iterator[str]:
    yield ":unload"
    for number in range(len(hives)):
        yield f'if defined LOADED{number} "%REG%" unload "%AT{number}%" >nul 2>nul'
        yield f'set "LOADED{number}="'
    yield "exit /b 0"


def _backslashed(path: str) -> str:
    return path.replace("/", "\\")


# --- files --------------------------------------------------------------------------------


def _files(plan: Plan, moved: Sequence[_Moved], names: Mapping[str, str]) -> Iterator[str]:
    """The newest change first. `names`: what each file is called in the quarantine."""
    sizes = {state.path: state.size for state in plan.preconditions}
    for number, action in reversed([*enumerate(moved)]):
        try:
            yield f'set "NUMBER={number:04}"'
            yield from _original(action, sizes)
            yield from _place(action.path, names.get(action.path, ""))
            yield "call :file"
        except UnsayableError as exc:
            raise UnsayableError(f"{action.path}: {exc}") from exc


def _original(action: _Moved, sizes: Mapping[str, int]) -> Iterator[str]:
    """What stood there, and what the repair put there."""
    if isinstance(action, QuarantineFile):
        old, size, new, new_size = action.sha256, f"{action.size}", "", ""
    else:
        old, new, new_size = action.before, action.sha256, f"{action.size}"
        if old and action.path not in sizes:
            raise UnsayableError("the plan does not say how long the original is")
        size = f"{sizes[action.path]}" if old else ""
    packed = size == "0" and old != _EMPTY
    yield f'set "PACKED={int(packed) or ""}"'
    yield f'set "OLDHASH={old}"'
    yield f'set "OLDSIZE={size}"'
    yield f'set "NEWHASH={new}"'
    yield f'set "NEWSIZE={new_size}"'


def _place(path: str, kept: str) -> Iterator[str]:
    """Where a file belongs, and where the original lies; names that are not ASCII are looked up."""
    *folders, name = path.split("/")
    yield 'set "DOUBT="'
    if all(batch.is_plain(one) for one in folders):
        yield batch.assign("DIR", "\\".join(folders), prefix="%ROOT%")
    else:
        yield 'set "DIR=%ROOT%."'
        for one in folders:
            yield from _folder(one)
    if batch.is_plain(name):
        yield batch.assign("NAME", name)
        yield batch.assign("KEPT", kept, prefix=f"%HERE%{_QUARANTINE}\\")
    else:
        yield from _looked_up(name, kept)


def _folder(name: str) -> Iterator[str]:
    if batch.is_plain(name):
        yield batch.assign("DIR", name, prefix="%DIR%\\")
        return
    search = f'for /d %%D in ("%DIR%\\{batch.literal(batch.pattern(name))}") do'
    yield 'set "FOUND=0"'
    yield f"{search} set /a FOUND+=1"
    yield f'{search} set "DIR=%%~fD"'
    yield 'if not "%FOUND%"=="1" set "DOUBT=1"'


def _looked_up(name: str, kept: str) -> Iterator[str]:
    """The one file that can be meant: in the quarantine, else where it belongs."""
    if kept not in ("", name):
        raise UnsayableError("its name has characters that a batch file cannot hold")
    pattern = batch.literal(batch.pattern(name))
    there = f'for %%F in ("%HERE%{_QUARANTINE}\\{pattern}") do'
    here = f'if not defined NAME for %%F in ("%DIR%\\{pattern}") do'
    yield 'set "FOUND=0"'
    yield 'set "NAME="'
    yield 'set "KEPT=%HERE%undo.none"'
    if kept:
        yield f"{there} set /a FOUND+=1"
        yield f'{there} set "KEPT=%%~fF"'
        yield f'{there} set "NAME=%%~nxF"'
    yield f"{here} set /a FOUND+=1"
    yield f'{here} set "NAME=%%~nxF"'
    yield 'if defined NAME if not "%FOUND%"=="1" set "DOUBT=1"'
    yield 'if not defined NAME set "NAME=undo.none"'


# --- registry -----------------------------------------------------------------------------


def _checks(hives: Sequence[_Hive]) -> Iterator[str]:
    for number, hive in enumerate(hives):
        for made in registry_back.made(hive.net):
            yield from _key(number, made.key)
            yield f'set "VALUES={made.values}"'
            yield f'set "KEYS={made.keys}"'
            yield "call :made"
        for change in hive.net:
            try:
                yield from _check(number, change)
            except UnsayableError as exc:
                raise UnsayableError(f"{hive_edit.label(change)}: {exc}") from exc


def _key(number: int, key: str) -> Iterator[str]:
    yield batch.assign("KEY", key, prefix=f"%AT{number}%\\" if key else f"%AT{number}%")


def _check(number: int, change: RegistryChange) -> Iterator[str]:
    if isinstance(change, ValueChange):
        yield from _key(number, change.key)
        yield from _value(change)
    elif change.after is None:
        yield from _key(number, change.key)
        yield "call :lost"
    elif change.before is not None:
        raise UnsayableError("no tool of Windows sets its permissions and nothing else")


def _value(change: ValueChange) -> Iterator[str]:
    ours = registry_back.as_queried(change.after)
    if ours is None:
        raise UnsayableError("what the repair wrote cannot be compared by a batch file")
    if change.name[:1] in ("/", "-") or change.name.endswith("\\"):
        raise UnsayableError("its name means something else to reg.exe")
    if change.name:
        yield batch.assign("NAME", change.name)
    yield batch.assign("OURS", ours)
    yield _was(change)
    yield "call :value" if change.name else "call :default"


def _was(change: ValueChange) -> str:
    try:
        return batch.assign("WAS", registry_back.as_queried(change.before) or "?")
    except UnsayableError:
        return batch.assign("WAS", "?")
