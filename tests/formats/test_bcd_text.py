"""Boot stores as text: against outputs of bcdedit that people published."""

from __future__ import annotations

import pytest

from recoverykit.formats import bcd_edit, bcd_names, bcd_text
from recoverykit.formats.bcd import Raw, Store, Value
from recoverykit.formats.bcd_device import (
    Boot,
    Device,
    File,
    GptPartition,
    Locate,
    MbrPartition,
    Opaque,
    Ramdisk,
    VirtualDisk,
    Where,
)
from recoverykit.formats.bcd_names import ObjectType
from recoverykit.model import RegistryData
from tests.formats.bcd_samples import STORES, real_store

# `bcdedit /store D:\boot\bcd` on a Windows 10 DVD, as published in
# https://www.tenforums.com/installation-upgrade/21722-alphanumeric-object-dvd-bcd.html
# (there one `identifier` has lost four spaces): the store of every Windows 10 medium.
PUBLISHED = r"""
Windows Boot Manager
--------------------
identifier              {bootmgr}
description             Windows Boot Manager
locale                  en-US
inherit                 {globalsettings}
default                 {default}
displayorder            {default}
toolsdisplayorder       {memdiag}
timeout                 30

Windows Boot Loader
-------------------
identifier              {default}
device                  ramdisk=[boot]\sources\boot.wim,{7619dcc8-fafe-11d9-b411-000476eba25f}
path                    \windows\system32\boot\winload.exe
description             Windows Setup
locale                  en-US
inherit                 {bootloadersettings}
osdevice                ramdisk=[boot]\sources\boot.wim,{7619dcc8-fafe-11d9-b411-000476eba25f}
systemroot              \windows
bootmenupolicy          Standard
detecthal               Yes
winpe                   Yes
ems                     No
""".strip()

# The groups of `bcdedit /enum all /v` on Windows 11 25H2 as published in
# https://github.com/nohuto/win-config (system/desc.md, "Default Entries"): the same everywhere.
GROUPS = r"""
EMS Settings
------------
identifier              {0ce4991b-e6b3-4b16-b23c-5e0d9250e5d9}
bootems                 No

Debugger Settings
-----------------
identifier              {4636856e-540f-4170-a130-a84776f4c654}
debugtype               Local

RAM Defects
-----------
identifier              {5189b25c-5558-4bf2-bca4-289b11bd29e2}

Global Settings
---------------
identifier              {7ea2e1ac-2e61-4728-aaa3-896d9d0a9f0e}
inherit                 {4636856e-540f-4170-a130-a84776f4c654}
                        {0ce4991b-e6b3-4b16-b23c-5e0d9250e5d9}
                        {5189b25c-5558-4bf2-bca4-289b11bd29e2}

Boot Loader Settings
--------------------
identifier              {6efb52bf-1766-41db-a6b3-0ee5eff72bd7}
inherit                 {7ea2e1ac-2e61-4728-aaa3-896d9d0a9f0e}
                        {7ff607e0-4395-11db-b0de-0800200c9a66}

Hypervisor Settings
-------------------
identifier              {7ff607e0-4395-11db-b0de-0800200c9a66}
hypervisordebugtype     Serial
hypervisordebugport     1
hypervisorbaudrate      115200

Resume Loader Settings
----------------------
identifier              {1afa9c49-16ab-4a5c-901b-212802da9460}
inherit                 {7ea2e1ac-2e61-4728-aaa3-896d9d0a9f0e}
""".strip()

# The order of headings in the same output (its boot loader and recovery entry, in one store).
ORDER = [
    "Windows Boot Manager",
    "Windows Boot Loader",
    "Windows Boot Loader",
    "Resume from Hibernate",
    "Windows Memory Tester",
    "EMS Settings",
    "Debugger Settings",
    "RAM Defects",
    "Global Settings",
    "Boot Loader Settings",
    "Hypervisor Settings",
    "Resume Loader Settings",
    "Device options",
]

# The recovery environment's entry there, line for line; GUIDs and the volume are this machine's.
IMAGE = (
    "ramdisk=[gpt:8c10b83e-8c9e-461e-aaf0-40974b9adf12]\\Recovery\\WindowsRE\\Winre.wim,"
    "{e018a2d2-b134-11ea-95b2-81f0ac71b75b}"
)
RECOVERY = [
    "identifier              {e018a2d1-b134-11ea-95b2-81f0ac71b75b}",
    f"device                  {IMAGE}",
    "path                    \\windows\\system32\\winload.efi",
    "description             Windows Recovery Environment",
    "locale                  en-US",
    "inherit                 {6efb52bf-1766-41db-a6b3-0ee5eff72bd7}",
    "displaymessage          Recovery",
    f"osdevice                {IMAGE}",
    "systemroot              \\windows",
    "nx                      OptIn",
    "bootmenupolicy          Standard",
    "winpe                   Yes",
    "custom:46000010         Yes",
]


def blocks(name: str, *, aliases: bool = False) -> list[str]:
    return "\n".join(bcd_text.lines(real_store(name), aliases=aliases)).split("\n\n")


def test_windows_media_as_bcdedit_prints_them() -> None:
    assert "\n\n".join(blocks("bcd_win10iso_bios", aliases=True)[:2]) == PUBLISHED


@pytest.mark.parametrize("name", ["bcd_asus/Boot_BCD", "regipy_BCD.xz", "bcd_win2go"])
def test_settings_groups_as_bcdedit_prints_them(name: str) -> None:
    assert GROUPS in "\n\n".join(blocks(name))


@pytest.mark.parametrize("name", ["bcd_asus/Boot_BCD", "regipy_BCD.xz"])
def test_objects_stand_in_the_order_of_bcdedit(name: str) -> None:
    headings = [block.split("\n")[0] for block in blocks(name)]
    firmware = ("Firmware Boot Manager", "Firmware Application (101fffff)")
    assert [heading for heading in headings if heading not in firmware] == ORDER
    # Published order of those: {fwbootmgr}, {bootmgr}, firmware applications, loaders.
    assert headings[0] == firmware[0]
    assert headings[2] == firmware[1]


def test_the_recovery_entry_as_bcdedit_prints_it() -> None:
    block = next(text for text in blocks("bcd_asus/Boot_BCD") if "Windows Recovery Env" in text)
    assert block.split("\n")[2:] == RECOVERY


@pytest.mark.parametrize("name", STORES)
def test_every_real_store_has_sound_lines(name: str) -> None:
    store = real_store(name)
    found = blocks(name)
    assert len(found) == len(store.objects)
    for block in found:
        heading, rule, identifier, *_ = block.split("\n")
        assert rule == "-" * len(heading)
        assert identifier.startswith(f"{'identifier':<24}{{")
    assert "not understood" not in "\n\n".join(found)
    assert all(line == line.rstrip() for block in found for line in block.split("\n"))


# --- values -------------------------------------------------------------------------------

GPT = GptPartition("5541e87d-91a5-4f2b-ad43-a0345c199e9b", "1c6ab89c-bcbf-4abe-8593-618e4d2f5811")
NAMED = "gpt:1c6ab89c-bcbf-4abe-8593-618e4d2f5811"
OPTIONS = "{7619dcc8-fafe-11d9-b411-000476eba25f}"

DEVICES: list[tuple[Where, str, str]] = [
    (Boot(), "", "boot"),
    (GPT, "", f"partition={NAMED}"),
    (MbrPartition(0xDDBA6BBB, 1048576), "", "partition=mbr:ddba6bbb:1048576"),
    (Ramdisk("\\b.wim", Boot()), OPTIONS, f"ramdisk=[boot]\\b.wim,{OPTIONS}"),
    (Ramdisk("\\b.wim", GPT), "", f"ramdisk=[{NAMED}]\\b.wim"),
    (File("\\x.bin", GPT), "", f"file=[{NAMED}]\\x.bin"),
    # https://social.technet.microsoft.com/Forums/.../disablebypass-windows-8-automatic-repair:
    # vhd=[D:]\win8rtm.vhdx,locate=custom:12000002
    (
        Locate("", 0x1200_0002, VirtualDisk(File("\\win8rtm.vhdx", GPT))),
        "",
        f"vhd=[{NAMED}]\\win8rtm.vhdx,locate=custom:12000002",
    ),
    (VirtualDisk(File("\\win.vhd", Boot())), "", "vhd=[boot]\\win.vhd"),
    (VirtualDisk(GPT), "", f"vhd=[{NAMED}]"),
    (Locate("\\Windows\\system32\\winload.exe"), "", "locate=\\Windows\\system32\\winload.exe"),
    (Locate(element=0x1200_0002), "", "locate=custom:12000002"),
    (Locate("\\x", parent=GPT), "", f"locate=[{NAMED}]\\x"),
    (Opaque(bytes([7, 0, 0, 0])), "", "unknown (kind 7, 07000000)"),
]


@pytest.mark.parametrize(("where", "options", "text"), DEVICES, ids=[row[2] for row in DEVICES])
def test_devices(where: Where, options: str, text: str) -> None:
    assert bcd_text.device(where, options) == text


def test_partitions_are_named_by_the_caller() -> None:
    text = bcd_text.device(Ramdisk("\\b.wim", GPT), naming=lambda found: f"{found} (/dev/sda1)")
    assert text == f"ramdisk=[{NAMED} (/dev/sda1)]\\b.wim"


ELEMENTS: list[tuple[int, int, Value, list[str]]] = [
    (0x2500_0020, ObjectType.OS_LOADER, 1, ["nx                      OptOut"]),
    (0x2500_0020, ObjectType.OS_LOADER, 9, ["nx                      9"]),
    (0x2500_0080, ObjectType.OS_LOADER, 1, ["safeboot                Network"]),
    (0x2500_00E0, ObjectType.OS_LOADER, 1, ["bootstatuspolicy        IgnoreAllFailures"]),
    (0x2500_0008, ObjectType.RESUME, 0, ["bootmenupolicy          Legacy"]),
    (0x2300_0003, ObjectType.OS_LOADER, OPTIONS, [f"resumeobject            {OPTIONS}"]),
    (0x2300_0003, ObjectType.BOOT_MANAGER, OPTIONS, [f"default                 {OPTIONS}"]),
    (0x2100_0001, ObjectType.RESUME, Device(Boot()), ["filedevice              boot"]),
    (0x2100_0026, ObjectType.RESUME, Device(Boot()), ["custom:21000026         boot"]),
    (0x1500_001A, ObjectType.SETTINGS, 0xC0A80002, ["hostip                  192.168.0.2"]),
    (0x1500_0012, ObjectType.SETTINGS, 0x3F8, ["debugaddress            0x3f8"]),
    (0x1500_0011, ObjectType.SETTINGS, 3, ["debugtype               NET"]),
    (0x4500_0001, ObjectType.OS_LOADER, 2, ["custom:45000001         2"]),
    # https://github.com/mattifestation/BCD Examples/BCDTemplateFromScratch.ps1:
    (
        0x4700_0005,
        ObjectType.OS_LOADER,
        (301989892, 1),
        ["custom:47000005         301989892", "                        1"],
    ),
    (
        0x4700_0006,
        ObjectType.BOOT_MANAGER,
        (0x1600_0010, 0x2600_0020),
        ["elementstomigrate       0x16000010", "                        0x26000020"],
    ),
    (0x2400_0002, ObjectType.BOOT_MANAGER, (), ["bootsequence"]),
    (0x1200_0030, ObjectType.OS_LOADER, "a\x1b[2Jb", ["loadoptions             a\\u001b[2Jb"]),
    (
        0x1600_0009,
        ObjectType.OS_LOADER,
        Raw(RegistryData(4, b"\1\0")),
        ["recoveryenabled         not understood: type 4, 0100"],
    ),
    (0x2800_0001, ObjectType.OS_LOADER, b"\1\2", ["custom:28000001         0102"]),
]


@pytest.mark.parametrize(("element", "kind", "value", "expected"), ELEMENTS)
def test_elements(element: int, kind: int, value: Value, expected: list[str]) -> None:
    item = bcd_edit.make(OPTIONS, kind, {element: value})
    lines = [*bcd_text.lines(Store((), (item,)))]
    assert lines[3:] == expected


@pytest.mark.parametrize(
    ("identifier", "kind", "title"),
    [
        (bcd_names.FWBOOTMGR, 0x1010_0001, "Firmware Boot Manager"),
        (OPTIONS, 0x101F_FFFF, "Firmware Application (101fffff)"),
        (bcd_names.NTLDR, 0x1030_0006, "Windows Legacy OS Loader"),
        (OPTIONS, 0x1040_0008, "Real-mode Boot Sector"),
        (bcd_names.RAMDISK_OPTIONS, 0x3000_0000, "Setup Ramdisk Options"),
        ("{a1943bbc-ea85-487c-97c7-c9ede908a38a}", 0x1020_0003, "OS Target Template"),
        (OPTIONS, 0x1020_000A, "Windows Boot Application (1020000a)"),
        (OPTIONS, 0x9999_9999, "Unknown (99999999)"),
    ],
)
def test_titles(identifier: str, kind: int, title: str) -> None:
    assert bcd_names.title(identifier, kind) == title


def test_names_and_numbers_lead_back() -> None:
    for kind in ObjectType:
        for name in (
            "device",
            "osdevice",
            "nx",
            "displayorder",
            "ramdisksdipath",
            "custom:21000026",
        ):
            number = bcd_names.element_type(name, kind)
            if number is not None:
                assert bcd_names.element_name(number, kind) == name
    assert bcd_names.element_type("OSDevice", ObjectType.OS_LOADER) == 0x2100_0001
    assert bcd_names.element_type("osdevice", ObjectType.BOOT_MANAGER) is None
    assert bcd_names.element_type("custom:0x16000067", ObjectType.OS_LOADER) == 0x1600_0067
    assert bcd_names.element_type("custom:xyz", ObjectType.OS_LOADER) is None
    assert bcd_names.number_named("nx", "optout") == 1
    assert bcd_names.number_named("nx", "maybe") is None
