"""The same with a diagnosis: a Windows that crashes, repaired and undone by the verbs people use.

Each row: what names the driver beside its service, written by hivex, and what becomes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from recoverykit import pipeline
from recoverykit.model import Outcome
from recoverykit.visit import Options
from tests.builders import faults, windows
from tests.builders.registry import MULTI_SZ, Entry, change
from tests.conftest import mounts, need
from tests.golden import volume
from tests.golden.tree import KEYBOARDS
from tests.independent import registry
from tests.independent.registry import Key, Value

pytestmark = [mounts, need("mkntfs", "ntfs-3g", "ntfscat", "hivexsh"), pytest.mark.disk]

SYSTEM = "Windows/System32/config/SYSTEM"
DRIVER = "Windows/System32/drivers/acmeflt.sys"
ONE = "ControlSet001"
START = f"{ONE}\\Services\\acmeflt\\Start"
Change = tuple[Value | None, Value | None]

BOOT, OFF = (4, "00000000"), (4, "04000000")


def listed(*texts: str) -> Value:
    return MULTI_SZ, ("".join(f"{text}\0" for text in texts) + "\0").encode("utf-16-le").hex()


def renames(*texts: str) -> tuple[int, bytes]:
    return MULTI_SZ, ("".join(f"{text}\0" for text in texts) + "\0").encode("utf-16-le")


KEYBOARD = f"{ONE}\\Control\\Class\\{KEYBOARDS}"
WEBCAM = f"{ONE}\\Enum\\USB\\VID_1234&PID_0001\\6&1a2b3c4d&0&1"
MANAGER = f"{ONE}\\Control\\Session Manager"
SAFE = f"{ONE}\\Control\\SafeBoot\\Minimal\\acmeflt.sys"
PLACE = f"\\??\\C:\\{DRIVER}".replace("/", "\\")
MOVES = ("\\??\\C:\\a", "", "\\??\\C:\\new", PLACE, "\\??\\C:\\b", "!\\??\\C:\\c")

Row = tuple[Mapping[str, Mapping[str, Entry]], Mapping[str, Change]]
ROWS: dict[str, Row] = {
    "class filter": (
        {KEYBOARD: {"UpperFilters": ["acmeflt", "kbdclass"]}},
        {f"{KEYBOARD}\\UpperFilters": (listed("acmeflt", "kbdclass"), listed("kbdclass"))},
    ),
    "device filter": (
        {WEBCAM: {"LowerFilters": ["ACMEFLT"], "Service": "usbvideo"}},
        {f"{WEBCAM}\\LowerFilters": (listed("ACMEFLT"), None)},
    ),
    "safe mode": (
        {SAFE: {"Kind": "Driver"}},
        {f"{SAFE}\\": ((-1, ""), None)},
    ),
    "pending renames": (
        {MANAGER: {"PendingFileRenameOperations": renames(*MOVES)}},
        {
            f"{MANAGER}\\PendingFileRenameOperations": (
                (MULTI_SZ, renames(*MOVES)[1].hex()),
                (MULTI_SZ, renames(*MOVES[:2], *MOVES[4:])[1].hex()),
            )
        },
    ),
    "the last good control set": (
        {
            "Select": {"LastKnownGood": 2},
            "ControlSet002\\Services\\acmeflt": {"Start": 0, "Type": 1},
        },
        {"ControlSet002\\Services\\acmeflt\\Start": (BOOT, OFF)},
    ),
    "two services of one file": (
        {
            f"{ONE}\\Services\\acmetwo": {
                "Start": 1,
                "Type": 1,
                "ErrorControl": 1,
                "ImagePath": "\\SystemRoot\\System32\\drivers\\acmeflt.sys",
            }
        },
        {f"{ONE}\\Services\\acmetwo\\Start": ((4, "01000000"), OFF)},
    ),
}


@pytest.mark.parametrize(
    ("named", "becomes"), [pytest.param(*row, id=name) for name, row in ROWS.items()]
)
def test_diagnosed_repaired_undone(
    named: Mapping[str, Mapping[str, Entry]], becomes: Mapping[str, Change], tmp_path: Path
) -> None:
    image = tmp_path / "disk.img"
    _build(image, named)
    before, keys = volume.look(image), _registry(image, tmp_path)

    done = pipeline.repair(image, Options(ask=lambda _: True))

    assert [entry.outcome for entry in done.installations] == [Outcome.APPLIED], done
    changed = registry.changed_values(keys, _registry(image, tmp_path))
    assert _without_values_of_gone_keys(changed) == {**becomes, START: (BOOT, OFF)}
    after = volume.look(image).files
    names = before.files.keys() | after.keys()
    differ = {name for name in names if before.files.get(name) != after.get(name)}
    assert differ - {f"{SYSTEM}.LOG1"} == {SYSTEM, DRIVER}

    undone = pipeline.undo(image, options=Options(ask=lambda _: True))
    assert [entry.outcome for entry in undone.installations] == [Outcome.UNDONE], undone
    assert volume.look(image) == before


def _build(image: Path, named: Mapping[str, Mapping[str, Entry]]) -> None:
    volume.make(image, 48)
    with volume.mounted(image, write=True, streams="windows") as root:
        windows.populate(root, hives=windows.BUILT)
        faults.boot_start_driver_crashes(windows.reopen(root), "acmeflt")
        registry.edit(root / SYSTEM, [change(key, values) for key, values in named.items()])


def _registry(image: Path, folder: Path) -> dict[str, Key]:
    copy = folder / "SYSTEM"
    copy.write_bytes(volume.look(image).hives[SYSTEM])
    return registry.registry(copy)


def _without_values_of_gone_keys(changed: Mapping[str, Change]) -> dict[str, Change]:
    gone = [name for name, (was, _) in changed.items() if was == (-1, "")]
    return {
        name: states
        for name, states in changed.items()
        if name in gone or not any(name.startswith(key) for key in gone)
    }
