"""What is made to cost time or memory, and may not: files of up to 1.5 MB."""

from __future__ import annotations

import io
import random
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from signing.kernel import Kind
from signing.path import Trust
from signing.report import Report
from signing.verify import Verifier
from tests.builders import authorities, signed
from tests.builders.authorities import (
    NOW,
    TIME_STAMPING,
    YEAR,
    Holder,
    Key,
    Shape,
    ca_shape,
    ec_key,
    issue,
    rsa_key,
    rsa_public,
    some_modulus,
)
from tests.builders.der_map import node
from tests.builders.signed import How, Later, about, attribute, message, token
from tests.signing.hostile.judging import SECONDS, said

MEMORY = 64 << 20  # bytes of Python's objects
_SAME = 25  # CAs of one name in one bag: more than are tried
_ANOTHER = ec_key(502, ec.SECP521R1)
_SIGNATURES, _STAMPS = 8, 3  # as many as are looked at


@dataclass(frozen=True, slots=True)
class _Noise(Key):
    """An RSA key of any size whose signatures are of the right length, and wrong."""

    def sign(self, data: bytes, digest: str) -> bytes:
        modulus = node(node(self.public).at(1).contents[1:]).at(0).contents.lstrip(b"\0")
        return b"\0" + random.Random(data + digest.encode()).randbytes(len(modulus) - 1)


def _noise(bits: int, exponent: int) -> Key:
    return _Noise("rsa", rsa_key().private, rsa_public(some_modulus(bits), exponent))


def _crowd(number: int, key: Key) -> list[Holder]:
    """CAs of one name, each another certificate, which all might have issued what is below."""
    shape = ca_shape("Same", key)
    top = issue(ca_shape("Top", ec_key(500)))
    return [issue(replace(shape, serial=number * _SAME + each + 1), top) for each in range(_SAME)]


def _stamps(number: int, key: Key) -> Later:
    """Tokens whose services any of a crowd may have certified; none did."""
    made = []
    for each in range(number, number + _STAMPS):
        crowd = _crowd(each, key)
        shape = Shape(f"Time {each}", ec_key(501), (TIME_STAMPING,), since=NOW - 10 * YEAR)
        above = crowd[0] if isinstance(key, _Noise) else replace(crowd[0], key=_ANOTHER)
        service = issue(shape, above)
        bag = (service.certificate, *(ca.certificate for ca in crowd))
        made.append(token(NOW - 3 * YEAR, service, bag=bag))
    return lambda signature: attribute(
        signed.TOKEN, *(node(each(signature)).at(1, 0).whole for each in made)
    )


def _crowded(key: Key) -> bytes:
    """Everything holds, and each token has to be looked at."""
    image = signed.stub()
    numbers = range(0, _SIGNATURES * _STAMPS, _STAMPS)
    hows = [How(authorities.publisher(), later=(_stamps(number, key),)) for number in numbers]
    return signed.signed(image, *(message(about(image), [how]) for how in hows))


def _page_tables() -> bytes:
    image = signed.stub(random.Random(1).randbytes(1_300_000))
    made = message(about(image, pages="sha1"), [How(authorities.publisher())])
    other = message(about(image, pages="sha256"), [How(authorities.publisher())])
    return signed.signed(image, *[made, other] * (_SIGNATURES // 2))


def _many_signers() -> bytes:
    """As many as a message may have, nested in one another's place."""
    image, good = signed.stub(), How(authorities.publisher())
    inner = message(about(image), [good] * 8)
    how = replace(good, later=(signed.nested(*[inner] * 7),))
    return signed.signed(image, *[message(about(image), [how])] * 15)


def _many_attributes() -> bytes:
    image = signed.stub()
    values = [bytes((4, 2, *divmod(each, 256))) for each in range(16)]
    later = [signed.fixed(attribute(f"1.3.6.1.4.1.99999.{kind}", *values)) for kind in range(31)]
    how = How(authorities.publisher(), later=tuple(later))
    return signed.signed(image, *[message(about(image), [how])] * 8)


COSTLY: dict[str, tuple[Callable[[], bytes], Kind]] = {
    "crowds of P-521": (lambda: _crowded(ec_key(503, ec.SECP521R1)), Kind.ORGANISATION),
    "crowds of RSA 8192": (lambda: _crowded(_noise(8192, 2**32 - 5)), Kind.ORGANISATION),
    "crowds with long exponents": (
        lambda: _crowded(_noise(3072, some_modulus(3000))),
        Kind.ORGANISATION,
    ),
    "page hashes in each signature": (_page_tables, Kind.ORGANISATION),
    "signers in signers": (_many_signers, Kind.UNREADABLE),
    "attributes": (_many_attributes, Kind.ORGANISATION),
}


@pytest.mark.parametrize("name", COSTLY)
def test_costs(name: str) -> None:
    make, kind = COSTLY[name]
    content = make()
    began = time.process_time()
    report = _judged(content)
    assert time.process_time() - began < SECONDS
    assert report.kind is kind, said(report)
    tracemalloc.start()
    _judged(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEMORY


def _judged(content: bytes) -> Report:
    trust = Trust((authorities.root().certificate,))
    return Verifier(trust, NOW).verify(io.BytesIO(content))
