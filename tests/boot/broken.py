"""Ways to break a tree that boots, one thing at a time."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from recoverykit.formats import bcd, bcd_edit
from recoverykit.formats.bcd_names import BOOTMGR
from tests.boot import bootable
from tests.boot.bootable import CONFIG, SYSTEM32, Bootable, stub
from tests.builders import authenticode, boot_files, pe
from tests.builders.boot_files import ENTRY

Break = Callable[[Bootable], None]


def gone(name: str) -> Break:
    return lambda tree: tree.file(name).unlink()


def zeroed(name: str) -> Break:
    return lambda tree: tree.put(tree.file(name), bytes(len(stub(name, "x64"))))


def empty(name: str) -> Break:
    return lambda tree: tree.put(tree.file(name), b"")


def cut(name: str, keep: int = 0x500) -> Break:
    """Its headers are left, and not all that they promise."""
    return lambda tree: tree.put(tree.file(name), stub(name, "x64")[:keep])


def foreign(name: str, machine: str = "x86") -> Break:
    return lambda tree: tree.put(tree.file(name), stub(name, machine))


def flipped(name: str) -> Break:
    """One bit of the code, and a checksum that goes with it: only the signature tells."""
    return lambda tree: tree.put(tree.file(name), tampered(tree.file(name).read_bytes()))


def tampered(image: bytes) -> bytes:
    return pe.with_checksum(image[:0x401] + bytes((image[0x401] ^ 1,)) + image[0x402:])


def rotten(name: str) -> Break:
    """One bit, as a failing disk flips it: the checksum tells, too."""

    def change(tree: Bootable) -> None:
        image = tree.file(name).read_bytes()
        tree.put(tree.file(name), image[:0x401] + bytes((image[0x401] ^ 1,)) + image[0x402:])

    return change


def importing(name: str, dll: str, symbol: str) -> Break:
    def change(tree: Bootable) -> None:
        image = pe.driver(None, imports={dll: [symbol], "ntoskrnl.exe": ["KeBugCheckEx"]})
        tree.put(tree.file(name), authenticode.signed(image, authenticode.publisher()))

    return change


def bare(name: str, exports: Sequence[str]) -> Break:
    """A module that exports other things than its importers want."""

    def change(tree: Bootable) -> None:
        image = pe.driver(None, exports=exports)
        tree.put(tree.file(name), authenticode.signed(image, authenticode.publisher()))

    return change


def start(service: str, number: int) -> Break:
    return lambda tree: tree.edit(f"Services\\{service}", {"Start": number})


def overridden(service: str, number: int) -> Break:
    return lambda tree: tree.edit(f"Services\\{service}\\StartOverride", {"0": number})


def deleted(key: str) -> Break:
    return lambda tree: tree.delete(key)


def filtered(guid: str, service: str, name: str = "UpperFilters") -> Break:
    """A filter of a class beside those it has."""

    def change(tree: Bootable) -> None:
        known = dict(bootable.CLASSES)[guid].get(name, [])
        assert isinstance(known, list)
        tree.edit(f"Control\\Class\\{guid}", {name: [*known, service]})

    return change


def filtered_device(device: str, service: str) -> Break:
    return lambda tree: tree.edit(f"Enum\\{device}", {"LowerFilters": [service]})


def grouped(without: str) -> Break:
    groups = [name for name in bootable.GROUPS if name != without]
    return lambda tree: tree.edit("Control\\ServiceGroupOrder", {"List": groups})


def dirty(tree: Bootable) -> None:
    """Sequence numbers differ and there is no log: the newest data is lost."""
    head = bytearray(tree.system.read_bytes())
    struct.pack_into("<I", head, 4, struct.unpack_from("<I", head, 8)[0] + 1)
    checksum = 0
    for (word,) in struct.iter_unpack("<I", head[:508]):
        checksum ^= word
    struct.pack_into("<I", head, 508, checksum)
    tree.put(tree.system, bytes(head))


def half(name: str) -> Break:
    def change(tree: Bootable) -> None:
        path = tree.root / CONFIG / name
        data = path.read_bytes()
        tree.put(path, data[: len(data) // 2 & ~0xFFF])

    return change


def hive_gone(name: str) -> Break:
    return lambda tree: (tree.root / CONFIG / name).unlink()


def stored(change: Callable[[bcd.Store], bcd.Store]) -> Break:
    """A boot store that differs from bcdboot's in one respect."""

    def write(tree: Bootable) -> None:
        tree.scene.store_path.unlink()
        tree.scene.write_store(change(tree.scene.store()))

    return write


def other_partition(tree: Bootable) -> None:
    lost = boot_files.volume(tree.scene.windows.disk or pytest.fail("no disk"), 9)
    tree.scene.store_path.unlink()
    tree.scene.write_store(tree.scene.store(lost))


def policy(name: str, content: bytes) -> Break:
    return lambda tree: tree.put(tree.root / SYSTEM32 / "CodeIntegrity" / name, content)


def at(path: Callable[[Bootable], Path], content: bytes | None) -> Break:
    """A file of the scene, replaced or (None) gone."""

    def change(tree: Bootable) -> None:
        where = path(tree)
        if content is None:
            where.unlink()
        else:
            tree.put(where, content)

    return change


def manager(tree: Bootable) -> Path:
    return tree.scene.manager


def loader(tree: Bootable) -> Path:
    return tree.scene.loader


def store_file(tree: Bootable) -> Path:
    return tree.scene.store_path


def hive(name: str) -> Callable[[Bootable], Path]:
    return lambda tree: tree.root / CONFIG / name


def fallback(tree: Bootable) -> Path:
    return tree.scene.folder / "EFI/Boot/bootx64.efi"


def without_catalogs(tree: Bootable) -> None:
    (tree.root / bootable.CATALOGS / "nt5.cat").unlink()


def bare_of_signature(name: str) -> Break:
    image = pe.driver(None, imports={"ntoskrnl.exe": ["IoCreateDevice"]})
    return lambda tree: tree.put(tree.file(name), image)


def without_entry(store: bcd.Store) -> bcd.Store:
    return bcd_edit.without_object(store, ENTRY)


def without_manager(store: bcd.Store) -> bcd.Store:
    return bcd_edit.without_object(store, BOOTMGR)


def winload(path: str) -> Break:
    return stored(lambda store: bcd_edit.with_element(store, ENTRY, 0x12000002, path))
