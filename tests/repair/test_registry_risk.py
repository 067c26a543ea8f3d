"""What a change of the registry decides about the next boot."""

from __future__ import annotations

import pytest

from recoverykit.model import KeyChange, RegistryChange, RegistryData, RegistryKey, ValueChange
from recoverykit.repair import registry_risk

ACME = "ControlSet001\\Services\\Acme"
SYSTEM = "Windows/System32/config/SYSTEM"


def dword(number: int) -> RegistryData:
    return RegistryData(4, number.to_bytes(4, "little"))


def value(
    key: str, name: str, before: int | None = 0, after: int | None = 4
) -> tuple[RegistryChange, ...]:
    was, now = (None if number is None else dword(number) for number in (before, after))
    return (ValueChange(key, name, was, now),)


@pytest.mark.parametrize(
    ("hive", "key", "name", "word"),
    [
        (SYSTEM, "Select", "Current", "Select decides"),
        ("windows/system32/config/system", "select", "default", "Select decides"),
        (SYSTEM, "Setup", "CmdLine", "instead of the logon"),
        (SYSTEM, "MountedDevices", "\\DosDevices\\C:", "letter"),
        (SYSTEM, "ControlSet002\\Control\\Session Manager", "BootExecute", "session manager"),
        (SYSTEM, "ControlSet001\\Control\\Class\\{4d36}", "UpperFilters", "0x7B"),
        (SYSTEM, "ControlSet001\\Enum\\PCI\\x\\y", "LowerFilters", "0x7B"),
        (
            "Windows/System32/config/SOFTWARE",
            "Microsoft\\Windows NT\\CurrentVersion\\Winlogon",
            "Shell",
            "Winlogon",
        ),
        ("Windows/System32/config/SAM", "SAM\\Domains", "F", "accounts"),
    ],
)
def test_what_decides_whether_windows_starts(hive: str, key: str, name: str, word: str) -> None:
    (warning,) = registry_risk.warnings(hive, value(key, name))
    assert word in warning


@pytest.mark.parametrize(
    ("hive", "key", "name"),
    [
        (SYSTEM, "Selected", "Current"),
        (SYSTEM, "ControlSet001\\Control\\Class\\{4d36}", "Class"),
        (SYSTEM, "ControlSet001\\Control\\Windows", "x"),
        (SYSTEM, "Setup\\Upgrade\\Deep", "x"),
        ("Users/anna/NTUSER.DAT", "Software\\Acme", "x"),
        ("Windows/System32/config/SOFTWARE", "Microsoft\\Windows\\CurrentVersion\\Run", "x"),
    ],
)
def test_what_does_not(hive: str, key: str, name: str) -> None:
    assert registry_risk.warnings(hive, value(key, name)) == ()


def test_a_key_that_goes_is_as_good_as_its_values() -> None:
    change = KeyChange("Select", RegistryKey(), None)
    assert len(registry_risk.warnings(SYSTEM, (change,))) == 1


@pytest.mark.parametrize(
    ("changes", "restrained"),
    [
        pytest.param(value(ACME, "Start", 0, 4), True, id="disabled"),
        pytest.param(value(ACME, "start", 0, 3), True, id="later"),
        pytest.param(value(ACME, "Start", 0, None), True, id="gone"),
        pytest.param(value(ACME, "Start", 4, 0), False, id="enabled"),
        pytest.param(value(ACME, "Start", None, 3), False, id="new"),
        pytest.param(value(ACME, "ImagePath", 0, 0), True, id="another file"),
        pytest.param(value(ACME, "Type", 1, 2), True, id="another type"),
        pytest.param(value(ACME, "Tag", 1, 2), False, id="something else"),
        pytest.param(value(f"{ACME}\\StartOverride", "0", None, 4), True, id="overridden"),
        pytest.param(value(f"{ACME}\\StartOverride", "0", 4, 0), False, id="override lifted"),
        pytest.param(value(f"{ACME}\\Parameters", "Start", 0, 4), False, id="deeper"),
        pytest.param(value(ACME.replace("001", "002"), "Start", 0, 4), False, id="not in use"),
        pytest.param((KeyChange(ACME, RegistryKey(), None),), True, id="the key goes"),
        pytest.param((KeyChange(ACME, None, RegistryKey()),), False, id="the key comes"),
        pytest.param(
            (ValueChange(ACME, "Start", dword(0), RegistryData(1, b"4\0")),), True, id="no number"
        ),
    ],
)
def test_services_that_start_later(changes: tuple[RegistryChange, ...], restrained: bool) -> None:
    assert registry_risk.restrained(changes, 1) == ({"ACME"} if restrained else set())
