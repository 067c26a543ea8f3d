"""Whether Secure Boot was on when this Windows was last started, as it wrote it down itself.

Two things are kept. Where there is a TPM, what the firmware measured: a log for each start in
`Windows\\Logs\\MeasuredBoot` (Microsoft "Decode Measured Boot logs"). And since Windows 10 1607
code integrity tells at each start whether it will ask for signatures of Microsoft's own: events
3084 (yes) and 3085 (no), with the settings behind it (Geoff Chappell, "Back Doors for Cross-Signed
Drivers").
Neither is there on every machine, and Secure Boot may have been switched since.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from recoverykit import installs
from recoverykit.errors import FormatError, RecoveryKitError, why
from recoverykit.evidence import code_integrity, event_logs, reading
from recoverykit.formats import evtx, measured_boot
from recoverykit.model import Gap, Source, WindowsInstall

MEASURED = "Logs/MeasuredBoot"
_MAX_TRIED = 3  # logs, the newest first: one may have been cut off
_MAX_LISTED = 10_000
_MAX_CHUNKS = 32  # 2 MiB; the log has 1 MiB by default
_PROVIDER = "microsoft-windows-codeintegrity"
_ASKED, _NOT_ASKED = 3084, 3085
_ENFORCED_BY_SETTING = 2  # a bit of the event's settings


@dataclass(frozen=True, slots=True)
class Start:
    """What one start tells."""

    when: datetime
    source: Source
    secure_boot: bool | None = None  # measured
    whql: bool | None = None  # whether signatures of Microsoft's own were asked for
    by_settings: bool = False  # ... because of a setting or a policy, whatever Secure Boot is


def collect(install: WindowsInstall) -> Iterator[Start | Gap]:
    """The last measured start, and the last one that code integrity logged."""
    for path, read in (
        (f"{install.folder}/{MEASURED}", _measured),
        (f"{install.folder}/{code_integrity.LOG}", _logged),
    ):
        try:
            found = installs.locate(install.mount, path)
            if found is not None:
                yield from read(install, found)
        except (RecoveryKitError, OSError) as exc:
            yield Gap(Source(path), f"What it says of Secure Boot cannot be read: {why(exc)}.")


def _measured(install: WindowsInstall, folder: str) -> Iterator[Start | Gap]:
    for path in _newest(install, folder)[:_MAX_TRIED]:
        try:
            content = reading.beginning(install.mount, path, measured_boot.MAX_LOG + 1)
            is_on = measured_boot.secure_boot(content.data) if content else None
        except (RecoveryKitError, OSError) as exc:
            yield Gap(Source(path), f"What was measured at a start cannot be read: {why(exc)}.")
            continue
        if content is not None and is_on is not None:
            yield Start(content.written, Source(path), secure_boot=is_on)
            return


def _newest(install: WindowsInstall, folder: str) -> list[str]:
    """Its logs, the last written first."""
    found: list[tuple[int, str]] = []
    with os.scandir(install.mount / folder) as entries:
        for entry in entries:
            if entry.name.lower().endswith(".log") and entry.is_file(follow_symlinks=False):
                found.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.name))
            if len(found) == _MAX_LISTED:
                break
    return [f"{folder}/{name}" for _, name in sorted(found, reverse=True)]


def _logged(install: WindowsInstall, path: str) -> Iterator[Start | Gap]:
    with installs.on_disk(install.mount, path).open("rb") as stream:
        for content in event_logs.newest(stream, path, _wanted, _MAX_CHUNKS):
            if isinstance(content, Gap):
                yield content
            elif content.records:
                yield _told(content.records[-1], path)
                return


def _wanted(provider: str, event: int) -> bool:
    return provider == _PROVIDER and event in (_ASKED, _NOT_ASKED)


def _told(record: evtx.Record, path: str) -> Start:
    is_asked = record.event == _ASKED
    settings = _number(record.fields.get("Settings", ""))
    exempt = _number(record.fields.get("Exemption", "1"))
    forced = settings & _ENFORCED_BY_SETTING if is_asked else settings
    source = Source(path, record.offset)
    return Start(record.when, source, whql=is_asked, by_settings=bool(forced) or exempt == 0)


def _number(text: str) -> int:
    """Of an event's field: "0x80000000". Raises FormatError for what is none."""
    try:
        return int(text, 0)
    except ValueError as exc:
        raise FormatError("event", 0, f"{reading.plain(text, 20)!r} is no number") from exc
