"""What Windows' own Startup Repair found and tried.

The log of an attempt lies in the Windows it tried to repair (SrtTrail.txt); a machine where it
never ran has no log, which is no gap. Some releases and tools call the file SrtTrail.log.
"""

from __future__ import annotations

from collections.abc import Iterator

from recoverykit.errors import RecoveryKitError, why
from recoverykit.evidence import reading
from recoverykit.formats import srttrail
from recoverykit.model import Evidence, Gap, Source, StartupRepair, WindowsInstall

FOLDER = "System32/LogFiles/Srt"
NAMES = ("SrtTrail.txt", "SrtTrail.log")
MAX_BYTES = 8 << 20  # a thousand sessions


def collect(install: WindowsInstall) -> Iterator[Evidence]:
    """The last session of every log there is."""
    for name in NAMES:
        path = f"{install.folder}/{FOLDER}/{name}"
        try:
            yield from _read(install, path)
        except (OSError, RecoveryKitError) as exc:
            yield Gap(Source(path), f"The log of Startup Repair cannot be read: {why(exc)}.")


def _read(install: WindowsInstall, path: str) -> Iterator[Evidence]:
    content = reading.beginning(install.mount, path, MAX_BYTES)
    if content is None or not content.data.strip(b"\0"):
        return
    if content.size > MAX_BYTES:
        yield Gap(Source(content.path), f"The log is larger than {MAX_BYTES} bytes: not read.")
        return
    trail = srttrail.parse(content.data, content.written)
    told = next(filter(None, map(srttrail.bugcheck, trail.causes)), None)
    yield StartupRepair(
        source=Source(content.path, trail.line),
        written=content.written,
        last_good=trail.last_good,
        attempts=trail.attempts,
        directory=trail.directory,
        causes=trail.causes,
        files=trail.files,
        actions=trail.actions,
        failed_tests=trail.failed_tests,
        areas=tuple(srttrail.cause_area(cause) for cause in trail.causes),
        sessions=trail.sessions,
        bugcheck=told[0] if told else 0,
        parameters=told[1] if told else (),
    )
