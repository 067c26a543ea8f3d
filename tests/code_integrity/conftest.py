"""Trees that boot, and what is changed in them to say something of their kernel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from recoverykit.code_integrity.kernel import TargetKernel, kernel_of
from recoverykit.formats import bcd_edit
from recoverykit.formats.bcd import Store, Value
from tests.boot import bootable
from tests.boot.bootable import CONFIG, Bootable
from tests.builders import registry
from tests.builders.boot_files import ENTRY
from tests.independent import registry as independent

VERSION = "Microsoft\\Windows NT\\CurrentVersion"


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Bootable:
    return bootable.small(tmp_path_factory.mktemp("code_integrity"))


@pytest.fixture(scope="session")
def bios(tmp_path_factory: pytest.TempPathFactory) -> Bootable:
    return bootable.small(tmp_path_factory.mktemp("code_integrity"), uefi=False)


@pytest.fixture
def tree(sound: Bootable, tmp_path: Path) -> Bootable:
    return sound.copy(tmp_path)


def software(tree: Bootable, values: Mapping[str, registry.Entry], key: str = VERSION) -> None:
    """Values of the SOFTWARE hive, through hivex."""
    path = tree.root / CONFIG / "SOFTWARE"
    tree.put(path, path.read_bytes())
    independent.edit(path, [registry.change(key, values)])


def version(tree: Bootable, build: int, *, server: bool = False, revision: int = 1) -> None:
    software(tree, {"CurrentBuild": str(build), "UBR": revision})
    tree.edit("Control\\ProductOptions", {"ProductType": "ServerNT" if server else "WinNT"})


def options(tree: Bootable, elements: Mapping[int, Value], identifier: str = ENTRY) -> None:
    """Settings of an object of bcdboot's store."""
    store = tree.scene.store()
    for element, value in elements.items():
        store = bcd_edit.with_element(store, identifier, element, value)
    write(tree, store)


def write(tree: Bootable, store: Store) -> None:
    """Another boot store: copies of a tree share their files until they are replaced."""
    tree.scene.store_path.unlink()
    tree.scene.write_store(store)


def asked(tree: Bootable, *, secure_boot: bool | None = None) -> TargetKernel:
    """What is known of the kernel; every fact has a source, every gap a sentence."""
    found = kernel_of(tree.install, tree.scene.boot_volumes, secure_boot=secure_boot)
    assert all(fact.source.path for fact in found.facts)
    assert all(gap.reason.endswith(".") and gap.source.path for gap in found.gaps)
    return found


def reasons(found: TargetKernel) -> str:
    return "\n".join(gap.reason for gap in found.gaps)
