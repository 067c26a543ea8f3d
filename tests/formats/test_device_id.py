"""Instance paths: bus, instance, whose child, which volume."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoverykit.formats import device_id


@pytest.mark.parametrize(
    ("device", "enumerator", "instance", "prefixes"),
    [
        (
            "SCSI\\Disk&Ven_A\\5&1982005&0&000000",
            *("scsi", "5&1982005&0&000000"),
            ("5&1982005&0&000000", "5&1982005&0"),
        ),
        ("ACPI\\PNP0A03\\2&DABA3FF&1", "acpi", "2&DABA3FF&1", ("2&daba3ff&1",)),
        ("ACPI\\PNP0A03\\0", "acpi", "0", ()),
        ("USB\\VID_1\\serial&1", "usb", "serial&1", ()),
        ("alone", "alone", "alone", ()),
        ("", "", "", ()),
        ("X\\Y\\" + "1&" * 100, "x", "1&" * 100, ()),  # longer than Windows allows
    ],
)
def test_parts(device: str, enumerator: str, instance: str, prefixes: tuple[str, ...]) -> None:
    assert device_id.enumerator(device) == enumerator
    assert device_id.instance(device) == instance
    assert device_id.prefixes(device) == prefixes


GUID = "{5c3108ac-31c0-11e8-9b10-806e6f6e6963}"


@pytest.mark.parametrize(
    ("device", "volume"),
    [
        (f"STORAGE\\Volume\\{GUID}#0000000026700000", (GUID, 0x26700000)),
        (f"storage\\VOLUME\\{GUID.upper()}#FFFFFFFFFFFFFFFF", (GUID, (1 << 64) - 1)),
        (f"STORAGE\\Volume\\{GUID}#26700000", None),
        (f"STORAGE\\Volume\\{GUID}#0000000026700000x", None),
        (f"STORAGE\\Volume\\{GUID}#00000000267\u0663\u0663\u0663\u0663\u0663", None),
        ("STORAGE\\Volume\\_??_USBSTOR#Disk&Ven_A#1&0#{53f56307}", None),
        (f"STORAGE\\VolumeSnapshot\\{GUID}#0000000026700000", None),
        ("", None),
    ],
)
def test_volumes(device: str, volume: tuple[str, int] | None) -> None:
    assert device_id.volume(device) == volume


@given(st.text(alphabet="&\\1aÄ#{}", max_size=400))
def test_anything_has_few_prefixes(device: str) -> None:
    found = device_id.prefixes(device)
    assert len(found) <= device_id.MAX_LENGTH // 2 + 1
    assert all(device_id.instance(device).casefold().startswith(one) for one in found)
    assert device_id.volume(device) is None
