"""Nothing hostile is ever called good.

Each message of `hostile` is bad in one way. It is put into an executable, nested in the signature
of one, and around the list of a catalog. What the builders make as it should be is good, or a table
of refusals would prove nothing.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from signing.kernel import Kernel, Kind
from signing.path import Trust
from signing.signature import Origin
from signing.verify import Verifier
from tests.builders import authorities, signed
from tests.builders.authorities import NOW, Shape, ca_shape, ec_key, issue, rsa_key
from tests.builders.signed import How, about, countersignature, message, token
from tests.signing.hostile import chains, keys, messages, times
from tests.signing.hostile.judging import is_good, judged, list_of, said
from tests.signing.hostile.times import THEN, stamped
from tests.signing.hostile.wrong import Wrong

# --- what is good -------------------------------------------------------------------------


def _good_hows() -> Iterator[tuple[str, How]]:
    ca = authorities.authority()
    for name, key in {
        "rsa": rsa_key(2),
        "pss": rsa_key(2, kind="pss"),
        "P-256": ec_key(2),
        "P-384": ec_key(2, ec.SECP384R1),
        "P-521": ec_key(2, ec.SECP521R1),
    }.items():
        holder = issue(Shape(f"By {name}", key), ca)
        for digest in ("sha256", "sha384", "sha512"):
            yield f"{name}, {digest}", How(holder, digest=digest)
    yield "by key identifier", How(authorities.publisher(), by_key_id=True)
    yield "any purpose", How(chains.leaf(1, purposes=(authorities.ANY,)))
    yield "countersignature", stamped(countersignature(THEN))
    yield "countersignature, bare SHA-1", stamped(countersignature(THEN, bare=True))
    yield "countersignature, SHA-256", stamped(countersignature(THEN, digest="sha256"))
    yield "token", stamped(token(THEN))
    yield "token, SHA-512", stamped(token(THEN, imprint="sha512", digest="sha512"))
    yield (
        "a bad token and a good countersignature",
        stamped(token(THEN, about=b""), countersignature(THEN)),
    )


GOOD_HOWS = dict(_good_hows())


@pytest.mark.parametrize("name", GOOD_HOWS)
def test_what_is_as_it_should_be_is_good(name: str) -> None:
    how = GOOD_HOWS[name]
    report = judged(signed.good(how=how, algorithm=how.digest))
    assert (report.kind, report.why_no_replacement(boot=False)) == (Kind.ORGANISATION, "")
    assert is_good(report)


@pytest.mark.parametrize("name", ["rsa, sha256", "token", "by key identifier"])
def test_nested_signatures_and_catalogs_are_good_too(name: str) -> None:
    image = signed.stub()
    assert is_good(judged(_nest(image, message(about(image), [GOOD_HOWS[name]]))))
    assert is_good(judged(image, message(list_of(image), [GOOD_HOWS[name]])))


@pytest.mark.parametrize("pages", ["sha1", "sha256"])
@pytest.mark.parametrize("machine", ["x64", "x86", "arm64"])
def test_page_hashes_that_fit_are_good(machine: str, pages: str) -> None:
    image = signed.stub(b"code" * 3000, machine=machine)
    made = signed.signed(image, message(about(image, pages=pages), [How(authorities.publisher())]))
    report = judged(made)
    assert is_good(report)
    assert report.vouchers[0].signature.has_pages


# --- messages -----------------------------------------------------------------------------

WRONGS = list(chain(messages.messages(), keys.keys(), chains.chains(), times.times()))


_OLD = ("SHA1", "MD5")  # whether these do is up to the kernel


def test_no_two_are_called_alike() -> None:
    names = [each.name for each in WRONGS]
    assert len(names) == len(set(names)) > 100


@pytest.mark.parametrize("wrong", WRONGS, ids=str)
def test_embedded(wrong: Wrong) -> None:
    image = signed.stub()
    report = judged(signed.signed(image, wrong.make(about(image))))
    assert not is_good(report)
    assert report.kind in wrong.kinds, said(report)
    assert wrong.words in said(report), said(report)


LAX = Kernel(
    build=19045,
    architecture="x64",
    server=False,
    secure_boot=False,
    test_signing=True,
    no_integrity_checks=True,
    flight_signing=True,
    upgraded=True,
    whql_required=False,
)


@pytest.mark.parametrize("wrong", [each for each in WRONGS if each.words not in _OLD], ids=str)
@pytest.mark.parametrize("kernel", [LAX, replace(LAX, architecture="x86")], ids=["x64", "x86"])
def test_no_kernel_makes_it_good(wrong: Wrong, kernel: Kernel) -> None:
    """Even one that asks for nothing: what it would load may still replace nothing."""
    image = signed.stub()
    report = judged(signed.signed(image, wrong.make(about(image))), kernel=kernel)
    assert report.why_no_replacement(boot=False)
    assert report.why_no_replacement(boot=True)


@pytest.mark.parametrize("wrong", WRONGS, ids=str)
def test_nested(wrong: Wrong) -> None:
    """In the signature of somebody nobody knows, so that anything good would come from it."""
    image = signed.stub()
    report = judged(_nest(image, wrong.make(about(image))))
    assert not is_good(report)
    if report.kind is not Kind.UNREADABLE:
        (inner,) = (each for each in report.vouchers if each.signature.origin is Origin.NESTED)
        assert inner.kind in wrong.kinds, said(report)
    assert wrong.words in said(report), said(report)


@pytest.mark.parametrize("wrong", WRONGS, ids=str)
def test_around_a_catalog(wrong: Wrong) -> None:
    image = signed.stub()
    report = judged(image, wrong.make(list_of(image)))
    assert not is_good(report)
    assert report.kind in (*wrong.kinds, Kind.UNSIGNED), said(report)
    if report.vouchers:
        assert wrong.words in said(report), said(report)


def test_a_root_that_says_it_is_no_ca_issues_nothing() -> None:
    """As the organisation's own key is: trusted itself, and nobody else through it."""
    alone = issue(Shape("Own key", ec_key(95), ca=False))
    below = issue(Shape("Somebody", ec_key(96)), alone)
    trust = Trust((alone.certificate,), windows=False)
    for how, good in ((How(alone), True), (How(below), False)):
        report = Verifier(trust, NOW).verify(io.BytesIO(signed.good(how=how)))
        assert is_good(report) is good, said(report)


def test_a_root_of_version_1_may_issue() -> None:
    old = issue(Shape("Old root", ec_key(97), version=1))
    how = How(issue(Shape("Somebody", ec_key(96)), old))
    trust = Trust((old.certificate,), windows=False)
    assert is_good(Verifier(trust, NOW).verify(io.BytesIO(signed.good(how=how))))


def test_one_that_is_not_of_the_file_spoils_the_good_one_beside_it() -> None:
    image, other = signed.stub(), signed.stub(b"\xcc")
    good = message(about(image), [How(authorities.publisher())])
    bad = message(about(other), [How(authorities.publisher())])
    assert is_good(judged(signed.signed(image, good, good)))
    for table in ((good, bad), (bad, good)):
        assert judged(signed.signed(image, *table)).kind is Kind.TAMPERED
    how = How(authorities.publisher(), later=(signed.nested(bad),))
    assert judged(signed.signed(image, message(about(image), [how]))).kind is Kind.TAMPERED


def test_signatures_nested_in_nested_ones_are_not_looked_for() -> None:
    image = signed.stub()
    made = message(about(image), [How(authorities.publisher())])
    for _ in range(200):
        how = How(_stranger(), later=(signed.nested(made),))
        made = message(about(image), [how])
    report = judged(signed.signed(image, made))
    assert not is_good(report)
    assert len(report.vouchers) == 2


def _stranger() -> authorities.Holder:
    """Of a CA that nobody here knows."""
    return issue(Shape("Stranger", ec_key(90)), issue(ca_shape("Far away", ec_key(91))))


def _nest(image: bytes, *inner: bytes) -> bytes:
    how = How(_stranger(), later=(signed.nested(*inner),))
    return signed.signed(image, message(about(image), [how]))
