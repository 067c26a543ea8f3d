"""Timestamps that prove nothing, for a publisher whose certificate ran out: none may help him."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

from tests.builders import authorities
from tests.builders.authorities import (
    CODE_SIGNING,
    NOW,
    TIME_STAMPING,
    YEAR,
    Holder,
    Shape,
    authority,
    ca_shape,
    expired,
    issue,
    root,
    rsa_key,
    stamper,
)
from tests.builders.der import NULL, oid, sequence
from tests.builders.der_map import node
from tests.builders.signed import (
    COUNTERSIGNATURE,
    DATA,
    TOKEN,
    TST_INFO,
    How,
    Later,
    attribute,
    countersignature,
    token,
)
from tests.signing.hostile.wrong import LATE, Wrong, of

_LIFETIME = "1.3.6.1.4.1.311.10.3.13"  # its signatures end with the certificate, timestamp or not
THEN = NOW - 3 * YEAR  # while the certificate was valid


def stamped(*stamps: Later, by: Holder | None = None, bag: tuple[Holder, ...] = ()) -> How:
    others = (each for holder in (stamper(), authority(), *bag) for each in holder.bag)
    return How(by or expired(), later=stamps, others=tuple(others))


def times() -> Iterator[Wrong]:
    yield from _of_services()
    yield from _about_others()
    yield from _forms()
    yield from _moments()


def service(name: str, above: Holder | None = None, **changed: object) -> Holder:
    shape = Shape(name, rsa_key(2), (TIME_STAMPING,), since=NOW - 10 * YEAR)
    return issue(replace(shape, **changed), above or root())  # type: ignore[arg-type]


def _both(name: str, words: str, by: Holder, *, sent: bool = True) -> Iterator[Wrong]:
    """A countersignature and a token of that service."""
    bag = (by,) if sent else ()
    stamps = {
        "countersignature": countersignature(THEN, by),
        "token": token(THEN, by, bag=None if sent else ()),
    }
    for kind, stamp in stamps.items():
        yield of(f"{kind}: {name}", stamped(stamp, bag=bag), LATE, words)


def _of_services() -> Iterator[Wrong]:
    foreign = issue(ca_shape("Foreign root", authorities.ec_key(50)))
    no_ca = service("No CA", ca=False, purposes=(TIME_STAMPING,))
    yield from _both(
        "service not for timestamps", "not for timestamps", service("T1", purposes=(CODE_SIGNING,))
    )
    yield from _both("service without purposes", "what for", service("T2", purposes=None))
    yield from _both("service that had run out then", "ran out", service("T3", until=THEN - YEAR))
    yield from _both(
        "service that had not begun then", "began only", service("T4", since=THEN + YEAR)
    )
    yield from _both("service that nobody trusts", "no root", service("T5", foreign))
    yield from _both(
        "service that vouches for itself",
        "no root",
        issue(Shape("T6", rsa_key(2), (TIME_STAMPING,), since=NOW - 10 * YEAR)),
    )
    yield from _both("service under one that is no CA", "may not issue", service("T7", no_ca))
    yield from _both("service is not in the file", "not in the file", service("T8"), sent=False)
    yield from _both("service is a publisher", "not for timestamps", authorities.publisher())


def _about_others() -> Iterator[Wrong]:
    for kind, stamp in {
        "countersignature of other bytes": countersignature(THEN, about=b"another signature"),
        "token of other bytes": token(THEN, about=b"another signature"),
        "token over an unknown digest": _unknown_imprint,
    }.items():
        yield of(kind, stamped(stamp), LATE, "about another signature")
    yield of(
        "countersignature with a wrong digest",
        stamped(countersignature(THEN, message_digest=bytes(20))),
        LATE,
        "about another signature",
    )
    yield of(
        "token with a wrong digest",
        stamped(token(THEN, message_digest=bytes(32))),
        LATE,
        "not what was signed",
    )


def _unknown_imprint(signature: bytes) -> bytes:
    """A good one, but for the name of the digest."""
    return token(THEN)(signature).replace(
        sequence(oid(authorities.DIGEST_OIDS["sha256"]), b"\x05\0"),
        sequence(oid("2.16.840.1.101.3.4.2.9"), b"\x05\0"),
    )


def _forms() -> Iterator[Wrong]:
    rsa, key = sequence(oid("1.2.840.113549.1.1.1"), NULL), stamper().key
    for name, stamp, words in (
        (
            "countersignature of the type of a token",
            countersignature(THEN, content_type=TST_INFO),
            "plainly",
        ),
        ("token of the type of data", token(THEN, content_type=DATA), "plainly"),
        ("token with other contents", token(THEN, kind=DATA), "another kind of message"),
        ("token with two signers", token(THEN, twice=True), "one signer"),
        (
            "token that names another certificate",
            token(THEN, names=root().certificate),
            "another certificate",
        ),
        ("countersignature without a time", countersignature(None), "no time"),
        ("countersignature without attributes", countersignature(THEN, attributes=()), ""),
        (
            "countersignature by another key",
            countersignature(THEN, sign=_by_another),
            "did not make it",
        ),
        ("token by another key", token(THEN, sign=_by_another), "did not make it"),
        (
            "token with a bare digest",
            token(THEN, digest="sha1", algorithm=rsa, sign=lambda data: _bare(key, data, "sha1")),
            "did not make it",
        ),
        (
            "token with a bare SHA-256 digest",
            token(THEN, algorithm=rsa, sign=lambda data: _bare(key, data, "sha256")),
            "did not make it",
        ),
        (
            "countersignature that is none",
            lambda _: attribute(COUNTERSIGNATURE, sequence()),
            "cannot be read",
        ),
        ("token that is none", lambda _: attribute(TOKEN, sequence()), "cannot be read"),
        ("a countersignature where a token should be", _swapped, "cannot be read"),
    ):
        yield of(name, stamped(stamp), LATE, words)


def _by_another(data: bytes) -> bytes:
    return rsa_key(2).sign(data, "sha1")


def _bare(key: authorities.Key, data: bytes, digest: str) -> bytes:
    return authorities.raw(key, hashlib.new(digest, data).digest())


def _swapped(signature: bytes) -> bytes:
    made = node(countersignature(THEN)(signature))
    return attribute(TOKEN, made.at(1, 0).whole)


def _moments() -> Iterator[Wrong]:
    future = NOW + 30 * YEAR / 365
    kinds: dict[str, Callable[[datetime], Later]] = {
        "countersignature": countersignature,
        "token": token,
    }
    for name, stamp in kinds.items():
        yield of(f"{name} from the future", stamped(stamp(future)), LATE, "")
        yield of(f"{name} after the end", stamped(stamp(NOW - YEAR)), LATE, "ran out")
        yield of(f"{name} before the beginning", stamped(stamp(NOW - 5 * YEAR)), LATE, "began only")
    lifetime = issue(
        Shape(
            "For its lifetime",
            authorities.ec_key(52),
            (CODE_SIGNING, _LIFETIME),
            since=NOW - 4 * YEAR,
            until=NOW - 2 * YEAR,
        ),
        authority(),
    )
    yield of("good token, but lifetime signing", stamped(token(THEN), by=lifetime), LATE, "ran out")
    later = issue(
        Shape("Begins later", authorities.ec_key(51), since=NOW + YEAR / 12, until=NOW + 2 * YEAR),
        authority(),
    )
    soon = NOW + YEAR / 6
    yield of("token from the future for a future certificate", stamped(token(soon), by=later), LATE)
    yield of(
        "countersignature from the future for a future certificate",
        stamped(countersignature(soon), by=later),
        LATE,
        "not come yet",
    )
