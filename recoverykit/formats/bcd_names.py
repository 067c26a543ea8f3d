"""What bcdedit calls the objects, elements and values of boot stores: facts as data.

Sources: element names from Microsoft's "BCD settings and BitLocker" (its whole list), the later
ones and the values from Geoff Chappell's "BCD Elements" as quoted by phnt ntbcd.h and
mattifestation/BCD; GUIDs from phnt ntbcd.h, {resumeloadersettings} as real stores have it;
titles from outputs of `bcdedit /enum all /v` that people published (docs/bcd.md names them).
An element without a name there is `custom:xxxxxxxx`, as bcdedit prints it.
"""

from __future__ import annotations

from enum import IntEnum


class ObjectType(IntEnum):
    """The type words of objects: 4 bits what it is, 4 bits image or class, 20 bits application."""

    FIRMWARE_BOOT_MANAGER = 0x1010_0001
    BOOT_MANAGER = 0x1010_0002
    FIRMWARE_APPLICATION = 0x101F_FFFF
    OS_LOADER = 0x1020_0003
    RESUME = 0x1020_0004
    MEMORY_TESTER = 0x1020_0005
    LEGACY_LOADER = 0x1030_0006
    BOOT_SECTOR = 0x1040_0008
    SETTINGS = 0x2010_0000  # inherited by anything
    LOADER_SETTINGS = 0x2020_0003
    RESUME_SETTINGS = 0x2020_0004
    DEVICE_OPTIONS = 0x3000_0000


# --- objects ------------------------------------------------------------------------------

BOOTMGR = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}"
FWBOOTMGR = "{a5a30fa2-3d06-4e9f-b5f4-a01df9d1fcba}"
MEMDIAG = "{b2721d73-1db4-4c62-bf78-c548a880142d}"
NTLDR = "{466f5a88-0af2-4f76-9038-095b170dc21c}"
GLOBAL_SETTINGS = "{7ea2e1ac-2e61-4728-aaa3-896d9d0a9f0e}"
LOADER_SETTINGS = "{6efb52bf-1766-41db-a6b3-0ee5eff72bd7}"
RESUME_SETTINGS = "{1afa9c49-16ab-4a5c-901b-212802da9460}"
DEBUGGER_SETTINGS = "{4636856e-540f-4170-a130-a84776f4c654}"
KERNEL_DEBUGGER_SETTINGS = "{313e8eed-7098-4586-a9bf-309c61f8d449}"
EMS_SETTINGS = "{0ce4991b-e6b3-4b16-b23c-5e0d9250e5d9}"
BAD_MEMORY = "{5189b25c-5558-4bf2-bca4-289b11bd29e2}"
HYPERVISOR_SETTINGS = "{7ff607e0-4395-11db-b0de-0800200c9a66}"
RAMDISK_OPTIONS = "{ae5534e0-a924-466c-b836-758539a3ee3a}"
SETUP_ENTRY = "{7619dcc9-fafe-11d9-b411-000476eba25f}"  # the entry of Windows Setup media
SETUP_OPTIONS = "{7619dcc8-fafe-11d9-b411-000476eba25f}"  # and its RAM disk's options

ALIASES = {
    BOOTMGR: "{bootmgr}",
    FWBOOTMGR: "{fwbootmgr}",
    MEMDIAG: "{memdiag}",
    NTLDR: "{ntldr}",
    GLOBAL_SETTINGS: "{globalsettings}",
    LOADER_SETTINGS: "{bootloadersettings}",
    RESUME_SETTINGS: "{resumeloadersettings}",
    DEBUGGER_SETTINGS: "{dbgsettings}",
    KERNEL_DEBUGGER_SETTINGS: "{kerneldbgsettings}",
    EMS_SETTINGS: "{emssettings}",
    BAD_MEMORY: "{badmemory}",
    HYPERVISOR_SETTINGS: "{hypervisorsettings}",
    RAMDISK_OPTIONS: "{ramdiskoptions}",
}

_TITLES_BY_ID = {
    EMS_SETTINGS: "EMS Settings",
    DEBUGGER_SETTINGS: "Debugger Settings",
    BAD_MEMORY: "RAM Defects",
    GLOBAL_SETTINGS: "Global Settings",
    HYPERVISOR_SETTINGS: "Hypervisor Settings",
    RAMDISK_OPTIONS: "Setup Ramdisk Options",
    "{cbd971bf-b7b8-4885-951a-fa03044f5d71}": "Windows Setup",
    "{7254a080-1510-4e85-ac0f-e7fb3d444736}": "Windows Setup",
    "{b012b84d-c47c-4ed5-b722-c0c42163e569}": "OS Target Template",
    "{a1943bbc-ea85-487c-97c7-c9ede908a38a}": "OS Target Template",
}
_TITLES: dict[int, str] = {
    ObjectType.FIRMWARE_BOOT_MANAGER: "Firmware Boot Manager",
    ObjectType.BOOT_MANAGER: "Windows Boot Manager",
    ObjectType.OS_LOADER: "Windows Boot Loader",
    ObjectType.RESUME: "Resume from Hibernate",
    ObjectType.MEMORY_TESTER: "Windows Memory Tester",
    ObjectType.LEGACY_LOADER: "Windows Legacy OS Loader",
    ObjectType.BOOT_SECTOR: "Real-mode Boot Sector",
    ObjectType.LOADER_SETTINGS: "Boot Loader Settings",
    ObjectType.RESUME_SETTINGS: "Resume Loader Settings",
    ObjectType.DEVICE_OPTIONS: "Device options",
}
_KINDS = {
    0x101: "Firmware Application",
    0x102: "Windows Boot Application",
    0x103: "Legacy Loader",
    0x104: "Real-mode Application",
    0x201: "Settings",
    0x202: "Application Settings",
    0x203: "Device Settings",
    0x300: "Device options",
}


def title(identifier: str, object_type: int) -> str:
    """The heading of an object. Where no name is known the type word stands in parentheses."""
    known = _TITLES_BY_ID.get(identifier) or _TITLES.get(object_type)
    return known or f"{_KINDS.get(object_type >> 20, 'Unknown')} ({object_type:08x})"


# --- elements -----------------------------------------------------------------------------


def _table(text: str) -> dict[int, str]:
    words = text.split()
    return {int(number, 16): name for number, name in zip(words[::2], words[1::2], strict=True)}


_LIBRARY = _table("""
    11000001 device                 12000002 path                 12000004 description
    12000005 locale                 14000006 inherit              15000007 truncatememory
    14000008 recoverysequence       16000009 recoveryenabled      1700000a badmemorylist
    1600000b badmemoryaccess        1500000c firstmegabytepolicy  1500000d relocatephysical
    1500000e avoidlowmemory         1600000f traditionalkseg      16000010 bootdebug
    15000011 debugtype              15000012 debugaddress         15000013 debugport
    15000014 baudrate               15000015 channel              12000016 targetname
    16000017 noumex                 15000018 debugstart           12000019 busparams
    1500001a hostip                 1500001b port                 1600001c dhcp
    1200001d key                    1600001e vm                   1200001f hostipv6
    16000020 bootems                15000022 emsport              15000023 emsbaudrate
    12000030 loadoptions            16000040 advancedoptions      16000041 optionsedit
    15000042 keyringaddress         11000043 bootstatdevice       12000044 bootstatfilepath
    16000045 preservebootstat       16000046 graphicsmodedisabled 15000047 configaccesspolicy
    16000048 nointegritychecks      16000049 testsigning          1200004a fontpath
    1500004b integrityservices      1500004c volumebandid         16000050 extendedinput
    15000051 initialconsoleinput    15000052 graphicsresolution   16000053 restartonfailure
    16000054 highestmode            16000060 isolatedcontext      15000065 displaymessage
    15000066 displaymessageoverride 16000068 nobootuxtext         16000069 nobootuxprogress
    1600006a nobootuxfade           1600006c bootuxdisabled       16000072 nokeyboard
    16000074 bootshutdowndisabled   17000077 allowedinmemorysettings
    15000079 bootuxtransitiontime   1600007a mobilegraphics       1600007b forcefipscrypto
    1500007d booterrorux            1600007e flightsigning        1500007f measuredbootlogformat
    15000080 displayrotation        15000081 logcontrol           16000082 nofirmwaresync
    11000084 windowssyspart         16000087 numlock              12000088 additionalcipolicy
    15000088 linearaddress57        47000006 elementstomigrate
""")
_BOOT_MANAGER = _table("""
    24000001 displayorder           24000002 bootsequence         23000003 default
    25000004 timeout                26000005 resume               23000006 resumeobject
    24000007 startupsequence        24000010 toolsdisplayorder    26000020 displaybootmenu
    26000021 noerrordisplay         21000022 bcddevice            22000023 bcdfilepath
    26000024 hormenabled            26000025 hiberboot            22000026 passwordoverride
    22000027 pinpassphraseoverride  26000028 processcustomactionsfirst
    27000030 customactions          26000031 persistbootsequence  26000032 skipstartupsequence
    22000040 fverecoveryurl         22000041 fverecoverymessage
""")
_OS_LOADER = _table("""
    21000001 osdevice               22000002 systemroot           23000003 resumeobject
    26000004 stampdisks             26000010 detecthal            22000011 kernel
    22000012 hal                    22000013 dbgtransport         25000020 nx
    25000021 pae                    26000022 winpe                26000024 nocrashautoreboot
    26000025 lastknowngood          26000026 oslnointegritychecks 26000027 osltestsigning
    26000030 nolowmem               25000031 removememory         25000032 increaseuserva
    25000033 perfmem                26000040 vga                  26000041 quietboot
    26000042 novesa                 26000043 novga                25000050 clustermodeaddressing
    26000051 usephysicaldestination 25000052 restrictapiccluster  22000053 evstore
    26000054 uselegacyapicmode      25000055 x2apicpolicy         26000060 onecpu
    25000061 numproc                26000062 maxproc              25000063 configflags
    26000064 maxgroup               26000065 groupaware           25000066 groupsize
    26000070 usefirmwarepcisettings 25000071 msi                  25000072 pciexpress
    25000080 safeboot               26000081 safebootalternateshell
    26000090 bootlog                26000091 sos                  260000a0 debug
    260000a1 halbreakpoint          260000a2 useplatformclock     260000a3 forcelegacyplatform
    260000a4 useplatformtick        260000a5 disabledynamictick   250000a6 tscsyncpolicy
    260000b0 ems                    250000c0 forcefailure
    250000c1 driverloadfailurepolicy                              250000c2 bootmenupolicy
    260000c3 onetimeadvancedoptions 260000c4 onetimeoptionsedit   250000e0 bootstatuspolicy
    260000e1 disableelamdrivers     250000f0 hypervisorlaunchtype 220000f1 hypervisorpath
    260000f2 hypervisordebug        250000f3 hypervisordebugtype  250000f4 hypervisordebugport
    250000f5 hypervisorbaudrate     250000f6 hypervisorchannel    250000f7 bootux
    260000f8 hypervisordisableslat  220000f9 hypervisorbusparams  250000fa hypervisornumproc
    250000fb hypervisorrootprocpernode                            260000fc hypervisoruselargevtlb
    250000fd hypervisorhostip       250000fe hypervisorhostport   25000100 tpmbootentropy
    22000110 hypervisorusekey       22000112 hypervisorproductskutype
    25000113 hypervisorrootproc     26000114 hypervisordhcp       25000115 hypervisoriommupolicy
    26000116 hypervisorusevapic     22000117 hypervisorloadoptions
    25000118 hypervisormsrfilterpolicy                            25000119 hypervisormmionxpolicy
    2500011a hypervisorschedulertype                              25000120 xsavepolicy
    25000121 xsaveaddfeature0       25000122 xsaveaddfeature1     25000123 xsaveaddfeature2
    25000124 xsaveaddfeature3       25000125 xsaveaddfeature4     25000126 xsaveaddfeature5
    25000127 xsaveaddfeature6       25000128 xsaveaddfeature7     25000129 xsaveremovefeature
    2500012a xsaveprocessorsmask    2500012b xsavedisable         2500012c kerneldebugtype
    2200012d kernelbusparams        2500012e kerneldebugaddress   2500012f kerneldebugport
    25000130 claimedtpmcounter      25000131 kernelchannel        22000132 kerneltargetname
    25000133 kernelhostip           25000134 kernelport           26000135 kerneldhcp
    22000136 kernelkey              22000137 imchivename          21000138 imcdevice
    25000139 kernelbaudrate         22000140 mfgmode              26000141 event
    25000142 vsmlaunchtype          25000144 hypervisorenforcedcodeintegrity
    21000150 systemdatadevice
""")
_RESUME = _table("""
    21000001 filedevice             22000002 filepath             26000003 customsettings
    26000004 pae                    21000005 associatedosdevice   26000006 debugoptionenabled
    25000007 bootux                 25000008 bootmenupolicy       26000024 hormenabled
""")
_MEMORY_TESTER = _table("""
    25000001 passcount              25000002 testmix              26000003 cacheenable
    26000004 failuresenabled        25000005 stridefailcount      25000006 invcfailcount
    25000007 matsfailcount          25000008 randfailcount        25000009 chckrfailcount
""")
_LEGACY = _table("22000001 bpbstring")
_DEVICE_OPTIONS = _table("""
    35000001 ramdiskimageoffset     35000002 ramdisktftpclientport
    31000003 ramdisksdidevice       32000004 ramdisksdipath       35000005 ramdiskimagelength
    36000006 exportascd             35000007 ramdisktftpblocksize 35000008 ramdisktftpwindowsize
    36000009 ramdiskmcenabled       3600000a ramdiskmctftpfallback
    3600000b ramdisktftpvarwindow
""")
_BY_APPLICATION = {
    1: _BOOT_MANAGER,
    2: _BOOT_MANAGER,
    3: _OS_LOADER,
    4: _RESUME,
    5: _MEMORY_TESTER,
    6: _LEGACY,
    8: _LEGACY,
}


def _application(object_type: int) -> dict[int, str]:
    """The names an object's own elements have: they depend on which application it is for."""
    if object_type >> 28 in (1, 2):
        return _BY_APPLICATION.get(object_type & 0xF_FFFF, {})
    return {}


def element_name(element: int, object_type: int) -> str:
    """As bcdedit prints it: "osdevice", or "custom:21000026" for what it has no name for."""
    known = (_LIBRARY, _application(object_type), _DEVICE_OPTIONS)
    return next((names[element] for names in known if element in names), f"custom:{element:08x}")


def element_type(name: str, object_type: int) -> int | None:
    """The opposite, for the options of `bcdedit /set`, in any case; None for an unknown name."""
    wanted = name.lower()
    if wanted.startswith("custom:"):
        digits = wanted.removeprefix("custom:").removeprefix("0x")
        return int(digits, 16) if len(digits) == 8 and _is_hex(digits) else None
    for names in (_LIBRARY, _application(object_type), _DEVICE_OPTIONS):
        for number, known in names.items():
            if known == wanted:
                return number
    return None


def _is_hex(digits: str) -> bool:
    return all(digit in "0123456789abcdef" for digit in digits)


# --- values -------------------------------------------------------------------------------

_DEBUG = "Serial 1394 USB NET Local"
_MESSAGES = (
    "Default Resume HyperV Recovery StartupRepair SystemImageRecovery CommandPrompt SystemRestore "
    "PushButtonReset"
)
_VALUES = {
    name: tuple(values.split())
    for name, values in {
        "bootmenupolicy": "Legacy Standard",
        "booterrorux": "Legacy Standard Simple",
        "bootstatuspolicy": "DisplayAllFailures IgnoreAllFailures IgnoreShutdownFailures "
        "IgnoreBootFailures IgnoreCheckpointFailures DisplayShutdownFailures DisplayBootFailures "
        "DisplayCheckpointFailures AlwaysDisplayStartupFailures",
        "bootux": "Disabled Basic Standard",
        "configaccesspolicy": "Default DisallowMmConfig",
        "debugstart": "Active AutoEnable Disable",
        "debugtype": _DEBUG,
        "displaymessage": _MESSAGES,
        "displaymessageoverride": _MESSAGES,
        "driverloadfailurepolicy": "Fatal UseErrorControl",
        "firstmegabytepolicy": "UseNone UseAll UsePrivate",
        "graphicsresolution": "1024x768 800x600 1024x600",
        "hypervisordebugtype": "Serial 1394 None NET",
        "hypervisoriommupolicy": "Default Enable Disable",
        "hypervisorlaunchtype": "Off Auto",
        "integrityservices": "Default Enable Disable",
        "kerneldebugtype": _DEBUG,
        "linearaddress57": "Default OptOut OptIn",
        "measuredbootlogformat": "Default Sha1",
        "msi": "Default ForceDisable",
        "nx": "OptIn OptOut AlwaysOff AlwaysOn",
        "pae": "Default ForceEnable ForceDisable",
        "pciexpress": "Default ForceDisable",
        "safeboot": "Minimal Network DsRepair",
        "tpmbootentropy": "Default ForceDisable ForceEnable",
        "tscsyncpolicy": "Default Legacy Enhanced",
        "vsmlaunchtype": "Off Auto",
        "x2apicpolicy": "Default Disable Enable",
    }.items()
}
_IN_HEX = frozenset(
    {
        "allowedinmemorysettings",
        "avoidlowmemory",
        "badmemorylist",
        "debugaddress",
        "elementstomigrate",
        "kerneldebugaddress",
        "keyringaddress",
        "relocatephysical",
        "truncatememory",
    }
)
_ADDRESSES = frozenset({"hostip", "hypervisorhostip", "kernelhostip"})


def number(name: str, value: int) -> str:
    """An integer as bcdedit prints it for the element of that name."""
    words = _VALUES.get(name, ())
    if value < len(words):
        return words[value]
    if name in _ADDRESSES and value < 1 << 32:
        return ".".join(str(value >> shift & 0xFF) for shift in (24, 16, 8, 0))
    return f"{value:#x}" if name in _IN_HEX else str(value)


def number_named(name: str, word: str) -> int | None:
    """The opposite for words, in any case: ("nx", "optin") -> 0. None for an unknown word."""
    words = [value.lower() for value in _VALUES.get(name, ())]
    return words.index(word.lower()) if word.lower() in words else None
