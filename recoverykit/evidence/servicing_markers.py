"""What the registry holds of an update that waits for a boot.

Sources: MicrosoftDocs SupportArticles (stop error 7B, Windows boot issues), Guy Leech "Reasons for
Reboots" parts 1 and 2, and Azure's win-fix-pending-servicing (which values count, and that a
healthy machine keeps a record of each completed session). Windows 10 and later note the queue's
command as SideBySide\\Configuration\\PoqexecCmdline, earlier ones as SetupExecute; both are
confirmed by the real CBS.log of ../shared/data.
"""

from __future__ import annotations

from collections.abc import Iterator

from recoverykit import installs
from recoverykit.errors import FormatError, RecoveryKitError, why
from recoverykit.evidence import reading
from recoverykit.formats.hive import Hive, Key, Value
from recoverykit.formats.log_text import file_name
from recoverykit.formats.pfro import without_prefix
from recoverykit.model import (
    Evidence,
    Gap,
    PendingRename,
    PendingServicing,
    Source,
    WindowsInstall,
)

MAX_SOFTWARE = 256 << 20
MAX_COMPONENTS = 64 << 20
MAX_RENAMES = 2000
_MAX_SESSIONS = 20

_CURRENT = "Microsoft\\Windows\\CurrentVersion"
_CBS = f"{_CURRENT}\\Component Based Servicing"
_KEYS = {
    "RebootPending": "Servicing asks for a restart.",
    "RebootInProgress": "Servicing began the restart that finishes an update, and did not end it.",
    "PackagesPending": "Packages wait to be installed or removed.",
}
_COMPONENTS = (
    "PendingXmlIdentifier",
    "ExecutionState",
    "NextQueueEntryIndex",
    "NextQueueEntryIndexBCDB",
    "AdvancedInstallersNeedResolving",
    "StoreDirty",
)


def is_queue(text: str) -> bool:
    """Whether a command runs the queue of an update."""
    return "poqexec" in text.lower() or "pending.xml" in text.lower()


# --- SYSTEM -------------------------------------------------------------------------------


def system(install: WindowsInstall, hive: Hive) -> Iterator[Evidence]:
    """What the session manager is to do, and a setup that has not ended."""
    path = f"{install.control_set_key}\\Control\\Session Manager"
    try:
        manager = hive.find(path)
        if manager is not None:
            yield from _setup_execute(install, manager)
            for name in ("PendingFileRenameOperations", "PendingFileRenameOperations2"):
                yield from _renames(install, manager, name)
        setup = hive.find("Setup")
        if setup is not None:
            yield from _setup(install, setup)
    except FormatError as exc:
        reason = f"Not all of what waits for the next boot was read: {why(exc)}."
        yield Gap(Source(install.system_hive, exc.offset, path), reason)


def _setup_execute(install: WindowsInstall, manager: Key) -> Iterator[Evidence]:
    value = manager.value("SetupExecute")
    if value is None:
        return
    source = Source(install.system_hive, value.offset, f"{manager.path}\\SetupExecute")
    for entry in _entries(value):
        text = f'The session manager is to run "{reading.plain(entry)}".'
        yield PendingServicing(source, "SetupExecute", text, manager.last_written)


def _entries(value: Value) -> tuple[str, ...]:
    """Lines of a list; some tools write a plain string in its place."""
    found = value.strings if value.strings is not None else (value.string or "",)
    return tuple(entry for entry in found if entry.strip())


def _renames(install: WindowsInstall, manager: Key, name: str) -> Iterator[Evidence]:
    """Pairs. An empty second name deletes, so the list must not be cut at an empty string."""
    value = manager.value(name)
    if value is None:
        return
    source = Source(install.system_hive, value.offset, f"{manager.path}\\{name}")
    data = value.data
    parts = data[: len(data) & ~1].decode("utf-16-le", "replace").split("\0")
    for number, (old, new) in enumerate(zip(parts[::2], parts[1::2], strict=False)):
        if not old:
            return
        if number >= MAX_RENAMES:
            yield Gap(source, f"There are more than {MAX_RENAMES} renames: the rest was not read.")
            return
        old, new = without_prefix(old), without_prefix(new)
        yield PendingRename(source, old, new, _driver(new) or _driver(old))


def _driver(path: str) -> str:
    name = file_name(path)
    return name if name.endswith(".sys") else ""


def _setup(install: WindowsInstall, setup: Key) -> Iterator[Evidence]:
    value = setup.value("SystemSetupInProgress")
    if value is not None and value.dword:
        command = setup.value("CmdLine")
        line = reading.plain((command.string or "") if command else "")
        text = f'Windows Setup has not ended; it is to run "{line}".'
        source = Source(install.system_hive, value.offset, "Setup\\SystemSetupInProgress")
        yield PendingServicing(source, "SystemSetupInProgress", text, setup.last_written)


# --- SOFTWARE -----------------------------------------------------------------------------


def software(install: WindowsInstall) -> Iterator[Evidence]:
    """The marks of component based servicing."""
    path = install.software_hive
    try:
        hive, _ = installs.read_hive(install, path, limit=MAX_SOFTWARE)
    except (OSError, RecoveryKitError) as exc:
        yield Gap(Source(path), f"Whether an update waits is not known: {why(exc)}.")
        return
    try:
        yield from _queue_command(path, hive)
        for name, text in _KEYS.items():
            yield from _mark(path, hive, name, text)
        yield from _sessions(path, hive)
    except FormatError as exc:
        yield Gap(
            Source(path, exc.offset, _CBS),
            f"Whether an update waits is not known: {why(exc)}.",
        )


def _queue_command(path: str, hive: Hive) -> Iterator[Evidence]:
    key = hive.find(f"{_CURRENT}\\SideBySide\\Configuration")
    value = key.value("PoqexecCmdline") if key else None
    if key is None or value is None:
        return
    source = Source(path, value.offset, f"{key.path}\\PoqexecCmdline")
    for entry in _entries(value):
        text = f'The queue of an update is to be run by "{reading.plain(entry)}".'
        yield PendingServicing(source, "PoqexecCmdline", text, key.last_written)


def _mark(path: str, hive: Hive, name: str, text: str) -> Iterator[Evidence]:
    key = hive.find(f"{_CBS}\\{name}")
    if key is not None:
        source = Source(path, key.offset, key.path)
        yield PendingServicing(source, name, text, key.last_written)


def _sessions(path: str, hive: Hive) -> Iterator[Evidence]:
    """Sessions that never were completed; the completed ones stay on record for good."""
    root = hive.find(f"{_CBS}\\SessionsPending")
    if root is None:
        return
    told = 0
    for key in root.subkeys():
        complete = key.value("Complete")
        if complete is not None and complete.dword == 1:
            continue
        told += 1
        if told > _MAX_SESSIONS:
            return
        text = f"Servicing session {reading.plain(key.name)} was not completed."
        source = Source(path, key.offset, key.path)
        yield PendingServicing(source, "SessionsPending", text, key.last_written)


# --- COMPONENTS ---------------------------------------------------------------------------


def components(install: WindowsInstall) -> Iterator[Evidence]:
    """The component store's own marks. Read only where something waits: the hive is large."""
    path = f"{install.folder}/System32/config/COMPONENTS"
    try:
        found = installs.locate(install.mount, path)
        if found is None:
            return
        path = found
        root = installs.read_hive(install, path, limit=MAX_COMPONENTS)[0].root
        for name, value in zip(_COMPONENTS, root.values_of(*_COMPONENTS), strict=True):
            if value is not None and _is_set(value):
                text = f"The component store says {name}={_shown(value)}."
                source = Source(path, value.offset, name)
                yield PendingServicing(source, name, text, root.last_written)
    except (OSError, RecoveryKitError) as exc:
        yield Gap(Source(path), f"The component store was not asked about updates: {why(exc)}.")


def _is_set(value: Value) -> bool:
    """Absent, zero and empty say that nothing is open."""
    return bool(value.data.strip(b"\0"))


def _shown(value: Value) -> str:
    number = value.dword
    if number is not None:
        return str(number)
    text = value.string
    if text is None:  # the identifier is text in a binary value
        text = value.data[:128].decode("utf-16-le", "replace").partition("\0")[0]
    return text[:64] if text.isprintable() else value.data[:16].hex()
