"""Windows event logs (EVTX): which chunks are new, and the wanted records of one chunk.

Layout: libyal, "Windows XML Event Log (EVTX) format", sections "File header", "Chunk" and "Event
record". Headers are read here, so that a 20 MB log costs the few chunks that matter and every
record keeps its file offset; the binary XML inside is read by the `evtx` package, one 64 KiB chunk
at a time, which bounds what a hostile chunk can cost. Damaged records are told, not dropped.
"""

from __future__ import annotations

import io
import json
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, NamedTuple

from evtx import PyEvtxParser

from recoverykit.errors import FormatError

CHUNK_SIZE = 0x10000
MAX_CHUNKS = 4096  # 256 MiB; the largest System.evtx seen in the wild is 100 MiB

_FILE_HEADER = struct.Struct("<8sQQQIHHHH")
_CHUNK_HEADER = struct.Struct("<8sQQQQIII")
_RECORD = struct.Struct("<4sIQQ")
_HEADER_SIZE, _FIRST_RECORD = 4096, 512
_TABLES = slice(128, 512)  # of a chunk: 64 name offsets, 32 template offsets
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_LATEST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1) * 10
# What the evtx package writes first of a record. Of one that begins otherwise everything is decoded
# to learn the same.
_WHO = re.compile(
    r'\{"Event":\{"#attributes":\{[^{}]{0,300}\},"System":\{"Provider":\{"#attributes":'
    r'\{"Name":"([^"\\]{1,200})"(?:,"[^"\\]{1,40}":"[^"\\]{0,200}"){0,3}\}\},"EventID":'
    r'(?:\{"#attributes":\{[^{}]{0,100}\},"#text":)?(\d{1,5})\b'
)
_ID, _ID_TEXT, _MAX_HEAD = '"EventID":', '"#text":', 1000
_MAX_TEXT = 1 << 20  # characters of JSON for one record; a real record has a few thousand

Wanted = Callable[[str, int], bool]  # by the provider's name in lower case, and the event id


@dataclass(frozen=True, slots=True)
class Chunk:
    offset: int  # in the file
    first: int  # record numbers
    last: int


class Stamp(NamedTuple):
    """A record as its header tells it, without its content."""

    offset: int  # in the file
    number: int
    moment: int  # FILETIME: 100 ns since 1601, UTC

    @property
    def when(self) -> datetime:
        return _EPOCH + timedelta(microseconds=self.moment // 10)


@dataclass(frozen=True, slots=True)
class Record:
    offset: int  # in the file
    number: int
    when: datetime
    provider: str
    event: int
    fields: Mapping[str, str] = field(default_factory=dict)  # named data
    strings: tuple[str, ...] = ()  # unnamed data, as old providers write it


@dataclass(frozen=True, slots=True)
class ChunkContent:
    stamps: tuple[Stamp, ...]  # every record, oldest first
    records: tuple[Record, ...]  # the wanted ones
    problems: tuple[str, ...]  # what could not be read


def chunks(stream: BinaryIO) -> tuple[Chunk, ...]:
    """The log's chunks, newest first; unused and unreadable ones are left out.

    Raises FormatError when the file is no event log. A log in use when the machine died has a
    stale header: the chunks themselves are believed.
    """
    header = stream.read(_HEADER_SIZE)
    if len(header) < _FILE_HEADER.size or header[:8] != b"ElfFile\0":
        raise FormatError("event log", 0, "does not start with ElfFile")
    found = []
    for number in range(MAX_CHUNKS):
        offset = _HEADER_SIZE + number * CHUNK_SIZE
        stream.seek(offset)
        head = stream.read(_CHUNK_HEADER.size)
        if len(head) < _CHUNK_HEADER.size:
            break
        magic, _, _, first, last, *_ = _CHUNK_HEADER.unpack(head)
        if magic == b"ElfChnk\0" and first <= last < 1 << 63:
            found.append(Chunk(offset, first, last))
    return tuple(sorted(found, key=lambda chunk: (chunk.last, chunk.offset), reverse=True))


def read(stream: BinaryIO, chunk: Chunk, wanted: Wanted) -> ChunkContent:
    """Every record's time, and the content of the wanted records."""
    stream.seek(chunk.offset)
    data = stream.read(CHUNK_SIZE)
    stamps = tuple(_stamps(data, chunk.offset))
    problems: list[str] = []
    known = {stamp.number: stamp for stamp in stamps}
    records = tuple(_records(data, known, wanted, problems))
    return ChunkContent(stamps, records, tuple(problems))


# --- our own walk over the record headers -------------------------------------------------


def _stamps(data: bytes, base: int) -> Iterator[Stamp]:
    at, previous, end = _FIRST_RECORD, -1, len(data)
    unpack = _RECORD.unpack_from
    while at + _RECORD.size <= end:
        magic, size, number, moment = unpack(data, at)
        if magic != b"\x2a\x2a\0\0" or not _RECORD.size + 4 <= size <= end - at:
            return
        if number <= previous:
            return  # the rest is left over from before the chunk was used again
        previous = number
        if moment <= _LATEST:
            yield Stamp(base + at, number, moment)
        at += size


# --- the content, through the evtx package ------------------------------------------------


def _records(
    data: bytes, known: Mapping[int, Stamp], wanted: Wanted, problems: list[str]
) -> Iterator[Record]:
    single = io.BytesIO(_LOG_HEADER + _without_caches(data))
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")  # with skip_errors a bad record is a RuntimeWarning
        try:
            raw: list[Any] = list(PyEvtxParser(single, 1, skip_errors=True).records_json())
        except (RuntimeError, OSError, ValueError) as exc:
            problems.append(_short(exc))
            raw = []
    problems += [_short(complaint.message) for complaint in complaints]
    verdicts = {"": True}  # an odd one is decoded to see
    for entry in raw:
        head = _head(entry["data"])
        if head not in verdicts:
            verdicts[head] = _may_be_wanted(head, wanted)
        if not verdicts[head]:
            continue
        try:
            record = _record(entry, known, wanted)
        except (ValueError, RecursionError) as exc:
            problems.append(f"record {entry['event_record_id']}: {_short(exc)}")
            continue
        if record is not None:
            yield record


def _file_header() -> bytes:
    """The header of a log with one chunk."""
    head = bytearray(_HEADER_SIZE)
    _FILE_HEADER.pack_into(head, 0, b"ElfFile\0", 0, 0, 1, 128, 1, 3, _HEADER_SIZE, 1)
    struct.pack_into("<I", head, 124, zlib.crc32(head[:120]))
    return bytes(head)


_LOG_HEADER = _file_header()


def _without_caches(data: bytes) -> bytes:
    """The chunk without its tables of known names and templates.

    They only speed up writing: every record still says where its names and templates lie. A table
    whose chain leads in a circle would keep the evtx package (0.14) busy for ever.
    """
    chunk = bytearray(data.ljust(CHUNK_SIZE, b"\0"))
    chunk[_TABLES] = bytes(_TABLES.stop - _TABLES.start)
    return bytes(chunk)


def _short(problem: object) -> str:
    return " ".join(str(problem).split())[:200]


def _head(text: str) -> str:
    """A record up to its event id: the same for all records of a provider with that id.

    "" where it does not begin like a record. What a hostile name holds is escaped.
    """
    at = text.find(_ID, 0, _MAX_HEAD) + len(_ID)
    if at < len(_ID):
        return ""
    if text[at : at + 1] == "{":  # an id with qualifiers
        inner = text.find(_ID_TEXT, at, at + 100)
        if inner < 0:
            return ""
        at = inner + len(_ID_TEXT)
    return text[: at + 6]  # five digits and what ends them


def _may_be_wanted(head: str, wanted: Wanted) -> bool:
    """Only a record that begins like all others can be passed over."""
    who = _WHO.match(head)
    return who is None or wanted(who.group(1).lower(), int(who.group(2)))


def _record(entry: Mapping[str, Any], known: Mapping[int, Stamp], wanted: Wanted) -> Record | None:
    text: str = entry["data"]
    stamp = known.get(entry["event_record_id"])
    if stamp is None:
        return None
    if len(text) > _MAX_TEXT:
        raise ValueError(f"{len(text)} characters are too many")
    event = _mapping(json.loads(text).get("Event"))
    provider, number = _origin(_mapping(event.get("System")))
    if not wanted(provider.lower(), number):
        return None
    fields, strings = _payload(event)
    return Record(stamp.offset, stamp.number, stamp.when, provider, number, fields, strings)


def _origin(system: Mapping[str, Any]) -> tuple[str, int]:
    """Provider and event id; "" and -1 where a record has none."""
    attributes = _mapping(_mapping(system.get("Provider")).get("#attributes"))
    number = _scalar(system.get("EventID"))
    is_number = number.isascii() and number.isdecimal() and len(number) <= 5
    return str(attributes.get("Name", "")), int(number) if is_number else -1


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _payload(event: Mapping[str, Any]) -> tuple[dict[str, str], tuple[str, ...]]:
    data = dict(_mapping(event.get("EventData")))
    for inner in _mapping(event.get("UserData")).values():
        data.update(_mapping(inner))
    unnamed = data.pop("Data", None)
    if isinstance(unnamed, dict):
        unnamed = unnamed.get("#text")
    values = unnamed if isinstance(unnamed, list) else [unnamed]
    fields = {name: _scalar(value) for name, value in data.items() if name[:1] != "#"}
    return fields, tuple(_scalar(value) for value in values if value is not None)


def _scalar(value: object) -> str:
    if isinstance(value, dict):
        value = value.get("#text", "")
    return "" if value is None else str(value)
