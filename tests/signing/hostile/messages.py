"""What was signed, and how it is written: attributes, contents, DER."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import cache

from signing.kernel import Kind
from tests.builders import authorities, signed
from tests.builders.der import integer, octets, oid, sequence
from tests.builders.signed import (
    CONTENT_TYPE,
    DATA,
    INDIRECT_DATA,
    MESSAGE_DIGEST,
    TRUST_LIST,
    Content,
    How,
    attribute,
    message,
)
from tests.signing.hostile.wrong import TAMPERED, UNREADABLE, Wrong, by


def messages() -> Iterator[Wrong]:
    yield from _attributes()
    yield from _encodings()


# --- what was signed ----------------------------------------------------------------------


def _attributes() -> Iterator[Wrong]:
    good = authorities.publisher()
    yield from by(
        TAMPERED,
        "its contents are not what was signed",
        wrong_message_digest=How(good, message_digest=bytes(32)),
        short_message_digest=How(good, message_digest=b"\1"),
    )
    yield from by(
        TAMPERED,
        "it does not say plainly what was signed",
        content_type_of_data=How(good, content_type=DATA),
        content_type_of_a_token=How(good, content_type=signed.TST_INFO),
        no_signed_attributes=How(good, attributes=()),
        no_content_type=How(good, attributes=(attribute(MESSAGE_DIGEST, octets(bytes(32))),)),
    )
    yield Wrong(
        "contents said to be a list, the attributes say a file",
        lambda content: _other_type(content, TRUST_LIST),
        (Kind.TAMPERED, Kind.UNREADABLE),
    )
    yield Wrong(
        "contents said to be a file, the attributes say a list",
        lambda content: _other_type(content, INDIRECT_DATA),
        (Kind.TAMPERED, Kind.UNREADABLE),
    )
    yield Wrong("nobody signed", lambda content: message(content, [], good.bag), UNREADABLE)
    yield Wrong("attribute twice", _twice, UNREADABLE, "twice")
    yield Wrong("attribute with two values", _two_values, UNREADABLE)
    yield Wrong("no message digest", _no_digest, UNREADABLE, "missing")
    yield Wrong("signature over the contents themselves", _over_contents, TAMPERED)
    yield Wrong(
        "signature over other attributes",
        lambda content: message(
            content, [How(good, sign=lambda data: good.key.sign(data[::-1], "sha256"))]
        ),
        TAMPERED,
        "did not make it",
    )
    yield from by(
        TAMPERED,
        "",
        another_digest_named=How(good, names_digest="sha384"),
        unknown_digest_named=How(good, names_digest="sha3-256"),
        unknown_scheme=How(good, algorithm=sequence(oid("1.3.101.112"))),
        md5_named=How(good, names_digest="md5"),
    )


def _other_type(content: Content, kind: str) -> bytes:
    claimed = TRUST_LIST if kind == INDIRECT_DATA else INDIRECT_DATA
    return message(content, [How(authorities.publisher(), content_type=claimed)], kind=kind)


def _plain(content: Content) -> tuple[bytes, bytes]:
    """The two attributes as they should be."""
    digest = hashlib.sha256(content.digested).digest()
    return (
        attribute(CONTENT_TYPE, oid(content.kind)),
        attribute(MESSAGE_DIGEST, octets(digest)),
    )


def _with(content: Content, *attributes: bytes) -> bytes:
    return message(content, [How(authorities.publisher(), attributes=attributes)])


def _twice(content: Content) -> bytes:
    kind, digest = _plain(content)
    return _with(content, kind, digest, attribute(MESSAGE_DIGEST, octets(bytes(32))))


def _two_values(content: Content) -> bytes:
    kind, _ = _plain(content)
    digest = hashlib.sha256(content.digested).digest()
    return _with(content, kind, attribute(MESSAGE_DIGEST, octets(digest), octets(bytes(32))))


def _no_digest(content: Content) -> bytes:
    return _with(content, _plain(content)[0])


def _over_contents(content: Content) -> bytes:
    good = authorities.publisher()
    how = How(good, sign=lambda _: good.key.sign(content.digested, "sha256"))
    return message(content, [how])


# --- how it is written --------------------------------------------------------------------


def _encodings() -> Iterator[Wrong]:
    def after(change: Callable[[bytes], bytes]) -> Callable[[Content], bytes]:
        return lambda content: change(message(content, [How(authorities.publisher())]))

    for name, change in {
        "indefinite length": lambda made: b"\x30\x80" + _inside(made) + b"\0\0",
        "length of 2 GiB": lambda made: b"\x30\x84\x7f\xff\xff\xff" + _inside(made),
        "length of 8 bytes": lambda made: b"\x30\x88" + b"\xff" * 8 + _inside(made),
        "length not in its shortest form": lambda made: (
            b"\x30\x84" + len(_inside(made)).to_bytes(4, "big") + _inside(made)
        ),
        "tag of two bytes": lambda made: b"\x3f\x81\x01" + made[1:],
        "cut in the middle": lambda made: made[: len(made) // 2],
        "a thousand sequences in one another": lambda _: _deep(1000),
        "another kind of message": lambda made: made.replace(
            oid(signed.SIGNED_DATA), oid("1.2.840.113549.1.7.3"), 1
        ),
        "one byte inside behind its end": lambda made: sequence(_inside(made), b"\0"),
        "nothing": lambda _: sequence(),
    }.items():
        yield Wrong(name, after(change), UNREADABLE)
    yield Wrong(
        "a thousand certificates",
        lambda content: message(content, [How(authorities.publisher())], _strangers(1000)),
        UNREADABLE,
        "more than",
    )
    yield Wrong(
        "a hundred signers",
        lambda content: message(
            content, [How(authorities.publisher(), serial=each + 1) for each in range(100)]
        ),
        UNREADABLE,
        "more than",
    )


def _inside(value: bytes) -> bytes:
    return value[2 + (value[1] & 0x7F if value[1] & 0x80 else 0) :]


def _deep(depth: int) -> bytes:
    made = b""
    for _ in range(depth):
        made = sequence(made)
    return made


@cache
def _strangers(count: int) -> tuple[bytes, ...]:
    return tuple(sequence(integer(each)) for each in range(count))
