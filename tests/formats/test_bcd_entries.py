"""Stores and entries made from nothing: against those Windows made, read back by others."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from Registry import Registry

from recoverykit.errors import FormatError
from recoverykit.formats import bcd, bcd_build, bcd_edit, bcd_entries, bcd_names
from recoverykit.formats.bcd import Object, Store, Value
from recoverykit.formats.bcd_device import Boot, Device, GptPartition, MbrPartition, Ramdisk
from recoverykit.formats.bcd_entries import Firmware
from recoverykit.formats.hive import Hive
from recoverykit.formats.regf import BaseBlock
from tests.conftest import REPOSITORY
from tests.formats.bcd_samples import STORES, real_store
from tests.formats.hives import hive_bytes

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
UEFI, BIOS = Firmware.UEFI, Firmware.BIOS
ENTRY = "{01234567-89ab-cdef-0123-456789abcdef}"
RESUME = "{11234567-89ab-cdef-0123-456789abcdef}"


def meaning(store: Store) -> dict[str, tuple[int, dict[int, Value]]]:
    """A store without the widths of its integers and the NULs behind its texts."""
    return {item.id: values_of(item) for item in store.objects}


def values_of(item: Object | None) -> tuple[int, dict[int, Value]]:
    assert item is not None
    return item.type, {element.type: element.value for element in item.elements}


# --- the same as Windows makes ------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "firmware"), [("bcd_win10iso_efi", UEFI), ("bcd_win10iso_bios", BIOS)]
)
def test_media_are_those_of_windows(name: str, firmware: Firmware) -> None:
    made = bcd_entries.media_store(firmware, memory_tester=True)
    assert meaning(made) == meaning(real_store(name))


def test_media_without_memtest_do_not_offer_it() -> None:
    full = meaning(bcd_entries.media_store(UEFI, memory_tester=True))
    plain = meaning(bcd_entries.media_store(UEFI))
    assert full.keys() - plain.keys() == {bcd_names.MEMDIAG}
    assert full[bcd_names.BOOTMGR][1].keys() - plain[bcd_names.BOOTMGR][1].keys() == {0x2400_0010}


def test_a_medium_of_our_own() -> None:
    store = bcd_entries.media_store(
        UEFI, wim="\\rk\\pe.wim", sdi="\\rk\\boot.sdi", description="Recovery", timeout=5
    )
    entry = store.find(bcd_names.SETUP_ENTRY)
    image = Device(Ramdisk("\\rk\\pe.wim", Boot()), bcd_names.SETUP_OPTIONS)
    assert values_of(entry)[1][0x1100_0001] == image
    assert values_of(store.find(bcd_names.SETUP_OPTIONS))[1][0x3200_0004] == "\\rk\\boot.sdi"
    assert values_of(store.find(bcd_names.BOOTMGR))[1][0x2500_0004] == 5


# What a machine adds to what bcdboot made, and what this one's owner changed.
ASUS = "bcd_asus/Boot_BCD"
SYSTEM = GptPartition(
    "5541e87d-91a5-4f2b-ad43-a0345c199e9b", "1c6ab89c-bcbf-4abe-8593-618e4d2f5811"
)
WINDOWS = replace(SYSTEM, partition="9d4a7cb0-ab9d-4d71-961f-50f1d9c9252f")
REPAIR = replace(SYSTEM, partition="8c10b83e-8c9e-461e-aaf0-40974b9adf12")
OWN = {
    "windows": "{e018a2d0-b134-11ea-95b2-81f0ac71b75b}",
    "resume": "{e018a2cf-b134-11ea-95b2-81f0ac71b75b}",
    "recovery": "{e018a2d1-b134-11ea-95b2-81f0ac71b75b}",
    "options": "{e018a2d2-b134-11ea-95b2-81f0ac71b75b}",
}


def installed() -> Store:
    store = bcd_entries.windows_store(
        UEFI,
        SYSTEM,
        WINDOWS,
        entry=OWN["windows"],
        resume=OWN["resume"],
        description="Windows 10",
        systemroot="\\WINDOWS",
    )
    entries = (
        bcd_entries.windows_entry(
            OWN["windows"],
            WINDOWS,
            firmware=UEFI,
            description="Windows 10",
            resume=OWN["resume"],
            recovery=OWN["recovery"],
            systemroot="\\WINDOWS",
        ),
        bcd_entries.resume_entry(
            OWN["resume"],
            WINDOWS,
            firmware=UEFI,
            recovery=OWN["recovery"],
            systemroot="\\WINDOWS",
        ),
        bcd_entries.recovery_entry(OWN["recovery"], OWN["options"], REPAIR, firmware=UEFI),
        bcd_entries.ramdisk_options(
            OWN["options"],
            "\\Recovery\\WindowsRE\\boot.sdi",
            REPAIR,
            description="Windows Recovery",
        ),
    )
    for entry in entries:
        store = bcd_edit.with_object(store, entry)
    return store


def test_an_installation_is_that_of_a_real_machine() -> None:
    """UEFI, with its recovery environment: an ASUS laptop's own store."""
    made, real = meaning(installed()), meaning(real_store(ASUS))
    firmware = {own for own, (kind, _) in real.items() if kind in (0x1010_0001, 0x101F_FFFF)}
    assert real.keys() - made.keys() == firmware
    assert made.keys() <= real.keys()
    differing = {
        (own, number)
        for own, (_, elements) in real.items()
        for number, value in elements.items()
        if own in made and made[own][1].get(number) != value
    }
    assert differing == {
        (bcd_names.BOOTMGR, 0x2500_0004),  # the owner's timeout, 3 seconds
        (OWN["resume"], 0x2100_0001),  # Windows adds where hiberfil.sys is
        (OWN["resume"], 0x2600_0006),
    }
    assert all(made[own][1].keys() <= real[own][1].keys() for own in made)
    assert [name for name, _ in installed().description] == ["KeyName", "System", "TreatAsSystem"]


def test_a_bios_installation_is_that_of_a_real_image() -> None:
    """Made by bcdboot; its owner set device=boot, and translated some of it."""
    name = "bcd_windeploy_bios"
    entry = "{1b67bffd-e290-11eb-8ffa-f459a0d9b879}"
    resume = "{1b67bffc-e290-11eb-8ffa-f459a0d9b879}"
    disk = MbrPartition(0xDDBA6BBB, 1 << 20)
    made = meaning(
        bcd_entries.windows_store(
            BIOS,
            disk,
            disk,
            entry=entry,
            resume=resume,
            description="Windows 10",
            locale="cs-cz",
            systemroot="\\windows",
        )
    )
    real = meaning(real_store(name))
    assert made.keys() == real.keys()
    differing = {
        (own, number): value
        for own, (_, elements) in real.items()
        for number, value in elements.items()
        if made[own][1].get(number) != value
    }
    assert differing == {
        (bcd_names.BOOTMGR, 0x1100_0001): Device(Boot()),
        (entry, 0x1100_0001): Device(Boot()),
        (entry, 0x2100_0001): Device(Boot()),
        (resume, 0x1200_0005): "en-us",
        (bcd_names.MEMDIAG, 0x1200_0005): "en-us",
    }


def test_paths_follow_the_firmware() -> None:
    for firmware, ending in ((UEFI, ".efi"), (BIOS, ".exe")):
        store = bcd_entries.windows_store(
            firmware, SYSTEM, WINDOWS, entry=ENTRY, resume=RESUME, description="W"
        )
        paths = [
            item.value(0x1200_0002) for item in store.objects if item.find(0x1200_0002) is not None
        ]
        assert all(str(path).endswith(ending) for path in paths)
        assert len(paths) == (4 if firmware is UEFI else 3)  # BIOS: bootmgr has no path


# --- built from nothing -------------------------------------------------------------------

MADE: dict[str, Store] = {
    "UEFI medium": bcd_entries.media_store(UEFI),
    "BIOS medium": bcd_entries.media_store(BIOS, memory_tester=True),
    "UEFI installation": bcd_entries.windows_store(
        UEFI, SYSTEM, WINDOWS, entry=ENTRY, resume=RESUME, description="Windows 11"
    ),
    "BIOS installation": bcd_entries.windows_store(
        BIOS,
        MbrPartition(1, 1 << 20),
        MbrPartition(1, 1 << 30),
        entry=ENTRY,
        resume=RESUME,
        description="Windows «ä»",
    ),
    "empty": bcd_entries.empty(),
}


def expected(store: Store) -> dict[str, dict[str, tuple[int, bytes]]]:
    """Key path to values, as any reader of registries should find them."""
    keys: dict[str, dict[str, tuple[int, bytes]]] = {"": {}}
    _, values = bcd_edit._layout(store)
    for key in bcd_edit._layout(store)[0]:
        keys.setdefault(key, {})
    for (key, name), data in values.items():
        keys[key][name] = (data.type, data.data)
    return keys


@pytest.mark.parametrize("store", MADE.values(), ids=MADE)
def test_a_store_from_nothing_reads_back(store: Store) -> None:
    image = bcd_build.build(store, when=NOW, name="\\EFI\\Microsoft\\Boot\\BCD")
    hive = Hive(image)
    found = bcd.parse(hive)
    assert found.gaps == ()
    assert set(found.objects) == set(store.objects)
    assert found.description == store.description
    base = BaseBlock.parse(image)
    assert (base.clean, base.major, base.minor) == (True, 1, 3)
    assert hive.root.name == "NewStoreRoot"


@pytest.mark.parametrize("store", MADE.values(), ids=MADE)
def test_python_registry_reads_it_alike(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "BCD"
    path.write_bytes(bcd_build.build(store, when=NOW))
    found: dict[str, dict[str, tuple[int, bytes]]] = {}

    def visit(key: Registry.RegistryKey, name: str) -> None:
        found[name] = {
            value.name(): (value.value_type(), value.raw_data()) for value in key.values()
        }
        for child in key.subkeys():
            visit(child, f"{name}\\{child.name()}" if name else child.name())

    visit(Registry.Registry(str(path)).root(), "")
    assert found == expected(store)


def system_hivex() -> bool:
    """Whether the system's Python has hivex (Debian's python3-hivex; not on PyPI)."""
    python = shutil.which("python3", path="/usr/bin")
    return (
        python is not None
        and subprocess.run(
            [python, "-c", "import hivex"], capture_output=True, check=False
        ).returncode
        == 0
    )


@pytest.mark.skipif(not system_hivex(), reason="the system's Python has no hivex")
@pytest.mark.parametrize("store", MADE.values(), ids=MADE)
def test_hivex_reads_it_alike(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "BCD"
    path.write_bytes(bcd_build.build(store, when=NOW))
    tool = REPOSITORY / "tests/independent/hivex_tool.py"
    done = subprocess.run(
        ["/usr/bin/python3", str(tool), "dump", str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = {
        key: {name: (kind, bytes.fromhex(data)) for name, (kind, data) in entry["values"].items()}
        for key, entry in json.loads(done.stdout).items()
    }
    assert found == expected(store)


@pytest.mark.parametrize("name", STORES)
def test_every_real_store_can_be_made_again(name: str) -> None:
    """Its content put into a new hive: nothing is lost on the way."""
    store = bcd.parse(Hive(hive_bytes(name)))
    found = bcd.parse(Hive(bcd_build.build(store, when=NOW)))
    assert set(found.objects) == set(store.objects)
    assert set(found.description) == set(store.description)


def test_an_object_named_twice_is_refused() -> None:
    one = bcd_edit.make(ENTRY, 0x1020_0003, {0x1200_0004: "one"})
    two = bcd_edit.make(ENTRY, 0x1020_0003, {0x1200_0004: "two"})
    with pytest.raises(FormatError, match="twice"):
        bcd_build.build(Store((), (one, two)), when=NOW)
