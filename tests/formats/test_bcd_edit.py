"""Edits of boot stores: from store to store, and what they do to the hive."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import bcd, bcd_edit, bcd_names, hive_edit
from recoverykit.formats.bcd import Object, Store
from recoverykit.formats.bcd_device import Device, GptPartition
from recoverykit.formats.bcd_names import BOOTMGR, MEMDIAG
from recoverykit.formats.hive import Hive
from recoverykit.model import KeyChange, RegistryData, RegistryKey, ValueChange
from tests.builders.hive import Tree, binary, build, dword, sz
from tests.formats.bcd_samples import STORES, real_store
from tests.formats.hives import hive_bytes

ASUS = "bcd_asus/Boot_BCD"
WINDOWS = "{e018a2d0-b134-11ea-95b2-81f0ac71b75b}"
RESUME = "{e018a2cf-b134-11ea-95b2-81f0ac71b75b}"
RECOVERY = "{e018a2d1-b134-11ea-95b2-81f0ac71b75b}"
NEW = "{01234567-89ab-cdef-0123-456789abcdef}"
ORDER, SEQUENCE, DEFAULT = 0x2400_0001, 0x2400_0002, 0x2300_0003
OFF = False
SAFEBOOT, RECOVERY_ENABLED, STATUS_POLICY = 0x2500_0080, 0x1600_0009, 0x2500_00E0
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OTHER = GptPartition("5541e87d-91a5-4f2b-ad43-a0345c199e9b", "11111111-2222-3333-4444-555555555555")


def of(store: Store, identifier: str) -> Object:
    found = store.find(identifier)
    assert found is not None
    return found


# --- store to store -----------------------------------------------------------------------


def test_an_element_is_set_and_removed() -> None:
    store = real_store(ASUS)
    safe = bcd_edit.with_element(store, WINDOWS, SAFEBOOT, 0)
    assert of(safe, WINDOWS).value(SAFEBOOT) == 0
    assert [own.type for own in of(safe, WINDOWS).elements] == sorted(
        [*(own.type for own in of(store, WINDOWS).elements), SAFEBOOT]
    )
    back = bcd_edit.without_element(safe, WINDOWS, SAFEBOOT)
    assert set(back.objects) == set(store.objects)


def test_setting_what_is_there_keeps_its_bytes() -> None:
    """A short integer of Windows media stays one, and a text keeps the NULs behind it."""
    media = real_store("bcd_win10iso_bios")
    assert of(bcd_edit.with_element(media, BOOTMGR, 0x2500_0004, 30), BOOTMGR) == of(media, BOOTMGR)
    assert bcd_edit.changes(media, bcd_edit.with_element(media, BOOTMGR, 0x2500_0004, 30)) == ()


@pytest.mark.parametrize(
    ("at", "expected"), [(None, (WINDOWS, NEW)), (0, (NEW, WINDOWS)), (1, (WINDOWS, NEW))]
)
def test_the_menu_is_extended(at: int | None, expected: tuple[str, ...]) -> None:
    store = bcd_edit.with_listed(real_store(ASUS), BOOTMGR, ORDER, NEW, at=at)
    assert of(store, BOOTMGR).value(ORDER) == expected
    again = bcd_edit.with_listed(store, BOOTMGR, ORDER, NEW.upper(), at=0)
    assert of(again, BOOTMGR).value(ORDER) == (NEW.upper(), WINDOWS)


def test_an_entry_leaves_the_menu() -> None:
    store = bcd_edit.with_listed(real_store(ASUS), BOOTMGR, ORDER, NEW)
    assert of(bcd_edit.without_listed(store, BOOTMGR, ORDER, WINDOWS), BOOTMGR).value(ORDER) == (
        NEW,
    )
    emptied = bcd_edit.without_listed(real_store(ASUS), BOOTMGR, ORDER, WINDOWS)
    assert of(emptied, BOOTMGR).find(ORDER) is None


def test_only_lists_are_lists() -> None:
    with pytest.raises(ValueError, match="no list"):
        bcd_edit.with_listed(real_store(ASUS), BOOTMGR, DEFAULT, NEW)


def test_a_deleted_object_is_gone_from_every_list() -> None:
    store = bcd_edit.without_object(real_store(ASUS), RECOVERY.upper())
    assert store.find(RECOVERY) is None
    assert of(store, WINDOWS).find(0x1400_0008) is None  # recoverysequence had nothing else
    assert of(store, RESUME).find(0x1400_0008) is None
    without_menu = bcd_edit.without_object(real_store(ASUS), WINDOWS)
    assert of(without_menu, BOOTMGR).find(DEFAULT) is None
    firmware = of(bcd_edit.without_object(real_store(ASUS), BOOTMGR), bcd_names.FWBOOTMGR)
    assert firmware.value(ORDER) == (
        "{fa913366-a5aa-11ea-887b-806e6f6e6963}",
        "{fa913369-a5aa-11ea-887b-806e6f6e6963}",
    )


def test_a_copy_has_its_own_name() -> None:
    store = bcd_edit.copied(real_store(ASUS), WINDOWS, NEW, "Windows 10 (copy)")
    copy, original = of(store, NEW), of(store, WINDOWS)
    assert copy.value(0x1200_0004) == "Windows 10 (copy)"
    assert copy.type == original.type
    differing = {own.type for own in set(copy.elements) ^ set(original.elements)}
    assert differing == {0x1200_0004}


def test_a_copy_of_a_firmware_entry_is_no_firmware_variable() -> None:
    store = bcd_edit.copied(real_store(ASUS), BOOTMGR, NEW)
    assert [name for name, _ in of(store, NEW).description] == ["Type"]


@pytest.mark.parametrize(
    "edit",
    [
        lambda store: bcd_edit.with_element(store, NEW, SAFEBOOT, 0),
        lambda store: bcd_edit.without_element(store, NEW, SAFEBOOT),
        lambda store: bcd_edit.with_listed(store, NEW, ORDER, NEW),
        lambda store: bcd_edit.copied(store, NEW, MEMDIAG),
    ],
)
def test_an_object_that_is_not_there(edit: Callable[[Store], Store]) -> None:
    with pytest.raises(FormatError, match="no object"):
        edit(real_store(ASUS))


# --- the hive's side ----------------------------------------------------------------------


def repaired(store: Store) -> Store:
    """What boot repair will do: wrong device, safe mode and status policy left on, a sequence."""
    store = bcd_edit.with_element(store, WINDOWS, 0x1100_0001, Device(OTHER))
    store = bcd_edit.with_element(store, WINDOWS, 0x2100_0001, Device(OTHER))
    store = bcd_edit.with_element(store, WINDOWS, RECOVERY_ENABLED, OFF)
    store = bcd_edit.with_element(store, WINDOWS, STATUS_POLICY, 1)
    return bcd_edit.with_element(store, BOOTMGR, SEQUENCE, (RECOVERY,))


def test_changes_name_what_they_expect() -> None:
    before = real_store(ASUS)
    changes = bcd_edit.changes(before, repaired(before))
    enabled = bcd.element_key(WINDOWS, RECOVERY_ENABLED)
    policy = bcd.element_key(WINDOWS, STATUS_POLICY)
    off, on = RegistryData(3, b"\0"), RegistryData(3, b"\1")
    assert ValueChange(enabled, "Element", on, off) in changes
    assert [change for change in changes if change.key == policy] == [
        KeyChange(policy, None, RegistryKey()),
        ValueChange(policy, "Element", None, RegistryData(3, b"\1" + bytes(7))),
    ]
    assert len(changes) == 3 + 2 * 2  # three values changed, two elements made


@pytest.mark.parametrize("name", STORES)
def test_no_edit_no_change(name: str) -> None:
    store = real_store(name)
    assert bcd_edit.changes(store, store, Hive(hive_bytes(name))) == ()


def applied(name: str, edit: Callable[[Store], Store]) -> tuple[bytes, bytes, Store]:
    """(image before, image after, store wanted)."""
    image = hive_bytes(name)
    hive = Hive(image)
    before = bcd.parse(hive)
    wanted = edit(before)
    changes = bcd_edit.changes(before, wanted, hive)
    assert changes
    edited = hive_edit.edit(image, changes, sequence=hive.base.primary_sequence, when=NOW)
    return image, edited.image, wanted


def alike(left: Store, right: Store) -> bool:
    return (set(left.objects), set(left.description)) == (
        set(right.objects),
        set(right.description),
    )


EDITS: dict[str, Callable[[Store], Store]] = {
    "repair": repaired,
    "delete": lambda store: bcd_edit.without_object(store, RECOVERY),
    "copy": lambda store: bcd_edit.with_listed(
        bcd_edit.copied(store, WINDOWS, NEW, "Copy"), BOOTMGR, ORDER, NEW, at=0
    ),
    "replace": lambda store: bcd_edit.with_object(
        store, bcd_edit.make(MEMDIAG, 0x1020_0005, {0x1200_0004: "new"})
    ),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_the_hive_holds_what_was_wanted(edit: Callable[[Store], Store]) -> None:
    _, image, wanted = applied(ASUS, edit)
    found = bcd.parse(Hive(image))
    assert found.gaps == ()
    assert alike(found, wanted)


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_changes_can_be_taken_back(edit: Callable[[Store], Store]) -> None:
    original, image, wanted = applied(ASUS, edit)
    hive = Hive(original)
    before = bcd.parse(hive)
    changes = hive_edit.inverse(bcd_edit.changes(before, wanted, hive))
    undone = hive_edit.edit(image, changes, sequence=Hive(image).base.primary_sequence, when=NOW)
    assert alike(bcd.parse(Hive(undone.image)), before)
    assert hive_edit.differences(hive, Hive(undone.image)) == []


def test_a_damaged_object_is_deleted_whole() -> None:
    """Strays and all: a key that is not empty cannot be deleted."""
    odd: Tree = {
        "Description": {"Type": dword(0x1020_0003), "Other": dword(1), "sub": {"x": dword(1)}},
        "Elements": {
            "nonsense": {"Element": sz("y"), "below": {"deep": {}}},
            "12000004": {"Element": sz("Windows"), "Extra": dword(1), "k": {}},
        },
        "Junk": {"value": binary(b"x"), "more": {}},
    }
    image = build({"Description": {}, "Objects": {NEW.upper(): odd}}, minor=3)
    hive = Hive(image)
    before = bcd.parse(hive)
    changes = bcd_edit.changes(before, bcd_edit.without_object(before, NEW), hive)
    edited = hive_edit.edit(image, changes, sequence=1, when=NOW).image
    objects = Hive(edited).find("Objects")
    assert objects is not None
    assert list(objects.subkeys()) == []


def test_an_object_without_elements_gets_the_key() -> None:
    image = build({"Objects": {NEW: {"Description": {"Type": dword(0x1020_0003)}}}}, minor=3)
    hive = Hive(image)
    before = bcd.parse(hive)
    wanted = bcd_edit.with_element(before, NEW, 0x1200_0004, "Windows")
    changes = bcd_edit.changes(before, wanted, hive)
    edited = hive_edit.edit(image, changes, sequence=1, when=NOW).image
    assert of(bcd.parse(Hive(edited)), NEW).value(0x1200_0004) == "Windows"
