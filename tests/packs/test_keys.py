"""Registry keys of packs: names, and which of them may be changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoverykit.errors import UsageError
from recoverykit.formats.hive import fold
from recoverykit.packs import keys
from tests.packs import samples


@pytest.mark.parametrize(
    "text",
    [
        *("", "HKLM", "HKLM\\", "HKLM\\SYSTEM", "HKLM\\SYSTEM\\", "HKLM\\SYSTEM\\\\x"),
        *("HKLM\\SAM\\SAM", "HKLM\\SECURITY\\Policy", "HKLM\\HARDWARE\\x", "HKLM\\BCD00000000\\x"),
        *("HKLM\\COMPONENTS\\x", "HKLM\\DRIVERS\\x", "HKU\\.DEFAULT\\x", "HKCU\\Software\\x"),
        *("HKCR\\.exe", "SYSTEM", "\\SYSTEM\\x", "Computer\\HKLM\\SYSTEM\\x", "SYSTEM\\x\\"),
        *("SYSTEM\\a\nb", "SYSTEM\\" + "a" * 256, "SYSTEM\\" + "\\".join("a" * 40), "a" * 2000),
        *("HKLM/SYSTEM/Select", "SYSTEM\\\0x", "..\\SYSTEM\\x"),
    ],
)
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(UsageError):
        keys.parse(text)


@pytest.mark.parametrize(
    ("text", "hive", "key"),
    [
        (
            "HKLM\\SYSTEM\\CurrentControlSet\\Services\\acme",
            "Windows/System32/config/SYSTEM",
            "ControlSet001\\Services\\acme",
        ),
        (
            "hkey_local_machine\\system\\CURRENTCONTROLSET\\Control\\Power",
            "Windows/System32/config/SYSTEM",
            "ControlSet001\\Control\\Power",
        ),
        ("SYSTEM\\Select", "Windows/System32/config/SYSTEM", "Select"),
        ("SYSTEM\\ControlSet002\\x", "Windows/System32/config/SYSTEM", "ControlSet002\\x"),
        ("Software\\Acme", "Windows/System32/config/SOFTWARE", "Acme"),
        (
            "SOFTWARE\\CurrentControlSet\\x",
            "Windows/System32/config/SOFTWARE",
            "CurrentControlSet\\x",
        ),
    ],
)
def test_where_a_key_lies(text: str, hive: str, key: str, tmp_path: Path) -> None:
    assert keys.located(keys.parse(text), samples.install(tmp_path)) == (hive, key)


SERVICE = "SYSTEM\\CurrentControlSet\\Services\\acme"
CONTROL = "SYSTEM\\CurrentControlSet\\Control"
NT = "SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion"

ALLOWED = [
    (SERVICE, "Start"),
    (f"{SERVICE}\\Parameters", "Mode"),
    (f"{SERVICE}\\StartOverride", "0"),
    (f"{CONTROL}\\CrashControl", "AutoReboot"),
    (f"{CONTROL}\\EarlyLaunch", "DriverLoadPolicy"),
    (f"{CONTROL}\\Session Manager\\Memory Management", "VerifyDrivers"),
    (f"{CONTROL}\\Session Manager\\Power", "HiberbootEnabled"),
    ("SOFTWARE\\Acme", ""),
    ("SOFTWARE\\Acme\\Agent", "Mode"),
    ("SOFTWARE\\WOW6432Node\\Acme", "Mode"),
    ("SOFTWARE\\Policies\\Acme", "Mode"),
    ("SOFTWARE\\Policies\\Microsoft\\Windows\\WindowsUpdate", "ExcludeWUDriversInQualityUpdate"),
    ("SOFTWARE\\Microsoft\\Windows\\Windows Error Reporting", "Disabled"),
]
FORBIDDEN = [
    ("SYSTEM\\Select", "Current"),
    ("SYSTEM\\Setup", "CmdLine"),
    ("SYSTEM\\MountedDevices", "x"),
    ("SYSTEM\\ControlSet001\\Services\\acme", "Start"),  # another set than the one in use, maybe
    ("SYSTEM\\ControlSet002\\Services\\acme", "Start"),
    ("SYSTEM\\CurrentControlSet", "x"),
    ("SYSTEM\\CurrentControlSet\\Services", "x"),
    ("SYSTEM\\CurrentControlSet\\Enum\\ROOT\\x", "Service"),
    ("SYSTEM\\CurrentControlSet\\Hardware Profiles\\0001", "x"),
    (SERVICE, "ImagePath"),
    (SERVICE, "imagepath"),
    (SERVICE, "ObjectName"),
    (SERVICE, "Group"),
    (SERVICE, "Type"),
    (f"{SERVICE}\\Parameters", "ServiceDll"),
    (f"{CONTROL}\\Class\\{{4d36e967-e325-11ce-bfc1-08002be10318}}", "UpperFilters"),
    (f"{CONTROL}\\SafeBoot\\Minimal\\acme.sys", ""),
    (f"{CONTROL}\\Session Manager", "BootExecute"),
    (f"{CONTROL}\\Session Manager", "PendingFileRenameOperations"),
    (f"{CONTROL}\\Session Manager\\KnownDLLs", "x"),
    (f"{CONTROL}\\Session Manager\\Environment", "Path"),
    (f"{CONTROL}\\Session Manager\\Memory Management Extra", "x"),
    (f"{CONTROL}\\Lsa", "Notification Packages"),
    (f"{CONTROL}\\ServiceGroupOrder", "List"),
    (f"{CONTROL}\\CI\\Config", "VulnerableDriverBlocklistEnable"),
    (f"{CONTROL}\\DeviceGuard", "EnableVirtualizationBasedSecurity"),
    (f"{NT}\\Winlogon", "Shell"),
    (f"{NT}\\Image File Execution Options\\sethc.exe", "Debugger"),
    (f"{NT}\\Windows", "AppInit_DLLs"),
    (f"{NT}\\ProfileList\\S-1-5-18", "ProfileImagePath"),
    ("SOFTWARE\\Microsoft\\Windows\\CurrentVersion\\Run", "x"),
    ("SOFTWARE\\WOW6432Node\\Microsoft\\Windows\\CurrentVersion\\Run", "x"),
    ("SOFTWARE\\Wow6432Node\\Classes\\CLSID", "x"),
    ("SOFTWARE\\Classes\\exefile\\shell\\open\\command", ""),
    ("SOFTWARE\\Policies\\Microsoft\\Windows Defender", "DisableAntiSpyware"),
    ("SOFTWARE\\Policies", "x"),
    ("SOFTWARE\\WOW6432Node", "x"),
    ("SOFTWARE\\WOW6432Node\\WOW6432Node\\Microsoft\\x", "x"),
]


@pytest.mark.parametrize(("key", "value"), ALLOWED)
def test_what_may_be_changed(key: str, value: str) -> None:
    keys.require_changeable(keys.parse(f"HKLM\\{key}"), value)


@pytest.mark.parametrize(("key", "value"), FORBIDDEN)
def test_what_may_not(key: str, value: str) -> None:
    for spelled in (key, key.upper(), key.lower()):
        with pytest.raises(UsageError, match="not among what a pack may change"):
            keys.require_changeable(keys.parse(spelled), value)


@given(
    st.lists(
        st.sampled_from([*"abc", "Microsoft", "Classes", "WOW6432Node", "Policies"]), min_size=1
    )
)
def test_no_way_round_leads_to_what_is_microsofts(names: list[str]) -> None:
    """However Wow6432Node and Policies are nested: the first vendor decides."""
    key = keys.parse("SOFTWARE\\" + "\\".join(names[:30]))
    vendor = next((name for name in names[:30] if name not in ("WOW6432Node", "Policies")), "")
    try:
        keys.require_changeable(key, "x")
    except UsageError:
        assert vendor in ("", "Microsoft", "Classes")
    else:
        assert fold(vendor) in ("A", "B", "C")
