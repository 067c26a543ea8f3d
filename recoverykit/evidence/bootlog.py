"""The boots that ntbtlog.txt records.

Absent on most machines: boot logging is off unless somebody, or Safe Mode, turned it on. Only the
log's end is read, because boots are appended and the newest ones are what matters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from recoverykit import installs
from recoverykit.errors import RecoveryKitError
from recoverykit.formats import bootlog
from recoverykit.model import Evidence, Gap, Source, WindowsInstall

MAX_BYTES = 4 << 20  # some 200 boots


def collect(install: WindowsInstall, bias: int | None) -> Iterator[Evidence]:
    """Every boot in the log's end. `bias`: minutes from the machine's local time to UTC."""
    name = f"{install.folder}/ntbtlog.txt"
    try:
        found = installs.locate(install.mount, name)
        if found is None:
            yield Gap(Source(name), "boot logging was not enabled")
            return
        path = installs.on_disk(install.mount, found)
        size = path.stat().st_size
        skipped = max(0, size - MAX_BYTES) & ~1  # UTF-16: stay on a character
        with path.open("rb") as stream:
            stream.seek(skipped)
            data = stream.read(MAX_BYTES + 1)
        if skipped:
            yield Gap(Source(found), f"only its end was read: lines count from byte {skipped}")
        for block in bootlog.parse(data, found):
            yield replace(block, bias=bias)
    except (OSError, RecoveryKitError) as exc:
        yield Gap(Source(name), str(exc))
