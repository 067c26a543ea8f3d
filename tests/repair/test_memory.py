"""What a repair remembers is what the next visit reads; what cannot be read is not known."""

from __future__ import annotations

import errno
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recoverykit.diagnosis.aftermath import Marks
from recoverykit.model import BootEvent, BootEventKind, Source
from recoverykit.repair import journal, memory, transaction, undo
from tests.repair import target


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.mkdir()
    target.build(path)
    return path


def apply(mount: Path) -> None:
    when = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
    seen = BootEvent(Source("System.evtx"), when, BootEventKind.STARTED)
    install = target.install(mount)
    remembered = memory.of([seen], None)
    transaction.apply(install, target.plan(mount), now=target.NOW, machine=remembered)


def test_what_is_written_is_what_is_read(mount: Path) -> None:
    apply(mount)
    (one,) = memory.applied(target.install(mount))
    assert (one.driver, one.service, one.when) == ("acme filter.sys", "acme", target.NOW)
    assert one.marks == Marks(newest=datetime(2026, 11, 20, 8, 0, tzinfo=UTC))
    assert (one.disabled, one.moved, one.standing) == (True, target.DRIVER, True)
    assert one.hive_written is False
    target.set_value(mount, target.SERVICE, "Type", 2)
    assert memory.applied(target.install(mount))[0].hive_written is True
    undo.undo(mount)
    assert memory.applied(target.install(mount))[0].standing is False


def test_an_unreadable_folder_is_not_known(mount: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(mount)

    def fails(_: object) -> object:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(journal, "find", fails)
    assert memory.applied(target.install(mount)) == ()
