"""Files whose layout lies, and catalogs that list something else: never good."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from signing.kernel import Kind
from tests.builders import authorities, signed
from tests.builders.der import octets
from tests.builders.signed import Content, How, about, message
from tests.signing.hostile.judging import is_good, judged, list_of, said

# --- catalogs -----------------------------------------------------------------------------


def _catalog(image: bytes, **changed: object) -> bytes:
    return message(list_of(image, **changed), [How(authorities.publisher())])


def test_a_catalog_of_another_file_says_nothing() -> None:
    report = judged(signed.stub(b"\xcc"), _catalog(signed.stub()))
    assert (report.kind, report.vouchers) == (Kind.UNSIGNED, ())


def test_a_member_whose_tag_and_digest_differ_lists_nothing() -> None:
    image, other = signed.stub(), signed.stub(b"\xcc")
    tag = signed.file_digest(image, "sha256")
    report = judged(image, _catalog(other, tag=tag))
    assert (report.kind, report.vouchers) == (Kind.UNSIGNED, ())
    assert judged(other, _catalog(other, tag=tag)).kind is Kind.UNSIGNED


def test_what_describes_a_file_is_no_catalog_of_it() -> None:
    """A signature of the executable beside it, called a catalog."""
    image = signed.stub()
    made = message(about(image), [How(authorities.publisher())])
    assert judged(image, made).vouchers == ()


def test_a_catalog_does_not_excuse_a_changed_file() -> None:
    made = bytearray(signed.good())
    made[0x400] ^= 1
    report = judged(bytes(made), _catalog(signed.stub()))
    assert report.kind is Kind.TAMPERED
    assert not is_good(report)


# --- layout --------------------------------------------------------------------------------


def _field(made: bytes, at: int, value: int, size: int = 4) -> bytes:
    return made[:at] + value.to_bytes(size, "little") + made[at + size :]


def _files() -> Iterator[tuple[str, Callable[[], bytes], Kind, str]]:
    image = signed.stub()
    ours = message(about(image), [How(authorities.publisher())])
    made, (_, entry) = signed.signed(image, ours), signed.places(image)
    sections = entry - 32 + 128
    size, table = len(made) - len(image), len(image)
    unreadable, tampered = Kind.UNREADABLE, Kind.TAMPERED

    def put(at: int, value: int, length: int = 4) -> Callable[[], bytes]:
        return lambda: _field(made, at, value, length)

    def entries(*found: bytes) -> Callable[[], bytes]:
        return lambda: signed.with_table(image, b"".join(found))

    yield "sections overlap", put(sections + 40 + 20, 0x400), unreadable, "overlap"
    yield "section outside the file", put(sections + 40 + 16, 0x10000), unreadable, ""
    yield "section at the end of the world", put(sections + 40 + 20, 0xFFFFFE00), unreadable, ""
    yield "section in the headers", put(sections + 20, 0x10), unreadable, "overlap"
    yield "sixty thousand sections", put(0x46, 60000, 2), unreadable, "sections"
    yield "headers larger than the file", put(0x40 + 24 + 60, 0x7FFFFFFF), unreadable, ""
    yield "headers far away", put(60, 0x7FFFFFFF), unreadable, "far away"
    yield "headers at the end", put(60, len(made) - 8), unreadable, ""
    yield "table outside the file", put(entry, len(made)), unreadable, "elsewhere"
    yield "table beyond 4 GiB", put(entry, 0xFFFFFFF8), unreadable, "elsewhere"
    yield "table in a section", put(entry, 0x400), unreadable, "elsewhere"
    yield "table in the headers", put(entry, 0x40), unreadable, "elsewhere"
    yield "table eight bytes later", put(entry, table + 8), unreadable, ""
    yield "table eight bytes earlier", put(entry, table - 8), unreadable, ""
    yield "table longer than the file", put(entry + 4, size + 8), unreadable, "elsewhere"
    yield "table of 2 GiB", put(entry + 4, 0x7FFFFFFF), unreadable, "too large"
    yield "table of 7 bytes", put(entry + 4, 7), unreadable, "where it should"
    yield "table cut by 8", put(entry + 4, size - 8), unreadable, "an entry of"
    yield "table of no size", put(entry + 4, 0), Kind.UNSIGNED, ""
    yield "no table named", put(entry, 0), Kind.UNSIGNED, ""
    yield "table of zeros", lambda: made[:table] + bytes(size), Kind.UNSIGNED, ""
    yield "bytes behind the table", lambda: made + b"payload!", tampered, ""
    yield "bytes before the table", lambda: _pushed(image, ours), tampered, ""
    yield "entry of no length", put(table, 0), unreadable, "an entry of"
    yield "entry of 8 bytes", put(table, 8), unreadable, "an entry of"
    yield "entry longer than the table", put(table, size + 8), unreadable, "an entry of"
    yield "entry of 4 GiB", put(table, 0xFFFFFFFF), unreadable, "an entry of"
    yield (
        "ten thousand entries",
        entries(*[signed.entry(b"x" * 8)] * 10000),
        unreadable,
        "end where",
    )
    yield "entry of another kind", put(table + 6, 1, 2), Kind.UNSIGNED, ""
    yield "message cut short by its entry", put(table, size - 16), unreadable, ""
    yield "no message", entries(signed.entry(b"\0" * 64)), unreadable, ""
    yield (
        "one byte behind the message",
        entries(signed.entry(ours + b"!")),
        Kind.ORGANISATION,
        "nobody",
    )
    yield (
        "a program behind the message",
        entries(signed.entry(ours + b"payload" * 999)),
        Kind.ORGANISATION,
        "nobody",
    )
    yield (
        "a thousand zeros behind the message",
        entries(signed.entry(ours + bytes(1000))),
        Kind.ORGANISATION,
        "nobody",
    )
    yield (
        "an entry of another kind behind the signature",
        entries(signed.entry(ours), signed.entry(b"payload!" * 99, kind=1)),
        Kind.ORGANISATION,
        "nobody",
    )
    yield "bytes between entries", lambda: _between(image), Kind.ORGANISATION, "nobody"
    yield "nothing", lambda: b"", Kind.UNSIGNED, ""
    yield "only the headers", lambda: made[:0x200], unreadable, ""
    yield "MZ", lambda: b"MZ", unreadable, ""


def _pushed(image: bytes, ours: bytes) -> bytes:
    return signed.with_table(image + b"payload!", signed.entry(ours))


def _between(image: bytes) -> bytes:
    """An entry that ends where its message does: what fills it up is no zeros."""
    for size in range(8):
        later = signed.fixed(signed.attribute(signed.NESTED + ".9", octets(bytes(size))))
        ours = message(about(image), [How(authorities.publisher(), sign=_fixed, later=(later,))])
        if len(ours) % 8 == 4:
            table = signed.entry(ours, length=8 + len(ours))
            return signed.with_table(image, table[:-4] + b"evil" + signed.entry(ours))
    raise AssertionError("one of eight sizes is right")


def _fixed(data: bytes) -> bytes:
    key = authorities.publisher().key.private
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


def _contents() -> Iterator[tuple[str, Callable[[], bytes], Kind, str]]:
    """Signed as it should be, and says something else of the file."""
    image, other = signed.stub(b"code" * 3000), signed.stub(b"more" * 3000)
    fit = signed.page_table(image, "sha256")

    def told(content: Content) -> Callable[[], bytes]:
        return lambda: signed.signed(image, message(content, [How(authorities.publisher())]))

    pages = "the pages of the file"
    for name, table in {
        "page hashes of another file": signed.page_table(other, "sha256"),
        "page hashes of the headers alone": fit[:36],
        "no page hashes": b"",
        "page hashes without their end": fit[:-36],
        "page hashes in another order": fit[36:72] + fit[:36] + fit[72:],
        "page hashes and more": fit + bytes(36),
    }.items():
        yield name, told(about(image, pages="sha256", table=table)), Kind.TAMPERED, pages
    sha1 = signed.page_table(image, "sha1")
    yield (
        "page hashes of another algorithm",
        told(about(image, pages="sha256", table=sha1)),
        Kind.TAMPERED,
        pages,
    )
    yield "another digest", told(about(other)), Kind.TAMPERED, "the file is not"
    yield "digest of zeros", told(about(image, digest=bytes(32))), Kind.TAMPERED, "the file is not"
    yield "digest cut", told(about(image, digest=bytes(20))), Kind.UNREADABLE, "a sha256 digest of"
    unknown = about(image, names_digest="sha3-256")
    yield "digest of an unknown algorithm", told(unknown), Kind.TAMPERED, "a digest that is not"
    flat = about(image, subject="1.3.6.1.4.1.311.2.1.25")
    yield "subject that is no executable", told(flat), Kind.TAMPERED, "the file is not"
    yield "digest of MD5", told(about(image, "md5")), Kind.ORGANISATION, "MD5"
    yield "digest of SHA-1", told(about(image, "sha1")), Kind.ORGANISATION, "SHA1"


Case = tuple[Callable[[], bytes], Kind, str]
FILES: dict[str, Case] = {name: case for name, *case in (*_files(), *_contents())}  # type: ignore[misc]


@pytest.mark.parametrize("name", FILES)
def test_files(name: str) -> None:
    make, kind, words = FILES[name]
    report = judged(make())
    assert not is_good(report)
    assert report.kind is kind, said(report)
    assert words in said(report), said(report)
