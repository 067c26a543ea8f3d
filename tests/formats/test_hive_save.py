"""The power goes at every write of a save and of taking it back: the old hive or the new one."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from Registry.RegistryLog import RegistryLog

from recoverykit.errors import FormatError
from recoverykit.formats import hive_files, hive_save, log_write, regf, regf_log
from recoverykit.formats.hive import Hive
from recoverykit.formats.hive_files import FilePatch, HiveFiles, Patched
from recoverykit.formats.hive_save import Saving, Step
from recoverykit.formats.log_entry import Log, entries
from recoverykit.formats.regf import BaseBlock
from tests.builders import hive as builder
from tests.builders.hive import Tree, binary, dword
from tests.formats.hives import content, hive_bytes, logs_of

FILLER = {f"filler{number}": {"data": binary(bytes([number]) * 3000)} for number in range(3)}
OLD: Tree = {"a": {"Start": dword(0)}, "b": {"x": binary(b"x" * 900)}, **FILLER}
NEW: Tree = {"a": {"Start": dword(4), "more": binary(b"m" * 6000)}, "new": {}, **FILLER}
SMALL: Tree = {"a": {"Start": dword(4)}}
GROWN: Tree = {**NEW, "big": {"y": binary(bytes(range(256)) * 60)}}
TORN = 8  # states tried of a step that was cut


@dataclass(frozen=True, slots=True)
class Scene:
    """A hive with its logs, what it says, and the changed image that is to be saved."""

    files: HiveFiles
    image: bytes
    numbers_only: bool = False

    @property
    def found(self) -> regf_log.Recovery:
        return read(self.files)


def read(files: HiveFiles) -> regf_log.Recovery:
    return regf_log.recover(files.hive, sorted(files.logs.items()))


def save(scene: Scene) -> Saving:
    return hive_save.save(scene.files, scene.found, scene.image, numbers_only=scene.numbers_only)


def run(files: HiveFiles, steps: Sequence[Step]) -> HiveFiles:
    for step in steps:
        files = hive_save.applied(files, step)
    return files


def clean(logs: dict[str, bytes], new: Tree = NEW, minor: int = 5) -> Scene:
    old = builder.build(OLD, minor=minor)
    return Scene(HiveFiles("SYSTEM", old, logs), builder.build(new, minor=minor))


def remnants() -> dict[str, bytes]:
    """Two logs of the newer kind from rounds that are over."""
    old = builder.build(OLD)
    entry = builder.log_entry(1, builder.build(SMALL), old)
    stale = builder.log(old, 1, [entry, builder.log_entry(2, builder.build(SMALL), old)])
    return {"SYSTEM.LOG1": stale, "SYSTEM.LOG2": builder.log(old, 3, [])}


def relic() -> bytes:
    """What the installation image left as SYSTEM.LOG."""
    return log_write.bitmap_log(builder.build(OLD)[:512], 1, 4096, [])


def dirty(old: Tree, now: Tree, new: Tree, *, bitmap: bool = False) -> Scene:
    base, changed = builder.build(old), builder.build(now)
    make = builder.dirty_with_bitmap_log if bitmap else builder.dirty_with_log
    primary, log = make(base, changed)
    logs = {"SYSTEM.LOG1": log, "SYSTEM.LOG2": b""}
    return Scene(HiveFiles("SYSTEM", primary, logs), builder.build(new))


def large_sectors(scene: Scene) -> Scene:
    """On a disk with sectors of 4096 bytes, what follows a log's header begins there."""

    def clustered(hive: bytes) -> bytes:
        head = bytearray(hive)
        struct.pack_into("<I", head, 44, 8)
        return bytes(builder.sealed(head))

    return Scene(scene.files.having("SYSTEM", clustered(scene.files.hive)), clustered(scene.image))


def damaged() -> Scene:
    scene = dirty(OLD, NEW, GROWN)
    hive = bytearray(scene.files.hive)
    hive[100] ^= 0xFF
    return Scene(scene.files.having("SYSTEM", bytes(hive)), scene.image)


def numbers(scene: Scene) -> Scene:
    """Only a number changes, in a hive that may be dirty."""
    image = bytearray(read(scene.files).data)
    value = Hive(bytes(image)).find("a")
    assert value is not None
    start = value.value("Start")
    assert start is not None
    struct.pack_into("<I", image, start.data_offset, 7)
    image[:512] = regf.stamped(bytes(image), 77, 77)
    return Scene(scene.files, bytes(image), numbers_only=True)


SCENES = {
    "no log": clean({}),
    "boot store, no log": clean({}, minor=3),
    "empty logs": clean({"SYSTEM.LOG1": b"", "SYSTEM.LOG2": b""}),
    "remnants": clean(remnants()),
    "remnants, second log": clean({"SYSTEM.LOG2": remnants()["SYSTEM.LOG2"]}),
    "remnants, a relic": clean({"SYSTEM.LOG": relic(), **remnants()}),
    "remnants, both formats": clean({**remnants(), "SYSTEM.LOG1": relic()}),
    "remnants, both formats, other order": clean({**remnants(), "SYSTEM.LOG2": relic()}),
    "boot store, empty logs": clean(
        {"SYSTEM.LOG": remnants()["SYSTEM.LOG1"], "SYSTEM.LOG1": b"", "SYSTEM.LOG2": b""}, minor=3
    ),
    "grows": clean(remnants(), GROWN),
    "grows, no log": clean({}, GROWN),
    "shrinks": clean(remnants(), SMALL),
    "dirty": dirty(OLD, NEW, SMALL),
    "dirty, grew": dirty(OLD, GROWN, NEW),
    "dirty, grows": dirty(OLD, NEW, GROWN),
    "dirty, bitmap": dirty(OLD, NEW, SMALL, bitmap=True),
    "dirty, bitmap, grows": dirty(OLD, NEW, GROWN, bitmap=True),
    "dirty, bitmap, grew": dirty(OLD, GROWN, NEW, bitmap=True),
    "damaged header": damaged(),
    "large sectors": large_sectors(clean({})),
    "large sectors, newer log": large_sectors(clean(remnants())),
    "numbers": numbers(clean(remnants())),
    "numbers, dirty": numbers(dirty(OLD, NEW, NEW)),
    "numbers, dirty, bitmap": numbers(dirty(OLD, NEW, NEW, bitmap=True)),
    "numbers, but the log made it grow": numbers(dirty(OLD, GROWN, GROWN)),
}
EACH = pytest.mark.parametrize("scene", [pytest.param(s, id=name) for name, s in SCENES.items()])


def torn(files: HiveFiles, step: Step, rng: random.Random) -> Iterator[HiveFiles]:
    """What a cut in the middle of a step can leave: any of its sectors, any part of its growth."""
    yield files
    if step.remove:
        return
    sectors = [
        (offset + at, data[at : at + 512])
        for offset, data in step.writes
        for at in range(0, len(data), 512)
    ]
    for count in range(TORN):
        if count < TORN // 2:
            chosen = sectors[: rng.randrange(len(sectors) + 1)] if sectors else []
        else:
            chosen = rng.sample(sectors, rng.randrange(len(sectors) + 1))
        state = hive_save.applied(files, Step(step.file, tuple(chosen)))
        if step.size is not None and count % 2:
            kept = (state.content(step.file) or b"")[: step.size]
            state = state.having(step.file, kept)
        yield state
    longest = max((offset + len(data) for offset, data in step.writes), default=0)
    if longest > len(files.content(step.file) or b""):  # the size was durable, the data was not
        yield hive_save.applied(files, Step(step.file, ((longest - 1, b"\0"),)))


def cuts(files: HiveFiles, steps: Sequence[Step]) -> Iterator[HiveFiles]:
    rng = random.Random(20240719)
    for step in steps:
        yield from torn(files, step, rng)
        files = hive_save.applied(files, step)


@EACH
def test_the_save_is_the_image(scene: Scene) -> None:
    saving = save(scene)
    after = run(scene.files, saving.steps)
    assert after == saving.after
    found = read(after)
    assert not found.dirty
    assert content(Hive(bytes(found.data))) == content(Hive(scene.image))
    base = BaseBlock.parse(after.hive)
    assert base.clean
    known = [BaseBlock.parse(log).primary_sequence for log in scene.files.logs.values() if log]
    assert base.primary_sequence > max([scene.found.sequence, *known])
    assert len(after.hive) >= len(scene.files.hive)  # a hive's file is not made shorter


@pytest.mark.parametrize(
    ("scene", "log"),
    [
        ("no log", "SYSTEM.LOG1"),
        ("boot store, no log", "SYSTEM.LOG"),
        ("boot store, empty logs", "SYSTEM.LOG"),
        ("remnants, a relic", "SYSTEM.LOG1"),
        ("remnants, second log", "SYSTEM.LOG1"),
        ("dirty, grew", "SYSTEM.LOG1"),
    ],
)
def test_the_log_that_windows_looks_at(scene: str, log: str) -> None:
    logs = {step.file for step in save(SCENES[scene]).steps if ".LOG" in step.file}
    assert logs == {log}


def test_a_lost_write_in_an_old_log_does_not_continue_ours() -> None:
    """An entry never reached the disk, the one behind it did, and has the number after ours."""
    scene = clean({"SYSTEM.LOG1": builder.log(builder.build(OLD), 1, [])})
    step = next(step for step in save(scene).steps if step.file == "SYSTEM.LOG1")
    _, size, _, number = struct.unpack_from("<4s3I", step.writes[0][1], 512)
    behind = builder.log_entry(number + 1, scene.image, builder.build(SMALL))
    log = scene.files.logs["SYSTEM.LOG1"][: 512 + size] + behind + bytes(65536)
    scene = Scene(scene.files.having("SYSTEM.LOG1", log), scene.image)
    assert save(scene).steps[1].writes[0][1][:512] == step.writes[0][1][:512]  # the same number
    either = [content(Hive(bytes(data))) for data in (scene.found.data, scene.image)]
    for state in cuts(scene.files, save(scene).steps):
        assert content(Hive(bytes(read(state).data))) in either


@EACH
def test_every_cut_leaves_the_old_hive_or_the_new_one(scene: Scene) -> None:
    saving = save(scene)
    old, new = (content(Hive(bytes(image))) for image in (scene.found.data, scene.image))
    seen = []
    for state in cuts(scene.files, saving.steps):
        now = content(Hive(bytes(read(state).data)))
        if scene.numbers_only:
            assert blurred(now) == blurred(old) == blurred(new)
        else:
            assert now in (old, new)
        seen.append(now == old)
    assert True in seen
    assert not all(seen) or scene.numbers_only


@EACH
def test_sectors_are_saved_as_the_whole_image_is(scene: Scene) -> None:
    found = scene.found
    data = bytes(found.data)
    if len(data) != len(scene.image):
        with_image = Patched(scene.image, ())
    else:
        with_image = Patched(data, hive_files.difference(data, scene.image))
    saving = hive_save.save(scene.files, found, with_image, numbers_only=scene.numbers_only)
    assert saving == save(scene)


def test_sectors_of_a_clean_hive_are_written_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = SCENES["numbers"]
    expected = save(scene).steps
    hive = scene.files.hive
    patched = Patched(hive, hive_files.difference(hive, scene.image))
    with monkeypatch.context() as patch:  # neither made whole nor compared
        patch.setattr(Patched, "whole", None)
        patch.setattr(hive_save, "difference", None)
        steps = hive_save.save(scene.files, scene.found, patched, numbers_only=True).steps
    assert steps == expected
    assert [write[0] >= 4096 for step in steps for write in step.writes] == [True, False]


def blurred(
    found: dict[str, tuple[int, tuple[tuple[str, int, str], ...]]],
) -> dict[str, list[tuple[str, int, str]]]:
    """Without times and without the number that changes."""
    return {
        key: [value for value in values if value[0] != "Start"]
        for key, (_, values) in found.items()
    }


@EACH
def test_every_cut_can_be_taken_back(scene: Scene) -> None:
    saving = save(scene)
    record = through_disk(hive_save.record(saving))
    for state in (*cuts(scene.files, saving.steps), saving.after):
        steps = hive_save.back(state, record)
        assert steps is not None
        assert run(state, steps) == scene.files


@EACH
def test_taking_back_may_be_cut_as_well(scene: Scene) -> None:
    saving = save(scene)
    record = through_disk(hive_save.record(saving))
    steps = hive_save.back(saving.after, record)
    assert steps is not None
    old, new = (content(Hive(bytes(image))) for image in (scene.found.data, scene.image))
    rng = random.Random(5)
    for state in cuts(saving.after, steps):
        now = content(Hive(bytes(read(state).data)))
        assert scene.numbers_only or now in (old, new)
        again = hive_save.back(state, record)
        assert again is not None
        assert run(state, again) == scene.files
        if again:  # and the second attempt
            left = rng.choice(list(cuts(state, again)))
            third = hive_save.back(left, record)
            assert third is not None
            assert run(left, third) == scene.files


def through_disk(record: Sequence[FilePatch]) -> tuple[FilePatch, ...]:
    read_back = hive_files.unpack(hive_files.pack(record))
    assert read_back == tuple(record)
    return read_back


@EACH
def test_what_somebody_else_wrote_is_not_taken_back(scene: Scene) -> None:
    saving = save(scene)
    hive = bytearray(saving.after.hive)
    hive[4096 + 48] ^= 1  # in the root key
    assert (
        hive_save.back(saving.after.having("SYSTEM", bytes(hive)), hive_save.record(saving)) is None
    )
    written = {step.file for step in saving.steps}
    for name in saving.after.logs.keys() - written:
        foreign = saving.after.having(name, saving.after.logs[name] + b"\1" * 512)
        assert hive_save.back(foreign, hive_save.record(saving)) is None


@pytest.mark.parametrize("name", ["grows", "remnants", "remnants, second log", "dirty"])
def test_python_registry_recovers_the_new_hive_from_our_log(name: str) -> None:
    """Cut right after the header asked for the log: somebody else's code makes the new hive."""
    scene = SCENES[name]
    saving = save(scene)
    state = scene.files
    for step in saving.steps:
        state = hive_save.applied(state, step)
        asks = step.file == "SYSTEM" and not BaseBlock.parse(state.hive).clean
        if asks and state.logs != scene.files.logs:
            break
    log = next(log for file, log in state.logs.items() if log != scene.files.logs.get(file))
    buffer = io.BytesIO(state.hive)
    theirs = RegistryLog(buffer, io.BytesIO(log))
    assert theirs.is_eligible_log()
    theirs.recover_hive()
    assert content(Hive(buffer.getvalue())) == content(Hive(scene.image))


# --- the logs themselves ------------------------------------------------------------------

REAL_LOGS = [
    "yarp/NewDirtyHive1__NewDirtyHive",
    "regipy_SYSTEM_B.xz",
    "bcd_asus/Boot_BCD",
    "bcd_asus/Recovery_BCD",
]


@pytest.mark.parametrize("sample", REAL_LOGS)
def test_windows_writes_the_same_entries(sample: str) -> None:
    """The first entry of a real log, written by us from its pages: the same bytes."""
    hive_bytes(sample)
    logs = logs_of(sample)
    assert logs
    for name, data in logs:
        log = Log(name, data, BaseBlock.parse(data))
        first = next(entries(log))
        refs = first.offset + 40
        position, pages = refs + 8 * first.pages, []
        for offset, size in struct.iter_unpack("<II", data[refs:position]):
            pages.append((offset, data[position : position + size]))
            position += size
        written = log_write.entry_log(data[:512], first.sequence, first.bins_size, pages)
        assert written == data[: first.offset + first.size]


def test_the_older_format_as_windows_7_left_it() -> None:
    data = (
        dict(logs_of("yarp/OldDirtyHive__OldDirtyHive"))["OldDirtyHive__OldDirtyHive.LOG1"]
        if logs_of("yarp/OldDirtyHive__OldDirtyHive")
        else b""
    )
    if not data:
        pytest.skip("no OldDirtyHive.LOG1")
    base = BaseBlock.parse(data)
    length = base.bins_size // 4096
    bitmap = data[516 : 516 + length]
    source, pages = 512 + -(-(4 + length) // 512) * 512, []
    for index, bits in enumerate(bitmap):
        assert bits in (0, 0xFF)
        if bits:
            pages.append((index * 4096, data[source : source + 4096]))
            source += 4096
    written = log_write.bitmap_log(data[:512], base.primary_sequence, base.bins_size, pages)
    end = 512 + 4 + length  # Windows left garbage between the bitmap and the next sector
    assert written[:end] == data[:end]
    assert written[-(len(pages) * 4096) :] == data[source - len(pages) * 4096 : source]
    assert len(written) == source


def test_our_logs_are_those_of_the_builder() -> None:
    """Two writers of the specification that share no code but the hash."""
    old, new = builder.build(OLD), builder.build(NEW)
    pages = [
        (offset - 4096, new[offset : offset + 4096])
        for offset in range(4096, len(new), 4096)
        if old[offset : offset + 4096] != new[offset : offset + 4096]
    ]
    ours = log_write.bitmap_log(new[:512], 2, len(new) - 4096, pages)
    _, theirs = builder.dirty_with_bitmap_log(old, new)
    assert ours[512:] == theirs[512:]


# --- the record ---------------------------------------------------------------------------


def test_hostile_records_fail_in_one_way_only() -> None:
    record = hive_files.pack(hive_save.record(save(SCENES["grows"])))
    rng = random.Random(7)
    refused = 0
    for _ in range(3000):
        data = bytearray(record)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(200 if rng.random() < 0.8 else len(data))] = rng.randrange(256)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        try:
            patches = hive_files.unpack(bytes(data))
        except FormatError:
            refused += 1
            continue
        now = SCENES["grows"].files
        if all("/" not in patch.name for patch in patches) and patches:
            hive_files.rewound(now, patches[:1], forward=False)
    assert refused > 500
