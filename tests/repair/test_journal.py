"""Torn, altered and hostile journals."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from recoverykit.errors import FormatError, RecoveryKitError, TargetRefusedError
from recoverykit.host.ntfs_metadata import Metadata
from recoverykit.model import KeyChange, RegistryData, RegistryKey, ValueChange
from recoverykit.repair import journal
from recoverykit.repair.journal import Journal
from recoverykit.repair.journal_lines import Intent, describe
from recoverykit.repair.target_path import locate, stands

ID = "20261122T174501Z-3f9a"
HASH = "ab" * 32
KEY = "ControlSet001\\Services\\ä"
CHANGES = (
    ValueChange(KEY, "Start", RegistryData(4, b"\0\0\0\0"), RegistryData(4, b"\4\0\0\0")),
    ValueChange(KEY, "\ud800", None, RegistryData(0xFFFF0012, b"")),
    ValueChange(KEY, "", RegistryData(1, b"x\0\0\0"), None),
    KeyChange(f"{KEY}\\new", None, RegistryKey("klass")),
    KeyChange(f"{KEY}\\old", RegistryKey("", b"descriptor"), None),
)
INTENT = Intent(
    number=0,
    target="Windows/x",
    before=HASH,
    after=HASH,
    image="0000.before",
    metadata=Metadata(b"sd", None, b"times", b"X~1", 42),
    changes=CHANGES,
    logs=(("SYSTEM.LOG1", Metadata(attributes=b"\0\0\0\6", modified=7)),),
)


@pytest.fixture
def made(tmp_path: Path) -> Journal:
    return journal.create(tmp_path, ID, {"started": "2026-11-22T17:45:01+00:00", "summary": "s"})


def path(made: Journal) -> Path:
    return made.folder / "journal.jsonl"


def test_what_is_said_is_read(made: Journal) -> None:
    made.append("intent", **describe(INTENT))
    made.append("done", number=0)
    entries = made.read()
    assert entries.intents == (INTENT,)
    assert (entries.done, entries.next_number) == (frozenset({0}), 1)
    made.append("commit")
    assert made.read().committed
    assert journal.info(made).state == "committed"
    made.append("undo")
    assert journal.info(made).state == "abandoned"  # half taken back
    made.close_as_undone()
    assert journal.info(made).state == "undone"


def test_what_would_fill_a_journal_is_not_begun(made: Journal) -> None:
    """It could not be read again, and so not be taken back."""
    before = path(made).read_bytes()
    much = {**describe(INTENT), "much": "x" * (24 << 20)}
    with pytest.raises(RecoveryKitError, match="more than 24 MiB"):
        made.append("intent", **much)
    assert path(made).read_bytes() == before
    made.append("undo-intent", **much)  # whatever stands must go back
    assert len(made.read().undoing) == 1


def test_every_torn_last_line_never_happened(made: Journal) -> None:
    made.append("intent", **describe(INTENT))
    whole = path(made).read_bytes()
    made.append("commit")
    longer = path(made).read_bytes()
    for length in range(len(whole), len(longer) - 1):
        path(made).write_bytes(longer[:length])
        assert not made.read().committed
        made.append("undo")  # and who goes on writing is understood
        entries = made.read()
        assert (entries.committed, entries.undo_begun) == (False, True)
        assert entries.intents == (INTENT,)
    path(made).write_bytes(longer[:-1])  # only the line end is missing
    made.append("undo")
    assert (made.read().committed, made.read().undo_begun) == (True, True)


def test_zeros_after_the_end_never_happened(made: Journal) -> None:
    path(made).write_bytes(path(made).read_bytes() + bytes(300))
    made.append("commit")
    assert made.read().committed


@pytest.mark.parametrize("line", [0, 1, 2])
def test_an_altered_line_is_refused(made: Journal, line: int) -> None:
    made.append("intent", **describe(INTENT))
    made.append("done", number=0)
    lines = path(made).read_bytes().splitlines(keepends=True)
    lines[line] = lines[line].replace(b'"event":', b'"x":1,"event":')
    path(made).write_bytes(b"".join(lines))
    with pytest.raises(FormatError, match="chain"):
        made.read()


def test_a_missing_line_is_refused(made: Journal) -> None:
    made.append("intent", **describe(INTENT))
    made.append("done", number=0)
    lines = path(made).read_bytes().splitlines(keepends=True)
    path(made).write_bytes(lines[0] + lines[2])
    with pytest.raises(FormatError, match="chain"):
        made.read()


def test_a_torn_first_line_is_no_transaction(made: Journal) -> None:
    assert len(journal.find(made.mount)) == 1
    path(made).write_bytes(path(made).read_bytes()[:-20])
    assert journal.find(made.mount) == ()


def test_only_our_names_are_transactions(made: Journal) -> None:
    for name in ("notes", "20261122T174501Z", "20261122T174501Z-3f9a.old", ".."):
        (made.mount / "RecoveryKit" / name).mkdir(exist_ok=True)
    assert [one.id for one in journal.find(made.mount)] == [ID]


def test_two_names_while_ntfs_renames_mean_closed(made: Journal) -> None:
    path(made).with_name("journal.undone").write_bytes(path(made).read_bytes())
    assert made.closed
    assert journal.info(made).state == "undone"


def test_hostile_journals_fail_in_one_way_only(made: Journal) -> None:
    made.append("intent", **describe(INTENT))
    made.append("done", number=0)
    made.append("commit")
    good = path(made).read_bytes()
    rng = random.Random(20240719)
    refused = 0
    for _ in range(600):
        bad = bytearray(good[: rng.choice((len(good), rng.randrange(len(good) + 1)))])
        for _ in range(rng.randrange(4)):
            if bad:
                bad[rng.randrange(len(bad))] = rng.choice(b'0"{}[],:\n\\\0\xff')
        path(made).write_bytes(bad)
        try:
            made.read()
        except FormatError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    "name",
    ["", "/", "..", "a/..", "a//b", "a/./b", "a\\b", "C:", "a:stream", "a\0b", "a\nb", 'a"b'],
)
def test_paths_that_leave(tmp_path: Path, name: str) -> None:
    with pytest.raises(TargetRefusedError):
        locate(tmp_path, name)


def test_paths_through_what_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    assert locate(tmp_path, "folder/new") == tmp_path / "folder" / "new"
    assert locate(tmp_path, "new/new") == tmp_path / "new" / "new"
    for name in ("file/x", "link/x", "link", "folder"):
        with pytest.raises(TargetRefusedError):
            locate(tmp_path, name)


def test_a_failing_disk_is_not_an_absence(tmp_path: Path) -> None:
    assert not stands(tmp_path / "nothing")
    with pytest.raises(OSError, match="too long"):
        stands(tmp_path / ("x" * 300))
