"""From a signer's certificate to a root that somebody trusts (RFC 5280, section 6.1).

`chains` finds every way up: through the certificates that came with the signature, to any of the
roots of a `Trust`. A signer may have several: a cross-signed driver's leads to a public root and,
through Microsoft's cross-certificate, to the kernel's. Nothing is believed on the way but keys:
each link is a signature that was verified. `flaws` then says what is wrong with one of them for a
purpose at a moment; a way without flaws is good.

Own code and not cryptography's path builder: that one refuses SHA-1, and old drivers have nothing
else. Here a way that rests on SHA-1 is found, and called so (`Flaw.WEAK`); who asks decides. On
chains without SHA-1 both must agree, and a test holds that. Looked at: signatures, CA and path
length, key usage, purposes (the leaf's must be stated; a CA's limit what lies below, as Windows has
it), critical extensions, validity, distrust by name. Not looked at: policies, name constraints (a
critical one is a flaw), revocation lists and OCSP, which need a network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

from signing import certificate, roots
from signing.certificate import CODE_SIGNING, STRONG, Certificate
from signing.errors import MalformedError
from signing.roots import Anchor, Store
from signing.signed_data import SignerInfo

_KEPT = 1024  # names and signers asked for; the same ones stand behind many files
_DEEPEST = 10  # certificates below a root; real ones have up to five
_MOST_CHAINS = 12
_MOST_STEPS = 20  # links tried for one leaf; real ones need up to six, and each costs up to 1 ms

# Purposes that stand for code signing in certificates of Microsoft's own that state no other.
_KERNEL_PURPOSES = frozenset(
    (
        "1.3.6.1.4.1.311.10.3.5",  # WHQL
        "1.3.6.1.4.1.311.10.3.6",  # part of Windows
        "1.3.6.1.4.1.311.10.3.7",  # part of Windows, by an OEM
    )
)
_MICROSOFTS = (Store.KERNEL, Store.TEST, Store.FLIGHT)


class Flaw(StrEnum):
    """What keeps a way from being good."""

    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    WEAK = "weak"  # it rests on SHA-1 or MD5
    PURPOSE = "purpose"
    NOT_A_CA = "not-a-ca"
    PATH_LENGTH = "path-length"
    EXTENSION = "extension"  # a critical one that is not understood
    DISTRUSTED = "distrusted"  # revoked, by a list that we have


@dataclass(frozen=True, slots=True)
class Chain:
    """A way up. `certificates`: the signer's first; the root's last, where it has one: of a root
    that is known by its key alone, what that key signed is the last."""

    certificates: tuple[Certificate, ...]
    anchor: Anchor

    @property
    def leaf(self) -> Certificate:
        return self.certificates[0]

    @property
    def store(self) -> Store:
        return self.anchor.store

    @property
    def is_weak(self) -> bool:
        """Whether somebody on the way up signed with SHA-1 or worse; the root is believed."""
        return any(each.digest not in STRONG for each in self.issued)

    @property
    def issued(self) -> tuple[Certificate, ...]:
        """Those that are believed for the sake of the one above."""
        return self.certificates[:-1] if self.anchor.der else self.certificates


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom to believe: the roots that Windows has, and certificates of the organisation."""

    organisation: tuple[bytes, ...] = ()  # DER; of CAs, or of signers themselves
    windows: bool = True
    _own: Mapping[bytes, tuple[Anchor, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        own: dict[bytes, tuple[Anchor, ...]] = {}
        for encoded in self.organisation:
            try:
                found = certificate.read(encoded)
            except MalformedError:
                continue  # nobody can be believed through it
            anchor = Anchor(
                encoded, Store.ORGANISATION, found.name, found.fingerprint(), "handed in", None
            )
            own[found.subject] = (*own.get(found.subject, ()), anchor)
        object.__setattr__(self, "_own", own)

    def anchors(self, subject: bytes) -> tuple[Anchor, ...]:
        """Those of that name (DER). What firmware believes is no root of Windows."""
        own = self._own.get(subject, ())
        if not self.windows:
            return own
        return (*own, *_of_windows(subject))


@lru_cache(maxsize=_KEPT)
def _of_windows(subject: bytes) -> tuple[Anchor, ...]:
    return tuple(each for each in roots.by_subject(subject) if each.store is not Store.FIRMWARE)


def readable(encoded: Iterable[bytes]) -> tuple[Certificate, ...]:
    """The certificates among them that can be read; another one is nobody's."""
    found: list[Certificate] = []
    for each in encoded:
        try:
            found.append(certificate.read(each))
        except MalformedError:
            continue
    return tuple(found)


def certificate_of(made: SignerInfo, pool: Sequence[Certificate]) -> Certificate | None:
    """The certificate that a SignerInfo names."""
    for each in pool:
        if made.key_id:
            if each.key_id == made.key_id:
                return each
        elif each.serial == made.serial and each.issuer == made.issuer:
            return each
    return None


def chains(leaf: Certificate, pool: Sequence[Certificate], trust: Trust) -> tuple[Chain, ...]:
    """All ways from `leaf` through certificates of `pool` to a root of `trust`, shortest first.

    None is judged: see `flaws`. Bounded in work, whatever the pool holds.
    """
    return _chains(leaf, tuple(pool), trust)


@lru_cache(maxsize=_KEPT)
def _chains(leaf: Certificate, pool: tuple[Certificate, ...], trust: Trust) -> tuple[Chain, ...]:
    search = _Search(trust, _by_subject(pool))
    search.climb((leaf,))
    return tuple(sorted(search.found, key=lambda chain: len(chain.certificates)))


@dataclass(slots=True)
class _Search:
    trust: Trust
    pool: Mapping[bytes, Sequence[Certificate]]
    found: list[Chain] = field(default_factory=list)
    steps: int = _MOST_STEPS

    def climb(self, way: tuple[Certificate, ...]) -> None:
        """Depth is bounded by `_DEEPEST`, breadth by the steps that are left."""
        last = way[-1]
        ends = [each for each in self._of(last) if each.der == last.der]
        for each in ends:
            self._end(way, each)
        # Whom a person believes may have somebody of Windows' own above him.
        if any(each.store is not Store.ORGANISATION for each in ends):
            return
        if last.is_self_issued or len(way) > _DEEPEST:
            return
        for anchor in self.trust.anchors(last.issuer):
            self._try(way, anchor)
        for above in self.pool.get(last.issuer, ()):
            if above not in way and not above.is_self_issued and self._is_issued(last, above):
                self.climb((*way, above))

    def _try(self, way: tuple[Certificate, ...], anchor: Anchor) -> None:
        last = way[-1]
        if not anchor.der:
            self.steps -= 1
            if self.steps > 0 and certificate.issued_by_key(last, anchor.key):
                self._end(way, anchor)
            return
        for above in readable((anchor.der,)):
            if above not in way and self._is_issued(last, above):
                self._end((*way, above), anchor)

    def _of(self, last: Certificate) -> tuple[Anchor, ...]:
        return self.trust.anchors(last.subject)

    def _end(self, way: tuple[Certificate, ...], anchor: Anchor) -> None:
        if len(self.found) < _MOST_CHAINS:
            self.found.append(Chain(way, anchor))

    def _is_issued(self, child: Certificate, parent: Certificate) -> bool:
        self.steps -= 1
        return self.steps > 0 and certificate.issued_by(child, parent)


def _by_subject(pool: Sequence[Certificate]) -> dict[bytes, list[Certificate]]:
    found: dict[bytes, list[Certificate]] = {}
    for each in pool:
        known = found.setdefault(each.subject, [])
        if each not in known:
            known.append(each)
    return found


# --- judging --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fault:
    flaw: Flaw
    clause: str


def flaws(chain: Chain, purpose: str, at: datetime | None) -> tuple[Fault, ...]:
    """What is wrong with a way for `purpose` (an EKU's OID) at a moment; () where nothing is.

    `at`: aware; None leaves validity out, as the kernel does.
    """
    lasting = _lasting_flaws(chain, purpose)
    return lasting if at is None else (*lasting, *_flaws_then(chain, purpose, at))


def _flaws_then(chain: Chain, purpose: str, at: datetime) -> Iterable[Fault]:
    yield from _root_flaws(chain, purpose, at)
    for each in chain.certificates:
        if at > each.not_after:
            clause = f"the certificate of {_quoted(each)} ran out on {each.not_after.date()}"
            yield Fault(Flaw.EXPIRED, clause)
        if at < each.not_before:
            clause = f"the certificate of {_quoted(each)} began only on {each.not_before.date()}"
            yield Fault(Flaw.NOT_YET_VALID, clause)


@lru_cache(maxsize=_KEPT)
def _lasting_flaws(chain: Chain, purpose: str) -> tuple[Fault, ...]:
    """Those that no clock changes: the same for all files of one signer."""
    found = [*_purpose_flaws(chain, purpose), *_issuing_flaws(chain)]
    for each in chain.certificates:
        if each.unknown:
            found.append(Fault(Flaw.EXTENSION, f"{_quoted(each)} asks for what is not known here"))
        if reason := roots.disallowed(each.der):
            found.append(Fault(Flaw.DISTRUSTED, f"{_quoted(each)} is distrusted: {reason}"))
    if chain.is_weak:
        worst = next(each for each in chain.issued if each.digest not in STRONG)
        kind = (worst.digest or "an unknown digest").upper()
        found.append(Fault(Flaw.WEAK, f"the certificate of {_quoted(worst)} rests on {kind}"))
    return tuple(found)


def _purpose_flaws(chain: Chain, purpose: str) -> Iterable[Fault]:
    leaf = chain.leaf
    called = "code signing" if purpose == CODE_SIGNING else "timestamps"
    if leaf.purposes is None:
        yield Fault(Flaw.PURPOSE, f"the certificate of {_quoted(leaf)} does not say what for")
    for each in chain.certificates:
        stands_in = (
            purpose == CODE_SIGNING
            and chain.store in _MICROSOFTS
            and _KERNEL_PURPOSES & (each.purposes or frozenset())
        )
        if not each.has_purpose(purpose) and not stands_in:
            clause = f"the certificate of {_quoted(each)} is not for {called}"
            yield Fault(Flaw.PURPOSE, clause)
    if leaf.is_ca and purpose == CODE_SIGNING and len(chain.certificates) > 1:
        yield Fault(Flaw.PURPOSE, f"the certificate of {_quoted(leaf)} is that of a CA")
    if not leaf.may_sign:
        yield Fault(Flaw.PURPOSE, f"the key of {_quoted(leaf)} may not sign")
    allowed = chain.anchor.purposes
    if allowed is not None and purpose not in allowed:
        yield Fault(Flaw.PURPOSE, f"the root {chain.anchor.name} is not trusted for {called}")


def _root_flaws(chain: Chain, purpose: str, at: datetime) -> Iterable[Fault]:
    """What Microsoft's root program says of a root it wants to be rid of."""
    name = chain.anchor.name
    disabled, closed = chain.anchor.disabled, chain.anchor.closed
    if disabled and disabled.covers(purpose) and at >= disabled.since:
        clause = f"the root {name} is not trusted for what was signed since {disabled.since.date()}"
        yield Fault(Flaw.DISTRUSTED, clause)
    if closed and closed.covers(purpose) and chain.leaf.not_before >= closed.since:
        clause = f"the root {name} is not trusted for certificates since {closed.since.date()}"
        yield Fault(Flaw.DISTRUSTED, clause)


def _issuing_flaws(chain: Chain) -> Iterable[Fault]:
    below = 0  # CAs between this one and the leaf that are not self-issued
    for each in chain.certificates[1:]:
        is_root = each not in chain.issued
        # The oldest roots do not say that they are CAs: of version 1, or Microsoft's of 1997.
        if not (each.may_issue or (is_root and not each.is_constrained and each.is_self_issued)):
            yield Fault(Flaw.NOT_A_CA, f"{_quoted(each)} may not issue certificates")
        if each.path_length is not None and below > each.path_length:
            yield Fault(Flaw.PATH_LENGTH, f"{_quoted(each)} may not have CAs below it")
        below += not each.is_self_issued


def _quoted(each: Certificate) -> str:
    return f"'{each.name}'" if each.name else "somebody unnamed"
