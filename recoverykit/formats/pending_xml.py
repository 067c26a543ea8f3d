"""WinSxS\\pending.xml, the queue of file and registry operations an update leaves for the boot.

No published specification. Elements: libyal's NTFS documentation, section "TxF Old Page Stream"
(PendingTransaction with Transactions, ChangeList, POQ and InstallerQueue; version 2), and a
version 3 file in public write-ups of Windows Downdate. The queue of a big update has tens of
megabytes, so a beginning of it will do, and it is scanned, not parsed as XML: entities and
nesting do not matter, a torn end does no harm. Registry values and security are not decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from recoverykit.errors import FormatError
from recoverykit.formats.log_text import file_name

_HEAD = 4096  # characters within which the root element begins
_MAX_NAMED = 200
_ROOT = re.compile(r"<PendingTransaction\b([^<>]{0,2048})>")
_QUEUE = re.compile(r"<(/?)POQ\b[^<>]{0,512}>")
_ELEMENT = re.compile(r"<([A-Za-z]\w{0,63})\b([^<>]*)>")
_PATHS = re.compile(r'\b(?:destination|path)="([^"<>]{1,1024})"')
_IDENTIFIER = re.compile(r'\bIdentifier="([^"<>]{1,64})"')
_BRACKETS = frozenset({"BeginTransaction", "CommitTransaction", "Checkpoint"})


@dataclass(frozen=True, slots=True)
class Queue:
    """What was seen of the queue."""

    identifier: str
    operations: int  # of the primitive operations queues
    drivers: tuple[str, ...]  # file names in lower case of .sys files it writes or removes


def parse(data: bytes) -> Queue:
    """Scan the file or its beginning. Raises FormatError where it is no such queue."""
    text = _text(data)
    root = _ROOT.search(text, 0, _HEAD)
    if root is None:
        raise FormatError("pending.xml", 0, "no pending transaction in it")
    identifier = _IDENTIFIER.search(root.group(1))
    operations = 0
    drivers: dict[str, None] = {}
    for start, end in _queues(text, root.end()):
        for element in _ELEMENT.finditer(text, start, end):
            if element.group(1) in _BRACKETS:
                continue
            operations += 1
            for name in _drivers(element.group(2)):
                if len(drivers) < _MAX_NAMED:
                    drivers[name] = None
    return Queue(identifier.group(1) if identifier else "", operations, tuple(drivers))


def _text(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "replace")


def _queues(text: str, start: int) -> Iterator[tuple[int, int]]:
    """Where the queues lie; the last one may be cut off."""
    opened: int | None = None
    for tag in _QUEUE.finditer(text, start):
        if tag.group(1):
            if opened is not None:
                yield opened, tag.start()
            opened = None
        elif opened is None and not tag.group().endswith("/>"):
            opened = tag.end()
    if opened is not None:
        yield opened, len(text)


def _drivers(attributes: str) -> Iterator[str]:
    """Drivers outside the component store: what lies in there is only moved from."""
    for path in _PATHS.findall(attributes):
        name = file_name(path)
        if name.endswith(".sys") and "\\winsxs\\" not in path.lower():
            yield name
