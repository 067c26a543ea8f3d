"""The journal of a transaction: `<volume>/RecoveryKit/<id>/journal.jsonl`, JSON lines, append-only.

Each line carries a `chain`: the sha256 of the chain before it and of its own canonical JSON. A torn
line at the end is an entry that never happened, and whoever goes on writing starts a line of his
own after it; a line that is whole but breaks the chain was altered, and the journal is refused.

Beside it: `NNNN.before` (a copy of what was changed, or the sectors that were patched, before and
after), `quarantine/` (files moved away, under their names), `plan.json`, `report.json`, and
`undo.cmd` with `undo.reg` (see `fallback`). The journal of a transaction that was taken back ends
with the line "undone"; where `undo.cmd` did it, it was renamed to `journal.undone`. Paths in a
journal are relative to the volume; one that would lead out of it, or through a link, refuses it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from recoverykit import durable, installs
from recoverykit.errors import FormatError, RecoveryKitError, TargetRefusedError
from recoverykit.host import ntfs_metadata
from recoverykit.host.ntfs_metadata import Metadata
from recoverykit.model import RegistryChange, TransactionInfo
from recoverykit.repair import record

HOME = "RecoveryKit"
QUARANTINE, STAGING = "quarantine", "staging"
OPEN, CLOSED = "journal.jsonl", "journal.undone"
RESERVE = "reserve"  # room for what taking back has to say, on a volume that has filled up since
VERSION = 3  # 2: before files were installed; 1: before changes of keys and of a value's size
_READ = (2, VERSION)

_MAX_SIZE = 32 << 20
_RESERVED = 128 << 10
_FULL = 24 << 20  # no change is begun beyond it: what is left is for taking back what was
_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")
_HASH = re.compile(r"[0-9a-f]{64}")
_FORBIDDEN = re.compile(r'[\x00-\x1f\\:*?"<>|]')
_IMAGE = re.compile(r"\d{4}\.before")
_BLOCKS = re.compile(r"\d{4}\.blocks")
_RAW = ("security", "attributes", "times", "short_name")  # of Metadata


# --- values -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """A file of the transaction that holds the blocks of folders (`folder_blocks`)."""

    file: str  # "0000.blocks"
    sha256: str  # of its first `size` bytes
    size: int


@dataclass(frozen=True, slots=True)
class Intent:
    """One change that was about to be made, with all that undoing it needs."""

    number: int
    target: str
    before: str  # sha256
    after: str  # sha256; of a moved file the same
    image: str  # "0000.before"
    metadata: Metadata
    moved_to: str = ""  # where the old file is; "": a hive, or there was no old file
    changes: tuple[RegistryChange, ...] = ()  # of a hive, in the order they were made
    patch: str = ""  # sha256 of the record of a hive's sectors; "": the image is a copy
    logs: tuple[tuple[str, Metadata], ...] = ()  # of a hive, by name, that are written to as well
    installed: bool = False  # a new file (`after`) takes the place of the old one, if any
    blocks: Kept | None = None  # of a move: what `mend` puts back after a cut

    @property
    def is_hive(self) -> bool:
        return not self.moved_to and not self.installed


@dataclass(frozen=True, slots=True)
class Entries:
    """What a journal says, in the order it was said."""

    begin: Mapping[str, Any]
    intents: tuple[Intent, ...] = ()  # of apply
    undoing: tuple[Intent, ...] = ()  # of undo: hives rewritten value by value
    done: frozenset[int] = frozenset()
    committed: bool = False
    undo_begun: bool = False
    undone: bool = False
    moving: Kept | None = None  # the last line says that a move was about to be made
    last_chain: str = ""
    torn: bool = False  # the file does not end with a whole line

    @property
    def next_number(self) -> int:
        return len(self.intents) + len(self.undoing)


@dataclass(frozen=True, slots=True)
class Journal:
    """A transaction's folder. Holds nothing in memory: the disk is asked anew each time."""

    mount: Path
    id: str

    @property
    def folder(self) -> Path:
        return self.mount / HOME / self.id

    @property
    def relative(self) -> str:
        return f"{HOME}/{self.id}"

    @property
    def closed(self) -> bool:
        """Whether it was taken back. Raises as `read` does."""
        # While ntfs-3g renames, both names may stand: the new one says the renaming was begun.
        return stands(self.folder / CLOSED) or self.read().undone

    def append(self, event: str, **fields: object) -> None:
        """Say something durably. Raises OSError; RecoveryKitError for more than a journal holds."""
        entries = self.read()
        line = _line(entries.last_chain, {"event": event, **fields})
        path = self.folder / OPEN
        if event == "intent" and path.stat().st_size + len(line) > _FULL:
            raise RecoveryKitError(
                f"one repair cannot keep more than {_FULL >> 20} MiB of changes in its journal",
                hint="Do it in parts.",
            )
        durable.append(path, b"\n" + line if entries.torn else line)

    def read(self) -> Entries:
        """Raises FormatError for a journal that was altered; OSError where it cannot be read."""
        return _read(self.folder / (CLOSED if stands(self.folder / CLOSED) else OPEN))

    def make_room(self) -> None:
        """Give the reserve back where the volume is nearly full. Raises OSError."""
        status = os.statvfs(self.mount)
        reserve = self.folder / RESERVE
        if status.f_bavail * status.f_frsize < 4 * _RESERVED and _is_file(reserve):
            durable.remove(reserve)

    def close_as_undone(self) -> None:
        """By a line: a renaming that is cut leaves more than one state behind."""
        self.append("undone")


# --- making and finding -------------------------------------------------------------------


def create(mount: Path, identity: str, begin: Mapping[str, object]) -> Journal:
    """A new transaction folder, protected before anything is in it, and its first line.

    Raises TargetRefusedError for a RecoveryKit folder that is not ours, OSError from the disk.
    """
    protected = _home(mount)
    journal = Journal(mount, identity)
    durable.make_folder(journal.folder, ntfs_metadata.PRIVATE_FOLDER)
    for name in (QUARANTINE, STAGING):
        durable.make_folder(journal.folder / name, ntfs_metadata.PRIVATE_FOLDER)
    durable.write(journal.folder / RESERVE, bytes(_RESERVED), ntfs_metadata.PRIVATE_FILE)
    fields = {"event": "begin", "version": VERSION, "id": identity, "protected": protected, **begin}
    durable.write(journal.folder / OPEN, _line("", fields), ntfs_metadata.PRIVATE_FILE)
    return journal


def _home(mount: Path) -> bool:
    """Make or check the RecoveryKit folder; False where the file system protects nothing."""
    home = mount / HOME
    if not stands(home):
        return durable.make_folder(home, ntfs_metadata.PRIVATE_FOLDER)
    if home.is_dir() and not home.is_symlink() and not any(home.iterdir()):
        # Empty: perhaps of a run that was cut before it could protect it. Nothing is planted in it.
        return durable.protect(home, ntfs_metadata.PRIVATE_FOLDER)
    require_ours(home)
    return ntfs_metadata.security(home) is not None


def require_ours(folder: Path) -> None:
    """Raises TargetRefusedError if others than SYSTEM and Administrators can fill a folder."""
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise TargetRefusedError(f"{folder} is a link or a file, not a folder of recoverykit")
    descriptor = ntfs_metadata.security(folder)
    if descriptor is not None and not ntfs_metadata.is_private(descriptor):
        raise TargetRefusedError(
            f"{folder} belongs to, or can be written by, others than SYSTEM and Administrators",
            hint="It was not made by recoverykit. Look into it, then rename it and try again.",
        )


def find(mount: Path) -> tuple[Journal, ...]:
    """Every transaction on a volume, oldest first; a folder whose first line was never written
    is none, nor is one whose journal has no file behind its name: all that a cut while it was made
    can leave. Raises OSError and TargetRefusedError (a folder that is not ours)."""
    home = mount / HOME
    if not stands(home):
        return ()
    if home.is_dir() and not home.is_symlink() and not any(home.iterdir()):
        return ()
    require_ours(home)
    found = [
        Journal(mount, path.name) for path in sorted(home.iterdir()) if _ID.fullmatch(path.name)
    ]
    return tuple(journal for journal in found if _begun(journal))


def _begun(journal: Journal) -> bool:
    """A folder that a cut left unprotected holds no journal yet; it is passed over."""
    for path in (journal.folder / OPEN, journal.folder / CLOSED):
        if _is_file(path) and _has_line(path):
            require_ours(journal.folder)
            return True
    return False


def _is_file(path: Path) -> bool:
    """Also False where a folder lists the name, and ntfs-3g finds no file for it (EIO)."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _has_line(path: Path) -> bool:
    with path.open("rb") as stream:
        return b"\n" in stream.read(_MAX_SIZE)


def info(journal: Journal) -> TransactionInfo:
    """One line of the history. Raises FormatError, OSError."""
    entries = journal.read()
    started = entries.begin.get("started")
    if entries.undone or stands(journal.folder / CLOSED):
        state = "undone"
    elif entries.committed and not entries.undo_begun:
        state = "committed"
    else:
        state = "abandoned"
    return TransactionInfo(
        id=journal.id,
        state=state,
        started=datetime.fromisoformat(started) if isinstance(started, str) else None,
        summary=str(entries.begin.get("summary", "")),
        folder=journal.relative,
        changed=tuple(intent.target for intent in entries.intents),
    )


# --- reading ------------------------------------------------------------------------------


def _line(chain: str, fields: Mapping[str, object]) -> bytes:
    body = _canonical(fields)
    return _canonical({**fields, "chain": _link(chain, body)}) + b"\n"


def _link(chain: str, body: bytes) -> str:
    return hashlib.sha256(chain.encode() + body).hexdigest()


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _read(path: Path) -> Entries:
    where = f"journal {path}"
    if not stat.S_ISREG(path.lstat().st_mode) or path.lstat().st_size > _MAX_SIZE:
        raise FormatError(where, 0, "not a regular file of a plausible size")
    *lines, rest = path.read_bytes().split(b"\n")
    events, chain, offset = [], "", 0
    for line in lines:
        fields = _parse(line)  # None: torn; its writer saw that too if the chain goes on after it
        if fields is not None:
            if not _follows(chain, fields):
                raise FormatError(where, offset, "the chain of entries is broken")
            chain = str(fields["chain"])
            events.append((offset, fields))
        offset += len(line) + 1
    last = _parse(rest)
    if last is not None and _follows(chain, last):  # only its line end is missing
        chain = str(last["chain"])
        events.append((offset, last))
    return _entries(events, where, chain, torn=bool(rest))


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _follows(chain: str, fields: Mapping[str, Any]) -> bool:
    said = {name: value for name, value in fields.items() if name != "chain"}
    return bool(fields.get("chain") == _link(chain, _canonical(said)))


def _entries(
    events: Sequence[tuple[int, dict[str, Any]]], where: str, chain: str, *, torn: bool
) -> Entries:
    said: dict[str, list[Any]] = {name: [] for name in _MEANINGS}
    moving: Kept | None = None
    for offset, fields in events:
        try:
            name = fields["event"]
            _require((name == "begin") == (offset == 0))
            if name in ("intent", "undo-intent"):  # numbered through, so that images are told apart
                _require(fields["number"] == len(said["intent"]) + len(said["undo-intent"]))
            said[name].append(_MEANINGS[name](fields))
            moving = _kept_blocks(fields) if name in ("intent", "moving") else None
        except (KeyError, TypeError, ValueError) as exc:
            raise FormatError(where, offset, "an entry that makes no sense") from exc
    if not said["begin"]:
        raise FormatError(where, 0, "no first entry")
    return Entries(
        begin=said["begin"][0],
        intents=tuple(said["intent"]),
        undoing=tuple(said["undo-intent"]),
        done=frozenset(said["done"]),
        committed=bool(said["commit"]),
        undo_begun=bool(said["undo"]),
        undone=bool(said["undone"]),
        moving=moving,
        last_chain=chain,
        torn=torn,
    )


def _require(condition: object) -> None:
    if not condition:
        raise ValueError


def _intent(fields: Mapping[str, Any]) -> Intent:
    changes = tuple(record.parse(change) for change in fields["changes"])
    intent = Intent(
        int(fields["number"]),
        str(fields["target"]),
        str(fields["before"]),
        str(fields["after"]),
        str(fields["image"]),
        _metadata(fields["metadata"]),
        str(fields["moved_to"]),
        changes,
        str(fields["patch"]),
        tuple((str(name), _metadata(kept)) for name, kept in fields["logs"].items()),
        bool(fields.get("installed", False)),
        _kept_blocks(fields),
    )
    _require(not any(_FORBIDDEN.search(name) or "/" in name for name, _ in intent.logs))
    nothing = intent.installed and not intent.before and not intent.moved_to
    _require(nothing or _HASH.fullmatch(intent.before))
    _require(_HASH.fullmatch(intent.after))
    _require(not intent.patch or _HASH.fullmatch(intent.patch))
    _require(_IMAGE.fullmatch(intent.image))
    return intent


def describe(intent: Intent) -> dict[str, object]:
    """The fields of an intent's line; `_intent` reads them back."""
    return {
        "number": intent.number,
        "target": intent.target,
        "before": intent.before,
        "after": intent.after,
        "image": intent.image,
        "moved_to": intent.moved_to,
        "patch": intent.patch,
        "installed": intent.installed,
        **describe_blocks(intent.blocks),
        "metadata": _kept(intent.metadata),
        "logs": {name: _kept(metadata) for name, metadata in intent.logs},
        "changes": [record.describe(change) for change in intent.changes],
    }


def describe_blocks(kept: Kept | None) -> dict[str, object]:
    """The field of a line that says where the blocks of folders are; none where none are kept."""
    if kept is None:
        return {}
    return {"blocks": {"file": kept.file, "sha256": kept.sha256, "size": kept.size}}


def _kept_blocks(fields: Mapping[str, Any]) -> Kept | None:
    said = fields.get("blocks")
    if said is None:
        return None
    kept = Kept(str(said["file"]), str(said["sha256"]), int(said["size"]))
    _require(_BLOCKS.fullmatch(kept.file) and _HASH.fullmatch(kept.sha256))
    return kept


def _kept(metadata: Metadata) -> dict[str, object]:
    raw = {name: getattr(metadata, name) for name in _RAW}
    return {
        **{name: None if value is None else value.hex() for name, value in raw.items()},
        "modified": metadata.modified,
    }


def _metadata(fields: Mapping[str, Any]) -> Metadata:
    raw = {name: None if fields[name] is None else bytes.fromhex(fields[name]) for name in _RAW}
    return Metadata(**raw, modified=int(fields["modified"]))


def _begin(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    _require(fields["version"] in _READ)
    return fields


_MEANINGS: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "begin": _begin,
    "intent": _intent,
    "done": lambda fields: int(fields["number"]),
    "commit": dict,
    "undo": dict,
    "undone": dict,
    "moving": _kept_blocks,  # of undo
    "moved": lambda fields: int(fields["number"]),
    "mended": dict,
    "undo-intent": _intent,
}


# --- paths --------------------------------------------------------------------------------


def stands(path: Path) -> bool:
    """Whether anything has this name; unlike `os.path.lexists`, a failing disk is an error."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def locate(mount: Path, relative: str) -> Path:
    """The file a journal or plan names. Raises TargetRefusedError if it could be outside.

    Every folder on the way must be a folder, not a link (ntfs-3g shows reparse points as links).
    """
    parts = relative.split("/")
    if any(part in ("", ".", "..") or _FORBIDDEN.search(part) for part in parts):
        raise TargetRefusedError(f"the path {relative!r} does not stay on the volume")
    path = mount
    for part in parts[:-1]:
        path /= part
        if stands(path) and not stat.S_ISDIR(path.lstat().st_mode):
            raise TargetRefusedError(f"{path} is a link or a file where a folder is expected")
    path /= parts[-1]
    if stands(path) and not (stat.S_ISREG(path.lstat().st_mode) or installs.is_packed(path)):
        raise TargetRefusedError(f"{path} is a link or a folder where a file is expected")
    return path
