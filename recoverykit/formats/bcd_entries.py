"""The objects that make a boot store: what bcdboot and Windows media write, as builders.

Every builder gives what real stores of that kind hold, no more: tests compare them element by
element with those of Windows 10 media and of machines that bcdboot set up. Sources beside them:
windows-boot-facts.md section 4, Microsoft's BCD-Template as mattifestation/BCD quotes it.
GUIDs of new objects come from the caller; well-known ones are in `bcd_names`.
"""

from __future__ import annotations

from enum import StrEnum

from recoverykit.formats import bcd_names as names
from recoverykit.formats.bcd import Object, Store, Value
from recoverykit.formats.bcd_device import Boot, Device, Ramdisk, Where
from recoverykit.formats.bcd_edit import make
from recoverykit.formats.bcd_names import ObjectType
from recoverykit.formats.hive import REG_DWORD, REG_SZ
from recoverykit.model import RegistryData

LOCALE = "en-US"
_STANDARD_MENU = 1  # bootmenupolicy
_RECOVERY_MESSAGE = 3  # displaymessage
_IN_MEMORY = (0x1500_0075,)  # allowedinmemorysettings, as every real store has it
_SERIAL, _LOCAL = 0, 4  # debugtype


class Firmware(StrEnum):
    """What starts the boot manager: it decides which files are named."""

    UEFI = "uefi"
    BIOS = "bios"


def _program(firmware: Firmware, stem: str) -> str:
    return f"{stem}.efi" if firmware is Firmware.UEFI else f"{stem}.exe"


# --- stores -------------------------------------------------------------------------------


def empty(*, key_name: str = "BCD00000000", system: bool = False) -> Store:
    """A store without objects. `system` marks the one a computer starts from."""
    one = RegistryData(REG_DWORD, (1).to_bytes(4, "little"))
    marks = (("System", one), ("TreatAsSystem", one)) if system else ()
    name = RegistryData(REG_SZ, f"{key_name}\0".encode("utf-16-le"))
    return Store((("KeyName", name), *marks))


def media_store(
    firmware: Firmware,
    *,
    wim: str = "\\sources\\boot.wim",
    sdi: str = "\\boot\\boot.sdi",
    description: str = "Windows Setup",
    locale: str = LOCALE,
    timeout: int = 30,
    memory_tester: bool = False,
) -> Store:
    """What a medium needs to start Windows PE from a WIM on itself, as Windows media have it.

    `memory_tester` only where memtest lies on the medium, too.
    """
    objects = [
        *_settings(media=True),
        ramdisk_options(names.SETUP_OPTIONS, sdi),
        ramdisk_entry(
            names.SETUP_ENTRY,
            names.SETUP_OPTIONS,
            wim,
            firmware=firmware,
            description=description,
            locale=locale,
        ),
        boot_manager(
            firmware,
            None,
            names.SETUP_ENTRY,
            locale=locale,
            timeout=timeout,
            memory_tester=memory_tester,
        ),
    ]
    if memory_tester:
        objects.append(memory_diagnostic(firmware, Boot(), locale=locale, media=True))
    return _filled(empty(), objects)


def windows_store(
    firmware: Firmware,
    system: Where,
    windows: Where,
    *,
    entry: str,
    resume: str,
    description: str,
    locale: str = LOCALE,
    systemroot: str = "\\Windows",
) -> Store:
    """What a computer needs to start one Windows, as bcdboot makes it.

    `system` is the partition of the boot manager, `windows` the one of Windows; `entry` and
    `resume` are GUIDs of the two new objects.
    """
    objects = [
        *_settings(media=False),
        boot_manager(firmware, system, entry, resume=resume, locale=locale, memory_tester=True),
        windows_entry(
            entry,
            windows,
            firmware=firmware,
            description=description,
            resume=resume,
            locale=locale,
            systemroot=systemroot,
        ),
        resume_entry(resume, windows, firmware=firmware, locale=locale, systemroot=systemroot),
        memory_diagnostic(firmware, system, locale=locale),
    ]
    return _filled(empty(system=True), objects)


def _filled(store: Store, objects: list[Object]) -> Store:
    return Store(store.description, tuple(sorted(objects, key=lambda item: item.id)))


# --- entries ------------------------------------------------------------------------------


def boot_manager(
    firmware: Firmware,
    device: Where | None,
    default: str,
    *,
    order: tuple[str, ...] = (),
    resume: str = "",
    locale: str = LOCALE,
    timeout: int = 30,
    memory_tester: bool = False,
) -> Object:
    """{bootmgr}: `device` None for media, whose boot manager knows where it came from."""
    elements: dict[int, Value] = {
        0x1200_0004: "Windows Boot Manager",
        0x1200_0005: locale,
        0x1400_0006: (names.GLOBAL_SETTINGS,),
        0x2300_0003: default,
        0x2400_0001: order or (default,),
        0x2500_0004: timeout,
    }
    if device is not None:
        elements[0x1100_0001] = Device(device)
        if firmware is Firmware.UEFI:
            elements[0x1200_0002] = "\\EFI\\Microsoft\\Boot\\bootmgfw.efi"
    if resume:
        elements[0x2300_0006] = resume
    if memory_tester:
        elements[0x2400_0010] = (names.MEMDIAG,)
    return make(names.BOOTMGR, ObjectType.BOOT_MANAGER, elements)


def windows_entry(
    identifier: str,
    device: Where,
    *,
    firmware: Firmware,
    description: str,
    resume: str = "",
    recovery: str = "",
    locale: str = LOCALE,
    systemroot: str = "\\Windows",
) -> Object:
    """An installed Windows; `recovery` is the GUID of its recovery environment's entry."""
    elements = _application(firmware, device, f"{systemroot}\\system32\\winload", locale)
    elements |= {
        0x1200_0004: description,
        0x1400_0006: (names.LOADER_SETTINGS,),
        0x1700_0077: _IN_MEMORY,
        0x2100_0001: Device(device),
        0x2200_0002: systemroot,
        0x2500_0020: 0,
        0x2500_00C2: _STANDARD_MENU,
    }
    if resume:
        elements[0x2300_0003] = resume
    if recovery:
        elements |= _recovered_by(recovery) | {0x1500_0066: _RECOVERY_MESSAGE}
    return make(identifier, ObjectType.OS_LOADER, elements)


def resume_entry(
    identifier: str,
    device: Where,
    *,
    firmware: Firmware,
    recovery: str = "",
    locale: str = LOCALE,
    systemroot: str = "\\Windows",
) -> Object:
    """What wakes a hibernated Windows; Windows adds the hibernation file's device itself."""
    elements = _application(firmware, device, f"{systemroot}\\system32\\winresume", locale)
    elements |= {
        0x1200_0004: "Windows Resume Application",
        0x1400_0006: (names.RESUME_SETTINGS,),
        0x1700_0077: _IN_MEMORY,
        0x2200_0002: "\\hiberfil.sys",
        0x2500_0008: _STANDARD_MENU,
    }
    if recovery:
        elements |= _recovered_by(recovery)
    return make(identifier, ObjectType.RESUME, elements)


def ramdisk_entry(
    identifier: str,
    options: str,
    wim: str,
    *,
    firmware: Firmware,
    description: str,
    parent: Where | None = None,
    locale: str = LOCALE,
) -> Object:
    """Windows PE from a WIM: on the device the boot manager came from, or on `parent`."""
    device = Ramdisk(wim, parent or Boot())
    elements = _application(firmware, device, "\\windows\\system32\\boot\\winload", locale, options)
    elements |= {
        0x1200_0004: description,
        0x1400_0006: (names.LOADER_SETTINGS,),
        0x2100_0001: Device(device, options),
        0x2200_0002: "\\windows",
        0x2500_00C2: _STANDARD_MENU,
        0x2600_0010: True,
        0x2600_0022: True,
        0x2600_00B0: False,
    }
    return make(identifier, ObjectType.OS_LOADER, elements)


def recovery_entry(
    identifier: str,
    options: str,
    device: Where,
    *,
    firmware: Firmware,
    wim: str = "\\Recovery\\WindowsRE\\Winre.wim",
    locale: str = LOCALE,
) -> Object:
    """The recovery environment of an installed Windows, on the partition `device`."""
    image = Device(Ramdisk(wim, device), options)
    elements: dict[int, Value] = {
        0x1100_0001: image,
        0x1200_0002: _program(firmware, "\\windows\\system32\\winload"),
        0x1200_0004: "Windows Recovery Environment",
        0x1200_0005: locale,
        0x1400_0006: (names.LOADER_SETTINGS,),
        0x1500_0065: _RECOVERY_MESSAGE,
        0x2100_0001: image,
        0x2200_0002: "\\windows",
        0x2500_0020: 0,
        0x2500_00C2: _STANDARD_MENU,
        0x2600_0022: True,
        0x4600_0010: True,
    }
    return make(identifier, ObjectType.OS_LOADER, elements)


def ramdisk_options(
    identifier: str, sdi: str, device: Where | None = None, *, description: str = ""
) -> Object:
    """Where the boot.sdi of a RAM disk lies: the disk image a WIM is put into."""
    elements: dict[int, Value] = {0x3100_0003: Device(device or Boot()), 0x3200_0004: sdi}
    if description:
        elements[0x1200_0004] = description
    return make(identifier, ObjectType.DEVICE_OPTIONS, elements)


def memory_diagnostic(
    firmware: Firmware, device: Where, *, locale: str = LOCALE, media: bool = False
) -> Object:
    """{memdiag}: media leave out the permission to use memory known as bad."""
    uefi = firmware is Firmware.UEFI
    folder = (
        "\\boot" if not uefi else "\\efi\\microsoft\\boot" if media else "\\EFI\\Microsoft\\Boot"
    )
    elements: dict[int, Value] = {
        0x1100_0001: Device(device),
        0x1200_0002: _program(firmware, f"{folder}\\memtest"),
        0x1200_0004: "Windows Memory Diagnostic",
        0x1200_0005: locale,
        0x1400_0006: (names.GLOBAL_SETTINGS,),
    }
    if not media:
        elements[0x1600_000B] = True
    return make(names.MEMDIAG, ObjectType.MEMORY_TESTER, elements)


def _application(
    firmware: Firmware, device: Where, stem: str, locale: str, options: str = ""
) -> dict[int, Value]:
    elements: dict[int, Value] = {
        0x1100_0001: Device(device, options),
        0x1200_0002: _program(firmware, stem),
        0x1200_0005: locale,
    }
    if firmware is Firmware.UEFI:
        elements[0x1600_0060] = True  # isolatedcontext
    return elements


def _recovered_by(recovery: str) -> dict[int, Value]:
    return {0x1400_0008: (recovery,), 0x1600_0009: True}


def _settings(*, media: bool) -> tuple[Object, ...]:
    """The groups that everything inherits from, as media and installed systems have them."""
    debugger: dict[int, Value] = {0x1500_0011: _LOCAL}
    hypervisor: dict[int, Value] = {0x2500_00F3: 0, 0x2500_00F4: 1, 0x2500_00F5: 115_200}
    inherited: tuple[str, ...] = (names.DEBUGGER_SETTINGS, names.EMS_SETTINGS, names.BAD_MEMORY)
    if media:
        debugger = {0x1500_0011: _SERIAL, 0x1500_0013: 1, 0x1500_0014: 115_200}
        hypervisor[0x1200_0004] = "Hypervisor Settings"
        inherited = inherited[:2]
    loader = (names.GLOBAL_SETTINGS, names.HYPERVISOR_SETTINGS)
    common, loaders = ObjectType.SETTINGS, ObjectType.LOADER_SETTINGS
    groups = (
        make(names.EMS_SETTINGS, common, {0x1600_0020: False}),
        make(names.DEBUGGER_SETTINGS, common, debugger),
        make(names.GLOBAL_SETTINGS, common, {0x1400_0006: inherited}),
        make(names.LOADER_SETTINGS, loaders, {0x1400_0006: loader}),
        make(names.HYPERVISOR_SETTINGS, loaders, hypervisor),
    )
    if media:
        return groups
    everything: dict[int, Value] = {0x1400_0006: (names.GLOBAL_SETTINGS,)}
    return (
        *groups,
        make(names.BAD_MEMORY, common, {}),
        make(names.RESUME_SETTINGS, ObjectType.RESUME_SETTINGS, everything),
    )
