"""Drivers that code integrity refused to load, or let pass though they break a rule.

Meanings: Microsoft's "Understanding App Control events" and "Code Integrity Event Log Messages",
and the texts of the provider's manifest (nasbench/EVTX-ETW-Resources). 3076 to 3081 spell their
fields apart ("File Name") and tell the signing scenario, of which 0 is kernel mode; the others have
FileNameBuffer and, since Windows 10, the process: the kernel's own is called System. Most records
on a healthy machine are about libraries in guarded processes: those are left out.

Not read: 3010 and others about catalogs and policies (they name no driver), 3089 (signatures of a
file that another event names), 3086 and 3104 (user mode only).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from recoverykit.evidence import event_logs
from recoverykit.evidence.event_meaning import refused
from recoverykit.formats import evtx
from recoverykit.model import DriverRefused, Evidence, Gap, Source, WindowsInstall

LOG = f"{event_logs.FOLDER}/Microsoft-Windows-CodeIntegrity%4Operational.evtx"
MAX_CHUNKS = 32  # 2 MiB; the log has 1 MiB by default

_PROVIDER = "microsoft-windows-codeintegrity"
_ENFORCED = frozenset(
    {
        3002,  # page hashes not found
        3004,  # file hash not found: unsigned, changed, or not signed as this system demands
        3023,  # driver revoked
        3033,  # signing level, without a policy's doing
        3036,  # certificate revoked
        3063,  # shared sections
        3068,  # 3068, 3077, 3079, 3081: by a policy
        3077,
        3079,
        3081,
        3111,  # not compatible with memory integrity
    }
)
_LET_PASS = frozenset(
    {
        3001,  # unsigned, yet loaded
        3003,  # as 3002 and 3004, with a debugger attached
        3005,
        3021,  # revoked, yet loaded; 3022, 3035: with a debugger
        3022,
        3032,
        3034,  # 3033 in audit mode
        3035,
        3037,
        3064,
        3065,
        3066,
        3067,
        3072,  # not compatible with memory integrity: sections
        3073,
        3076,  # 3077, 3079, 3081 in audit mode
        3078,
        3080,
        3082,  # not WHQL, yet loaded
        3083,
        3087,  # 3111 in audit mode
        3112,
    }
)
_KERNEL = "0"  # signing scenario
_KERNEL_PROCESSES = ("", "system", "registry", "smss.exe", "csrss.exe")


def collect(install: WindowsInstall) -> Iterator[Evidence]:
    """Refused drivers in the newest part of the log. Without such a log there is nothing to say."""
    yield from event_logs.collect(install, LOG, read)


def read(stream: BinaryIO, path: str) -> Iterator[Evidence]:
    """Raises FormatError when the file is no event log."""
    for content in event_logs.newest(stream, path, _wanted, MAX_CHUNKS):
        if isinstance(content, Gap):
            yield content
            continue
        for record in content.records:
            yield from _refusal(record, Source(path, record.offset))


def _wanted(provider: str, event: int) -> bool:
    return provider == _PROVIDER and (event in _ENFORCED or event in _LET_PASS)


def _refusal(record: evtx.Record, source: Source) -> Iterator[DriverRefused]:
    path = _field(record, "FileNameBuffer", "File Name")
    if path.lower().endswith(".sys") and _is_kernel(record):
        yield refused(record, source, path, enforced=record.event in _ENFORCED)


def _is_kernel(record: evtx.Record) -> bool:
    scenario = record.fields.get("SI Signing Scenario", "")
    if scenario:
        return scenario == _KERNEL
    process = _field(record, "ProcessNameBuffer", "Process Name").lower()
    return process.rsplit("\\", 1)[-1] in _KERNEL_PROCESSES


def _field(record: evtx.Record, *names: str) -> str:
    return next((record.fields[name] for name in names if record.fields.get(name)), "").strip()
