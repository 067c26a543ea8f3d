"""How the last boots went, as the loader, the kernel and the boot manager note it for each other.

bootstat.dat of the Windows folder says whether the last boot came up and was shut down, and holds
the loader's log: a loader that "started" without a "kernel" after it died in between. The boot
volume's BOOTSTAT.DAT is the boot manager's log; a recovery environment that was launched in place
of Windows shows there. Only the newest events are told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

from recoverykit.errors import FormatError, RecoveryKitError, why
from recoverykit.evidence import reading
from recoverykit.evidence.reading import Content
from recoverykit.formats import boot_manager_log, bootstat
from recoverykit.model import (
    BootManagerEvent,
    BootStatus,
    Evidence,
    Gap,
    Source,
    Volume,
    WindowsInstall,
)

BOOT_LOGS = ("EFI/Microsoft/Boot/BOOTSTAT.DAT", "Boot/BOOTSTAT.DAT")
MAX_EVENTS = 100  # the newest of each log: the last thirty boots
_SIZE = bootstat.STATUS_SIZE + boot_manager_log.LOG_SIZE


def collect(install: WindowsInstall) -> Iterator[Evidence]:
    """bootstat.dat of the Windows folder: its status, and the events of the loader's log."""
    name = f"{install.folder}/bootstat.dat"
    try:
        content = reading.beginning(install.mount, name, _SIZE)
    except (OSError, RecoveryKitError) as exc:
        yield Gap(Source(name), f"The boot status cannot be read: {why(exc)}.")
        return
    if content is None:
        return
    yield _status(content)
    yield from _events(content, bootstat.LOG_OFFSET)


def collect_boot_volume(volume: Volume, mount: Path) -> Iterator[Evidence]:
    """The boot manager's log on an EFI system partition or a BIOS boot partition."""
    for name in BOOT_LOGS:
        try:
            content = reading.beginning(mount, name, boot_manager_log.LOG_SIZE)
        except (OSError, RecoveryKitError) as exc:
            reason = f"The boot manager's log on {volume.name} cannot be read: {why(exc)}."
            yield Gap(Source(name), reason)
            continue
        if content is not None:
            yield from _events(content, 0)


def _status(content: Content) -> Evidence:
    try:
        status = bootstat.parse(content.data[: bootstat.STATUS_SIZE])
    except FormatError as exc:
        return Gap(Source(content.path, exc.offset), f"The boot status is not usable: {why(exc)}.")
    return BootStatus(
        source=Source(content.path, 0),
        written=content.written,
        succeeded=status.succeeded,
        shut_down=status.shut_down,
        attempts=status.attempts,
        checkpoint=status.checkpoint,
        boot_id=status.boot_id,
        error_boot=status.error_boot,
        error_code=status.error_code,
        error_repeats=status.error_repeats,
    )


def _events(content: Content, base: int) -> Iterator[Evidence]:
    """The newest events of the log that begins at `base`."""
    try:
        log = boot_manager_log.parse(content.data[base:])
    except FormatError as exc:
        yield Gap(
            Source(content.path, base + exc.offset),
            f"The boot log is not usable: {why(exc)}.",
        )
        return
    for event in deque(log.events, maxlen=MAX_EVENTS):
        yield BootManagerEvent(
            source=Source(content.path, base + event.offset),
            when=event.when,
            what=event.what,
            application=event.application,
            status=event.status,
        )
    if log.problem:
        reason = f"The boot log was not read to its end: {log.problem}."
        yield Gap(Source(content.path, base), reason)
