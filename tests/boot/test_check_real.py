"""Trees around every real SYSTEM hive at hand: none of their lines fails."""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.boot import bootable
from tests.boot.bootable import UNCHECKED, Bootable, by_name
from tests.conftest import REAL_DATA, read_real
from tests.independent import registry as independent


@dataclass(frozen=True, slots=True)
class RealHive:
    """A SYSTEM hive of ../shared/data, and what no hive says of its Windows."""

    name: str
    machine: str
    build: str
    start: int = 0  # where C: begins, on a GPT disk
    logs: bool = False


# Every SYSTEM hive there is, but one of Windows XP that is damaged.
HIVES = (
    RealHive("plaso_win7x86_SYSTEM.xz", "x86", "7601"),
    RealHive("regipy_SYSTEM.xz", "x86", "7601"),
    RealHive("dfwinreg_win81_SYSTEM.xz", "x64", "9600"),
    RealHive("regipy_SYSTEM_2.xz", "x64", "9600"),
    RealHive("regipy_SYSTEM_B.xz", "x64", "16299", start=0x2670_0000, logs=True),
    RealHive("regipy_SYSTEM_WIN_10_1709.xz", "x64", "17134"),
    RealHive("dissect_SYSTEM.gz", "x64", "19044", start=0x1490_0000),
)
# What is odd on these machines, and no reason for any of them not to start: Defender's driver of a
# scan long over, a filter of the infrared class whose driver Windows 10 no longer has.
ODD = {
    "regipy_SYSTEM_B.xz": ["system-drivers"],
    "regipy_SYSTEM_WIN_10_1709.xz": ["filters"],
    "dissect_SYSTEM.gz": ["filters"],
}


def around(hive: RealHive, folder: Path) -> Bootable:
    home = REAL_DATA / "hives"
    stem = hive.name.rpartition(".")[0]
    names = [f"{stem}.LOG{number}.xz" for number in (1, 2)] if hive.logs else []
    system = read_real(home / hive.name)
    copy = folder / "copy"
    copy.write_bytes(system)
    return bootable.of_hive(
        folder / "tree",
        system,
        [read_real(home / name) for name in names],
        machine=hive.machine,
        build=hive.build,
        partition=_partition(copy),
        start=hive.start,
    )


def _partition(hive: Path) -> str:
    """The identity of C:, as its MountedDevices have it."""
    data = bytes.fromhex(independent.key(hive, "MountedDevices").values["\\DosDevices\\C:"][1])
    if data.startswith(b"DMIO:ID:"):
        return f"gpt:{uuid.UUID(bytes_le=data[8:24])}"
    signature, start = struct.unpack("<IQ", data)
    return f"mbr:{signature:08x}:{start}"


def need(name: str) -> None:
    if not (REAL_DATA / "hives" / name).is_file():
        pytest.skip(f"no {name} under {REAL_DATA}")


@pytest.mark.parametrize("hive", HIVES, ids=[one.name for one in HIVES])
def test_a_tree_around_a_real_hive(hive: RealHive, tmp_path: Path) -> None:
    need(hive.name)
    lines = around(hive, tmp_path).lines()
    assert [line for line in lines if line.ok is False] == []
    assert [line.check for line in lines if line.warning] == ODD.get(hive.name, [])
    unchecked = [line.check for line in lines if line.ok is None and not line.warning]
    assert unchecked == UNCHECKED[hive.machine]


def test_no_real_hive_is_left_out() -> None:
    """Whatever SYSTEM hive comes to the shared data has to be listed here."""
    home = REAL_DATA / "hives"
    if not home.is_dir():
        pytest.skip(f"no {home}")
    there = {path.name for path in home.iterdir() if "SYSTEM" in path.name.upper()}
    hives = {name for name in there if ".LOG" not in name and "DELTA" not in name.upper()}
    assert hives == {one.name for one in HIVES} | {"regipy_corrupted_system_hive.xz"}


REAL_CHAINS = {
    "plaso_win7x86_SYSTEM.xz": "LSI_SAS",
    "dfwinreg_win81_SYSTEM.xz": "storahci",
    "regipy_SYSTEM_B.xz": "iaStorAV",
    "regipy_SYSTEM_WIN_10_1709.xz": "LSI_SAS",
    "dissect_SYSTEM.gz": "stornvme",
}


@pytest.mark.parametrize("name", REAL_CHAINS)
def test_the_controller_of_a_real_machine(name: str, tmp_path: Path) -> None:
    """Disabled, it is found; so it is with the override real machines have for those they lack."""
    need(name)
    hive = next(one for one in HIVES if one.name == name)
    service = REAL_CHAINS[name]
    tree = around(replace(hive, logs=False), tmp_path)
    assert service in by_name(tree.lines())["storage-chain"].text
    tree.edit(f"Services\\{service}", {"Start": 4})
    assert by_name(tree.lines())["storage-chain"].ok is False


def test_a_hive_of_xp_that_is_damaged(tmp_path: Path) -> None:
    """Nothing else is known of it, and no line pretends otherwise."""
    name = "regipy_corrupted_system_hive.xz"
    need(name)
    tree = bootable.small(tmp_path, uefi=False, machine="x86")
    tree.put(tree.system, read_real(REAL_DATA / "hives" / name))
    lines = by_name(tree.lines())
    assert [one.check for one in lines.values() if one.ok is False] == ["system-hive"]
    for name in ("control-set", "boot-drivers", "filters", "storage-chain"):
        assert (lines[name].ok, lines[name].warning) == (None, False)
