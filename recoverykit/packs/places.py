"""Which files of a target a pack may move away or replace. Pure.

A pack names files by patterns, so what it must never touch is decided here again, for every file
that it found: what Windows starts from, hives, what Windows keeps whole by itself (WinSxS,
catalogs, the DriverStore), our own journal, and drivers in use, which have a verb of their own.
Inside the Windows folder only what is listed may be moved; elsewhere everything but what is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from recoverykit.formats.hive import fold
from recoverykit.model import Evidence, Service, Source, StartType, WindowsInstall
from recoverykit.repair import guard

_IN_WINDOWS = (  # folders below it, folded
    "SYSTEM32/DRIVERS/",
    "SYSTEM32/SPOOL/",
    "SOFTWAREDISTRIBUTION/",
    "LIVEKERNELREPORTS/",
    "MINIDUMP/",
    "TEMP/",
)
_DRIVERS = "SYSTEM32/DRIVERS/"
_NOT_OURS = frozenset(
    ("BOOT", "EFI", "RECOVERY", "RECOVERYKIT", "SYSTEM VOLUME INFORMATION", "CONFIG.MSI")
)
_HIVE = re.compile(r"(NTUSER|USRCLASS)\.(DAT|MAN)([.{].*)?", re.IGNORECASE)


def refuse_moving(path: str, install: WindowsInstall, evidence: Sequence[Evidence]) -> str:
    """Why a file must stay, as a clause; "" where it may be moved."""
    folded = fold(path)
    first, _, rest = folded.partition("/")
    if not rest:
        return "it lies in the volume's root, where Windows starts from"
    if first in _NOT_OURS or first.startswith("$"):
        return f"{path.partition('/')[0]} is not touched by packs"
    if _HIVE.fullmatch(path.rpartition("/")[2]):
        return "it is a user's registry"
    if first == fold(install.folder) and not rest.startswith(_IN_WINDOWS):
        return "it is part of Windows"
    for item in evidence:
        if isinstance(item, Service) and item.path and fold(item.path) == folded:
            if item.start is not StartType.DISABLED:
                return f"the service {item.name} loads it: quarantine that driver instead"
            break
    return _vital(path, rest, install, evidence)


def _vital(path: str, rest: str, install: WindowsInstall, evidence: Sequence[Evidence]) -> str:
    """A driver that others link to has no service, but its name may say what hangs on it."""
    name = path.rpartition("/")[2].lower()
    if not name.endswith(".sys") or rest.rpartition("/")[0] + "/" != _DRIVERS:
        return ""
    stem = name.removesuffix(".sys")
    assumed = Service(Source(path), stem, StartType.DEMAND, 1, 1, name, path, "")
    refusal = guard.refuse(assumed, evidence, install=install)
    return f"{name} is {refusal.role}" if refusal is not None else ""


def refuse_replacing(path: str, install: WindowsInstall, evidence: Sequence[Evidence]) -> str:
    """The same for a file that others take the place of: drivers only."""
    if not path.lower().endswith(".sys"):
        return "only a driver (.sys) is replaced"
    folded = fold(path)
    if folded.startswith(f"{fold(install.folder)}/{_DRIVERS}"):
        return ""
    used = any(isinstance(item, Service) and fold(item.path or "") == folded for item in evidence)
    return "" if used else "it is no driver of this Windows"
