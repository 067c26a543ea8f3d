"""Undo is never a blind copy back: what it restores, what it leaves, and what it refuses."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from recoverykit.errors import FormatError, NoCulpritError, TargetRefusedError
from recoverykit.formats import hive_files
from recoverykit.formats.hive_edit import Edited
from recoverykit.formats.hive_states import key_state
from recoverykit.model import KeyChange, Plan, RegistryData, TransactionInfo
from recoverykit.repair import hives, registry_plan, transaction, undo
from recoverykit.repair import plan as planning
from recoverykit.repair.journal_lines import canonical, link
from recoverykit.repair.registry_draft import Draft
from tests.independent import registry as hivex
from tests.repair import ntfs, target

GOOD = "ControlSet001\\Services\\good"
KEPT = {"security": None, "attributes": None, "times": None, "short_name": None, "modified": 0}


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.mkdir()
    target.build(path)
    return path


def apply(mount: Path) -> TransactionInfo:
    plan = target.plan(mount)
    return transaction.apply(target.install(mount), plan, now=target.NOW)


def value(mount: Path, key: str, name: str) -> bytes | None:
    loaded, _ = hives.load(mount / target.SYSTEM)
    found = loaded.find(key)
    held = found.value(name) if found else None
    return None if held is None else bytes(held.data)


def test_everything_is_back_and_the_history_says_so(mount: Path) -> None:
    before = target.state(mount)
    info = apply(mount)
    undone = undo.undo(mount)
    assert target.state(mount) == before
    assert (undone.id, undone.state) == (info.id, "undone")
    assert transaction.history(mount) == (undone,)
    with pytest.raises(NoCulpritError):
        undo.undo(mount)


def test_nothing_to_undo(mount: Path) -> None:
    with pytest.raises(NoCulpritError):
        undo.undo(mount)
    apply(mount)
    with pytest.raises(NoCulpritError, match="20200101T000000Z-0000"):
        undo.undo(mount, "20200101T000000Z-0000")
    assert target.start(mount) == target.OFF


def test_the_newest_first_and_the_named_one_by_value(mount: Path) -> None:
    """Two repairs of one hive: taking back the older one leaves what the newer one did."""
    before = hivex.registry(mount / target.SYSTEM)
    first = apply(mount)
    other = replace(target.suspect(), driver="good.sys", service="good")
    good = target.service("good", "good.sys", path="Windows/System32/drivers/good.sys")
    loaded, _ = hives.load(mount / target.SYSTEM)
    plan = planning.make(target.install(mount), other, [good], loaded)
    assert isinstance(plan, Plan)
    later = target.NOW + timedelta(days=1)
    second = transaction.apply(target.install(mount), plan, now=later)

    undo.undo(mount, first.id)
    assert target.start(mount) == target.BOOT
    assert value(mount, GOOD, "Start") == target.OFF
    assert undo.undo(mount).id == second.id
    assert hivex.changed_values(before, hivex.registry(mount / target.SYSTEM)) == {}


# --- Windows has run since ----------------------------------------------------------------


def test_what_windows_wrote_since_stays(mount: Path) -> None:
    apply(mount)
    target.set_value(mount, GOOD, "Start", 3)
    target.set_value(mount, target.OVERRIDE, "0", 0)  # as it was before us: nothing to undo
    undo.undo(mount)
    assert value(mount, target.SERVICE, "Start") == target.BOOT
    assert value(mount, target.OVERRIDE, "0") == target.BOOT
    assert value(mount, GOOD, "Start") == b"\3\0\0\0"
    assert (mount / target.DRIVER).read_bytes() == b"MZ acme" * 1000


def _start_is_another(mount: Path) -> None:
    target.set_value(mount, target.SERVICE, "Start", 3)


def _value_is_gone(mount: Path) -> None:
    before = mount / "before"
    before.write_bytes(target.system_hive())
    hive = bytearray((mount / target.SYSTEM).read_bytes())
    at = hive.index(b"StartOverride")  # the key of that name is another one now
    hive[at : at + 13] = b"ZtartOverride"
    (mount / target.SYSTEM).write_bytes(hive)
    before.unlink()


def _hive_is_damaged(mount: Path) -> None:
    (mount / target.SYSTEM).write_bytes(b"regf" + bytes(8000))


def _another_driver(mount: Path) -> None:
    (mount / target.DRIVER).write_bytes(b"MZ newer")


def _no_folder(mount: Path) -> None:
    drivers = (mount / target.DRIVER).parent
    drivers.rename(drivers.with_name("moved"))


def _nothing_kept(mount: Path) -> None:
    for path in (mount / "RecoveryKit").rglob("*"):
        if path.name in ("0001.before", "acme filter.sys"):
            path.unlink()


def _hive_vanished(mount: Path) -> None:
    (mount / target.SYSTEM).unlink()


def _one_more_byte(mount: Path) -> None:
    """Half of the patch is undone, and a byte that is none of ours is another one."""
    hive = bytearray((mount / target.SYSTEM).read_bytes())
    hive[:4096] = target.system_hive()[:4096]
    hive[-1] ^= 1
    hive[508] ^= 1  # nor is it a hive any more
    (mount / target.SYSTEM).write_bytes(hive)


def _copy_is_damaged(mount: Path) -> None:
    for path in (mount / "RecoveryKit").rglob("0000.before"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")


@pytest.mark.parametrize(
    ("meanwhile", "said"),
    [
        pytest.param(_start_is_another, r"Start is 3 now \(the repair had left 4\)", id="Start"),
        pytest.param(_value_is_gone, "StartOverride.0 is gone", id="value gone"),
        pytest.param(_hive_is_damaged, "cannot be taken back", id="hive damaged"),
        pytest.param(_another_driver, "another file stands at .*acme filter.sys", id="new driver"),
        pytest.param(_no_folder, "the folder of .*acme filter.sys is gone", id="no folder"),
        pytest.param(_nothing_kept, "nor its copy is intact", id="quarantine and copy gone"),
        pytest.param(_hive_vanished, "SYSTEM is missing", id="hive missing"),
        pytest.param(_one_more_byte, "cannot be taken back", id="not what a cut leaves"),
        pytest.param(_copy_is_damaged, "0000.before .* is not intact", id="copy damaged"),
    ],
)
def test_a_conflict_is_shown_and_nothing_is_changed(
    mount: Path, meanwhile: Callable[[Path], None], said: str
) -> None:
    apply(mount)
    meanwhile(mount)
    before = target.state(mount)
    journal = next((mount / "RecoveryKit").rglob("journal.jsonl")).read_bytes()
    with pytest.raises(TargetRefusedError, match=said):
        undo.undo(mount)
    assert target.state(mount) == before
    assert next((mount / "RecoveryKit").rglob("journal.jsonl")).read_bytes() == journal


def _emptied(mount: Path) -> None:
    next((mount / "RecoveryKit").rglob("acme filter.sys")).unlink()


def _damaged(mount: Path) -> None:
    next((mount / "RecoveryKit").rglob("acme filter.sys")).write_bytes(b"half")


def _reinstalled(mount: Path) -> None:
    (mount / target.DRIVER).write_bytes(b"MZ acme" * 1000)


@pytest.mark.parametrize(
    "meanwhile",
    [
        pytest.param(_emptied, id="a virus scanner emptied the quarantine"),
        pytest.param(_damaged, id="the quarantined file is damaged"),
        pytest.param(_reinstalled, id="the same file was installed again"),
    ],
)
def test_what_can_be_restored_is(mount: Path, meanwhile: Callable[[Path], None]) -> None:
    before = target.state(mount)
    apply(mount)
    meanwhile(mount)
    undo.undo(mount)
    assert target.state(mount) == before


@pytest.mark.parametrize("names", [[("SOFTWARE", b"x")], [(None, b"x")], [("SYSTEM", None)]])
def test_a_record_of_other_files_is_refused(
    mount: Path, names: list[tuple[str | None, bytes | None]]
) -> None:
    """Whoever could forge a journal could say what a record must hash to."""
    apply(mount)
    hive = (mount / target.SYSTEM).read_bytes()
    now = hives.files(mount / target.SYSTEM)
    ((name, content),) = names
    forged = hive_files.patches(now, now.having(name or "..", content or hive), {})
    if content is None:
        forged = tuple(replace(one, before=None) for one in forged)
    (image,) = mount.rglob("0000.before")
    (journal,) = mount.rglob("journal.jsonl")
    old = hashlib.sha256(image.read_bytes()).hexdigest()
    image.write_bytes(hive_files.pack(forged))
    _rewrite_journal(journal, old, hashlib.sha256(image.read_bytes()).hexdigest())
    before = target.state(mount)
    with pytest.raises(FormatError, match="not one of SYSTEM and its logs"):
        undo.undo(mount)
    assert target.state(mount) == before


def _rewrite_journal(journal: Path, old: str, new: str) -> None:
    chain, lines = "", []
    for line in journal.read_text().replace(old, new).splitlines():
        fields = json.loads(line)
        del fields["chain"]
        chain = link(chain, canonical(fields))
        lines.append(canonical({**fields, "chain": chain}))
    journal.write_bytes(b"\n".join(lines) + b"\n")


@pytest.mark.parametrize("log", [".LOG1", ".LOG2"])
def test_logs_that_somebody_deleted_come_back(mount: Path, log: str) -> None:
    """As advice on the web has it, where Windows does not start."""
    before = target.state(mount)
    transaction.apply(target.install(mount), target.rich_plan(mount), now=target.NOW)
    (mount / f"{target.SYSTEM}{log}").unlink()
    undo.undo(mount)
    assert target.state(mount) == before


def test_an_undo_by_value_that_is_cut_again_and_again_stays_small(mount: Path) -> None:
    transaction.apply(target.install(mount), target.rich_plan(mount), now=target.NOW)
    target.set_value(mount, GOOD, "Start", 3)
    (journal,) = mount.rglob("journal.jsonl")
    size = journal.stat().st_size
    undo.undo(mount)
    assert journal.stat().st_size < size + 3000


@pytest.mark.parametrize("scene", [None, target.soil], ids=["clean", "dirty"])
def test_a_torn_patch_of_a_committed_repair_is_taken_back(
    mount: Path, scene: Callable[[Path], None] | None
) -> None:
    """A disk that said it had written what it had not: old and new sectors are mixed."""
    if scene is not None:
        scene(mount)
    before, old = target.state(mount), (mount / target.SYSTEM).read_bytes()
    apply(mount)
    new = (mount / target.SYSTEM).read_bytes()
    middle = len(new) // 2
    (mount / target.SYSTEM).write_bytes(old[:100] + new[100:middle] + old[middle:])
    undo.undo(mount)
    assert target.state(mount) == before


# --- journals that were made to deceive ---------------------------------------------------


def rewrite(mount: Path, **fields: Any) -> None:
    """Say something else in the intents, with a chain that is right again."""
    path = next((mount / "RecoveryKit").rglob("journal.jsonl"))
    chain, lines = "", []
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        del entry["chain"]
        if entry["event"] == "intent" and entry["moved_to"]:
            entry |= fields
        chain = link(chain, canonical(entry))
        lines.append(json.dumps({**entry, "chain": chain}) + "\n")
    path.write_text("".join(lines))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"target": "../outside"}, "does not stay on the volume"),
        ({"target": "/etc/passwd"}, "does not stay on the volume"),
        ({"target": "Windows//x"}, "does not stay on the volume"),
        ({"target": "Windows\\..\\x"}, "does not stay on the volume"),
        ({"target": "C:/x"}, "does not stay on the volume"),
        ({"target": ""}, "does not stay on the volume"),
        ({"target": "escape/outside"}, "is a link"),
        ({"target": "Windows/link"}, "is a link"),
        ({"moved_to": "Windows/System32/config/SOFTWARE"}, "as its quarantine"),
        ({"moved_to": "RecoveryKit/../Windows/x"}, "does not stay on the volume"),
        ({"image": "../../0000.before"}, None),
        ({"before": "x"}, None),
        ({"patch": "x"}, None),
        ({"patch": None}, None),
        ({"number": 7}, None),
        ({"changes": "x"}, None),
        ({"logs": {"../x": {}}}, None),
        ({"logs": {"../x": KEPT}}, None),
        ({"metadata": {}}, None),
        ({"event": "shell"}, None),
    ],
)
def test_a_hostile_journal_changes_nothing(
    mount: Path, tmp_path: Path, fields: dict[str, Any], said: str | None
) -> None:
    apply(mount)
    outside = tmp_path / "outside"
    outside.write_bytes(b"not yours")
    (mount / "escape").symlink_to(tmp_path)
    (mount / "Windows/link").symlink_to(outside)
    rewrite(mount, **fields)
    before = target.state(mount)
    with pytest.raises(TargetRefusedError if said else FormatError, match=said):
        undo.undo(mount)
    assert target.state(mount) == before
    assert outside.read_bytes() == b"not yours"


def test_a_transaction_folder_that_is_a_link_is_refused(mount: Path, tmp_path: Path) -> None:
    info = apply(mount)
    (mount / info.folder).rename(tmp_path / "elsewhere")
    (mount / info.folder).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TargetRefusedError, match="link"):
        undo.undo(mount)
    assert target.start(mount) == target.OFF


def test_before_images_outlive_undo(mount: Path) -> None:
    info = apply(mount)
    undo.undo(mount)
    folder = mount / info.folder
    entries = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    intents = [entry for entry in entries if entry["event"] == "intent"]
    assert [entry["image"] for entry in intents] == ["0000.before", "0001.before"]
    for entry in intents:
        image = (folder / entry["image"]).read_bytes()
        assert hashlib.sha256(image).hexdigest() == (entry["patch"] or entry["before"])


def whole(edited: Edited) -> bytes:
    content = edited.content
    return content if isinstance(content, bytes) else content.whole()


def test_a_key_made_again_without_its_descriptor_gets_it_back(mount: Path) -> None:
    """What undo.cmd leaves: .reg files carry no descriptors."""
    system, own = mount / target.SYSTEM, ntfs.HIVE_SECURITY
    loaded, found = hives.load(system)
    key = loaded.find(target.OVERRIDE)
    assert key is not None
    state = key_state(key)
    assert state.security != own
    secured = KeyChange(target.OVERRIDE, state, replace(state, security=own))
    system.write_bytes(whole(hives.changed(found, [secured], target.NOW)))
    loaded, _ = hives.load(system)
    draft = Draft(loaded)
    draft.delete(target.OVERRIDE)
    edits = {target.SYSTEM: tuple(draft.changes)}
    plan = registry_plan.make(target.install(mount), edits, title="t", reason="r")
    assert plan is not None
    transaction.apply(target.install(mount), plan, now=target.NOW)

    loaded, found = hives.load(system)
    again = Draft(loaded)
    again.create(target.OVERRIDE)
    again.set(target.OVERRIDE, "0", RegistryData(4, target.BOOT))
    again.set(target.OVERRIDE, "1", RegistryData(4, target.OFF))
    system.write_bytes(whole(hives.changed(found, again.changes, target.NOW)))
    undo.undo(mount)

    loaded, _ = hives.load(system)
    key = loaded.find(target.OVERRIDE)
    assert key is not None
    assert key.security == own
    assert value(mount, target.OVERRIDE, "0") == target.BOOT
