"""DER as X.690 has it: what is read, what is refused; and cryptography's reader beside ours."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat import asn1
from hypothesis import given
from hypothesis import strategies as st

from signing import der
from signing.der import Cursor, dotted, without_filling
from signing.errors import MalformedError
from tests.builders.der import NULL, octets, oid, sequence, set_of, tagged

MUTATIONS = int(os.environ.get("RECOVERYKIT_MUTATIONS", "3000"))


def cursor(data: bytes | str) -> Cursor:
    return Cursor(bytes.fromhex(data) if isinstance(data, str) else data, "test")


# --- lengths (X.690, 8.1.3 and 10.1) --------------------------------------------------------

LENGTHS = (0, 1, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x1_0000)


@pytest.mark.parametrize("length", LENGTHS)
def test_contents_of_every_length(length: int) -> None:
    content = bytes(length)
    at = cursor(octets(content) + NULL)
    assert at.contents(der.OCTETS) == content
    assert at.peek() == der.NULL
    assert cursor(octets(content)).whole() == octets(content)


REFUSED = {
    "nothing": "",
    "a tag alone": "04",
    "one byte too few": "0403aabb",
    "indefinite": "3080040100000000",
    "long form of a short length": "04817f" + "00" * 0x7F,
    "a zero in front": "04820080" + "00" * 0x80,
    "two zeros in front": "0483000080" + "00" * 0x80,
    "its length is cut": "0482ff",
    "its length is missing": "0481",
    "more than memory": "0484ffffffff00",
    "five bytes of length": "04850000000001aa",
    "reserved form": "04ff" + "00" * 0x7F,
    "a tag of two bytes": "1f8101",
    "a context tag of two bytes": "bf8101",
}


@pytest.mark.parametrize("name", REFUSED)
def test_headers_that_are_refused(name: str) -> None:
    at = cursor(REFUSED[name])
    for read in (at.whole, at.skip):
        with pytest.raises(MalformedError):
            read()
        assert at.at == 0  # it stays where it is


def test_a_value_may_not_leave_what_holds_it() -> None:
    """The bytes are there, but they belong to another."""
    at = cursor(tagged(0x30, b"\x04\x05aa") + b"bbbbb")
    inner = at.enter()
    with pytest.raises(MalformedError, match="2 are left"):
        inner.contents(der.OCTETS)
    assert at.rest() == b"bbbbb"


def test_depth_costs_nothing() -> None:
    data = b""
    for _ in range(4000):
        data = tagged(0x30, data)
    at = cursor(data)
    for _ in range(4000):
        at = at.enter()
    assert at.is_done()


# --- moving about ---------------------------------------------------------------------------


def test_a_cursor_walks_through_a_value() -> None:
    inside = tagged(0x02, b"\x05") + tagged(0xA0, NULL) + octets(b"end")
    at = cursor(sequence(inside) + b"tail")
    inner = at.enter()
    assert (inner.integer(), inner.optional(der.context(1)), inner.peek()) == (5, None, 0xA0)
    explicit = inner.optional(der.context(0))
    assert explicit is not None
    assert explicit.contents(der.NULL) == b""
    explicit.finish()
    assert inner.rest() == octets(b"end")
    inner.finish()
    with pytest.raises(MalformedError, match="4 bytes too many"):
        at.finish()
    assert at.rest() == b"tail"
    assert at.is_done()
    assert at.peek() == -1


@pytest.mark.parametrize("number", [0, 1, 30])
def test_context_tags(number: int) -> None:
    assert der.context(number) == 0xA0 + number
    assert der.context(number, constructed=False) == 0x80 + number


def test_faults_say_where() -> None:
    at = cursor(NULL + octets(b""))
    at.skip()
    with pytest.raises(MalformedError) as caught:
        at.integer()
    assert str(caught.value) == "test at 0x2: tag 0x02 was expected, not 0x04"
    assert (caught.value.structure, caught.value.offset) == ("test", 2)


def test_filling_behind_a_value() -> None:
    value = sequence(NULL)
    assert without_filling(value + bytes(3), "test") == (value, bytes(3))
    assert without_filling(value, "test") == (value, b"")
    with pytest.raises(MalformedError):
        without_filling(octets(b""), "test")


# --- numbers (8.3) --------------------------------------------------------------------------

INTEGERS = {
    "020100": 0,
    "02017f": 127,
    "02020080": 128,
    "0201ff": -1,
    "020180": -128,
    "0202ff7f": -129,
    "020900ffffffffffffffff": 2**64 - 1,
}


@pytest.mark.parametrize("data", INTEGERS)
def test_integers(data: str) -> None:
    assert cursor(data).integer() == INTEGERS[data]


@pytest.mark.parametrize("data", ["0200", "02020005", "0202007f", "0202ffff", "0202ff80", "030100"])
def test_integers_that_are_none(data: str) -> None:
    with pytest.raises(MalformedError):
        cursor(data).integer()


def test_the_longest_integer() -> None:
    assert cursor(tagged(2, b"\x7f" * 4096)).integer().bit_length() == 4096 * 8 - 1
    with pytest.raises(MalformedError):
        cursor(tagged(2, b"\x7f" * 4097)).integer()


# --- object identifiers (8.19) --------------------------------------------------------------

OIDS = {
    "00": "0.0",
    "27": "0.39",
    "28": "1.0",
    "4f": "1.39",
    "50": "2.0",
    "77": "2.39",
    "8100": "2.48",
    "883703": "2.999.3",  # the standard's own example
    "2a864886f70d010702": "1.2.840.113549.1.7.2",
    "2b0601040182370a0306": "1.3.6.1.4.1.311.10.3.6",
    "2a" + "ff" * 10 + "7f": f"1.2.{2**77 - 1}",
}


@pytest.mark.parametrize("contents", OIDS)
def test_object_identifiers(contents: str) -> None:
    assert dotted(bytes.fromhex(contents)) == OIDS[contents]
    assert cursor(tagged(6, bytes.fromhex(contents))).oid() == OIDS[contents]


@pytest.mark.parametrize(
    "contents",
    ["", "80", "2a86", "2a80", "8001", "2a8001", "2a868001" + "80", "2a" + "ff" * 64 + "7f"],
)
def test_object_identifiers_that_are_none(contents: str) -> None:
    with pytest.raises(MalformedError):
        cursor(tagged(6, bytes.fromhex(contents))).oid()


@given(
    st.integers(0, 2),
    st.integers(0, 39),
    st.lists(st.integers(0, 2**40), max_size=8),
)
def test_object_identifiers_of_any_numbers(first: int, second: int, rest: list[int]) -> None:
    text = ".".join(map(str, (first, second, *rest)))
    assert cursor(oid(text)).oid() == text


# --- times (RFC 5280, 4.1.2.5; RFC 3161, 2.4.2) ---------------------------------------------

TIMES = {
    (der.UTC_TIME, b"500101000000Z"): datetime(1950, 1, 1, tzinfo=UTC),
    (der.UTC_TIME, b"491231235959Z"): datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
    (der.UTC_TIME, b"000229120000Z"): datetime(2000, 2, 29, 12, tzinfo=UTC),
    (der.UTC_TIME, b"9907312359Z"): datetime(1999, 7, 31, 23, 59, tzinfo=UTC),
    (der.TIME, b"20500101000000Z"): datetime(2050, 1, 1, tzinfo=UTC),
    (der.TIME, b"19491231235959Z"): datetime(1949, 12, 31, 23, 59, 59, tzinfo=UTC),
    (der.TIME, b"99991231235959Z"): datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    (der.TIME, b"20250102030405.5Z"): datetime(2025, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC),
    (der.TIME, b"20250102030405.000001Z"): datetime(2025, 1, 2, 3, 4, 5, 1, tzinfo=UTC),
    (der.TIME, b"20250102030405.123456789Z"): datetime(2025, 1, 2, 3, 4, 5, 123456, tzinfo=UTC),
}


@pytest.mark.parametrize(("tag", "text"), TIMES)
def test_times(tag: int, text: bytes) -> None:
    assert cursor(tagged(tag, text)).time() == TIMES[tag, text]


NO_TIMES = (
    (der.UTC_TIME, b""),
    (der.UTC_TIME, b"Z"),
    (der.UTC_TIME, b"2501020304"),  # no zone
    (der.UTC_TIME, b"250102030405+0100"),
    (der.UTC_TIME, b"250102030405.5Z"),
    (der.UTC_TIME, b"251302030405Z"),  # month
    (der.UTC_TIME, b"250230030405Z"),  # day
    (der.UTC_TIME, b"250102240405Z"),  # hour
    (der.UTC_TIME, b"250102036005Z"),
    (der.UTC_TIME, b"250102030460Z"),
    (der.UTC_TIME, b"25010203040Z"),
    (der.UTC_TIME, b"20250102030405Z"),  # of the other kind
    (der.UTC_TIME, b"-50102030405Z"),
    (der.UTC_TIME, b" 50102030405Z"),
    (der.UTC_TIME, "\u0662\u0665\u0660\u0661\u0660\u0661Z".encode()),
    (der.TIME, b"250102030405Z"),
    (der.TIME, b"202501020304Z"),
    (der.TIME, b"20250102030405"),
    (der.TIME, b"20250102030405.Z"),
    (der.TIME, b"20250102030405.1234567890Z"),
    (der.TIME, b"20250102030405.1.1Z"),
    (der.TIME, b"20250102030405,5Z"),
    (der.TIME, b"00000102030405Z"),
    (der.TIME, b"20250102030405ZZ"),
    (der.OCTETS, b"20250102030405Z"),
)


@pytest.mark.parametrize(("tag", "text"), NO_TIMES)
def test_times_that_are_none(tag: int, text: bytes) -> None:
    with pytest.raises(MalformedError):
        cursor(tagged(tag, text)).time()


# --- what cryptography writes, and what it refuses ------------------------------------------


@asn1.sequence
class Everything:
    """A value of each kind that both know."""

    number: int
    data: bytes
    identifier: x509.ObjectIdentifier
    text: str
    utc: asn1.UTCTime
    general: asn1.GeneralizedTime
    some: asn1.SetOf[asn1.TLV]
    inner: list[int]


def _read(data: bytes) -> tuple[object, ...]:
    """The same by our cursor."""
    at = cursor(data)
    inner = at.enter()
    at.finish()
    found: list[object] = [inner.integer(), inner.contents(der.OCTETS), inner.oid()]
    found += [inner.contents(der.UTF8).decode(), inner.time(), inner.time()]
    for tag, read in ((der.SET, Cursor.whole), (der.SEQUENCE, Cursor.integer)):
        found.append(_all(inner.enter(tag), read))
    inner.finish()
    return tuple(found)


def _all(at: Cursor, read: Callable[[Cursor], object]) -> list[object]:
    found = []
    while not at.is_done():
        found.append(read(at))
    return found


_ANY_TIME = st.datetimes(timezones=st.just(UTC))
_SECONDS = _ANY_TIME.map(lambda found: found.replace(year=1950 + found.year % 100, day=1))
_NUMBERS = st.integers(-(2**200), 2**200)


@given(
    _NUMBERS,
    st.binary(max_size=300),
    st.sampled_from([*OIDS.values()][3:]),
    st.text(max_size=200),
    _SECONDS,
    _ANY_TIME,
    st.lists(st.binary(max_size=140), max_size=5),
    st.lists(_NUMBERS, max_size=50),
)
def test_what_cryptography_writes_is_read_back(
    number: int,
    data: bytes,
    identifier: str,
    text: str,
    utc: datetime,
    general: datetime,
    some: list[bytes],
    inner: list[int],
) -> None:
    utc, general = utc.replace(microsecond=0), general.replace(microsecond=0)
    encoded = _made(number, data, identifier, text, utc, general, some, inner)
    found = _read(encoded)
    assert found[:6] == (number, data, identifier, text, utc, general)
    assert sorted(found[6]) == sorted(map(octets, some))  # type: ignore[call-overload]
    assert found[7] == inner


def _made(
    number: int,
    data: bytes,
    identifier: str,
    text: str,
    utc: datetime,
    general: datetime,
    some: list[bytes],
    inner: list[int],
) -> bytes:
    return asn1.encode_der(
        Everything(
            number=number,
            data=data,
            identifier=x509.ObjectIdentifier(identifier),
            text=text,
            utc=asn1.UTCTime(utc),
            general=asn1.GeneralizedTime(general),
            some=asn1.SetOf([asn1.decode_der(asn1.TLV, octets(each)) for each in some]),
            inner=inner,
        )
    )


def test_what_a_strict_reader_refuses_is_refused() -> None:
    """Only sets out of order, times without seconds and bytes that are no UTF-8 are taken here
    and not there; what both take means the same."""
    rng = random.Random(20261124)
    moment = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
    later, some = moment + timedelta(days=20_000), [bytes(1), bytes(200)]
    whole = _made(
        -70_000, bytes(300), "1.3.6.1.4.1.311.2.1.4", "Grüße", moment, later, some, [0, 128]
    )
    both = neither = ours = 0
    for _ in range(MUTATIONS):
        changed = bytearray(whole)
        for _ in range(rng.randrange(1, 3)):
            changed[rng.randrange(len(changed))] = rng.choice(
                (0, 0x7F, 0x80, 0xFF, rng.randrange(256))
            )
        theirs = _strictly(bytes(changed))
        try:
            mine: tuple[object, ...] | None = _read(bytes(changed))
        except (MalformedError, UnicodeDecodeError):
            mine = None
        if mine is not None and theirs is None:
            ours += 1
            assert _is_unsorted(mine) or _lacks_seconds(bytes(changed)), changed.hex()
        elif mine is None:
            assert theirs is None, changed.hex()
            neither += 1
        else:
            both += 1
            assert mine[:6] == theirs
    assert min(both, neither) > MUTATIONS // 20
    assert ours < both


def _strictly(data: bytes) -> tuple[object, ...] | None:
    try:
        found = asn1.decode_der(Everything, data)
    except ValueError:
        return None
    return (
        found.number,
        found.data,
        found.identifier.dotted_string,
        found.text,
        found.utc.as_datetime(),
        found.general.as_datetime(),
    )


def _is_unsorted(found: tuple[object, ...]) -> bool:
    members = found[6]
    assert isinstance(members, list)
    return members != sorted(members)


def _lacks_seconds(data: bytes) -> bool:
    at = cursor(data).enter()
    for _ in range(4):
        at.skip()
    return len(at.whole(der.UTC_TIME)) != 15 or len(at.whole(der.TIME)) != 17


# --- any bytes ------------------------------------------------------------------------------

_READERS: tuple[Callable[[Cursor], object], ...] = (
    Cursor.enter,
    Cursor.whole,
    Cursor.skip,
    Cursor.oid,
    Cursor.integer,
    Cursor.algorithm,
    Cursor.time,
    lambda at: at.contents(der.OCTETS),
    lambda at: at.optional(der.SET),
    lambda at: at.finish(),
)


@given(st.binary(max_size=40), st.sampled_from(_READERS))
def test_any_bytes_are_read_or_refused(data: bytes, read: Callable[[Cursor], object]) -> None:
    at = cursor(data)
    try:
        found = read(at)
    except MalformedError:
        return
    assert 0 <= at.at <= len(data)
    if isinstance(found, Cursor):
        assert found.end == at.at


def test_sets_keep_their_order() -> None:
    """What was signed are the bytes as they lie there."""
    members = octets(b"b") + octets(b"a")
    assert cursor(tagged(0x31, members)).enter(der.SET).rest() == members
    assert set_of([octets(b"b"), octets(b"a")])[2:] != members
