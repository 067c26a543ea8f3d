"""Ways up to roots: found, judged, and as another path builder judges them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signing import certificate, path, roots
from signing.certificate import CODE_SIGNING, TIME_STAMPING, Certificate
from signing.path import Chain, Flaw, Trust
from signing.roots import Anchor, Limit, Store
from tests.builders import authorities
from tests.builders.authorities import (
    ANY,
    CERT_SIGN,
    NOW,
    SIGN,
    YEAR,
    Holder,
    Key,
    Shape,
    ca_shape,
    ec_key,
    issue,
    rsa_key,
)
from tests.builders.der import sequence
from tests.conftest import REAL_DATA
from tests.signing import real_signers
from tests.signing.other_paths import leads_up

EXAMPLES = int(os.environ.get("RECOVERYKIT_MUTATIONS", "120"))
GOOD: frozenset[Flaw] = frozenset()
_DAY = timedelta(days=1)
_UNKNOWN = (("1.3.6.1.4.1.99999.7", sequence()),)
_POLICIES = (("2.5.29.32", sequence(sequence(b"\x06\x03\x2a\x03\x04"))),)


def read(holder: Holder) -> Certificate:
    return certificate.read(holder.certificate)


@dataclass(frozen=True, slots=True)
class Case:
    """A signer, what came along, the root that is believed, and the moment."""

    leaf: Holder
    root: Holder
    at: datetime = NOW
    pool: tuple[bytes, ...] | None = None

    @property
    def bag(self) -> tuple[bytes, ...]:
        return self.leaf.bag if self.pool is None else self.pool

    def flaws(self) -> frozenset[Flaw] | None:
        """Of the best way; None where there is none."""
        trust = Trust((self.root.certificate,), windows=False)
        found = path.chains(read(self.leaf), path.readable(self.bag), trust)
        judged = [path.flaws(each, CODE_SIGNING, self.at) for each in found]
        return min(
            (frozenset(fault.flaw for fault in each) for each in judged), key=len, default=None
        )

    def others(self) -> bool:
        pool = [each for each in self.bag if each != self.leaf.certificate]
        purposes = frozenset((CODE_SIGNING,))
        return leads_up(self.leaf.certificate, pool, [self.root.certificate], purposes, self.at)


# --- one defect at a time -------------------------------------------------------------------


def _root(**changed: object) -> Holder:
    shape = Shape(
        "Root",
        ec_key(40),
        None,
        ca=True,
        usage=CERT_SIGN,
        since=NOW - 9 * YEAR,
        until=NOW + 9 * YEAR,
    )
    return issue(replace(shape, **changed))  # type: ignore[arg-type]


def _ca(above: Holder | None = None, number: int = 41, **changed: object) -> Holder:
    shape = ca_shape(f"CA {number}", ec_key(number))
    return issue(replace(shape, **changed), above or _root())  # type: ignore[arg-type]


def _leaf(above: Holder | None = None, **changed: object) -> Holder:
    shape = replace(Shape("Signer", ec_key(49)), **changed)  # type: ignore[arg-type]
    return issue(shape, above or _ca())


def _under(above: Holder, **changed: object) -> Case:
    return Case(_leaf(above, **changed), _root())


def _key(key: Key) -> Case:
    root = _root()
    return Case(_leaf(issue(ca_shape("CA", key), root)), root)


def _rooted(**changed: object) -> Case:
    root = _root(**changed)
    return Case(_leaf(_ca(root)), root)


def _deep(count: int) -> Case:
    above = _root()
    for number in range(count):
        above = _ca(above, 60 + number)
    return Case(_leaf(above), _root())


def _swapped() -> Case:
    """The leaf's issuer has the right name and another key."""
    return Case(_leaf(_ca()), _root(), pool=(_ca(key=ec_key(50)).certificate,))


CASES: dict[str, tuple[Case, frozenset[Flaw] | None]] = {
    "good": (_under(_ca()), GOOD),
    "right under the root": (_under(_root()), GOOD),
    "two CAs": (_under(_ca(_ca(), 42)), GOOD),
    "seven CAs": (_deep(7), GOOD),
    "CAs that nobody needs": (
        Case(_leaf(), _root(), pool=(*_leaf().bag, *_ca(None, 43).bag)),
        GOOD,
    ),
    "without its issuer": (Case(_leaf(), _root(), pool=()), None),
    "another root of that name": (Case(_leaf(), _root(key=ec_key(51))), None),
    "an issuer of that name": (_swapped(), None),
    "an intermediate is believed": (Case(_leaf(_ca()), _ca()), GOOD),
    # the signer's
    "no purpose": (_under(_ca(), purposes=None), frozenset((Flaw.PURPOSE,))),
    "any purpose": (_under(_ca(), purposes=(ANY,)), GOOD),
    "several purposes": (_under(_ca(), purposes=(authorities.SERVER, CODE_SIGNING)), GOOD),
    "for servers": (_under(_ca(), purposes=(authorities.SERVER,)), frozenset((Flaw.PURPOSE,))),
    "for timestamps": (_under(_ca(), purposes=(TIME_STAMPING,)), frozenset((Flaw.PURPOSE,))),
    "no key usage": (_under(_ca(), usage=None), GOOD),
    "non-repudiation only": (_under(_ca(), usage=0x40), GOOD),
    "key usage of a CA": (_under(_ca(), usage=CERT_SIGN), frozenset((Flaw.PURPOSE,))),
    "a CA that signs": (_under(_ca(), ca=True), frozenset((Flaw.PURPOSE,))),
    "says that it is none": (_under(_ca(), ca=False), GOOD),
    "unknown critical extension": (_under(_ca(), critical=_UNKNOWN), frozenset((Flaw.EXTENSION,))),
    "critical policies": (_under(_ca(), critical=_POLICIES), GOOD),
    "no key identifier": (_under(_ca(), key_id=False), GOOD),
    "last second": (replace(_under(_ca(), until=NOW)), GOOD),
    "first second": (replace(_under(_ca(), since=NOW)), GOOD),
    "ran out": (_under(_ca(), until=NOW - timedelta(seconds=1)), frozenset((Flaw.EXPIRED,))),
    "not yet": (_under(_ca(), since=NOW + timedelta(seconds=1)), frozenset((Flaw.NOT_YET_VALID,))),
    # its issuer's
    "no CA": (_under(_ca(ca=False)), frozenset((Flaw.NOT_A_CA,))),
    "does not say": (_under(_ca(ca=None)), frozenset((Flaw.NOT_A_CA,))),
    "may not issue": (_under(_ca(usage=SIGN)), frozenset((Flaw.NOT_A_CA,))),
    "a CA without key usage": (_under(_ca(usage=None)), GOOD),
    "a CA for code": (_under(_ca(purposes=(CODE_SIGNING,))), GOOD),
    "a CA for anything": (_under(_ca(purposes=(ANY,))), GOOD),
    "a CA for servers": (_under(_ca(purposes=(authorities.SERVER,))), frozenset((Flaw.PURPOSE,))),
    "path length kept": (_under(_ca(path_length=0)), GOOD),
    "path length kept, two": (_under(_ca(_ca(path_length=1), 42)), GOOD),
    "path length broken": (_under(_ca(_ca(path_length=0), 42)), frozenset((Flaw.PATH_LENGTH,))),
    "a CA with an unknown extension": (
        _under(_ca(critical=_UNKNOWN)),
        frozenset((Flaw.EXTENSION,)),
    ),
    "a CA that ran out": (_under(_ca(until=NOW - _DAY)), frozenset((Flaw.EXPIRED,))),
    "a CA not yet valid": (_under(_ca(since=NOW + _DAY)), frozenset((Flaw.NOT_YET_VALID,))),
    "all at once": (
        _under(_ca(ca=False, until=NOW - _DAY), purposes=None, critical=_UNKNOWN),
        frozenset((Flaw.NOT_A_CA, Flaw.EXPIRED, Flaw.PURPOSE, Flaw.EXTENSION)),
    ),
    # the root's
    "a root that ran out": (_rooted(until=NOW - _DAY), frozenset((Flaw.EXPIRED,))),
    "a root without key usage": (_rooted(usage=None), GOOD),
    "a root that is no CA": (_rooted(ca=False), frozenset((Flaw.NOT_A_CA,))),
    "a root's path length": (_rooted(path_length=0), frozenset((Flaw.PATH_LENGTH,))),
    "a root for servers": (_rooted(purposes=(authorities.SERVER,)), frozenset((Flaw.PURPOSE,))),
    # keys
    "RSA": (_key(rsa_key(3)), GOOD),
    "RSA-PSS": (_key(rsa_key(3, kind="pss")), GOOD),
    "P-384": (_key(ec_key(44, ec.SECP384R1)), GOOD),
    "P-521": (_key(ec_key(45, ec.SECP521R1)), GOOD),
    "SHA-384": (_under(_ca(), digest="sha384"), GOOD),
    "SHA-512": (_under(_ca(), digest="sha512"), GOOD),
}


@pytest.mark.parametrize("name", CASES)
def test_each_defect_is_called_by_its_name(name: str) -> None:
    case, expected = CASES[name]
    assert case.flaws() == expected


@pytest.mark.parametrize("name", CASES)
def test_the_library_agrees(name: str) -> None:
    case, expected = CASES[name]
    assert case.others() is (expected == GOOD)


def _rollover() -> Case:
    """The CA's new key, certified by its old one under the same name."""
    old = _ca()
    new = issue(ca_shape("CA 41", ec_key(52)), old)
    leaf = _leaf(new)
    bag = (leaf.certificate, new.certificate, old.certificate)
    return Case(leaf, _root(), pool=bag)


def _loop() -> Case:
    """Two CAs that certified each other, and a root that certified one of them."""
    one, two = ca_shape("One", ec_key(53)), ca_shape("Two", ec_key(54))
    first = issue(one, _root())
    second = issue(two, first)
    back = issue(one, second)
    leaf = _leaf(back)
    bag = (leaf.certificate, back.certificate, second.certificate, first.certificate)
    return Case(leaf, _root(), pool=bag)


def _itself() -> Case:
    leaf = issue(Shape("Signer", ec_key(49)))
    return Case(leaf, leaf)


_NAMES = (("2.5.29.30", sequence(b"\xa0\x0f\x30\x0d\x82\x0bexample.org")),)

# Where both answer differently: what we say, what the library says, and why.
DIFFERENT: dict[str, tuple[Case, frozenset[Flaw] | None, bool]] = {
    # The oldest roots of Windows are of version 1; CA/Browser Forum, 7.1.1: version 3.
    "a root of version 1": (_rooted(version=1), GOOD, False),
    # So does Microsoft Root Authority (1997), of version 3. Only roots may: those are believed.
    "a root that does not say": (_rooted(ca=None), GOOD, False),
    # CA/Browser Forum, 6.1.5: 2048 bits. Drivers until about 2011 have signers of 1024.
    "a CA of 1024 bits": (_key(rsa_key(4, bits=1024)), GOOD, False),
    # RFC 5280, 4.1.2.2, which wants both read all the same: positive, at most 20 octets. Real files
    # have negative ones (kdbazis.dll).
    "a negative serial number": (_under(_ca(), serial=-5), GOOD, False),
    "a CA's negative serial number": (_under(_ca(serial=-5)), GOOD, False),
    "a serial number of 22 bytes": (_under(_ca(), serial=1 << 170), GOOD, False),
    # Constraints are looked at there; here a critical one is not understood, which is stricter.
    "critical name constraints": (
        _under(_ca(critical=_NAMES)),
        frozenset((Flaw.EXTENSION,)),
        True,
    ),
    # A CA that certifies its own next key: not gone through here, and no signer has one.
    "a CA's new key": (_rollover(), None, True),
    # Deeper than anybody's, and refused to bound the work.
    "ten CAs": (_deep(10), None, True),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_where_the_library_disagrees(name: str) -> None:
    case, expected, theirs = DIFFERENT[name]
    assert case.flaws() == expected
    assert case.others() is theirs
    assert theirs is not (expected == GOOD)


def test_sha1_is_refused_there_and_called_weak_here() -> None:
    """What own code is for."""
    for case in (
        _under(_ca(), digest="sha1"),
        _under(_ca(digest="sha1")),
        _under(_ca(issue(ca_shape("RSA", rsa_key(3)), _root()), digest="md5")),
    ):
        assert case.flaws() == frozenset((Flaw.WEAK,))
        assert not case.others()
    assert _rooted(digest="sha1").flaws() == GOOD  # a root is believed, whoever signed it


def test_a_ca_that_is_believed_itself_may_sign() -> None:
    """Believed for its own sake and not as an issuer: an organisation with one certificate."""
    shape = replace(ca_shape("Own", ec_key(56)), purposes=(CODE_SIGNING,), usage=SIGN | CERT_SIGN)
    own = issue(shape)
    assert Case(own, own).flaws() == GOOD


def test_certificates_that_nobody_should_believe() -> None:
    """By number and name, as our list of stolen keys has them; wherever on the way they are."""
    serial, name = next(
        (int(key, 16), found.subject.decode())
        for key, found in roots._distrusted().items()
        if len(key) < 40 and found.subject
    )
    for case in (
        _under(_ca(), serial=serial, name=f"{name}, Ltd"),
        _under(_ca(serial=serial, name=f"{name} CA")),
    ):
        assert case.flaws() == frozenset((Flaw.DISTRUSTED,))
    assert _under(_ca(), serial=serial).flaws() == GOOD


ALIKE = {
    "CAs that certified each other": (_loop(), GOOD),
    "the signer himself is believed": (_itself(), GOOD),
    "a signer of 1024 bits": (_under(_ca(), key=rsa_key(4, bits=1024)), GOOD),
    "an exponent of 3": (_key(rsa_key(5, exponent=3)), GOOD),
    "a curve of others": (_key(ec_key(46, ec.SECP256K1)), None),
    "a curve too short": (_key(ec_key(47, ec.SECP224R1)), None),
    "nine CAs": (_deep(9), GOOD),
    "eleven CAs": (_deep(11), None),
    "until 2126": (_under(_ca(), until=NOW + 100 * YEAR), GOOD),
    "of version 1": (_under(_ca(), version=1), frozenset((Flaw.PURPOSE,))),
}


@pytest.mark.parametrize("name", ALIKE)
def test_oddities_on_which_both_agree(name: str) -> None:
    case, expected = ALIKE[name]
    assert case.flaws() == expected
    assert case.others() is (expected == GOOD)


# --- any small hierarchy --------------------------------------------------------------------

_SHAPES = st.fixed_dictionaries(
    {},
    optional={
        "ca": st.sampled_from((True, True, True, False, None)),
        "path_length": st.sampled_from((0, 1, 2)),
        "usage": st.sampled_from((CERT_SIGN, CERT_SIGN | SIGN, SIGN, None)),
        "purposes": st.sampled_from((None, (CODE_SIGNING,), (TIME_STAMPING,), (ANY,))),
        "since": st.sampled_from((NOW - 15 * YEAR, NOW - _DAY, NOW + _DAY)),
        "until": st.sampled_from((NOW + 5 * YEAR, NOW + _DAY, NOW - _DAY)),
        "critical": st.sampled_from(((), (), _POLICIES, _UNKNOWN)),
        "key": st.sampled_from((ec_key(61), ec_key(62))),
        "key_id": st.booleans(),
    },
)
_LEAVES = st.fixed_dictionaries(
    {},
    optional={
        "ca": st.sampled_from((None, False, True)),
        "usage": st.sampled_from((SIGN, 0x40, CERT_SIGN, None)),
        "purposes": st.sampled_from(
            (
                (CODE_SIGNING,),
                (TIME_STAMPING,),
                (ANY,),
                (TIME_STAMPING, CODE_SIGNING),
                None,
            )
        ),
        "since": st.sampled_from((NOW - YEAR, NOW + _DAY)),
        "until": st.sampled_from((NOW + YEAR, NOW - _DAY)),
        "critical": st.sampled_from(((), (), _UNKNOWN)),
    },
)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(_SHAPES, max_size=3),
    _LEAVES,
    _SHAPES,
    st.sets(st.integers(0, 3)),
    st.sampled_from((NOW - 2 * _DAY, NOW, NOW + 2 * _DAY)),
)
def test_both_judge_any_small_hierarchy_alike(
    above: list[dict[str, object]],
    signer: dict[str, object],
    top: dict[str, object],
    lost: set[int],
    at: datetime,
) -> None:
    """Some CAs with whatever defects, some of them not sent along."""
    is_ca = top.get("ca") is not False  # one that does not say: see above
    root = issuer = _root(**{**top, "key": ec_key(40), "ca": is_ca})
    for number, changed in enumerate(above):
        issuer = _ca(issuer, 41 + number, **{"since": NOW - 15 * YEAR, **changed})
    leaf = _leaf(issuer, **signer)
    pool = tuple(each for number, each in enumerate(leaf.bag) if number - 1 not in lost)
    case = Case(leaf, root, at, pool)
    assert case.others() is (case.flaws() == GOOD)


# --- real chains ----------------------------------------------------------------------------

_MOMENTS = tuple(datetime(year, 6, 1, tzinfo=UTC) for year in (2008, 2014, 2019, 2023, 2026, 2040))


@cache
def _windows() -> tuple[Anchor, ...]:
    return tuple(
        each
        for store in (Store.KERNEL, Store.CROSS, Store.TEST, Store.FLIGHT, Store.PROGRAM)
        for each in roots.of_store(store)
        if each.der
    )


@pytest.mark.skipif(not real_signers.names(), reason=f"no signed files under {REAL_DATA}")
def test_the_library_judges_real_chains_alike() -> None:
    """Signers and timestamp services of all real files, at six moments, to any root of Windows.

    What the root program and the lists of distrust say is no affair of the library's.
    """
    found = {(each.leaf, each.pool, each.purpose) for each in real_signers.everybody()}
    differing = []
    answers = {True: 0, False: 0}
    for leaf, pool, purpose in sorted(found, key=lambda each: each[0].der):
        near = {each.subject for each in pool} | {each.issuer for each in pool}
        known = sorted({each.der for each in _windows() if roots.subject_of(each.der) in near})
        ways = path.chains(leaf, pool, Trust())
        others = [each.der for each in pool if each != leaf]
        asked = frozenset((purpose,))
        if purpose == CODE_SIGNING:  # Microsoft's own need not say so
            asked |= {f"1.3.6.1.4.1.311.10.3.{number}" for number in (5, 6, 7)}
        for at in (*_MOMENTS, leaf.not_before + _DAY, leaf.not_after - _DAY):
            ours = any(not _flaws_alone(each, purpose, at) for each in ways if each.anchor.der)
            theirs = bool(known) and leads_up(leaf.der, others, known, asked, at)
            answers[ours] += 1
            if ours is not theirs:
                differing.append((leaf.name, at.year, ours))
    assert differing == []
    assert min(answers.values()) > 50


def _flaws_alone(chain: Chain, purpose: str, at: datetime) -> list[Flaw]:
    anchor = replace(chain.anchor, purposes=None, disabled=None, closed=None)
    faults = path.flaws(replace(chain, anchor=anchor), purpose, at)
    return [fault.flaw for fault in faults if fault.flaw is not Flaw.DISTRUSTED]


# --- several ways, roots without certificates -----------------------------------------------


def _of(file: str) -> real_signers.Signed:
    return next(
        each
        for each in real_signers.everybody()
        if each.file == file and each.purpose == CODE_SIGNING
    )


_needs_real = pytest.mark.skipif(
    not (REAL_DATA / "signed/brad457_npcap.sys").is_file(), reason=f"no files under {REAL_DATA}"
)


@_needs_real
def test_a_cross_signed_driver_has_two_ways() -> None:
    """INDEX.md: to DigiCert's root and, through the cross-certificate, to Microsoft's."""
    signed = _of("brad457_npcap.sys")
    found = path.chains(signed.leaf, signed.pool, Trust())
    stores = [each.store for each in found]
    assert {Store.PROGRAM, Store.CROSS} <= set(stores)
    assert stores.index(Store.PROGRAM) < stores.index(Store.CROSS)  # shortest first
    cross = next(each for each in found if each.store is Store.CROSS)
    assert cross.anchor.name == "Microsoft Code Verification Root"
    # Its root is a key alone: the cross-certificate is the last, and is judged like any other.
    assert cross.anchor.der == b""
    assert cross.issued == cross.certificates
    assert cross.certificates[-1].issuer_name == "Microsoft Code Verification Root"
    assert cross.is_weak
    assert {fault.flaw for fault in path.flaws(cross, CODE_SIGNING, None)} == {Flaw.WEAK}
    late = datetime(2040, 1, 1, tzinfo=UTC)
    clauses = [fault.clause for fault in path.flaws(cross, CODE_SIGNING, late)]
    assert sum("ran out" in each for each in clauses) == len(cross.certificates)


@_needs_real
def test_nothing_of_windows_is_believed_where_that_is_asked() -> None:
    signed = _of("brad457_npcap.sys")
    assert path.chains(signed.leaf, signed.pool, Trust(windows=False)) == ()


def test_a_key_that_did_not_sign_is_no_root() -> None:
    leaf, ca, root = read(_leaf()), _ca(), _root()
    for key, count in ((root.key.public, 1), (ec_key(55).public, 0), (b"no key", 0)):
        trust = Trust(windows=False)
        anchor = Anchor(b"", Store.CROSS, "Key", "", "", None, subject=root.name, key=key)
        object.__setattr__(trust, "_own", {root.name: (anchor,)})
        path._chains.cache_clear()  # it takes trust that is alike for the same
        found = path.chains(leaf, path.readable((ca.certificate,)), trust)
        assert len(found) == count
        if found:
            assert [each.name for each in found[0].certificates] == ["Signer", "CA 41"]
            assert path.flaws(found[0], CODE_SIGNING, NOW) == ()


# --- limits of roots ------------------------------------------------------------------------


def _chain(**limits: object) -> Chain:
    root = _root()
    anchor = Anchor(root.certificate, Store.PROGRAM, "Root", "", "", None)
    leaf = _leaf(_ca(root), since=NOW - 30 * _DAY)
    certificates = path.readable((leaf.certificate, leaf.above[0], root.certificate))
    return Chain(certificates, replace(anchor, **limits))  # type: ignore[arg-type]


_CODE, _STAMPS = frozenset((CODE_SIGNING,)), frozenset((TIME_STAMPING,))
LIMITS: dict[str, tuple[dict[str, object], Flaw | None]] = {
    "none": ({}, None),
    "for code": ({"purposes": _CODE}, None),
    "for timestamps": ({"purposes": _STAMPS}, Flaw.PURPOSE),
    "for nothing": ({"purposes": frozenset()}, Flaw.PURPOSE),
    "disabled today": ({"disabled": Limit(NOW)}, Flaw.DISTRUSTED),
    "disabled tomorrow": ({"disabled": Limit(NOW + _DAY)}, None),
    "disabled for code": ({"disabled": Limit(NOW - _DAY, _CODE)}, Flaw.DISTRUSTED),
    "disabled for timestamps": ({"disabled": Limit(NOW - _DAY, _STAMPS)}, None),
    "closed before": ({"closed": Limit(NOW - 31 * _DAY)}, Flaw.DISTRUSTED),
    "closed on that day": ({"closed": Limit(NOW - 30 * _DAY)}, Flaw.DISTRUSTED),
    "closed since": ({"closed": Limit(NOW - 29 * _DAY)}, None),
    "closed for code": ({"closed": Limit(NOW - YEAR, _CODE)}, Flaw.DISTRUSTED),
    "closed for timestamps": ({"closed": Limit(NOW - YEAR, _STAMPS)}, None),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_of_a_root(name: str) -> None:
    limits, expected = LIMITS[name]
    chain = _chain(**limits)
    found = path.flaws(chain, CODE_SIGNING, NOW)
    assert [fault.flaw for fault in found] == ([expected] if expected else [])
    assert all("Root" in fault.clause for fault in found)
    if expected is Flaw.DISTRUSTED:  # the kernel looks at no clock
        assert path.flaws(chain, CODE_SIGNING, None) == ()


STANDS_IN = {
    (Store.KERNEL, "1.3.6.1.4.1.311.10.3.6"): True,
    (Store.KERNEL, "1.3.6.1.4.1.311.10.3.5"): True,
    (Store.TEST, "1.3.6.1.4.1.311.10.3.6"): True,
    (Store.FLIGHT, "1.3.6.1.4.1.311.10.3.7"): True,
    (Store.KERNEL, authorities.SERVER): False,
    (Store.CROSS, "1.3.6.1.4.1.311.10.3.6"): False,
    (Store.PROGRAM, "1.3.6.1.4.1.311.10.3.5"): False,
    (Store.ORGANISATION, "1.3.6.1.4.1.311.10.3.6"): False,
}


@pytest.mark.parametrize(("store", "purpose"), STANDS_IN)
def test_microsofts_own_purposes_count_under_its_own_roots(store: Store, purpose: str) -> None:
    root = _root()
    leaf = _leaf(root, purposes=(purpose,))
    anchor = Anchor(root.certificate, store, "Root", "", "", None)
    chain = Chain(path.readable((leaf.certificate, root.certificate)), anchor)
    assert (path.flaws(chain, CODE_SIGNING, NOW) == ()) is STANDS_IN[store, purpose]
    assert Flaw.PURPOSE in {fault.flaw for fault in path.flaws(chain, TIME_STAMPING, NOW)}


# --- what is believed -----------------------------------------------------------------------


def test_certificates_that_cannot_be_read_are_nobodys() -> None:
    good = _root().certificate
    assert [each.der for each in path.readable((b"", good, good[:-1], b"\x30\x00"))] == [good]
    trust = Trust((b"no certificate", good), windows=False)
    assert [each.der for each in trust.anchors(_root().name)] == [good]
    assert trust.anchors(b"") == ()


def test_what_firmware_believes_is_no_root_of_windows() -> None:
    names = {roots.subject_of(each.der) for each in roots.of_store(Store.FIRMWARE) if each.der}
    assert names
    found = {each.store for name in names for each in Trust().anchors(name)}
    assert Store.FIRMWARE not in found


# --- bounded work ---------------------------------------------------------------------------

HOSTILE: dict[str, Callable[[], Sequence[bytes]]] = {
    "sixty CAs of one name": lambda: [_ca(serial=number).certificate for number in range(1, 61)],
    "CAs that all certified each other": lambda: _crowd(6),
    "a root of that name sixty times": lambda: [
        _root(serial=number).certificate for number in range(1, 61)
    ],
}


def _crowd(count: int) -> list[bytes]:
    """Every one of them by every other."""
    holders = [_ca(None, 70 + number) for number in range(count)]
    return [
        issue(ca_shape(f"CA {70 + one}", ec_key(70 + one)), holders[other]).certificate
        for one in range(count)
        for other in range(count)
        if one != other
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_message_brings_along_costs_little(name: str) -> None:
    above = _ca(None, 70) if "each other" in name else _ca()
    leaf = read(_leaf(above))
    pool = path.readable(HOSTILE[name]())
    began = time.process_time()
    found = path.chains(leaf, pool, Trust((_root().certificate,), windows=False))
    assert time.process_time() - began < 2
    assert len(found) <= 12
    assert all(len(each.certificates) <= 11 for each in found)


def test_ways_to_many_roots_of_one_name() -> None:
    roots_of_it = tuple(_root(serial=number).certificate for number in range(1, 61))
    leaf = read(_leaf(_root()))
    assert len(path.chains(leaf, (), Trust(roots_of_it, windows=False))) == 12
