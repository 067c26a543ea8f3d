"""The kernel, what it is linked to, and the first programs it starts.

The loader brings in the kernel, the hardware abstraction layer and the modules these import, before
any driver; the kernel then starts smss.exe, which starts csrss.exe, wininit.exe and winlogon.exe;
one missing is stop code 0x6F or 0xC000021A (Windows Internals, "Startup and shutdown"; Microsoft
"Bug check code reference"). On x86 the loader takes ntkrnlpa.exe where the processor can, under the
name ntoskrnl.exe. The loader takes kd.dll for kdcom.dll where nobody debugs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from recoverykit.boot.check_files import Files, Seen, modules_of
from recoverykit.boot.check_line import Fault, judged, listed, passed, skipped
from recoverykit.model import CheckLine, Source

KERNEL, HAL, MODULES, SESSION = "kernel", "hal", "kernel-modules", "session-files"

_KERNEL = "ntoskrnl.exe"
_PAE = "ntkrnlpa.exe"
_HAL = "hal.dll"
_MOST_MODULES = 100  # that are loaded with the kernel; real ones have some twenty
_STAND_INS = {"kdcom.dll": "kd.dll"}
ROOTS = (_KERNEL, _HAL)  # what the loader starts from
_PROGRAMS = (
    *("ntdll.dll", "smss.exe", "csrss.exe", "wininit.exe", "winlogon.exe", "services.exe"),
    *("lsass.exe", "win32k.sys"),
)


def lines(files: Files) -> tuple[CheckLine, ...]:
    kernels = [name for name in (_KERNEL, _PAE) if name == _KERNEL or files.system(name)]
    return (
        _programs(files, KERNEL, kernels, "it is there, and for this machine"),
        _programs(files, HAL, [_HAL], "it is there, and for this machine"),
        _modules(files),
        _programs(files, SESSION, _PROGRAMS, f"all {len(_PROGRAMS)} are there and whole"),
    )


def loaded(files: Files) -> Iterator[Seen]:
    """What is there of kernel, HAL and the modules they import: signed like boot-start drivers."""
    pending, done = [*ROOTS], set[str]()
    while pending and len(done) < _MOST_MODULES:
        name = pending.pop(0)
        if name in done:
            continue
        done.add(name)
        path = files.library(name)
        if path is not None:
            seen = files.see(path, signed=True)
            yield seen
            pending += modules_of(seen.imports)


def _programs(files: Files, check: str, wanted: Sequence[str], good: str) -> CheckLine:
    found = {name: files.system(name) for name in wanted}
    faults = [fault for name, path in found.items() for fault in _fault(files, name, path)]
    return judged(check, faults, _unless_unread(files, check, found.values(), good))


def _fault(files: Files, name: str, path: str | None) -> Iterator[Fault]:
    if path is None:
        yield Fault(f"{name} is missing", Source(f"{files.install.folder}/System32/{name}"))
    elif damage := files.see(path).damage:
        yield Fault(f"{name}: {damage}", Source(path))


def _unless_unread(files: Files, check: str, paths: Iterable[str | None], good: str) -> CheckLine:
    """What is there but could not be looked at does not pass."""
    unread = [seen.unread for path in paths if path and (seen := files.see(path)).unread]
    return skipped(check, listed(unread)) if unread else passed(check, good)


def _modules(files: Files) -> CheckLine:
    """Told of the kernel's own and of the HAL's: those of other modules come with these."""
    seen = [files.see(path) for name in ROOTS if (path := files.system(name))]
    wanted = {name for one in seen for name in modules_of(one.imports)} - {*ROOTS}
    found = {name: _module(files, name) for name in sorted(wanted)}
    faults = [fault for name, path in found.items() for fault in _fault(files, name, path)]
    for one in seen:
        lacking = [each for each in one.unresolved if "!" in each]
        faults += [Fault(f"nothing exports {each}", Source(one.path)) for each in lacking]
    good = _unless_unread(files, MODULES, found.values(), f"all {len(found)} that they import")
    kernel = files.system(_KERNEL)
    if kernel is None or not files.see(kernel).imports:  # a HAL since 2020 has none: it forwards
        good = skipped(MODULES, "what the kernel imports cannot be read")
    return judged(MODULES, faults, good)


def _module(files: Files, name: str) -> str | None:
    return files.library(name) or files.library(_STAND_INS.get(name, name))
