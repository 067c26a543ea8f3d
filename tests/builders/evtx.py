"""Windows event logs (EVTX) written from scratch: file header, chunks, templates, binary XML.

Layout: libyal "Windows XML Event Log (EVTX) format". Like Windows we write one System template
per chunk whose last value is nested binary XML, an instance of a second template for the event
data; names and templates are shared through the chunk's tables. Field names are those of the real
logs in ../shared/data/evtx. Not written: fragments without templates, long keywords.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tests.builders.winbytes import filetime

_CHUNK, _CHUNK_HEADER = 0x10000, 512
_NAMESPACE = "http://schemas.microsoft.com/win/2004/08/events/event"
_NAMES = uuid.UUID("5f1d9cb0-1d2f-4c2e-9a57-6a3a3f9a6c11")  # namespace of our template ids

Value = tuple[int, bytes]  # binary XML value type, its bytes
NULL: Value = (0x00, b"")


def text(value: str) -> Value:
    return (0x01, value.encode("utf-16-le"))


def strings(values: Sequence[str]) -> Value:
    return (0x81, "".join(value + "\0" for value in values).encode("utf-16-le"))


def u8(value: int) -> Value:
    return (0x04, struct.pack("<B", value))


def u16(value: int) -> Value:
    return (0x06, struct.pack("<H", value))


def u32(value: int) -> Value:
    return (0x08, struct.pack("<I", value))


def u64(value: int) -> Value:
    return (0x0A, struct.pack("<Q", value))


def boolean(*, value: bool) -> Value:
    return (0x0D, struct.pack("<I", value))


def binary(value: bytes) -> Value:
    return (0x0E, value)


def guid(value: str) -> Value:
    return (0x0F, uuid.UUID(value).bytes_le)


def moment(value: datetime) -> Value:
    return (0x11, struct.pack("<Q", filetime(value)))


def hex32(value: int) -> Value:
    return (0x14, struct.pack("<I", value))


def hex64(value: int) -> Value:
    return (0x15, struct.pack("<Q", value))


_LOCAL_SYSTEM: Value = (0x13, bytes.fromhex("010100000000000512000000"))


@dataclass(frozen=True, slots=True)
class Provider:
    """Who logs: manifest providers have a GUID, classic ones qualifiers."""

    name: str
    guid: str = ""
    source: str = ""  # EventSourceName
    qualifiers: int | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One record. `data` holds (name, value) pairs; a name of "" is a classic <Data>.

    With `user_data`, the name of an element and its namespace, the data are elements in it.
    """

    when: datetime
    provider: Provider
    id: int
    data: tuple[tuple[str, Value], ...]
    binary: bytes | None = None
    level: int = 4
    version: int | None = 0
    task: int = 0
    keywords: int = 0x8000_0000_0000_0000
    process: tuple[int, int] | None = (4, 8)
    computer: str = "DESKTOP-2KGM189"
    as_system: bool = False
    channel: str = "System"
    user_data: tuple[str, str] | None = None


# --- binary XML ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Slot:
    """An optional substitution: the reader drops the attribute or element when it is null."""

    index: int
    type: int


@dataclass(frozen=True, slots=True)
class _Element:
    name: str
    attributes: tuple[tuple[str, str | _Slot], ...] = ()
    children: tuple[_Element | _Slot, ...] = ()


class _Full(Exception):  # noqa: N818  (not an error: the next chunk is due)
    pass


@dataclass(slots=True)
class _Chunk:
    """A chunk being written; offsets in binary XML count from its start."""

    body: bytearray = field(default_factory=lambda: bytearray(_CHUNK_HEADER))
    names: dict[str, int] = field(default_factory=dict)
    templates: dict[uuid.UUID, int] = field(default_factory=dict)
    name_buckets: list[int] = field(default_factory=lambda: [0] * 64)
    template_buckets: list[int] = field(default_factory=lambda: [0] * 32)
    records: list[int] = field(default_factory=list)
    last: int = 0

    def name(self, name: str) -> None:
        """Append a reference to a name, and the name itself where it is new."""
        here = len(self.body) + 4
        known = self.names.get(name)
        self.body += struct.pack("<I", known or here)
        if known is None:
            self.names[name] = here
            hashed = _hash(name)
            chain = self.name_buckets[hashed % 64]
            self.name_buckets[hashed % 64] = here
            self.body += struct.pack("<IHH", chain, hashed, len(name))
            self.body += (name + "\0").encode("utf-16-le")

    def element(self, element: _Element) -> None:
        self.body += struct.pack("<BH", 0x41 if element.attributes else 0x01, 0xFFFF)
        size_at = self._reserve()
        self.name(element.name)
        if element.attributes:
            list_at = self._reserve()
            for position, (name, value) in enumerate(element.attributes, start=1):
                self.body.append(0x46 if position < len(element.attributes) else 0x06)
                self.name(name)
                self._content(value)
            self._settle(list_at)
        if not element.children:
            self.body.append(0x03)
        else:
            self.body.append(0x02)
            for child in element.children:
                if isinstance(child, _Element):
                    self.element(child)
                else:
                    self._content(child)
            self.body.append(0x04)
        self._settle(size_at)

    def instance(self, shape: _Element, values: Sequence[Value]) -> None:
        """A template instance, with its definition where the chunk has not got it yet."""
        identity = uuid.uuid5(_NAMES, repr(shape))
        number = struct.unpack("<I", identity.bytes_le[:4])[0]
        known = self.templates.get(identity)
        here = len(self.body) + 10
        self.body += struct.pack("<BBII", 0x0C, 1, number, known or here)
        if known is None:
            self.templates[identity] = here
            chain = self.template_buckets[number % 32]
            self.template_buckets[number % 32] = here
            self.body += struct.pack("<I16s", chain, identity.bytes_le)
            size_at = self._reserve()
            self.body += b"\x0f\x01\x01\x00"
            self.element(shape)
            self.body.append(0)
            self._settle(size_at)
        self.body += struct.pack("<I", len(values))
        for kind, content in values:
            self.body += struct.pack("<HBB", len(content), kind, 0)
        for _kind, content in values:
            self.body += content

    def _content(self, value: str | _Slot) -> None:
        if isinstance(value, _Slot):
            self.body += struct.pack("<BHB", 0x0E, value.index, value.type)
        else:
            self.body += struct.pack("<BBH", 0x05, 0x01, len(value)) + value.encode("utf-16-le")

    def _reserve(self) -> int:
        self.body += b"\0\0\0\0"
        return len(self.body)

    def _settle(self, after: int) -> None:
        struct.pack_into("<I", self.body, after - 4, len(self.body) - after)


def _hash(name: str) -> int:
    value = 0
    for char in name:
        value = (value * 65599 + ord(char)) & 0xFFFF_FFFF
    return value & 0xFFFF


# --- records ------------------------------------------------------------------------------


_CALLER = (
    _Element("Correlation", (("ActivityID", _Slot(7, 0x0F)),)),
    _Element("Execution", (("ProcessID", _Slot(8, 8)), ("ThreadID", _Slot(9, 8)))),
)


def _shape(*, classic: bool) -> _Element:
    """The outer template; classic sources know no version, opcode or process."""
    return _Element(
        "Event",
        (("xmlns", _NAMESPACE),),
        (
            _Element(
                "System",
                (),
                (
                    _Element(
                        "Provider",
                        (
                            ("Name", _Slot(14, 1)),
                            ("Guid", _Slot(15, 0x0F)),
                            ("EventSourceName", _Slot(16, 1)),
                        ),
                    ),
                    _Element("EventID", (("Qualifiers", _Slot(4, 6)),), (_Slot(3, 6),)),
                    *(() if classic else (_Element("Version", (), (_Slot(11, 4),)),)),
                    _Element("Level", (), (_Slot(0, 4),)),
                    _Element("Task", (), (_Slot(2, 6),)),
                    *(() if classic else (_Element("Opcode", (), (_Slot(1, 4),)),)),
                    _Element("Keywords", (), (_Slot(5, 0x15),)),
                    _Element("TimeCreated", (("SystemTime", _Slot(6, 0x11)),)),
                    _Element("EventRecordID", (), (_Slot(10, 0x0A),)),
                    *(() if classic else _CALLER),
                    _Element("Channel", (), (_Slot(17, 1),)),
                    _Element("Computer", (), (_Slot(13, 1),)),
                    _Element("Security", (("UserID", _Slot(12, 0x13)),)),
                ),
            ),
            _Slot(18, 0x21),
        ),
    )


def _system_values(event: Event, number: int) -> list[Value]:
    """For every slot of the outer template but the last, which holds the event data."""
    provider, process = event.provider, event.process
    return [
        u8(event.level),
        NULL if event.version is None else u8(0),
        u16(event.task),
        u16(event.id),
        NULL if provider.qualifiers is None else u16(provider.qualifiers),
        hex64(event.keywords),
        moment(event.when),
        NULL,
        NULL if process is None else u32(process[0]),
        NULL if process is None else u32(process[1]),
        u64(number),
        NULL if event.version is None else u8(event.version),
        _LOCAL_SYSTEM if event.as_system else NULL,
        text(event.computer),
        text(provider.name),
        guid(provider.guid) if provider.guid else NULL,
        text(provider.source) if provider.source else NULL,
        text(event.channel),
    ]


def _payload(event: Event) -> tuple[_Element, list[Value]]:
    if event.user_data is not None:
        return _user_data(event, *event.user_data)
    children = [
        _Element("Data", (("Name", name),) if name else (), (_Slot(index, value[0]),))
        for index, (name, value) in enumerate(event.data)
    ]
    values = [value for _name, value in event.data]
    if event.binary is not None:
        children.append(_Element("Binary", (), (_Slot(len(values), 0x0E),)))
        values.append(binary(event.binary))
    return _Element("EventData", (), tuple(children)), values


def _user_data(event: Event, name: str, namespace: str) -> tuple[_Element, list[Value]]:
    fields = tuple(
        _Element(field, (), (_Slot(index, value[0]),))
        for index, (field, value) in enumerate(event.data)
    )
    inner = _Element(name, (("xmlns", namespace),), fields)
    return _Element("UserData", (), (inner,)), [value for _name, value in event.data]


def _append(chunk: _Chunk, event: Event, number: int) -> None:
    start = len(chunk.body)
    chunk.body += struct.pack("<4sIQQ", b"**\0\0", 0, number, filetime(event.when))
    values = _system_values(event, number)
    # The nested template instance must know its offsets, so it is written in place: the outer
    # instance is written with an empty last value, and grows by what follows it.
    chunk.body += b"\x0f\x01\x01\x00"
    chunk.instance(_shape(classic=event.version is None), [*values, (0x21, b"")])
    inside = len(chunk.body)
    chunk.body += b"\x0f\x01\x01\x00"
    chunk.instance(*_payload(event))
    chunk.body.append(0)
    sizes = sum(len(content) for _kind, content in values)
    struct.pack_into("<H", chunk.body, inside - sizes - 4, len(chunk.body) - inside)
    chunk.body.append(0)
    size = len(chunk.body) - start + 4
    chunk.body += struct.pack("<I", size)
    struct.pack_into("<I", chunk.body, start + 4, size)
    if len(chunk.body) > _CHUNK:
        raise _Full
    chunk.records.append(number)
    chunk.last = start


def _sealed(chunk: _Chunk) -> bytes:
    body = bytes(chunk.body[_CHUNK_HEADER:])
    first, last = chunk.records[0], chunk.records[-1]
    head = struct.pack(
        "<8sQQQQIIII",
        b"ElfChnk\0",
        first,
        last,
        first,
        last,
        128,
        chunk.last,
        len(chunk.body),
        zlib.crc32(body),
    ).ljust(120, b"\0")
    tables = struct.pack("<64I32I", *chunk.name_buckets, *chunk.template_buckets)
    checksum = zlib.crc32(head + tables)
    return (head + struct.pack("<II", 1, checksum) + tables + body).ljust(_CHUNK, b"\0")


def build(events: Iterable[Event], *, first_record: int = 1) -> bytes:
    """An event log file holding `events` in the order given."""
    done: list[bytes] = []
    chunk, number = _Chunk(), first_record
    for event in events:
        kept = _copy(chunk)
        try:
            _append(chunk, event, number)
        except _Full:
            done.append(_sealed(kept))
            chunk = _Chunk()
            _append(chunk, event, number)
        number += 1
    if chunk.records or not done:
        chunk.records = chunk.records or [first_record]
        done.append(_sealed(chunk))
    head = struct.pack(
        "<8sQQQIHHHH", b"ElfFile\0", 0, len(done) - 1, number, 128, 1, 3, 4096, len(done)
    ).ljust(120, b"\0")
    header = head + struct.pack("<II", 0, zlib.crc32(head))
    return header.ljust(4096, b"\0") + b"".join(done)


def _copy(chunk: _Chunk) -> _Chunk:
    return _Chunk(
        bytearray(chunk.body),
        dict(chunk.names),
        dict(chunk.templates),
        list(chunk.name_buckets),
        list(chunk.template_buckets),
        list(chunk.records),
        chunk.last,
    )
