"""Who vouches for a file, and would that kernel load it? The procedure, step by step.

The numbers are those of docs/signatures.md, which gives the reasons:
(1) the executable's layout, and the entries of its certificate table;
(2) the messages in them, and those nested in one another;
(3)-(8) each signature judged (`signature`);
(9) the class of each (`kernel_policy.classify`); the best one speaks for the file;
(10) catalogs: whichever lists the file's digest is a signature like the others;
(11) block lists: whatever the signature says, a file that one of them names does not load;
(12) would that kernel load it, and may it replace another?

What does not depend on the file is kept in a `Verifier`: roots, certificates read, links of chains
verified, catalogs judged. Nothing here reads a clock, a network or a disk but the file itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from signing import catalog, image, indirect_data, kernel_policy, signature, signed_data
from signing.block_list import Identity
from signing.catalog import Catalog
from signing.der import SEQUENCE, without_filling
from signing.errors import MalformedError, SigningError
from signing.image import Image, Stream
from signing.kernel import Answer, Kernel, Kind, Verdict, together
from signing.listed import Blocks, Excepted, Listed, Unsure
from signing.named_signers import certain_signers, named_signers
from signing.path import Trust
from signing.report import GOOD, About, Report, Voucher, heard, is_changed
from signing.signature import Origin, Signature
from signing.signed_data import SignedData

_MOST_SIGNATURES = 8  # of one file, nested ones among them
_MOST_CATALOGS = 64  # looked into for one digest
_CHUNK = 1 << 20
_CATALOG_DIGESTS = ("sha1", "sha256")


class CatalogRef(Protocol):
    """A catalog that lists a digest, before anybody has looked at its signature."""

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> bytes:
        """SHA-256 of its content when it was indexed."""
        ...

    def read(self) -> bytes:
        """That content. Raises OSError, SigningError where it is another one by now."""
        ...


class Catalogs(Protocol):
    """Where catalogs are looked for."""

    @property
    def is_complete(self) -> bool:
        """Whether these are all that the Windows in question has, and all could be read."""
        ...

    def find(self, digest: bytes) -> Sequence[CatalogRef]: ...


class _NoCatalogError(MalformedError):
    """A message that lists nothing for anybody. Never leaves this room."""


_UNKNOWN = Kernel()
_NOTHING_ODD: tuple[tuple[str, ...], bool] = ((), False)


@dataclass(slots=True)
class Verifier:
    """What stays the same from file to file.

    `now`: aware; the moment that decides where no timestamp does. `blocked`: lists that the kernel
    enforces; `advised`: those that only we heed. `unsure`, `excepted`: policies that name others.
    """

    trust: Trust
    now: datetime
    kernel: Kernel = _UNKNOWN
    catalogs: Catalogs | None = None
    blocked: Blocks | None = None
    advised: Blocks | None = None
    unsure: Unsure | None = None
    excepted: Excepted | None = None
    _judged: dict[bytes, tuple[Catalog, tuple[Signature, ...]]] = field(
        default_factory=dict, repr=False
    )
    _lost: bool = field(default=False, repr=False)

    def verify(self, stream: Stream, about: About | None = None) -> Report:
        """The report of an executable or of any other file. Raises OSError, and nothing else."""
        self._lost = False
        try:
            layout = image.read(stream)
        except MalformedError as exc:
            return self._plain(stream, about, exc)
        about = about or About()
        try:
            return self._executable(stream, layout, about)
        except SigningError as exc:
            return self._despite(stream, layout, about, str(exc))

    # --- executables ----------------------------------------------------------------------

    def _executable(self, stream: Stream, layout: Image, about: About) -> Report:
        # (1) Where the signature lies, and what it would be about.
        entries = image.entries(stream, layout) if layout.is_signed else ()
        # (2) What is in there.
        oddities = list(layout.oddities)
        messages: list[tuple[Origin, SignedData]] = []
        hidden = False
        for entry in entries:
            if entry.kind != image.PKCS_SIGNED_DATA:
                hidden = True
                oddities.append(f"an entry of kind {entry.kind} in its certificate table")
                continue
            encoded, filling = without_filling(entry.content, "signature")
            if any(filling) or len(filling) > 7:
                hidden = True
                oddities.append(f"{len(filling)} bytes that nobody signed lie behind its signature")
            messages += _with_nested(signed_data.read(encoded))
        if sum(len(message.signers) for _, message in messages) > _MOST_SIGNATURES:
            raise MalformedError("signature", 0, f"more than {_MOST_SIGNATURES} signatures")
        # (3) The digests, all in one pass.
        contents = [_content(message) for _, message in messages]
        wanted = {found.algorithm for found in contents} - {""}
        if self._has_lists() or (self.catalogs and not messages):
            wanted |= {*_CATALOG_DIGESTS}
        digests = image.digests(stream, layout, sorted(wanted)) if wanted else {}
        # (4) to (8) What each is worth.
        vouchers: list[Voucher] = []
        for (origin, message), content in zip(messages, contents, strict=True):
            named = _named(stream, layout, content, digests)
            judged = signature.judge(message, named, self.trust, self.now, origin=origin)
            vouchers += map(self._voucher, judged)
        return self._report(stream, layout, vouchers, digests, about, (tuple(oddities), hidden))

    def _report(
        self,
        stream: Stream,
        layout: Image,
        vouchers: list[Voucher],
        digests: dict[str, bytes],
        about: About,
        odd: tuple[tuple[str, ...], bool],
    ) -> Report:
        # (10) Where its own signatures are not enough.
        if self.catalogs and not self._is_enough(vouchers):
            missing = [each for each in _CATALOG_DIGESTS if each not in digests]
            digests |= image.digests(stream, layout, missing) if missing else {}
            vouchers += self._from_catalogs(digests)
        vouchers = _ordered(vouchers)
        named = self._denied(stream, layout, digests, vouchers, about)
        listed = named.beside(layout, self.kernel)
        return self._concluded(layout.machine, digests, vouchers, listed, odd)

    def _denied(
        self,
        stream: Stream,
        layout: Image | None,
        digests: Mapping[str, bytes],
        vouchers: Sequence[Voucher],
        about: About,
    ) -> Listed:
        # (11) Whatever the signature says.
        if not self._has_lists():
            return Listed()
        known = dict(digests)
        if layout is not None:
            for algorithm in _CATALOG_DIGESTS:
                known[f"page-{algorithm}"] = image.first_page(stream, layout, algorithm)
            if self.advised is not None:  # plain lists name whole files as well
                known["flat-sha256"] = _flat(stream)["sha256"]
        signers = named_signers(each.signature for each in vouchers)
        identity = Identity(known, about.names, about.version, signers)
        # What allows must not be talked into it: by signers alone that were found good.
        good = (each for each in heard(vouchers) if each.kind in GOOD)
        sure = replace(identity, signers=certain_signers((one.signature, one.way) for one in good))
        is_program = layout is not None  # policies know no other files
        return Listed(
            self.blocked(identity) if self.blocked else None,
            self.advised(identity) if self.advised else None,
            self.unsure(sure) if self.unsure and is_program else "",
            self.excepted(sure) if self.excepted and is_program else None,
        )

    def _has_lists(self) -> bool:
        return any((self.blocked, self.advised, self.unsure, self.excepted))

    def _concluded(
        self,
        machine: str,
        digests: Mapping[str, bytes],
        vouchers: Sequence[Voucher],
        listed: Listed,
        odd: tuple[tuple[str, ...], bool],
    ) -> Report:
        # (12) What the kernel says to that.
        vouchers = [listed.heard(each, self.kernel) for each in vouchers]
        best = vouchers[0] if vouchers else None
        kind = best.kind if best else Kind.UNSIGNED
        if listed.denied is not None:
            verdict = Verdict(Answer.NO, Answer.NO, listed.denied.reason)
        elif best is None:
            known = self._knows_catalogs()
            verdict = listed.restricted(kernel_policy.unsigned(self.kernel, catalogs_known=known))
        else:
            verdict = self._verdict(vouchers)
            if kind is not Kind.TAMPERED and not self._knows_catalogs() and not listed.unfit:
                verdict = kernel_policy.unless_listed(verdict)
        return Report(
            machine=machine,
            digests=digests,
            vouchers=tuple(vouchers),
            kind=kind,
            verdict=verdict,
            denied=listed.denied,
            advised=listed.advised,
            oddities=odd[0],
            hidden=odd[1],
            problem=best.signature.problem if best else "",
        )

    def _knows_catalogs(self) -> bool:
        return self.catalogs is not None and self.catalogs.is_complete and not self._lost

    def _is_enough(self, vouchers: Sequence[Voucher]) -> bool:
        verdict = self._verdict(vouchers) if vouchers else None
        return verdict is not None and verdict.boot is verdict.demand is Answer.YES

    def _verdict(self, vouchers: Sequence[Voucher]) -> Verdict:
        """A kernel takes a file for the sake of any of them."""
        return together([each.verdict for each in heard(vouchers) or vouchers[:1]])

    def _voucher(self, judged: Signature) -> Voucher:
        kind, way = kernel_policy.classify(judged)
        return Voucher(judged, kind, way, kernel_policy.would_load(judged, kind, way, self.kernel))

    def _unreadable(self, machine: str, problem: str) -> Report:
        why = f"its signature cannot be read: {problem}"
        verdict = kernel_policy.unreadable(why, self.kernel)
        return Report(
            machine=machine,
            digests={},
            vouchers=(),
            kind=Kind.UNREADABLE,
            verdict=verdict,
            denied=None,
            advised=None,
            oddities=(),
            hidden=False,
            problem=problem,
        )

    def _despite(self, stream: Stream, layout: Image, about: About, problem: str) -> Report:
        """Where its own signature cannot be read, a catalog that lists the file still speaks."""
        try:
            digests = image.digests(stream, layout, _CATALOG_DIGESTS) if self.catalogs else {}
        except MalformedError:
            digests = {}
        vouchers = sorted(self._from_catalogs(digests), key=_rank)
        if not any(each.kind in GOOD for each in vouchers):
            return self._unreadable(layout.machine, problem)
        listed = self._denied(stream, layout, digests, vouchers, about)
        odd = ((f"its own signature cannot be read: {problem}",), True)
        listed = listed.beside(layout, self.kernel)
        return self._concluded(layout.machine, digests, vouchers, listed, odd)

    # --- other files ----------------------------------------------------------------------

    def _plain(self, stream: Stream, about: About | None, why: MalformedError) -> Report:
        """INF files, libraries of data, damaged executables: only a catalog speaks for those."""
        digests = _flat(stream)
        start = image.read_at(stream, 0, 2)
        if start == b"MZ":
            return self._unreadable("", str(why))
        if start[:1] == b"\x30" and (report := self._message(stream)) is not None:
            return report
        vouchers = sorted(self._from_catalogs(digests), key=_rank)
        flat = {f"flat-{name}": digest for name, digest in digests.items()}
        listed = self._denied(stream, None, flat, vouchers, about or About())
        report = self._concluded("", digests, vouchers, listed, _NOTHING_ODD)
        if vouchers or listed.denied or listed.advised:
            return report
        return replace(report, problem="it is no executable, and no catalog at hand lists it")

    def _message(self, stream: Stream) -> Report | None:
        """A catalog, or a policy: signed, and about itself. None for another file."""
        content = image.read_at(stream, 0, catalog.LARGEST + 1)
        try:
            message = signed_data.read(content)
            named = signature.Named(
                "sha256", b"", is_intact=True, content_type=message.content_type
            )
            judged = signature.judge(message, named, self.trust, self.now, origin=Origin.EMBEDDED)
        except MalformedError:
            return None
        own = (replace(each, algorithm=each.signer_algorithm) for each in judged)
        vouchers = sorted(map(self._voucher, own), key=_rank)
        return self._concluded("", {}, vouchers, Listed(), _NOTHING_ODD)

    # --- catalogs -------------------------------------------------------------------------

    def _from_catalogs(self, digests: Mapping[str, bytes]) -> list[Voucher]:
        found: list[Voucher] = []
        for algorithm in reversed(_CATALOG_DIGESTS):
            digest = digests.get(algorithm, b"")
            if not digest or self.catalogs is None:
                continue
            for ref in self.catalogs.find(digest)[:_MOST_CATALOGS]:
                found += map(self._voucher, self._listed(ref, algorithm, digests))
                if found and self._verdict(found).demand is Answer.YES:
                    return found
        return found

    def _listed(
        self, ref: CatalogRef, algorithm: str, digests: Mapping[str, bytes]
    ) -> tuple[Signature, ...]:
        """The signatures of a catalog, as ones of the file; () where it does not list it now."""
        digest = digests[algorithm]
        try:
            if ref.digest not in self._judged:
                self._judged[ref.digest] = self._judge_catalog(ref.read(), ref.name)
            listing, signatures = self._judged[ref.digest]
            member = listing.find(digest)
        except _NoCatalogError:
            return ()
        except (OSError, SigningError):
            self._lost = True  # it did list the file
            return ()
        stated = member.digests if member is not None else {}
        if stated.get(algorithm) != digest or any(
            digests.get(each, value) != value for each, value in stated.items()
        ):
            return ()
        return tuple(
            replace(each, algorithm=algorithm, digest=digest, place=ref.name) for each in signatures
        )

    def _judge_catalog(self, content: bytes, name: str) -> tuple[Catalog, tuple[Signature, ...]]:
        message = signed_data.read(content, "catalog")
        if (message.content_type, message.content_tag) != (catalog.TRUST_LIST, SEQUENCE):
            raise _NoCatalogError("catalog", 0, "it is another kind of message")
        if not message.signers:
            raise _NoCatalogError("catalog", 0, "nobody signed it")
        listing = catalog.read(message.content)
        # Every member is listed by what its signers signed; which one is asked for comes later.
        named = signature.Named("sha256", b"", is_intact=True, content_type=message.content_type)
        judged = signature.judge(
            message, named, self.trust, self.now, origin=Origin.CATALOG, place=name
        )
        return listing, judged


def _flat(stream: Stream) -> dict[str, bytes]:
    totals: dict[str, Any] = {
        name: hashlib.new(name, usedforsecurity=False) for name in _CATALOG_DIGESTS
    }
    stream.seek(0)
    while data := stream.read(_CHUNK):
        for total in totals.values():
            total.update(data)
    return {name: total.digest() for name, total in totals.items()}


def _with_nested(message: SignedData) -> list[tuple[Origin, SignedData]]:
    """A message and those nested in its signers, one level deep: Windows has no more either."""
    found = [(Origin.EMBEDDED, message)]
    for signer in message.signers:
        for encoded in signer.unsigned.get(signature.NESTED, ()):
            if len(found) < _MOST_SIGNATURES:
                found.append((Origin.NESTED, signed_data.read(encoded)))
    return found


def _content(message: SignedData) -> indirect_data.IndirectData:
    if (message.content_type, message.content_tag) != (indirect_data.INDIRECT_DATA, SEQUENCE):
        raise MalformedError("signature", 0, "it is not about an executable")
    return indirect_data.read(message.content)


def _named(
    stream: Stream,
    layout: Image,
    content: indirect_data.IndirectData,
    digests: Mapping[str, bytes],
) -> signature.Named:
    computed = digests.get(content.algorithm, b"")
    intact = content.subject == indirect_data.PE_IMAGE and computed == content.digest != b""
    # (6) Only of a file that is what was signed: the tables cost as much as the digest.
    fit = not intact or all(
        image.page_hashes(stream, layout, each.algorithm) == each.table for each in content.pages
    )
    return signature.Named(
        content.algorithm,
        content.digest,
        intact,
        indirect_data.INDIRECT_DATA,
        bool(content.pages),
        fit,
    )


def _ordered(vouchers: Sequence[Voucher]) -> list[Voucher]:
    """(9) The best one speaks for the file, the first of these.

    Where one signature in the file is not about the file, the others in it do not help: somebody
    changed something. A catalog that lists the file as it is does.
    """
    if is_changed(vouchers):
        return sorted(vouchers, key=lambda each: (_is_own(each), each.kind is not Kind.TAMPERED))
    return sorted(vouchers, key=_rank)


def _is_own(voucher: Voucher) -> bool:
    return voucher.signature.origin is not Origin.CATALOG or voucher.kind not in GOOD


def _rank(voucher: Voucher) -> tuple[int, bool, int]:
    passing = len(voucher.way.passing) if voucher.way else 0
    return kernel_policy.RANKS.index(voucher.kind), voucher.signature.is_weak, passing
