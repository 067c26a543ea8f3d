"""Edits of real hives: what was not touched is what it was, and Windows' own order is kept."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats.hive import Hive
from recoverykit.formats.hive_editor import Editor
from recoverykit.formats.regf_log import recover
from tests.formats.edit_run import edit_by_model
from tests.formats.hive_model import facts
from tests.formats.hives import hive_bytes, logs_of, samples

NEW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
HEADER = 4096


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("bcd_arm64_phone", 200),
        ("bcd_asus/Boot_BCD", 200),
        ("bcd_usbpe_bios", 200),
        ("bcd_win10iso_efi", 200),
        ("bcd_windeploy_efi", 200),
        ("ezreg_BCD", 200),
        ("regipy_BCD.xz", 200),
        ("ezreg_SECURITYNoRoot", 100),
        ("yarp/OffHive", 100),
        ("yarp/OldDirtyHive__RecoveredHive_Windows7", 150),
        ("yarp/TruncatedPairHive", 100),
        ("regipy_SYSTEM.xz", 60),  # dissect_SYSTEM.gz, of Windows 10: `bench.hive_edits`
    ],
)
def test_random_edits(name: str, count: int) -> None:
    assert edit_by_model(name, random.Random(name), count) > count // 4


OLD_NAME = "Microsoft\\Windows NT\\CurrentVersion"


def renamed(path: str) -> str:
    return path.replace(OLD_NAME, OLD_NAME + "2", 1) if path.startswith(OLD_NAME) else path


def test_one_edit_of_each_kind_in_a_large_hive() -> None:
    """SOFTWARE of Windows 7: 117,488 keys, lists with 14 leaves."""
    image = hive_bytes("plaso_win7_SOFTWARE.xz")
    before, editor = facts(image), Editor(image, NEW)
    victim = "Classes\\CLSID\\{00021401-0000-0000-C000-000000000046}"
    assert before[victim]
    editor.delete_key(victim)
    editor.create_key("Classes\\AcmeTool.1\\shell")
    editor.rename_key(OLD_NAME, "CurrentVersion2")
    editor.set_value("Classes\\AcmeTool.1", "big", 3, b"b" * 100_000)
    after = facts(editor.finish(99))
    kept = {
        renamed(path): found
        for path, found in before.items()
        if path != victim and not path.startswith(victim + "\\")
    }
    made = {"Classes\\AcmeTool.1", "Classes\\AcmeTool.1\\shell"}
    assert after.keys() == kept.keys() | made
    dated = {path for path in kept if after[path] != kept[path]}
    assert dated == {"Classes", "Classes\\CLSID", "Microsoft\\Windows NT", OLD_NAME + "2"}
    assert all(after[path][1:] == kept[path][1:] for path in dated)  # only the time


CLEAN = [
    name
    for name in samples()
    if name not in ("ezreg_NotAHive", "plaso_win7_SOFTWARE.xz")
    and "Truncated" not in name
    and "Dirty" not in name
]


@pytest.mark.parametrize("name", CLEAN)
def test_finishing_without_an_edit_changes_only_numbers_of_the_header(name: str) -> None:
    image = hive_bytes(name)
    try:
        editor = Editor(image, NEW)
    except FormatError as error:
        assert any(word in str(error) for word in ("dirty", "damaged", "version"))  # noqa: PT017 - which ones: below
        return
    assert editor.in_place
    result = editor.finish(4711)
    assert len(result) == len(image)
    assert result[HEADER:] == image[HEADER:]
    changed = {at for at in range(HEADER) if result[at] != image[at]}
    assert changed <= {*range(4, 12), *range(28, 32), *range(508, 512)}
    assert Hive(result).base.primary_sequence == 4711


def test_a_dirty_hive_is_refused_until_it_was_recovered() -> None:
    name = "regipy_SYSTEM_B.xz"
    with pytest.raises(FormatError, match="dirty"):
        Editor(hive_bytes(name), NEW)
    recovered = recover(hive_bytes(name), logs_of(name)).data
    editor = Editor(recovered, NEW)
    editor.set_value("Select", "Current", 4, b"\2\0\0\0")
    assert editor.in_place
    before, after = facts(bytes(recovered)), facts(editor.finish(9999))
    assert {path for path in before if before[path] != after[path]} == {"Select"}


def test_a_broken_chain_of_bins_is_refused() -> None:
    with pytest.raises(FormatError, match="damaged header"):
        Editor(hive_bytes("ezreg_SAMBadHBinHeader"), NEW)


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e.create_key("1\\5"),
        lambda e: e.delete_key("1\\2"),
        lambda e: e.rename_key("1\\2", "5"),
    ],
)
def test_a_list_out_of_order_is_left_alone(change: Callable[[Editor], None]) -> None:
    """Windows itself would drop keys from it when it loads the hive."""
    image = hive_bytes("yarp/WrongOrderHive")
    editor = Editor(image, NEW)
    parent = editor.find("1")
    assert parent is not None
    assert [child.name for child in parent.subkeys()] == ["2", "1", "3", "4"]
    with pytest.raises(FormatError, match="not in order"):
        change(editor)
    editor.set_value("1", "value", 4, b"\1\0\0\0")  # nothing was written: still usable
    assert facts(editor.finish(9)).keys() == facts(image).keys()
