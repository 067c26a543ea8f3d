"""The lines of a journal: what each says, and reading them back.

Each line carries a `chain`: the sha256 of the chain before it and of its own canonical JSON. A torn
line at the end is an entry that never happened, and whoever goes on writing starts a line of his
own after it; a line that is whole but breaks the chain was altered, and the journal is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recoverykit.errors import FormatError
from recoverykit.host.ntfs_metadata import Metadata
from recoverykit.model import RegistryChange
from recoverykit.repair import record
from recoverykit.repair.target_path import FORBIDDEN

VERSION = 3  # 2: before files were installed; 1: before changes of keys and of a value's size
MAX_SIZE = 32 << 20
_READ = (2, VERSION)
_HASH = re.compile(r"[0-9a-f]{64}")
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


# --- reading ------------------------------------------------------------------------------


def line(chain: str, fields: Mapping[str, object]) -> bytes:
    body = canonical(fields)
    return canonical({**fields, "chain": link(chain, body)}) + b"\n"


def link(chain: str, body: bytes) -> str:
    return hashlib.sha256(chain.encode() + body).hexdigest()


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def read(path: Path) -> Entries:
    where = f"journal {path}"
    if not stat.S_ISREG(path.lstat().st_mode) or path.lstat().st_size > MAX_SIZE:
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
    return bool(fields.get("chain") == link(chain, canonical(said)))


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
    _require(not any(FORBIDDEN.search(name) or "/" in name for name, _ in intent.logs))
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
