"""Driver installs, updates and removals that SetupAPI logged.

`INF\\setupapi.dev.log` of the Windows folder; Windows starts a new one now and then and keeps the
old as `setupapi.dev.<date>_<time>.log`. The end of the log is what matters: a log of any size
costs its newest 4 MiB, and an older one is opened only where the newest covers less than a month.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from recoverykit import installs
from recoverykit.errors import RecoveryKitError
from recoverykit.evidence import reading
from recoverykit.formats import setupapi
from recoverykit.model import Evidence, Gap, Source, WindowsInstall

LOG = "INF/setupapi.dev.log"
MAX_BYTES = 4 << 20  # some 2,000 device installs
MAX_SECTION = 32 << 20  # a feature update may log one section of this size
ENOUGH = timedelta(days=30)

_ROTATED = re.compile(r"setupapi\.dev\.[0-9_.-]{8,30}\.log", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Read:
    log: setupapi.Log
    path: str
    skipped: int  # bytes before what was read


def collect(install: WindowsInstall, bias: int | None) -> Iterator[Evidence]:
    """What the newest logs tell, each oldest first. `bias`: minutes from local time to UTC."""
    name = f"{install.folder}/{LOG}"
    newest: _Read | None = None
    try:
        newest = _read(install, name, bias)
    except FileNotFoundError:
        yield Gap(Source(name), "there is no log of driver installs")
    except (OSError, RecoveryKitError) as exc:
        yield Gap(Source(name), f"the log of driver installs cannot be read: {exc}")
    if newest is not None:
        yield from _told(newest)
    if newest is None or _is_short(newest):
        yield from _older(install, bias)


def _told(read: _Read) -> Iterator[Evidence]:
    if read.skipped:
        reason = f"only its end was read: lines count from byte {read.skipped}"
        yield Gap(Source(read.path), reason)
    yield from read.log.installs


def _is_short(read: _Read) -> bool:
    if read.skipped:
        return False
    if read.log.first is None or read.log.last is None:
        return True
    return read.log.last - read.log.first < ENOUGH


def _older(install: WindowsInstall, bias: int | None) -> Iterator[Evidence]:
    """The newest of the logs that Windows has put aside."""
    folder = f"{install.folder}/INF"
    try:
        found = installs.locate(install.mount, folder)
        if found is None:
            return
        names = (entry.name for entry in (install.mount / found).iterdir())
        newest = max((name for name in names if _ROTATED.fullmatch(name)), default=None)
        if newest is None:
            return
        folder = f"{found}/{newest}"
        yield from _told(_read(install, folder, bias))
    except (OSError, RecoveryKitError) as exc:
        yield Gap(Source(folder), f"an older log of driver installs cannot be read: {exc}")


def _read(install: WindowsInstall, name: str, bias: int | None) -> _Read:
    """The log's end; more of it only where one section alone is longer than that."""
    content = reading.end(install.mount, name, MAX_BYTES)
    if content and content.skipped and b"\n>>>  [" not in content.data:
        content = reading.end(install.mount, name, MAX_SECTION)
    if content is None:
        raise FileNotFoundError(errno.ENOENT, "it is missing", name)
    log = setupapi.parse(content.data, content.path, bias)
    return _Read(log, content.path, content.skipped)
