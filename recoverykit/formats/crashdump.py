"""Kernel crash dumps of Windows: what crashed, with which drivers loaded, and where.

Small (triage), kernel, bitmap, full and header-only dumps, 64 and 32 bits, also one that still lies
at the beginning of a page file. Read without symbols, and only the parts that matter: a dump of
any size costs a few milliseconds. Dumps of programs (MDMP) are refused by name. Not handled:
compressed or encrypted dumps, and the bodies of dumps that debuggers and live dumps write (types 8
to 10, RDMP), whose header is still read.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from recoverykit.errors import FormatError
from recoverykit.formats import (
    crashdump_header,
    crashdump_modules,
    crashdump_pages,
    crashdump_stack,
    crashdump_triage,
)
from recoverykit.formats.crashdump_header import Header
from recoverykit.formats.crashdump_memory import Memory, Paged, Saved
from recoverykit.formats.crashdump_pages import Pages
from recoverykit.formats.pe import Stream
from recoverykit.model import CrashDump, Module, Source

_FORMS = {1: "full", 2: "kernel", 3: "header", 4: "triage", 5: "bitmap"}
_FORMS |= {6: "kernel", 7: "kernel", 8: "kernel", 9: "kernel", 10: "full"}
_TRIAGE = 4

is_dump = crashdump_header.is_dump


def parse(stream: Stream, size: int, path: str, written: datetime) -> CrashDump:
    """The dump in a file of `size` bytes that was last written at `written`.

    Raises FormatError for anything but a kernel dump, and for one that is damaged or cut off
    (`remains` may still tell something); OSError where the file cannot be read.
    """
    header = crashdump_header.read(stream)
    if size <= header.size:
        return replace(_header_only(header, path, written), form="header")
    if header.type == _TRIAGE:
        dump = _described(header, path, written)
        return _with_triage(dump, header, crashdump_triage.read(stream, header))
    pages = crashdump_pages.find(stream, header)
    if pages is not None and pages.end > size:
        problem = f"is cut off: {pages.end} bytes were to be written"
        raise FormatError(crashdump_header.STRUCTURE, size, problem)
    return _from_pages(stream, pages, header, path, written)


def remains(stream: Stream, path: str, written: datetime) -> CrashDump:
    """What a dump that `parse` refused still says: its header, and memory as far as it goes.

    Raises FormatError where there is not even a header, OSError.
    """
    header = crashdump_header.read(stream)
    if header.type == _TRIAGE:
        return _header_only(header, path, written)
    try:
        pages = crashdump_pages.find(stream, header)
    except FormatError:
        pages = None
    return _from_pages(stream, pages, header, path, written)


def _from_pages(
    stream: Stream, pages: Pages | None, header: Header, path: str, written: datetime
) -> CrashDump:
    if pages is None:
        return _header_only(header, path, written)
    return _with_memory(_described(header, path, written), header, Paged(stream, pages, header))


def _header_only(header: Header, path: str, written: datetime) -> CrashDump:
    address = crashdump_stack.fault_address(header, Saved())
    return replace(_described(header, path, written), fault_address=address)


def _described(header: Header, path: str, written: datetime) -> CrashDump:
    return CrashDump(
        source=Source(path, 0),
        when=header.when,
        bugcheck=header.bugcheck,
        parameters=header.parameters,
        form=_FORMS.get(header.type, "header"),
        machine=header.machine,
        build=header.build,
        uptime=header.uptime,
        written=written,
    )


def _with_triage(dump: CrashDump, header: Header, triage: crashdump_triage.Triage) -> CrashDump:
    dump = replace(
        dump,
        modules=triage.modules,
        unloaded=triage.unloaded,
        broken_driver=triage.broken_driver,
    )
    return _judged(dump, header, Saved(triage.data, triage.pieces), triage.stack_at, triage.stack)


def _with_memory(dump: CrashDump, header: Header, memory: Paged) -> CrashDump:
    dump = replace(
        dump,
        modules=tuple(crashdump_modules.loaded(memory, header)),
        unloaded=tuple(crashdump_modules.unloaded(memory, header)),
    )
    stack = memory.read(header.stack, crashdump_triage.MAX_STACK)
    return _judged(dump, header, memory, header.stack, stack)


def _judged(dump: CrashDump, header: Header, memory: Memory, at: int, stack: bytes) -> CrashDump:
    modules = crashdump_modules.Map(dump.modules)
    address = crashdump_stack.fault_address(header, memory)
    owner = modules.owner(address) or crashdump_modules.Map(dump.unloaded).owner(address)
    return replace(
        dump,
        broken_driver=dump.broken_driver or crashdump_stack.named_driver(header, memory),
        fault_address=address,
        fault=_name(owner),
        stack=tuple(crashdump_stack.hits(header, modules, at, stack)),
    )


def _name(owner: Module | None) -> str:
    return owner.name if owner is not None else ""
