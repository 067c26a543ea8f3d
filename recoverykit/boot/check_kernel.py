"""The kernel, what it is linked to, and the first programs it starts.

The loader brings in the kernel, the hardware abstraction layer and the modules these import, before
any driver; the kernel then starts smss.exe, which starts csrss.exe, wininit.exe and winlogon.exe;
one missing is stop code 0x6F or 0xC000021A (Windows Internals, "Startup and shutdown"; Microsoft
"Bug check code reference"). On x86 the loader takes ntkrnlpa.exe where the processor can, under the
name ntoskrnl.exe. The loader takes kd.dll for kdcom.dll where nobody debugs.
"""

from __future__ import annotations

from collections.abc import Iterator

from recoverykit.boot.check_files import Files, Seen, modules_of
from recoverykit.boot.check_line import Fault, judged, skipped
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
        judged(KERNEL, [*_faults(files, kernels)], "it is there, and for this machine"),
        judged(HAL, [*_faults(files, [_HAL])], "it is there, and for this machine"),
        _modules(files),
        judged(SESSION, [*_faults(files, _PROGRAMS)], f"all {len(_PROGRAMS)} are there and whole"),
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


def _faults(files: Files, wanted: list[str] | tuple[str, ...]) -> Iterator[Fault]:
    for name in wanted:
        path = files.system(name)
        if path is None:
            relative = f"{files.install.folder}/System32/{name}"
            yield Fault(f"{name} is missing", Source(relative))
        else:
            seen = files.see(path)
            if seen.damage:
                yield Fault(f"{name}: {seen.damage}", Source(path))


def _modules(files: Files) -> CheckLine:
    """Told of the kernel's own and of the HAL's: those of other modules come with these."""
    roots = [path for name in ROOTS if (path := files.system(name))]
    seen = [files.see(path) for path in roots]
    if not any(one.imports for one in seen):
        return skipped(MODULES, "what the kernel imports cannot be read")
    wanted = {name for one in seen for name in modules_of(one.imports)} - {*ROOTS}
    faults: list[Fault] = []
    for name in sorted(wanted):
        faults += _module(files, name)
    for one in seen:
        source = Source(one.path)
        lacking = [each for each in one.unresolved if "!" in each]
        faults += [Fault(f"nothing exports {symbol}", source) for symbol in lacking]
    return judged(MODULES, faults, f"all {len(wanted)} that the kernel imports")


def _module(files: Files, name: str) -> Iterator[Fault]:
    path = files.library(name)
    if path is None and name in _STAND_INS:
        path = files.library(_STAND_INS[name])
    if path is None:
        relative = f"{files.install.folder}/System32/{name}"
        yield Fault(f"{name} is missing", Source(relative))
    elif damage := files.see(path).damage:
        yield Fault(f"{name}: {damage}", Source(path))
