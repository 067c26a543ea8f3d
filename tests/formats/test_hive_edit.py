from __future__ import annotations

import io
import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from Registry import Registry

from recoverykit.errors import FormatError
from recoverykit.formats import hive_edit
from recoverykit.formats.binary import to_filetime
from recoverykit.formats.hive import Hive, Key, Value, read
from recoverykit.formats.hive_edit import differences, edit, inverse, is_exactly, net
from recoverykit.formats.hive_files import Patched, difference
from recoverykit.formats.hive_proof import differ_only_in_numbers
from recoverykit.formats.hive_sharing import mentions
from recoverykit.formats.regf import BaseBlock
from recoverykit.model import KeyChange, RegistryChange, RegistryData, RegistryKey, ValueChange
from tests.builders.hive import Node, Tree, binary, build, dirty_with_log, dword, sealed, sz
from tests.formats.hives import content, hive_bytes, logs_of, walk
from tests.formats.test_hive_differential import by_hivex, by_python_registry

NOW = datetime(2026, 11, 22, 10, 11, 12, tzinfo=UTC)
ACME = "ControlSet001\\Services\\acme"
TREE: Tree = {
    "Select": {"Current": dword(1)},
    "ControlSet001": {
        "Services": {
            "acme": {"Start": dword(0), "ImagePath": sz("system32\\drivers\\acme.sys")},
            "disk": {"Start": dword(0), "Big": binary(b"x" * 40000)},
        }
    },
}
IMAGE = build(TREE)
ZERO, FOUR = struct.pack("<I", 0), struct.pack("<I", 4)


def change(key: str, name: str, before: bytes, after: bytes, kind: int = 4) -> ValueChange:
    """Other data of the same type."""
    return ValueChange(key, name, RegistryData(kind, before), RegistryData(kind, after))


DISABLE = change(ACME, "Start", ZERO, FOUR)
NEW_KEY = KeyChange("ControlSet001\\Services\\new", None, RegistryKey("klass"))
NEW_VALUE = ValueChange(NEW_KEY.key, "Big", None, RegistryData(3, b"y" * 30000))
GONE = ValueChange(
    ACME, "ImagePath", RegistryData(1, "system32\\drivers\\acme.sys\0".encode("utf-16-le")), None
)


def value(image: object, path: str, name: str) -> Value:
    assert isinstance(image, bytes)
    key = Hive(image).find(path)
    assert key is not None
    found = key.value(name)
    assert found is not None
    return found


def key_of(image: bytes, path: str) -> Key:
    found = Hive(image).find(path)
    assert found is not None
    return found


def apply(*changes: RegistryChange, image: bytes = IMAGE, sequence: int = 7) -> bytes:
    return edit(image, changes, sequence=sequence, when=NOW).image


# --- what changes, and what does not ------------------------------------------------------


def test_exactly_the_planned_bytes_change() -> None:
    result = apply(DISABLE)
    changed = {at for at in range(len(IMAGE)) if IMAGE[at] != result[at]}
    start, acme = value(IMAGE, ACME, "Start"), key_of(IMAGE, ACME)
    allowed = {
        *range(4, 20),  # sequence numbers, time
        *range(508, 512),  # checksum
        *range(4096 + 20, 4096 + 28),  # the copy of the time
        *range(acme.offset + 8, acme.offset + 16),  # the key's time
        *range(start.data_offset, start.data_offset + 4),
    }
    assert changed <= allowed
    assert value(result, ACME, "Start").dword == 4
    assert len(result) == len(IMAGE)


def test_the_header_is_clean_and_beyond_every_log() -> None:
    base = BaseBlock.parse(apply(DISABLE, sequence=2130))
    assert (base.primary_sequence, base.secondary_sequence) == (2131, 2131)
    assert base.clean
    assert base.last_written == to_filetime(NOW)


def test_sequence_numbers_wrap() -> None:
    assert BaseBlock.parse(apply(DISABLE, sequence=0xFFFF_FFFF)).primary_sequence == 0


def test_only_touched_keys_get_the_new_time() -> None:
    result = Hive(apply(DISABLE))
    times = {key.path: key.last_written for key in walk(result)}
    assert times.pop(ACME) == NOW
    assert NOW not in times.values()


def test_several_values_and_keys_at_once() -> None:
    path = value(IMAGE, ACME, "ImagePath").data
    other = ("system32\\drivers\\null.sys" + "\0").encode("utf-16-le")
    big = change("controlset001\\SERVICES\\disk", "BIG", b"x" * 40000, bytes(range(250)) * 160, 3)
    result = apply(DISABLE, change(ACME, "imagepath", path, other, 1), big)
    assert value(result, ACME, "ImagePath").string == "system32\\drivers\\null.sys"
    assert value(result, "ControlSet001\\Services\\disk", "Big").data == bytes(range(250)) * 160
    assert len(differences(Hive(IMAGE), Hive(result))) == 3


def test_a_change_can_be_taken_back() -> None:
    back = apply(change(ACME, "Start", FOUR, ZERO), image=apply(DISABLE), sequence=8)
    assert differences(Hive(IMAGE), Hive(back)) == []


def test_padding_behind_the_bins_is_kept() -> None:
    padded = IMAGE + b"\xaa" * 4096
    assert apply(DISABLE, image=padded)[-4096:] == b"\xaa" * 4096


def test_a_recovered_hive_is_written_whole() -> None:
    grown: Tree = {**TREE, "more": {f"k{number}": {} for number in range(300)}}
    primary, log1 = dirty_with_log(IMAGE, build(grown))
    hive, recovery = read(primary, [("SYSTEM.LOG1", log1)])
    result = apply(DISABLE, image=bytes(recovery.data), sequence=recovery.sequence)
    base = BaseBlock.parse(result)
    assert base.clean
    assert base.primary_sequence == recovery.sequence + 1
    assert base.bins_size == len(result) - 4096 > len(primary) - 4096
    assert [getattr(d, "name", None) for d in differences(hive, Hive(result))] == ["Start"]
    again, unneeded = read(result, [("SYSTEM.LOG1", log1)])  # Windows would ignore the log too
    assert not unneeded.dirty
    assert len(differences(Hive(IMAGE), again)) == 302


# --- real hives, read by others -----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("dissect_SYSTEM.gz", "ControlSet001\\Services\\ACPI"),
        ("regipy_SYSTEM_B.xz", "ControlSet001\\Services\\Disk"),
    ],
)
def test_hivex_reads_exactly_the_change(name: str, path: str, tmp_path: Path) -> None:
    hive, recovery = read(hive_bytes(name), logs_of(name))
    assert value(bytes(recovery.data), path, "Start").dword == 0
    disable = change(path, "Start", ZERO, FOUR)
    result = apply(disable, image=bytes(recovery.data), sequence=recovery.sequence)

    before = content(hive)
    after, unnamed = by_hivex(result, tmp_path)
    assert not unnamed
    assert after.keys() == before.keys()
    (changed,) = [key for key in before if before[key] != after[key]]
    assert changed == path
    when, values = before[path]
    assert after[path][0] == to_filetime(NOW) != when
    expected = [(n, t, FOUR.hex() if n == "Start" else data) for n, t, data in values]
    assert list(after[path][1]) == expected


@pytest.mark.parametrize("name", ["bcd_win2go", "yarp/NewDirtyHive1__RecoveredHive_Windows10"])
def test_python_registry_reads_exactly_the_change(name: str) -> None:
    image = hive_bytes(name)
    key, target = next(
        (key, item) for key in walk(Hive(image)) for item in key.values() if item.data
    )
    after = bytes(byte ^ 0x55 for byte in target.data)
    made = change(key.path, target.name, target.data, after, target.type)
    result = apply(made, image=image, sequence=100)
    left, right = by_python_registry(image), by_python_registry(result)
    assert [path for path in left if left[path] != right[path]] == [key.path]
    assert (target.name, target.type, after.hex()) in right[key.path][1]


def test_python_registry_reads_start_of_a_real_service() -> None:
    image = hive_bytes("dissect_SYSTEM.gz")
    path = "ControlSet001\\Services\\ACPI"
    result = apply(change(path, "Start", ZERO, FOUR), image=image, sequence=228)
    services = Registry.Registry(io.BytesIO(result)).open("ControlSet001\\Services")
    found = {}
    for service in services.subkeys():
        for item in service.values():
            if item.name() == "Start":
                found[service.name()] = item.value()
    ours = Hive(image).find("ControlSet001\\Services")
    assert ours is not None
    starts = {key.name: start.dword for key in ours.subkeys() if (start := key.value("Start"))}
    assert {name for name in found if found[name] != starts[name]} == {"ACPI"}
    assert found["ACPI"] == 4


# --- keys and values that come and go -----------------------------------------------------


STRUCTURAL = (DISABLE, NEW_KEY, NEW_VALUE, GONE)


def test_only_numbers_may_be_written_without_a_log() -> None:
    assert edit(IMAGE, [DISABLE], sequence=1, when=NOW).numbers_only
    long = change(ACME, "ImagePath", PATH, PATH[::-1], 1)
    for other in (long, GONE, NEW_KEY):
        assert not edit(IMAGE, [DISABLE, other], sequence=1, when=NOW).numbers_only


def test_structural_changes_are_exactly_those() -> None:
    result = apply(*STRUCTURAL)
    found = {(d.key, getattr(d, "name", None)) for d in differences(Hive(IMAGE), Hive(result))}
    assert found == {(d.key, getattr(d, "name", None)) for d in STRUCTURAL}
    assert value(result, NEW_KEY.key, "Big").data == b"y" * 30000
    assert key_of(result, NEW_KEY.key).class_name == "klass"
    parent = hive_edit.key_state(key_of(IMAGE, "ControlSet001\\Services"))
    assert hive_edit.key_state(key_of(result, NEW_KEY.key)).security == parent.security
    assert is_exactly(IMAGE, result, STRUCTURAL)
    assert not is_exactly(IMAGE, result, STRUCTURAL[:-1])


def test_structural_changes_can_be_taken_back() -> None:
    result = apply(*STRUCTURAL)
    back = apply(*inverse(STRUCTURAL), image=result, sequence=8)
    assert differences(Hive(IMAGE), Hive(back)) == []


def test_a_tree_goes_and_comes_back_with_its_descriptors() -> None:
    image = hive_bytes("dissect_SYSTEM.gz")
    top = key_of(image, "ControlSet001\\Services\\ACPI")
    changes: list[RegistryChange] = []
    for key in reversed(list(walk_below(top))):
        changes += [
            ValueChange(key.path, v.name, RegistryData(v.type, bytes(v.data)), None)
            for v in key.values()
        ]
        changes.append(KeyChange(key.path, hive_edit.key_state(key), None))
    assert len(changes) > 10
    gone = apply(*changes, image=image, sequence=228)
    assert Hive(gone).find(top.path) is None
    back = apply(*inverse(changes), image=gone, sequence=229)
    assert differences(Hive(image), Hive(back)) == []


def test_thousands_of_changes_in_one_edit() -> None:
    """An expert's .reg file may hold 20,000 of them: linear, and taken back as one."""
    tree: Tree = {"p": {f"k{number:04}": {"v": dword(1)} for number in range(1500)}}
    image = build(tree, minor=3)  # no hashes in its lists
    one, two = RegistryData(4, b"\1\0\0\0"), RegistryData(3, b"x" * 30)
    changes: list[RegistryChange] = [KeyChange("q", None, RegistryKey())]
    for number in range(1500):
        path = f"p\\K{number * 7 % 1500:04}"
        changes += [ValueChange(path, "v", one, two), ValueChange(path, "w", None, one)]
        changes.append(KeyChange(f"q\\{number}", None, RegistryKey()))
    began = time.process_time()
    result = apply(*changes, image=image)
    assert time.process_time() - began < 8.0  # CPU seconds; it took a minute
    assert len(differences(Hive(image), Hive(result))) == len(changes)
    back = apply(*inverse(changes), image=result)
    assert differences(Hive(image), Hive(back)) == []


def walk_below(key: Key) -> list[Key]:
    """Parents before children."""
    found = [key]
    for item in found:
        found += item.subkeys()
    return found


def test_a_key_that_went_and_came_back_gets_its_own_descriptor_again() -> None:
    """What undo makes of `[-K]` and `[K]` in one file, key by key after Windows has run."""
    image = hive_bytes("dissect_SYSTEM.gz")
    acpi = key_of(image, "ControlSet001\\Services\\ACPI")
    old = hive_edit.key_state(acpi)
    parent = hive_edit.key_state(key_of(image, "ControlSet001\\Services"))
    other = next(
        state.security
        for key in walk(Hive(image))
        if (state := hive_edit.key_state(key)).security not in (old.security, parent.security)
    )
    own = RegistryKey(old.class_name, other)
    changed = apply(KeyChange(acpi.path, old, own), image=image, sequence=228)
    assert hive_edit.key_state(key_of(changed, acpi.path)) == own
    back = apply(*inverse([KeyChange(acpi.path, old, own)]), image=changed, sequence=229)
    assert differences(Hive(image), Hive(back)) == []


def test_the_net_of_changes_that_meet() -> None:
    one, two = RegistryData(4, ZERO), RegistryData(4, FOUR)
    again = ValueChange(ACME.upper(), "START", two, one)
    assert net([DISABLE, again]) == ()
    assert net([DISABLE, ValueChange(ACME, "start", two, None)]) == (
        ValueChange(ACME, "Start", one, None),
    )
    assert net([NEW_KEY, KeyChange(NEW_KEY.key, NEW_KEY.after, None)]) == ()
    assert net(STRUCTURAL) == STRUCTURAL


# --- refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (change("ControlSet002\\Services\\acme", "Start", ZERO, FOUR), "does not exist"),
        (change(ACME, "Stop", ZERO, FOUR), "does not exist"),
        (change(ACME, "Start", ZERO, FOUR), "no longer holds what the plan saw"),
        (change(ACME, "Start", FOUR, ZERO, 3), "no longer holds what the plan saw"),
        (ValueChange(ACME, "Start", None, RegistryData(4, FOUR)), "exists already"),
        (ValueChange(NEW_KEY.key, "v", None, RegistryData(4, FOUR)), "does not exist"),
        (KeyChange(ACME, RegistryKey(), None), "is not empty: it holds more than planned"),
        (KeyChange(ACME, None, RegistryKey()), "exists already"),
        (KeyChange(NEW_KEY.key, RegistryKey(), None), "does not exist"),
        (KeyChange(ACME, RegistryKey("klass"), None), "no longer holds what the plan saw"),
    ],
)
def test_a_change_that_does_not_fit_is_refused(wrong: RegistryChange, problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        apply(DISABLE, wrong)


Damage = Callable[[bytearray], None]


def _dirty(image: bytearray) -> None:
    struct.pack_into("<I", image, 4, 9)


def _old(image: bytearray) -> None:
    struct.pack_into("<I", image, 24, 2)


def _bin(image: bytearray) -> None:
    image[8192] ^= 1  # a bin that the change does not touch


def _free_cell(image: bytearray) -> None:
    """The rest of the last bin claims to be a little larger than it is."""
    size = len(image)
    for at in range(size - 8, size - 4096, -8):
        (number,) = struct.unpack_from("<i", image, at)
        if number == size - at:
            struct.pack_into("<i", image, at, number + 8)
            return
    pytest.fail("no free cell found")


def _stolen(image: bytearray) -> None:
    """ImagePath's data lies in the middle of another cell's data."""
    inside = value(IMAGE, "ControlSet001\\Services\\disk", "Big").data_offset + 100 & ~7
    struct.pack_into("<i", image, inside, -64)
    image[inside + 4 : inside + 60] = value(IMAGE, ACME, "ImagePath").data.ljust(56, b"\0")
    struct.pack_into("<I", image, value(IMAGE, ACME, "ImagePath").offset + 12, inside - 4096)


def _shared(image: bytearray) -> None:
    """The data of ImagePath is the data of Big, too: one change would be two."""
    big = value(IMAGE, "ControlSet001\\Services\\disk", "Big")
    path = value(IMAGE, ACME, "ImagePath")
    struct.pack_into("<II", image, big.offset + 8, 52, path.data_offset - 4 - 4096)


PATH = value(IMAGE, ACME, "ImagePath").data


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (_dirty, "dirty: its logs must be applied"),
        (_old, "version 1.2 is not written"),
        (_bin, "hive bin at 0x2000: damaged header"),
        (_free_cell, "hive cell .* its size is wrong"),
        (_stolen, "no cell begins here"),
        (_shared, "has another owner too"),
    ],
)
def test_a_hive_that_is_not_sound_is_not_changed(damage: Damage, problem: str) -> None:
    image = bytearray(IMAGE)
    damage(image)
    with pytest.raises(FormatError, match=problem):
        apply(change(ACME, "ImagePath", PATH, PATH[::-1], 1), image=bytes(sealed(image)))


@pytest.mark.parametrize("name", ["ezreg_SAMBadHBinHeader", "regipy_corrupted_system_hive.xz"])
def test_real_damaged_hives_are_not_changed(name: str) -> None:
    with pytest.raises(FormatError, match="hive bin"):
        apply(image=hive_bytes(name))


# --- differences --------------------------------------------------------------------------


def test_no_difference() -> None:
    assert differences(Hive(IMAGE), Hive(build(TREE, minor=3))) == []


def test_times_alone_are_no_difference() -> None:
    assert differences(Hive(IMAGE), Hive(build(TREE, when=NOW))) == []


def test_every_kind_of_difference() -> None:
    old: Tree = {
        "same": {"v": dword(1)},
        "changed": {"v": dword(1), "gone": sz("x"), "type": dword(5)},
        "removed": {"below": {"v": dword(2)}},
        "class": Node({}, class_name="one"),
    }
    new: Tree = {
        "SAME": {"V": dword(1)},
        "changed": {"v": dword(3), "new": dword(6), "type": binary(struct.pack("<I", 5))},
        "added": {"v": dword(4)},
        "class": Node({}, class_name="two"),
    }
    found = differences(Hive(build(old)), Hive(build(new)))
    key = hive_edit.key_state(Hive(IMAGE).root)
    one, two = RegistryKey("one", key.security), RegistryKey("two", key.security)
    numbers = [RegistryData(4, struct.pack("<I", number)) for number in range(7)]
    assert set(found) == {
        ValueChange("changed", "v", numbers[1], numbers[3]),
        ValueChange("changed", "gone", RegistryData(1, "x\0".encode("utf-16-le")), None),
        ValueChange("changed", "new", None, numbers[6]),
        ValueChange("changed", "type", numbers[5], RegistryData(3, numbers[5].data)),
        KeyChange("removed", key, None),
        KeyChange("removed\\below", key, None),
        ValueChange("removed\\below", "v", numbers[2], None),
        KeyChange("added", None, key),
        ValueChange("added", "v", None, numbers[4]),
        KeyChange("class", one, two),
    }
    assert len(found) == len(set(found))


def test_recovery_shows_as_differences() -> None:
    name = "yarp/NewDirtyHive1__NewDirtyHive"
    hive, _ = read(hive_bytes(name), logs_of(name))
    healed = Hive(hive_bytes("yarp/NewDirtyHive1__RecoveredHive_Windows10"))
    assert differences(hive, healed) == []
    assert {d.key for d in differences(Hive(hive_bytes(name)), hive) if d.after is not None} == {
        "Key3",
        "Key3\\Key3_1",
        "Key3\\Key3_2",
        "Key3\\Key3_3",
    }


# --- is_exactly ---------------------------------------------------------------------------


def poked(image: bytes, offset: int, data: bytes) -> bytes:
    return image[:offset] + data + image[offset + len(data) :]


def by_bytes(before: bytes, after: bytes, *changes: RegistryChange) -> bool:
    hive = Hive(before)
    search = partial(mentions, before, end=len(before))
    patched = Patched(before, difference(before, after))
    return differ_only_in_numbers(hive, patched, changes, search)


def test_a_planned_change_is_proven_from_the_bytes_alone() -> None:
    result = apply(DISABLE)
    assert by_bytes(IMAGE, result, DISABLE)
    assert is_exactly(IMAGE, result, [DISABLE])


@pytest.mark.parametrize(
    ("path", "name", "data"),
    [
        pytest.param("ControlSet001\\Services\\disk", "Start", FOUR, id="another key's value"),
        pytest.param(ACME, "ImagePath", b"X", id="another value of the same key"),
        pytest.param("ControlSet001\\Services\\disk", "Big", b"y", id="inside big data"),
    ],
)
def test_one_more_change_is_seen(path: str, name: str, data: bytes) -> None:
    result = poked(apply(DISABLE), value(IMAGE, path, name).data_offset, data)
    assert not is_exactly(IMAGE, result, [DISABLE])


def test_a_change_that_is_missing_is_seen() -> None:
    assert not is_exactly(IMAGE, IMAGE, [DISABLE])


def test_a_cell_that_two_keys_share_is_never_proven_from_the_bytes() -> None:
    """Both keys' lists name acme's vk cell: changing it changes two values, and that is seen."""
    shared = value(IMAGE, ACME, "Start").offset - 4096
    other = value(IMAGE, "ControlSet001\\Services\\disk", "Start").offset - 4096
    at = IMAGE.index(struct.pack("<I", other), 4096)
    hostile = poked(IMAGE, at, struct.pack("<I", shared))
    start = value(hostile, ACME, "Start").data_offset
    result = poked(hostile, start, FOUR)
    assert not by_bytes(hostile, result, DISABLE)
    assert not is_exactly(hostile, result, [DISABLE])
