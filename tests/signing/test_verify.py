"""The procedure as a whole: which signature speaks for a file, and what it may replace."""

from __future__ import annotations

import hashlib
import io
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from signing import image
from signing.block_list import Denied, Identity
from signing.errors import TamperedError
from signing.kernel import Answer, Kernel, Kind, Verdict, together
from signing.path import Trust
from signing.report import About, Report
from signing.signature import Origin
from signing.verify import CatalogRef, Verifier
from tests.builders import authenticode, authorities, catalogs, der, pe, signed
from tests.builders.authorities import NOW, YEAR, Shape, ec_key, issue
from tests.builders.catalogs import Details, Member
from tests.builders.signed import How, about, countersignature, message, nested, token
from tests.conftest import REAL_DATA, read_real, real
from tests.signing import makers

YES, NO, OPEN = Answer.YES, Answer.NO, Answer.UNKNOWN
_OFF = dict.fromkeys((each.name for each in fields(Kernel)), False)  # everything is known
W10 = Kernel(**{**_OFF, "build": 19045, "architecture": "x64", "secure_boot": True})  # type: ignore[arg-type]
W7 = replace(W10, build=7601, secure_boot=False)
TESTS = replace(W10, secure_boot=False, test_signing=True)
THEN = NOW - 3 * YEAR


@dataclass(slots=True)
class Shelf:
    """Catalogs by the digests they list, and what happens when one is read again."""

    contents: Sequence[bytes] = ()
    is_complete: bool = True
    fails: Exception | None = None
    asked: list[bytes] = field(default_factory=list)

    def find(self, digest: bytes) -> Sequence[CatalogRef]:
        self.asked.append(digest)
        return [
            _Ref(f"{number}.cat", each, self.fails)
            for number, each in enumerate(self.contents)
            if digest in each
        ]


@dataclass(frozen=True, slots=True)
class _Ref:
    name: str
    content: bytes
    fails: Exception | None

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.content).digest()

    def read(self) -> bytes:
        if self.fails:
            raise self.fails
        return self.content


def verifier(*, kernel: Kernel = W10, **other: object) -> Verifier:
    """One that believes both roots of the tests, and none of Windows'."""
    roots = (authorities.root().certificate, _root_of_catalogs())
    return Verifier(Trust(roots, windows=False), NOW, kernel, **other)  # type: ignore[arg-type]


def report(content: bytes, **other: object) -> Report:
    return verifier(**other).verify(io.BytesIO(content))  # type: ignore[arg-type]


def answers(found: Report) -> tuple[Answer, Answer]:
    return found.verdict.boot, found.verdict.demand


def _root_of_catalogs() -> bytes:
    return authenticode.root().certificate.public_bytes(Encoding.DER)


def listing(*images: bytes, **how: object) -> bytes:
    members = [Member(signed.file_digest(each, "sha256"), "stub.sys") for each in images]
    return catalogs.catalog(members, authenticode.publisher(), **how)  # type: ignore[arg-type]


@cache
def stub() -> bytes:
    return signed.stub(b"code")


@cache
def good() -> bytes:
    return signed.good(stub())


def _message(how: How | None = None, algorithm: str = "sha256", digest: bytes = b"") -> bytes:
    """`digest`: of another file, where it is to name one."""
    made = How(authorities.publisher(), digest=algorithm) if how is None else how
    return message(about(stub(), algorithm, digest=digest), [made])


@cache
def _stranger() -> authorities.Holder:
    return issue(Shape("Stranger", ec_key(30)))


STRANGE = How(_stranger())


# --- classes of real files ------------------------------------------------------------------

# INDEX.md says what each is; the verdict is that of Windows 10 22H2 with Secure Boot, not upgraded.
REAL: dict[str, tuple[Kind, str, Answer]] = {
    "saferwall_acpi.sys": (Kind.INBOX, "x64", YES),
    "saferwall_amdxata.sys": (Kind.INBOX, "x64", YES),
    "saferwall_WdBoot.sys": (Kind.ELAM, "x64", YES),
    "saferwall_amdi2c.sys": (Kind.UNSIGNED, "x64", NO),
    "ralphje_pciide.sys": (Kind.INBOX, "x64", YES),
    "ralphje_DXCore.dll": (Kind.INBOX, "x64", YES),
    "ralphje_whois.exe": (Kind.PUBLISHER, "x86", NO),
    "ralphje_kdbazis.dll": (Kind.UNTRUSTED, "x64", NO),
    "ralphje_7z1900-x64_signed.exe": (Kind.UNTRUSTED, "x86", NO),
    "whql_virtio_w11/viostor.sys": (Kind.ATTESTATION, "x64", YES),
    "brad457_npcap.sys": (Kind.CROSS_SIGNED, "x64", NO),
    "legacy_sha1/AsIO64.sys": (Kind.CROSS_SIGNED, "x64", YES),
    "legacy_sha1/gdrv.sys": (Kind.CROSS_SIGNED, "x64", NO),
    "virtio_old/Win7_amd64_balloon.sys": (Kind.CROSS_SIGNED, "x64", NO),
    "virtio_old/Wnet_x86_viostor.sys": (Kind.CROSS_SIGNED, "x86", NO),  # that kernel is of x64
    "virtio_old/Win8_amd64_balloon.sys": (Kind.SELF_SIGNED, "x64", NO),
    "arm_lumia/SOC__ABDA.sys": (Kind.UNSIGNED, "arm", NO),
    "winefi_bootmgfw.efi": (Kind.INBOX, "x64", YES),
    "ralphje_115fe8649854ad531fb7ecd1318fbee6b33c9cbd78f02ed582092a96d5eb5899.cat": (
        Kind.INBOX,
        "",
        YES,
    ),
    "winefi_winsipolicy.p7b": (Kind.INBOX, "", YES),
}
_PLACES = dict(zip(REAL, real(*(f"signed/{name}" for name in REAL)), strict=True))


def of_windows(content: bytes, kernel: Kernel = W10, shelf: Shelf | None = None) -> Report:
    catalogs_of_it = Shelf() if shelf is None else shelf
    return Verifier(Trust(), NOW, kernel, catalogs_of_it).verify(io.BytesIO(content))


@pytest.mark.parametrize("sample", _PLACES.values())
def test_real_files(sample: Path) -> None:
    kind, machine, demand = REAL[str(sample.relative_to(REAL_DATA / "signed"))]
    found = of_windows(read_real(sample))
    assert (found.kind, found.machine, found.verdict.demand) == (kind, machine, demand)
    assert (found.oddities, found.hidden, found.problem) == ((), False, "")


@pytest.mark.parametrize("sample", real("signed/brad457_npcap.sys"))
def test_a_dual_signed_driver(sample: Path) -> None:
    """SHA-1 and, nested in it, SHA-256: Windows 7 loads it for the first."""
    content = read_real(sample)
    found = of_windows(content, W7)
    origins = {each.signature.origin: each.signature.algorithm for each in found.vouchers}
    assert origins == {Origin.NESTED: "sha256", Origin.EMBEDDED: "sha1"}
    assert found.best is not None
    assert found.best.signature.origin is Origin.NESTED
    assert answers(found) == (YES, YES)
    changed = content[:0x500] + bytes((content[0x500] ^ 1,)) + content[0x501:]
    assert of_windows(changed, W7).kind is Kind.TAMPERED


@pytest.mark.parametrize("sample", real("signed/virtio_old/Win7_amd64_balloon.sys"))
def test_drivers_of_a_kernel_and_of_another(sample: Path) -> None:
    found = of_windows(read_real(sample), W7)
    assert answers(found) == (YES, YES)
    assert found.why_no_replacement(boot=True) == ""
    late = of_windows(read_real(sample), W10)
    assert late.verdict.demand is NO
    assert "after July 2015" in late.why_no_replacement(boot=False)


@pytest.mark.parametrize("sample", real("signed/whql_virtio_w11/viostor.inf"))
def test_a_real_setup_file_through_its_catalog(sample: Path) -> None:
    shelf = Shelf([sample.with_suffix(".cat").read_bytes()])
    found = of_windows(sample.read_bytes(), shelf=shelf)
    assert found.kind is Kind.ATTESTATION
    assert found.machine == ""
    assert found.best is not None
    assert (found.best.signature.origin, found.best.signature.place) == (Origin.CATALOG, "0.cat")
    changed = of_windows(sample.read_bytes() + b" ", shelf=shelf)
    assert changed.kind is Kind.UNSIGNED
    assert changed.problem == "it is no executable, and no catalog at hand lists it"


@pytest.mark.parametrize("sample", real("signed/sassoftware_hyperv.cat"))
def test_an_old_catalog_by_itself_asks_for_no_sha2(sample: Path) -> None:
    assert answers(of_windows(read_real(sample), W7)) == (YES, YES)


# --- which one speaks -----------------------------------------------------------------------


def test_one_good_signature() -> None:
    found = report(good())
    assert (found.kind, len(found.vouchers)) == (Kind.ORGANISATION, 1)
    assert found.best is not None
    assert found.best.signature.signer is not None
    assert found.best.signature.signer.name == "Example publisher"
    assert found.digests == {"sha256": signed.file_digest(stub(), "sha256")}
    assert found.why_no_replacement(boot=True) == ""


ORDERS: dict[str, tuple[Callable[[], bytes], Kind, Origin]] = {
    "a stranger first": (
        lambda: signed.signed(stub(), _message(STRANGE), _message()),
        Kind.ORGANISATION,
        Origin.EMBEDDED,
    ),
    "a stranger around it": (
        lambda: signed.signed(stub(), _message(replace(STRANGE, later=(nested(_message()),)))),
        Kind.ORGANISATION,
        Origin.NESTED,
    ),
    "SHA-1 around SHA-256": (
        lambda: signed.signed(stub(), _around("sha1", _message())),
        Kind.ORGANISATION,
        Origin.NESTED,
    ),
    "SHA-256 around SHA-1": (
        lambda: signed.signed(stub(), _around("sha256", _message(algorithm="sha1"))),
        Kind.ORGANISATION,
        Origin.EMBEDDED,
    ),
    "one that ran out around one that did not": (
        lambda: signed.signed(
            stub(), _message(How(authorities.expired(), later=(nested(_message()),)))
        ),
        Kind.ORGANISATION,
        Origin.NESTED,
    ),
    "the outer one is of another file": (
        lambda: signed.signed(stub(), _around("sha256", _message(), digest=bytes(32))),
        Kind.TAMPERED,
        Origin.EMBEDDED,
    ),
    "the inner one is of another file": (
        lambda: signed.signed(stub(), _around("sha256", _message(digest=bytes(32)))),
        Kind.TAMPERED,
        Origin.NESTED,
    ),
}


def _around(algorithm: str, inner: bytes, digest: bytes = b"") -> bytes:
    how = How(authorities.publisher(), digest=algorithm, later=(nested(inner),))
    return _message(how, algorithm, digest)


@pytest.mark.parametrize("name", ORDERS)
def test_which_of_several_speaks(name: str) -> None:
    make, kind, origin = ORDERS[name]
    found = report(make())
    assert (found.kind, len(found.vouchers)) == (kind, 2)
    assert found.best is not None
    assert found.best.signature.origin is origin


@pytest.mark.parametrize("pages", ["sha1", "sha256"])
def test_page_hashes_have_to_fit(pages: str) -> None:
    table = signed.page_table(stub(), pages)
    changed = table[:10] + bytes((table[10] ^ 1,)) + table[11:]
    for stored, kind in (
        (table, Kind.ORGANISATION),
        (changed, Kind.TAMPERED),
        (b"", Kind.TAMPERED),
    ):
        content = about(stub(), pages=pages, table=stored)
        found = report(signed.signed(stub(), message(content, [How(authorities.publisher())])))
        assert found.kind is kind
        assert found.vouchers[0].signature.has_pages
        assert found.vouchers[0].signature.pages_fit is (stored == table)


@pytest.mark.parametrize(("count", "kind"), [(8, Kind.ORGANISATION), (9, Kind.UNREADABLE)])
def test_more_signatures_than_a_file_has(count: int, kind: Kind) -> None:
    found = report(signed.signed(stub(), *[_message()] * count))
    assert found.kind is kind
    assert ("more than 8 signatures" in found.problem) is (count > 8)


def test_one_that_a_kernel_takes_is_enough() -> None:
    """Several verdicts: the better answer of each, and the reason of what is named."""
    both, none = Verdict(YES, YES, "both"), Verdict(NO, NO, "none")
    boot, demand = Verdict(YES, NO, "boot"), Verdict(OPEN, YES, "demand")
    assert together([none]) == none
    assert together([none, both]) == both
    assert together([both, demand]) == both
    assert together([demand, replace(demand, reason="later")]) == demand
    assert together([boot, demand]) == Verdict(YES, YES, "demand; boot")


# --- catalogs -------------------------------------------------------------------------------


def test_a_file_without_a_signature_of_its_own() -> None:
    shelf = Shelf([listing(stub())])
    found = report(stub(), catalogs=shelf)
    assert found.kind is Kind.ORGANISATION
    assert found.best is not None
    assert (found.best.signature.origin, found.best.signature.place) == (Origin.CATALOG, "0.cat")
    assert found.best.signature.digest == signed.file_digest(stub(), "sha256")
    assert set(found.digests) == {"sha1", "sha256"}
    assert found.why_no_replacement(boot=False) == ""


def test_a_good_signature_asks_no_catalog() -> None:
    shelf = Shelf([listing(stub())])
    assert answers(report(good(), kernel=TESTS, catalogs=shelf)) == (YES, YES)
    assert shelf.asked == []


@pytest.mark.parametrize("sample", real("signed/brad457_npcap.sys"))
def test_a_signature_that_this_kernel_does_not_take_asks_them(sample: Path) -> None:
    """Cross-signed too late for this Windows, and in a catalog of the tests' maker."""
    content = read_real(sample)
    member = Member(catalogs.file_digest(content, "sha256"), "npcap.sys")
    shelf = Shelf([catalogs.catalog([member], authenticode.publisher())])
    trust = Trust((_root_of_catalogs(),))
    for kernel, asked in ((W10, True), (replace(W10, upgraded=True), False)):
        shelf.asked.clear()
        found = Verifier(trust, NOW, kernel, shelf).verify(io.BytesIO(content))
        assert bool(shelf.asked) is asked
        assert {each.signature.origin for each in found.vouchers} >= {Origin.NESTED}
        assert found.verdict.demand is (OPEN if asked else YES)


def test_a_changed_file_that_a_catalog_lists_as_it_is() -> None:
    changed = signed.with_table(signed.stub(b"other"), _table_of(good()))
    alone = report(changed)
    assert (alone.kind, answers(alone)) == (Kind.TAMPERED, (NO, NO))
    listed = report(changed, catalogs=Shelf([listing(signed.stub(b"other"))]), kernel=TESTS)
    assert listed.kind is Kind.ORGANISATION
    assert [each.kind for each in listed.vouchers] == [Kind.ORGANISATION, Kind.TAMPERED]
    assert answers(listed) == (OPEN, YES)
    of_another = report(changed, catalogs=Shelf([listing(stub())]))
    assert of_another.kind is Kind.TAMPERED


def _table_of(image: bytes) -> bytes:
    return image[len(stub()) :]


def test_a_catalog_by_a_stranger_does_not_help_a_changed_file() -> None:
    changed = signed.with_table(signed.stub(b"other"), _table_of(good()))
    key = makers.certified(makers.Shape("Nobody"))
    member = Member(signed.file_digest(signed.stub(b"other"), "sha256"))
    found = report(changed, catalogs=Shelf([catalogs.catalog([member], key)]), kernel=TESTS)
    assert (found.kind, answers(found)) == (Kind.TAMPERED, (NO, NO))


BY_CATALOG: dict[str, tuple[Callable[[], Shelf], Kind, Answer]] = {
    "none": (Shelf, Kind.UNSIGNED, NO),
    "not all could be read": (lambda: Shelf(is_complete=False), Kind.UNSIGNED, OPEN),
    "another file's": (lambda: Shelf([listing(signed.stub(b"other"))]), Kind.UNSIGNED, NO),
    "of version 1": (
        lambda: Shelf([_old_listing()]),
        Kind.ORGANISATION,
        OPEN,
    ),
    "it changed since": (
        lambda: Shelf([listing(stub())], fails=TamperedError("0.cat", "it changed")),
        Kind.UNSIGNED,
        OPEN,
    ),
    "it cannot be read any more": (
        lambda: Shelf([listing(stub())], fails=OSError("gone")),
        Kind.UNSIGNED,
        OPEN,
    ),
    "nobody signed it": (
        lambda: Shelf([listing(stub(), details=Details(signer=False))]),
        Kind.UNSIGNED,
        NO,
    ),
    "its signature is of another": (lambda: Shelf([_flipped()]), Kind.TAMPERED, NO),
    "another kind of message": (lambda: Shelf([_message()]), Kind.UNSIGNED, NO),
    "signed as something else": (
        lambda: Shelf([listing(stub(), details=Details(content_type="1.2.840.113549.1.7.1"))]),
        Kind.TAMPERED,
        NO,
    ),
    "a bad one before a good one": (
        lambda: Shelf([_flipped(), listing(stub())]),
        Kind.ORGANISATION,
        OPEN,
    ),
}


def _old_listing() -> bytes:
    member = Member(signed.file_digest(stub(), "sha1"), "stub.sys")
    return catalogs.catalog([member], authenticode.publisher(), 1)


def _flipped() -> bytes:
    """One letter of a name in the list is another one."""
    made = listing(stub())
    at = made.index("stub.sys".encode("utf-16-le"))
    return made[:at] + b"S" + made[at + 1 :]


@pytest.mark.parametrize("name", BY_CATALOG)
def test_what_catalogs_say_of_a_file_without_a_signature(name: str) -> None:
    make, kind, demand = BY_CATALOG[name]
    found = report(stub(), catalogs=make())
    assert (found.kind, found.verdict.demand) == (kind, demand)


def test_nothing_is_refused_while_a_catalog_could_not_be_read() -> None:
    strange = signed.signed(stub(), _message(STRANGE))
    for shelf, expected in ((Shelf(), NO), (Shelf(is_complete=False), OPEN), (None, OPEN)):
        found = report(strange, catalogs=shelf)
        assert (found.kind, found.verdict.demand) == (Kind.SELF_SIGNED, expected)


def test_a_catalog_is_judged_once() -> None:
    reads: list[str] = []

    class Counted(Shelf):
        def find(self, digest: bytes) -> Sequence[CatalogRef]:
            found = super().find(digest)
            return [_Counted(each, reads) for each in found]

    made = verifier(catalogs=Counted([listing(stub(), signed.stub(b"other"))]))
    for content in (stub(), signed.stub(b"other"), stub()):
        assert made.verify(io.BytesIO(content)).kind is Kind.ORGANISATION
    assert reads == ["0.cat"]


@dataclass(frozen=True, slots=True)
class _Counted:
    ref: CatalogRef
    reads: list[str]

    @property
    def name(self) -> str:
        return self.ref.name

    @property
    def digest(self) -> bytes:
        return self.ref.digest

    def read(self) -> bytes:
        self.reads.append(self.name)
        return self.ref.read()


# --- other files ----------------------------------------------------------------------------


def test_a_setup_file_through_a_catalog() -> None:
    inf = b"[Version]\r\nSignature=$Windows NT$\r\n"
    member = Member(hashlib.sha256(inf).digest(), "acme.inf", image=False)
    shelf = Shelf([catalogs.catalog([member], authenticode.publisher())])
    found = report(inf, catalogs=shelf)
    assert (found.kind, found.problem) == (Kind.ORGANISATION, "")
    assert found.digests["sha256"] == hashlib.sha256(inf).digest()
    other = report(inf + b";", catalogs=shelf)
    assert (other.kind, answers(other)) == (Kind.UNSIGNED, (NO, NO))
    assert other.problem == "it is no executable, and no catalog at hand lists it"


def test_messages_are_judged_for_themselves() -> None:
    found = report(listing(stub()))
    assert (found.kind, found.machine) == (Kind.ORGANISATION, "")
    assert found.best is not None
    assert found.best.signature.origin is Origin.EMBEDDED
    assert report(_flipped()).kind is Kind.TAMPERED
    assert report(listing(stub(), details=Details(signer=False))).kind is Kind.UNSIGNED
    assert report(b"\x30\x03\x02\x01\x05").kind is Kind.UNSIGNED  # some other DER


@pytest.mark.parametrize("content", [b"", b"M", b"text", bytes(5000)])
def test_files_that_say_nothing(content: bytes) -> None:
    found = report(content, catalogs=Shelf())
    assert (found.kind, found.machine, answers(found)) == (Kind.UNSIGNED, "", (NO, NO))


UNREADABLE: dict[str, Callable[[], bytes]] = {
    "no headers": lambda: b"MZ",
    "cut": lambda: good()[:900],
    "a table behind the end": lambda: signed.with_table(stub(), bytes(64), size=1 << 20),
    "an entry of no size": lambda: signed.with_table(stub(), b"\1" * 8),
    "no message": lambda: signed.with_table(stub(), signed.entry(b"\x30\x03\x02\x01\x05")),
    "a message about a list": lambda: signed.signed(stub(), listing(stub())),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_executables_that_cannot_be_judged(name: str) -> None:
    found = report(UNREADABLE[name]())
    assert (found.kind, found.vouchers, answers(found)) == (Kind.UNREADABLE, (), (NO, NO))
    assert found.problem
    assert found.why_no_replacement(boot=False).startswith("its signature cannot be read")
    free = replace(W10, secure_boot=False, no_integrity_checks=True)
    assert answers(report(UNREADABLE[name](), kernel=free)) == (OPEN, OPEN)


class Broken(io.BytesIO):
    """A disk that fails behind the first bytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= 0x400:
            raise OSError(5, "Input/output error")
        return super().read(size)


@pytest.mark.parametrize("content", [good(), stub(), b"text" * 1000])
def test_errors_of_the_disk_pass_through(content: bytes) -> None:
    with pytest.raises(OSError, match="Input/output"):
        verifier(catalogs=Shelf()).verify(Broken(content))


# --- what nobody signed ---------------------------------------------------------------------

_ODD = {
    "behind the message": lambda: signed.with_table(stub(), signed.entry(_message() + b"hidden..")),
    "another kind of entry": lambda: signed.with_table(
        stub(), signed.entry(_message()) + signed.entry(b"\0" * 16, kind=1)
    ),
    "more filling than is needed": lambda: signed.with_table(
        stub(), signed.entry(_message() + bytes(24))
    ),
}


@pytest.mark.parametrize("name", _ODD)
def test_bytes_hidden_in_the_signature(name: str) -> None:
    """Windows loads them (CVE-2013-3900 needs a setting); they replace nothing."""
    found = report(_ODD[name](), kernel=TESTS)
    assert found.kind is Kind.ORGANISATION
    assert found.hidden
    assert len(found.oddities) == 1
    assert answers(found) == (YES, YES)
    assert "nobody signed" in found.why_no_replacement(boot=False)


# --- block lists ----------------------------------------------------------------------------

DENIED = Denied("a list", "a rule", "a list names it")


def _denies(seen: list[Identity], found: Denied | None = DENIED) -> Callable[[Identity], object]:
    def ask(identity: Identity) -> Denied | None:
        seen.append(identity)
        return found

    return ask


def test_a_list_that_the_kernel_enforces() -> None:
    seen: list[Identity] = []
    found = report(good(), kernel=TESTS, blocked=_denies(seen))
    assert found.kind is Kind.ORGANISATION
    assert (found.denied, found.advised) == (DENIED, None)
    assert found.verdict == Verdict(NO, NO, "a list names it")
    assert found.why_no_replacement(boot=False) == "a list names it"
    (identity,) = seen
    assert set(identity.digests) == {"sha1", "sha256", "page-sha1", "page-sha256"}
    assert identity.digests["sha1"] == signed.file_digest(stub(), "sha1")
    (signer,) = identity.signers
    assert signer.publisher == "Example publisher"
    assert [each.name for each in signer.chain] == [
        "Example publisher",
        "Example CA",
        "Example root",
    ]


def test_a_list_of_ours() -> None:
    """The kernel knows none of it: it loads the file, and we do not place it."""
    seen: list[Identity] = []
    found = report(good(), kernel=TESTS, advised=_denies(seen))
    assert (found.denied, found.advised) == (None, DENIED)
    assert answers(found) == (YES, YES)
    assert found.why_no_replacement(boot=False) == "a list names it"
    assert seen[0].digests["flat-sha256"] == hashlib.sha256(good()).digest()


def test_lists_that_do_not_name_it() -> None:
    seen: list[Identity] = []
    facts = About({"OriginalFilename": "stub.sys"}, (1, 2, 3, 4))
    made = verifier(kernel=TESTS, blocked=_denies(seen, None), advised=_denies(seen, None))
    found = made.verify(io.BytesIO(good()), facts)
    assert (found.denied, found.advised, answers(found)) == (None, None, (YES, YES))
    assert [(each.names, each.version) for each in seen] == [(facts.names, facts.version)] * 2


def test_lists_name_files_of_every_kind() -> None:
    for content, algorithm in ((stub(), "sha256"), (b"text", "flat-sha256")):
        seen: list[Identity] = []
        found = report(content, blocked=_denies(seen))
        assert (found.kind, found.denied) == (Kind.UNSIGNED, DENIED)
        assert seen[0].signers == ()
        assert len(seen[0].digests[algorithm]) == 32


# --- replacement ----------------------------------------------------------------------------


def _stamped(*later: object, by: authorities.Holder | None = None) -> bytes:
    how = How(
        by or authorities.expired(),
        later=later,  # type: ignore[arg-type]
        others=authorities.stamper().bag,
    )
    return signed.signed(stub(), _message(how))


@cache
def _weakly() -> authorities.Holder:
    return issue(Shape("Weak", ec_key(32), digest="sha1"), authorities.authority())


REPLACEMENTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "good": (good, ""),
    "unsigned": (stub, "it has no signature of its own"),
    "a stranger": (lambda: signed.signed(stub(), _message(STRANGE)), "vouches for itself"),
    "tampered": (
        lambda: signed.with_table(signed.stub(b"other"), _table_of(good())),
        "the file is not what was signed",
    ),
    "ran out": (
        lambda: _stamped(),
        f"ran out on {(NOW - 2 * YEAR).date()}, and no timestamp says that it was signed before",
    ),
    "ran out, countersigned": (lambda: _stamped(countersignature(THEN)), ""),
    "ran out, with a token": (lambda: _stamped(token(THEN)), ""),
    "ran out, stamped too late": (
        lambda: _stamped(token(NOW - YEAR)),
        "and no timestamp says that it was signed before",
    ),
    "SHA-1": (lambda: signed.signed(stub(), _message(algorithm="sha1")), "it rests on SHA1"),
    "SHA-1 in its chain": (
        lambda: signed.signed(stub(), _message(How(_weakly()))),
        "it rests on SHA1",
    ),
}


@pytest.mark.parametrize("name", REPLACEMENTS)
@pytest.mark.parametrize("boot", [False, True])
def test_what_may_take_another_files_place(name: str, boot: bool) -> None:
    make, words = REPLACEMENTS[name]
    why = report(make()).why_no_replacement(boot=boot)
    assert words in why
    assert bool(why) is bool(words)


@pytest.mark.parametrize("sample", real("signed/whql_virtio_w11/viostor.sys"))
def test_what_a_kernel_takes_as_one_and_not_as_the_other(sample: Path) -> None:
    found = of_windows(read_real(sample))
    assert found.why_no_replacement(boot=True) == found.why_no_replacement(boot=False) == ""
    old = of_windows(read_real(sample), replace(W10, build=9600))
    assert "for Windows 10 and later" in old.why_no_replacement(boot=True)
    (voucher,) = found.vouchers
    late = replace(voucher, verdict=Verdict(OPEN, YES, "not at boot"))
    split = replace(found, vouchers=(late,))
    assert split.why_no_replacement(boot=False) == ""
    assert split.why_no_replacement(boot=True) == "not at boot"


# --- costs ----------------------------------------------------------------------------------


def test_a_large_file_is_read_in_pieces(tmp_path: Path) -> None:
    """64 MB: a few of them in memory, and little more time than two digests take."""
    place = tmp_path / "large.sys"
    with place.open("w+b") as stream:
        stream.write(stub())
        stream.truncate(64 << 20)
        tracemalloc.start()
        began = time.process_time()
        found = verifier(catalogs=Shelf()).verify(stream)
        spent = time.process_time() - began
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert found.kind is Kind.UNSIGNED
    assert set(found.digests) == {"sha1", "sha256"}
    assert peak < 8 << 20
    assert spent < 3.0


# --- what else speaks against a kernel's yes ------------------------------------------------


@pytest.mark.parametrize("digest", ["md5", "sha1", "sha256"])
def test_a_certificate_of_md5_on_the_way_up(digest: str) -> None:
    """Flame's CA was forged through MD5, below a root of Microsoft's."""
    signer = issue(Shape("Signer", ec_key(33), digest=digest), authorities.root())
    found = report(signed.signed(stub(), _message(How(signer))), kernel=TESTS)
    expected = OPEN if digest == "md5" else YES
    assert answers(found) == (expected, expected)
    assert ("it rests on MD5" in found.verdict.reason) is (digest == "md5")


def _formed(*, flags: int = 0x6000_0020, alignment: int = 0x1000) -> bytes:
    """A stub whose first section has those flags, signed."""
    content = bytearray(stub())
    start = int.from_bytes(content[60:64], "little")
    content[start + 24 + 32 : start + 24 + 36] = alignment.to_bytes(4, "little")
    size = int.from_bytes(content[start + 20 : start + 22], "little")
    at = start + 24 + size + 36
    content[at : at + 4] = flags.to_bytes(4, "little")
    made = message(about(bytes(content), "sha256"), [How(authorities.publisher())])
    return signed.signed(bytes(content), made)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({}, ""),
        ({"flags": 0xE200_0020}, "its section .text is both writable and executable"),
        ({"flags": 0xC000_0040}, ""),  # data
        ({"alignment": 0x80}, "its sections are aligned to 128 bytes"),
        ({"alignment": 0x2000}, ""),
    ],
)
def test_memory_integrity(form: dict[str, int], words: str) -> None:
    driver = _formed(**form)
    for hvci in (True, False, None):
        found = report(driver, kernel=replace(TESTS, hvci=hvci))
        doubtful = bool(words) and hvci is True
        assert answers(found) == ((OPEN, OPEN) if doubtful else (YES, YES))
        assert (words in found.verdict.reason) is (doubtful or not words)


@pytest.mark.parametrize("sample", real("signed/legacy_sha1/AsIO64.sys"))
def test_a_driver_of_an_old_kit_under_memory_integrity(sample: Path) -> None:
    """Its section INIT is discardable, writable and executable."""
    assert image.read(io.BytesIO(read_real(sample))).writable_code == "INIT"


@pytest.mark.parametrize("architecture", ["x64", "x86", "arm64", ""])
def test_for_another_machine(architecture: str) -> None:
    made = signed.good(pe.driver({"CompanyName": "Acme"}))
    found = report(made, kernel=replace(TESTS, architecture=architecture))
    fits = architecture in ("x64", "")
    assert answers(found) == ((YES, YES) if fits else (NO, NO))
    assert ("made for x64 machines" in found.verdict.reason) is not fits
    assert bool(found.why_no_replacement(boot=False)) is not fits


# --- what allows is not talked into it ------------------------------------------------------


def test_rules_that_allow_are_asked_for_good_signers_alone() -> None:
    """A certificate that somebody put beside the file's own, or named in a bad catalog."""
    borrowed = catalogs.catalog(
        [Member(signed.file_digest(stub(), "sha256"))], makers.certified(makers.Shape("Borrowed"))
    )
    asked: list[Identity] = []

    def unsure(identity: Identity) -> str:
        asked.append(identity)
        return ""

    twice = signed.with_table(stub(), b"".join(map(signed.entry, (_message(), _message(STRANGE)))))
    for content, shelf in ((twice, Shelf()), (good(), Shelf([borrowed]))):
        asked.clear()
        report(content, catalogs=shelf, unsure=unsure)
        (identity,) = asked
        assert [each.publisher for each in identity.signers] == ["Example publisher"]


def test_a_catalog_that_cannot_be_read_whole_leaves_it_open() -> None:
    """The index has seen its list, and not what is around it."""
    doubled = der.sequence(der.oid("1.2.3.4"), der.set_of([der.integer(1)]))
    listed = listing(stub(), details=Details(unsigned=(doubled, doubled)))
    made = verifier(catalogs=Shelf([listed]))
    found = made.verify(io.BytesIO(stub()))
    assert (found.kind, answers(found)) == (Kind.UNSIGNED, (OPEN, OPEN))
    # It does not list the next file, and that is known.
    after = made.verify(io.BytesIO(signed.stub(b"other")))
    assert (after.kind, answers(after)) == (Kind.UNSIGNED, (NO, NO))


def test_a_catalog_speaks_for_a_file_whose_own_signature_cannot_be_read() -> None:
    broken = signed.with_table(stub(), signed.entry(b"\x30\x80" + bytes(30)))
    assert report(broken).kind is Kind.UNREADABLE
    found = report(broken, catalogs=Shelf([listing(stub())]))
    assert found.kind is Kind.ORGANISATION
    assert "nobody signed" in found.why_no_replacement(boot=False)


def test_a_member_whose_other_digest_is_not_the_files() -> None:
    sha1, other = (signed.file_digest(each, "sha1") for each in (stub(), signed.stub(b"other")))
    sha256 = signed.file_digest(signed.stub(b"other"), "sha256")
    for tag, kind in ((sha1, Kind.UNSIGNED), (other, Kind.UNSIGNED)):
        listed = catalogs.catalog([Member(sha256, tag=tag)], authenticode.publisher())
        assert report(stub(), catalogs=Shelf([listed])).kind is kind


def test_headers_of_no_possible_size() -> None:
    content = bytearray(stub()) + bytes(2 << 20)
    start = int.from_bytes(content[60:64], "little")
    content[start + 24 + 60 : start + 24 + 64] = (2 << 20).to_bytes(4, "little")
    assert report(bytes(content)).kind is Kind.UNREADABLE


@pytest.mark.parametrize("sample", real("signed/whql_virtio_w11/viostor.sys"))
def test_trust_in_the_middle_takes_nothing_from_windows(sample: Path) -> None:
    content = read_real(sample)
    way = of_windows(content).vouchers[0].way
    assert way is not None
    for trusted in way.chain.certificates:
        made = Verifier(Trust((trusted.der,)), NOW, W10)
        found = made.verify(io.BytesIO(content))
        assert (found.kind, answers(found)) == (Kind.ATTESTATION, (YES, YES))
