"""What boot entries ask of a kernel, where several do, and what inherits from what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from recoverykit.code_integrity import boot_entry
from recoverykit.formats import bcd_edit, bcd_names
from recoverykit.formats.bcd import Object, Raw, Value
from recoverykit.formats.bcd_names import ObjectType
from recoverykit.formats.hive import REG_BINARY
from recoverykit.model import FileSystem, RegistryData, Volume
from tests.boot.bootable import Bootable
from tests.builders import boot_files
from tests.builders.boot_files import ENTRY
from tests.code_integrity.conftest import asked, options, reasons, write
from tests.conftest import REAL_DATA

TEST_SIGNING, NO_CHECKS, LOAD_OPTIONS = 0x16000049, 0x16000048, 0x12000030
FLIGHTS, DEBUG, INHERIT = 0x1600007E, 0x260000A0, 0x14000006
SECOND = "{11111111-2222-3333-4444-777777777777}"


def test_plain(tree: Bootable) -> None:
    found = asked(tree)
    kernel = found.kernel
    assert (kernel.test_signing, kernel.no_integrity_checks, kernel.flight_signing) == (False,) * 3
    debug = found.fact("debug")
    assert debug is not None
    assert debug.value is False
    fact = found.fact("test_signing")
    assert fact is not None
    assert fact.source.path == "disk.img#1:/EFI/Microsoft/Boot/BCD"
    assert fact.source.key == f"Objects\\{ENTRY}"
    assert fact.text == "the boot entry Windows 11 does not ask for it"


@pytest.mark.parametrize(
    ("name", "element"),
    [
        ("test_signing", TEST_SIGNING),
        ("test_signing", 0x26000027),
        ("no_integrity_checks", NO_CHECKS),
        ("no_integrity_checks", 0x26000026),
        ("flight_signing", FLIGHTS),
        ("debug", DEBUG),
    ],
)
@pytest.mark.parametrize("holder", [ENTRY, bcd_names.LOADER_SETTINGS, bcd_names.GLOBAL_SETTINGS])
def test_switched_on(name: str, element: int, holder: str, tree: Bootable) -> None:
    """In the entry itself, or in what it inherits from."""
    options(tree, {element: True}, holder)
    found = asked(tree)
    fact = found.fact(name)
    assert fact is not None
    assert fact.value is True
    assert fact.source.key == f"Objects\\{holder}\\Elements\\{element:08x}"
    others = {"test_signing", "no_integrity_checks", "flight_signing", "debug"} - {name}
    assert [found.fact(other).value for other in others] == [False] * 3  # type: ignore[union-attr]


def test_the_nearest_counts(tree: Bootable) -> None:
    store = tree.scene.store()
    store = bcd_edit.with_element(store, ENTRY, TEST_SIGNING, value=False)
    store = bcd_edit.with_element(store, bcd_names.GLOBAL_SETTINGS, TEST_SIGNING, value=True)
    write(tree, store)
    assert asked(tree).kernel.test_signing is False


@pytest.mark.parametrize(
    "text", ["DDISABLE_INTEGRITY_CHECKS", "disable_integrity_checks", "X DISABLE_INTEGRITY_CHECKS"]
)
def test_load_options(text: str, tree: Bootable) -> None:
    options(tree, {LOAD_OPTIONS: text})
    found = asked(tree)
    assert found.kernel.no_integrity_checks is None
    assert found.kernel.test_signing is False
    assert "the load options of the boot entry Windows 11 ask for it" in reasons(found)


def test_other_load_options(tree: Bootable) -> None:
    options(tree, {LOAD_OPTIONS: "ENABLE_INTEGRITY_CHECKS EEM"})
    assert asked(tree).kernel.no_integrity_checks is False


def test_a_setting_that_is_none(tree: Bootable) -> None:
    options(tree, {TEST_SIGNING: Raw(RegistryData(REG_BINARY, b"\7\7"))})
    found = asked(tree)
    assert found.kernel.test_signing is None
    assert "has a setting that cannot be read" in reasons(found)


def test_numbers(tree: Bootable) -> None:
    options(tree, {0x250000F0: 0, 0x25000142: 1, 0x25000144: 2})
    found = asked(tree)
    values = {fact.name: fact.value for fact in found.facts}
    assert (values["hypervisor_launch"], values["vsm_launch"], values["boot_hvci"]) == (0, 1, 2)


# --- several entries, several stores ------------------------------------------------------


def second(tree: Bootable, elements: dict[int, Value], *, description: str = "Other") -> None:
    """Another entry for the same Windows."""
    store = bcd_edit.copied(tree.scene.store(), ENTRY, SECOND, description)
    for element, value in elements.items():
        store = bcd_edit.with_element(store, SECOND, element, value)
    write(tree, store)


def test_two_entries_that_agree(tree: Bootable) -> None:
    second(tree, {})
    assert asked(tree).kernel.test_signing is False


def test_two_entries_that_do_not(tree: Bootable) -> None:
    second(tree, {TEST_SIGNING: True, 0x250000F0: 0})
    found = asked(tree)
    assert found.kernel.test_signing is None
    assert found.kernel.no_integrity_checks is False
    assert (
        "Whether test signing is on is not known: several boot entries start this Windows and do"
        " not agree (Windows 11, Other)."
    ) in reasons(found)
    assert found.fact("hypervisor_launch") is None


def test_an_entry_of_another_windows_says_nothing(tree: Bootable) -> None:
    disk = tree.scene.windows.disk
    assert disk is not None
    other = tree.scene.store(boot_files.volume(disk, 4)).find(ENTRY)
    assert other is not None
    store = bcd_edit.with_object(tree.scene.store(), replace(other, id=SECOND))
    store = bcd_edit.with_element(store, SECOND, TEST_SIGNING, value=True)
    write(tree, store)
    assert asked(tree).kernel.test_signing is False


def test_hostile_names(tree: Bootable) -> None:
    second(tree, {TEST_SIGNING: True}, description="\x1b[2J" + "x" * 500)
    text = reasons(asked(tree))
    assert "\x1b" not in text
    assert len(text) < 600


def test_a_store_that_cannot_be_read(tree: Bootable) -> None:
    tree.put(tree.scene.store_path, b"regf" + bytes(5000))
    found = asked(tree)
    assert found.kernel.test_signing is None
    assert "This boot store cannot be used" in reasons(found)
    assert "No boot entry of this Windows was read" in reasons(found)


def test_no_store(tree: Bootable) -> None:
    tree.scene.store_path.unlink()
    found = asked(tree)
    assert (found.kernel.test_signing, found.kernel.no_integrity_checks) == (None, None)
    assert "No boot entry of this Windows was read" in reasons(found)


def test_a_store_that_nothing_reads(tree: Bootable) -> None:
    """On the volume of a UEFI Windows itself: leftovers."""
    store = bcd_edit.with_element(tree.scene.store(), ENTRY, TEST_SIGNING, value=True)
    write(tree, store)
    for name in ("EFI/Microsoft/Boot/BCD", "Boot/BCD"):
        tree.put(tree.root / name, tree.scene.store_path.read_bytes())
    write(tree, tree.scene.store())
    assert asked(tree).kernel.test_signing is False


def test_bios(bios: Bootable, tmp_path: Path) -> None:
    tree = bios.copy(tmp_path)
    options(tree, {TEST_SIGNING: True})
    found = asked(tree)
    assert found.kernel.test_signing is True
    loader = found.fact(boot_entry.LOADER)
    assert loader is not None
    assert loader.value == "\\windows\\system32\\winload.exe"


def test_a_folder_whose_partition_nobody_knows(bios: Bootable, tmp_path: Path) -> None:
    """Entries that may start it count where no entry is known to."""
    tree = bios.copy(tmp_path)
    options(tree, {TEST_SIGNING: True})
    volume = Volume(str(tree.root), FileSystem.OTHER, tree.root)
    install = replace(tree.install, volume=volume)
    facts, gaps = boot_entry.settings(install, tree.scene.boot_volumes)
    assert gaps == ()
    assert {fact.name: fact.value for fact in facts}["test_signing"] is True


# --- hostile stores -----------------------------------------------------------------------


def group(number: int, inherits: tuple[str, ...], elements: dict[int, Value]) -> Object:
    identifier = f"{{{number:08x}-0000-0000-0000-000000000000}}"
    return bcd_edit.make(identifier, ObjectType.LOADER_SETTINGS, {**elements, INHERIT: inherits})


def test_a_loop_of_inheritance_ends(tree: Bootable) -> None:
    one, two = group(1, (), {}), group(2, (), {})
    store = tree.scene.store()
    store = bcd_edit.with_object(store, group(1, (two.id, one.id), {}))
    store = bcd_edit.with_object(store, group(2, (one.id, ENTRY), {TEST_SIGNING: True}))
    store = bcd_edit.with_element(store, ENTRY, INHERIT, (one.id,))
    write(tree, store)
    assert asked(tree).kernel.test_signing is True


def test_a_long_chain_ends(tree: Bootable) -> None:
    store = tree.scene.store()
    names = [group(number, (), {}).id for number in range(201)]
    for number in range(200):
        store = bcd_edit.with_object(store, group(number, (names[number + 1],), {}))
    store = bcd_edit.with_object(store, group(200, (), {TEST_SIGNING: True}))
    store = bcd_edit.with_element(store, ENTRY, INHERIT, (names[0],))
    write(tree, store)
    found = asked(tree)
    assert found.kernel.test_signing is None
    text = "not all that the boot entry Windows 11 inherits from was read"
    assert text in reasons(found)


# --- real stores --------------------------------------------------------------------------


def test_real_store_of_a_phone(bios: Bootable, tmp_path: Path) -> None:
    """Test signing, no integrity checks, a debugger: as its maker left it."""
    path = REAL_DATA / "hives/bcd_arm64_phone"
    if not path.is_file():
        pytest.skip(f"no {path}")
    tree = bios.copy(tmp_path)
    tree.put(tree.scene.store_path, path.read_bytes())
    install = replace(tree.install, volume=Volume("w", FileSystem.OTHER, tree.root))
    facts, _ = boot_entry.settings(install, tree.scene.boot_volumes)
    values = {fact.name: fact.value for fact in facts}
    assert (values["test_signing"], values["no_integrity_checks"], values["debug"]) == (True,) * 3
    assert (values["flight_signing"], values["hypervisor_launch"]) == (False, 1)
