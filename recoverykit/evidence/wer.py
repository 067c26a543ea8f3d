"""Kernel crashes that Windows Error Reporting keeps: in its queue, and in its archive.

`ProgramData/Microsoft/Windows/WER/{ReportQueue,ReportArchive}/Kernel_<code>_<hash>_...` on the
volume of Windows. A report is made in the boot after the crash, so a machine that never came up
again has none of its last crash; but what Microsoft answered about earlier ones names the driver.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from recoverykit import installs
from recoverykit.errors import RecoveryKitError
from recoverykit.evidence import reading
from recoverykit.formats import wer
from recoverykit.model import Evidence, Gap, Source, WerReport, WindowsInstall

ROOT = "ProgramData/Microsoft/Windows/WER"
FOLDERS = ("ReportQueue", "ReportArchive")
MAX_REPORTS = 20  # the newest
_MAX_ENTRIES = 20_000  # of one folder; reports of applications lie there too


def collect(install: WindowsInstall) -> Iterator[Evidence]:
    """The newest reports of blue screens, newest first. Most machines have none."""
    found: list[tuple[int, str]] = []
    for name in FOLDERS:
        folder = f"{ROOT}/{name}"
        try:
            found += _kernel_reports(install, folder)
        except (OSError, RecoveryKitError) as exc:
            yield Gap(Source(folder), f"the error reports cannot be listed: {exc}")
    for _, folder in sorted(found, reverse=True)[:MAX_REPORTS]:
        yield from _report(install, folder)


def _kernel_reports(install: WindowsInstall, folder: str) -> Iterator[tuple[int, str]]:
    """(time, path) of each folder of a kernel report."""
    found = installs.locate(install.mount, folder)
    if found is None:
        return
    with os.scandir(install.mount / found) as entries:
        for number, entry in enumerate(entries):
            if number == _MAX_ENTRIES:
                return
            if entry.name.lower().startswith("kernel_") and entry.is_dir(follow_symlinks=False):
                time = entry.stat(follow_symlinks=False).st_mtime_ns
                yield time, f"{found}/{entry.name}"


def _report(install: WindowsInstall, folder: str) -> Iterator[Evidence]:
    path = f"{folder}/Report.wer"
    try:
        content = reading.beginning(install.mount, path, wer.MAX_BYTES)
        if content is None:  # the report is being written, or was cleaned away
            return
        report = wer.parse(content.data)
    except (OSError, RecoveryKitError) as exc:
        yield Gap(Source(path), f"this error report cannot be read: {exc}")
        return
    if report.event.lower() == wer.BLUE_SCREEN.lower():
        yield WerReport(
            source=Source(content.path),
            when=report.when,
            bugcheck=report.code,
            bucket=report.bucket,
            module=wer.module(report.bucket),
            parameters=report.parameters,
        )
