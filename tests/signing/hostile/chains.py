"""Certificates that do not entitle their holder, and ways that lead nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from signing.kernel import Kind
from tests.builders import authorities
from tests.builders.authorities import (
    CERT_SIGN,
    NOW,
    SERVER,
    SIGN,
    TIME_STAMPING,
    YEAR,
    Holder,
    Shape,
    authority,
    ca_shape,
    ec_key,
    issue,
    root,
)
from tests.builders.der import sequence, tagged
from tests.builders.der_map import node
from tests.builders.signed import How, message
from tests.signing.hostile.wrong import LATE, UNTRUSTED, Wrong, by, of

_UNKNOWN = ("1.3.6.1.4.1.99999.7", sequence())
_NAMES = ("2.5.29.30", sequence(tagged(0xA0, sequence(tagged(0x82, b"example.org")))))
_WHQL = "1.3.6.1.4.1.311.10.3.5"
_OF_WINDOWS = "1.3.6.1.4.1.311.10.3.6"


def chains() -> Iterator[Wrong]:
    yield from _leaves()
    yield from _authorities()
    yield from _times()
    yield from _weak()
    yield from _nowhere()


def leaf(number: int, above: Holder | None = None, **changed: object) -> Holder:
    shape = replace(Shape(f"Leaf {number}", ec_key(10)), **changed)  # type: ignore[arg-type]
    return issue(shape, above or authority())


def under(number: int, above: Holder | None = None, **changed: object) -> How:
    """A publisher under a CA of that shape."""
    shape = replace(ca_shape(f"CA {number}", ec_key(11)), **changed)  # type: ignore[arg-type]
    return How(leaf(number, issue(shape, above or root())))


def _leaves() -> Iterator[Wrong]:
    yield from by(
        UNTRUSTED,
        "",
        purpose_is_web_server=How(leaf(1, purposes=(SERVER,))),
        purpose_is_timestamps=How(leaf(2, purposes=(TIME_STAMPING,))),
        no_purpose_stated=How(leaf(3, purposes=None)),
        purpose_unknown=How(leaf(4, purposes=(_UNKNOWN[0],))),
        purpose_of_microsoft_drivers=How(leaf(5, purposes=(_WHQL,))),
        purpose_of_windows=How(leaf(6, purposes=(_OF_WINDOWS,))),
        key_usage_forbids_signing=How(leaf(7, usage=CERT_SIGN)),
        unknown_critical_extension=How(leaf(8, critical=(_UNKNOWN,))),
        version_1=How(leaf(9, version=1)),
    )


def _authorities() -> Iterator[Wrong]:
    short = issue(replace(ca_shape("Short", ec_key(12)), path_length=0), root())
    limited = issue(replace(ca_shape("Limited", ec_key(13)), path_length=1), root())
    middle = issue(ca_shape("Middle", ec_key(14)), limited)
    yield from by(
        UNTRUSTED,
        "",
        issuer_is_no_ca=under(1, ca=False),
        issuer_says_nothing_of_being_a_ca=under(2, ca=None),
        issuer_may_not_sign_certificates=under(3, usage=SIGN),
        issuer_is_a_publisher=How(leaf(4, authorities.publisher())),
        issuer_of_version_1=under(5, version=1),
        issuer_for_web_servers_only=under(6, purposes=(SERVER,)),
        issuer_for_timestamps_only=under(7, purposes=(TIME_STAMPING,)),
        path_length_of_0_exceeded=under(8, short),
        path_length_of_1_exceeded=under(9, middle),
        unknown_critical_extension_in_the_ca=under(10, critical=(_UNKNOWN,)),
        critical_name_constraints=under(11, critical=(_NAMES,)),
    )


def _times() -> Iterator[Wrong]:
    before, after = NOW - YEAR / 2, NOW + YEAR / 2
    yield from by(
        LATE,
        "ran out",
        leaf_ran_out=How(authorities.expired()),
        leaf_ran_out_a_second_ago=How(leaf(21, until=NOW - YEAR / 365 / 86400)),
        issuer_ran_out=under(22, until=before),
    )
    yield from by(
        LATE,
        "began only",
        leaf_not_valid_yet=How(leaf(23, since=after)),
        issuer_not_valid_yet=under(24, since=after, until=after + YEAR),
    )


def _weak() -> Iterator[Wrong]:
    yield from by(
        LATE,
        "SHA1",
        leaf_certified_with_sha1=How(leaf(31, digest="sha1")),
        issuer_certified_with_sha1=under(32, digest="sha1"),
        attributes_digested_with_sha1=How(leaf(33), digest="sha1"),
    )
    rsa_ca = issue(ca_shape("RSA CA", authorities.rsa_key(2)), root())
    yield of("leaf certified with MD5", How(leaf(34, rsa_ca, digest="md5")), LATE, "MD5")
    rsa = leaf(35, key=authorities.rsa_key(2))
    yield of("attributes digested with MD5", How(rsa, digest="md5"), LATE, "MD5")


def _nowhere() -> Iterator[Wrong]:
    stranger = issue(replace(ca_shape("Foreign root", ec_key(15)), path_length=None))
    copy = issue(ca_shape("Example root", ec_key(16)))
    alone = issue(Shape("Alone", ec_key(17)))
    yield of("root that nobody trusts", How(leaf(41, stranger)), UNTRUSTED, "no root")
    yield of("root of the same name", How(leaf(42, copy)), UNTRUSTED, "no root")
    yield of("self-signed", How(alone), (Kind.SELF_SIGNED,), "vouches for itself")
    yield of(
        "self-signed, called like the root",
        How(issue(Shape("Example root", ec_key(18)))),
        (Kind.SELF_SIGNED,),
    )
    missing = replace(authorities.publisher(), above=())
    yield of("issuer not in the bag", How(missing), UNTRUSTED, "no root")
    a, b = ca_shape("A", ec_key(19)), ca_shape("B", ec_key(20))
    one = issue(a, issue(b))
    two = issue(b, one)
    loop = How(leaf(43, one))
    yield Wrong(
        "CAs that certify each other",
        lambda content: message(
            content, [loop], [loop.by.certificate, one.certificate, two.certificate]
        ),
        UNTRUSTED,
        "no root",
    )
    many = tuple(
        issue(replace(a, name="Same", serial=each + 1), root()).certificate for each in range(60)
    )
    same = issue(ca_shape("Same", ec_key(21)))
    lost = How(leaf(44, same))
    yield Wrong(
        "sixty CAs of one name, none of which did it",
        lambda content: message(content, [lost], [lost.by.certificate, *many]),
        UNTRUSTED,
        "no root",
    )
    cut = next(
        each
        for each in (leaf(number, root()) for number in range(50, 150))
        if each.certificate[-1] % 2 == 0
    )
    yield of(
        "certificate whose signature ends within a byte",
        How(_with_unused_bits(cut, 1)),
        (*UNTRUSTED, Kind.TAMPERED),
    )
    changed = _with_other_outer_algorithm(leaf(45, root()))
    yield of(
        "certificate with another algorithm outside", How(changed), (*UNTRUSTED, Kind.TAMPERED)
    )


def _with_other_outer_algorithm(holder: Holder) -> Holder:
    """The algorithm behind what was signed is not signed: it loses its parameters.

    RFC 5280, 4.1.1.2: both are the same. The thumbprint would be another one, which a list of
    distrusted ones does not have.
    """
    tbs, algorithm, signature = node(holder.certificate).children()
    plain = sequence(algorithm.at(0).whole)
    return replace(holder, certificate=sequence(tbs.whole, plain, signature.whole))


def _with_unused_bits(holder: Holder, count: int) -> Holder:
    """To the same end."""
    tbs, algorithm, signature = node(holder.certificate).children()
    cut = tagged(0x03, bytes((count,)) + signature.contents[1:])
    return replace(holder, certificate=sequence(tbs.whole, algorithm.whole, cut))
