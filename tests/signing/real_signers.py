"""Everybody who signed something in the real files: signers, nested ones, timestamp services."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from signing import image, path, signed_data, timestamp
from signing.certificate import CODE_SIGNING, TIME_STAMPING, Certificate
from signing.der import without_filling
from signing.errors import SigningError
from signing.signature import NESTED
from signing.signed_data import SignedData, SignerInfo
from tests.conftest import REAL_DATA


@dataclass(frozen=True, slots=True)
class Signed:
    """One SignerInfo of a file, with the certificates of its message."""

    file: str
    made: SignerInfo
    pool: tuple[Certificate, ...]
    leaf: Certificate
    purpose: str


def names() -> list[str]:
    """All files of shared/data/signed that may hold a signature."""
    kinds = (".sys", ".dll", ".exe", ".efi", ".cat", ".p7b")
    found = (REAL_DATA / "signed").rglob("*")
    return sorted(
        str(each.relative_to(REAL_DATA)) for each in found if each.suffix.lower() in kinds
    )


@cache
def everybody() -> tuple[Signed, ...]:
    """Each once, of all files."""
    found: dict[tuple[bytes, bytes], Signed] = {}
    for name in names():
        for each in of_file(REAL_DATA / name):
            found.setdefault((each.leaf.der, each.made.signature), each)
    return tuple(found.values())


def certificates() -> tuple[Certificate, ...]:
    """Each certificate of those messages, once."""
    return tuple(dict.fromkeys(each for one in everybody() for each in one.pool))


def messages(place: Path) -> list[SignedData]:
    """The messages of a file, without those nested in them."""
    data = place.read_bytes()
    try:
        if data[:2] != b"MZ":
            return [signed_data.read(data)]
        stream = io.BytesIO(data)
        layout = image.read(stream)
        entries = image.entries(stream, layout) if layout.is_signed else ()
        return [signed_data.read(without_filling(each.content, "test")[0]) for each in entries]
    except SigningError:
        return []


def of_file(place: Path) -> Iterator[Signed]:
    waiting = messages(place)
    while waiting:
        message = waiting.pop()
        yield from _of(place.name, message, CODE_SIGNING)
        for made in message.signers:
            waiting += map(signed_data.read, made.unsigned.get(NESTED, ()))
            for value in made.unsigned.get(timestamp.TOKEN, ()):
                yield from _of(place.name, signed_data.read(value), TIME_STAMPING)
            for value in made.unsigned.get(timestamp.COUNTERSIGNATURE, ()):
                one = signed_data.signer(value, "test")
                alone = SignedData("", b"", 0, message.certificates, (one,))
                yield from _of(place.name, alone, TIME_STAMPING)


def _of(name: str, message: SignedData, purpose: str) -> Iterator[Signed]:
    pool = path.readable(message.certificates)
    for made in message.signers:
        leaf = path.certificate_of(made, pool)
        if leaf is not None:
            yield Signed(name, made, pool, leaf, purpose)
