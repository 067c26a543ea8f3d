"""What `recoverykit explain` says of every code of an area: where to look, and what it looks at."""

from __future__ import annotations

from recoverykit.diagnosis.knowledge import Area
from recoverykit.formats.bugcheck_address import Kind

_BCD = "bcd"  # an area that only the boot manager's errors have

# Where a dump's reader finds the driver: what a parameter does.
KINDS = {
    Kind.INSTRUCTION: "is an address of code",
    Kind.RECORD: "leads to the exception, which has the address of the code",
    Kind.CONTEXT: "leads to the processor's registers, which have the address of the code",
    Kind.TRAP: "leads to the trap frame, which has the address of the code",
    Kind.IRP: "leads to the request, which knows the driver that holds it",
    Kind.NAME: "leads to the driver's name",
}

FIRST = {
    Area.DRIVER: "At drivers that came or changed after the last good boot.",
    Area.DISK: "At the disk and the file system on it, before any driver.",
    Area.STORAGE: "At the drivers and filters between the controller and the boot volume.",
    Area.HIVE: "At the hives of the registry, SYSTEM first.",
    Area.HARDWARE: "At the hardware and its firmware, before any driver.",
    Area.SYSTEM: "At Windows' own files and at updates that did not finish.",
    Area.USER: "Nowhere: somebody wanted it. Look at why, if the machine hung before.",
    _BCD: "At the boot store, the boot files and the partitions they name.",
}
LOOKS: dict[str, tuple[str, ...]] = {
    Area.DRIVER: (
        "crash dumps: the module of the fault address, modules on the stack, unloaded modules",
        "drivers whose file or service was written after the last good boot; events 7045 and 7026",
        "ntbtlog.txt: where the failing boot's log ends, and what is new in it",
        "data files beside a driver that a crash names",
    ),
    Area.DISK: (
        "events of the disk, its controller and the file system (7, 11, 51, 55, 98, 129, 153)",
        "the state of the NTFS volume: dirty, an unclean journal, hibernated",
        "the status that crashes record for requests to the disk",
    ),
    Area.STORAGE: (
        "services of the controller, the disk and the volume: start type, StartOverride, file",
        "class and device filters of disks and volumes: do they exist, can they load",
        "the boot store: does its entry name this volume",
    ),
    Area.HIVE: (
        "SYSTEM and SOFTWARE: header, checksum, cells, and whether their logs make them whole",
        "the control set the next boot uses, and the last known good one",
    ),
    Area.HARDWARE: (
        "events of WHEA: fatal and corrected errors",
        "crashes with different codes and no common module, within a short time",
    ),
    Area.SYSTEM: (
        "pending.xml, pending renames and packages that wait for a restart; CBS.log and PFRO.log",
        "SrtTrail.txt: the root cause Startup Repair found, and the file it names",
        "drivers and files that code integrity refused",
    ),
    Area.USER: ("what else the logs hold of the session before it",),
    _BCD: (
        "the boot store: can it be read, does it have an entry for this Windows, on which volume",
        "the boot manager and the loader: are they there, for this firmware, whole",
    ),
}
