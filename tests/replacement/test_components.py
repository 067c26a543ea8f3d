"""Names of the component store: what is taken for a driver's, and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoverykit.replacement import components, image
from recoverykit.replacement.components import Component

NTFS = "amd64_microsoft-windows-ntfs_31bf3856ad364e35_10.0.19041.1_none_0e4d7a1c5ab1234d"


@pytest.mark.parametrize(
    ("entry", "machine", "found"),
    [
        (NTFS, "x64", Component("microsoft-windows-ntfs", "10.0.19041.1")),
        (NTFS.upper(), "x64", Component("microsoft-windows-ntfs", "10.0.19041.1")),
        (NTFS.replace("amd64", "x86"), "x86", Component("microsoft-windows-ntfs", "10.0.19041.1")),
        (
            NTFS.replace("amd64", "arm64"),
            "arm64",
            Component("microsoft-windows-ntfs", "10.0.19041.1"),
        ),
        (
            "amd64_dual_stornvme.inf_31bf3856ad364e35_10.0.22621.2506_none_c8a8bb0ae0b7e2f1",
            "x64",
            Component("dual_stornvme.inf", "10.0.22621.2506"),
        ),
        (
            "x86_microsoft-windows-s..-usbstor-up_31bf3856ad364e35_6.1.7601.17514_none_0123456789abcdef",
            "x86",
            Component("microsoft-windows-s..-usbstor-up", "6.1.7601.17514"),
        ),
        (NTFS, "x86", None),
        (NTFS, "", None),
        (NTFS.replace("amd64", "wow64"), "x64", None),
        (NTFS.replace("none", "de-de"), "x64", None),
        (NTFS[:-1], "x64", None),
        (f"{NTFS}.manifest", "x64", None),
        (f"{NTFS}\n", "x64", None),
        ("Backup", "x64", None),
        ("", "x64", None),
    ],
)
def test_components(entry: str, machine: str, found: Component | None) -> None:
    assert components.component(entry, machine) == found


@pytest.mark.parametrize(
    ("entry", "is_it"),
    [
        (f"{NTFS}_ntfs.sys_a3e8d3ba", True),
        (f"{NTFS}_NTFS.SYS_A3E8D3BA", True),
        (f"{NTFS}_myntfs.sys_a3e8d3ba", False),
        (f"{NTFS}_ntfs.sys", False),
        (f"{NTFS}_ntfs.sys.mui_a3e8d3ba", False),
        (f"{NTFS}.manifest", False),
        (NTFS, False),
    ],
)
def test_backups(entry: str, is_it: bool) -> None:
    found = components.backup(entry, "x64", "ntfs.sys")
    assert (found is not None) is is_it


@given(st.text(max_size=300), st.sampled_from(["x64", "x86", "", "arm64"]))
def test_any_name(entry: str, machine: str) -> None:
    found = components.component(entry, machine)
    assert found is None or found.version in entry


@given(st.lists(st.integers(0, 65535), min_size=2, max_size=4))
def test_versions(parts: list[int]) -> None:
    text = ".".join(str(part) for part in parts)
    assert image.numbers(text) == (*parts, 0, 0)[:4]


@pytest.mark.parametrize(
    "text", ["", "1", "1.2.3.4.5", "a.b", "1..2", "-1.2", "1.2 beta", "9" * 99]
)
def test_no_versions(text: str) -> None:
    assert image.numbers(text) == ()
