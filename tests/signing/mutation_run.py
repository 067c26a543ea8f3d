"""Signed files changed at random: what becomes of one, and whether it may be called good.

A case is a subject and a seed. Good is what may replace another file, or is what the subject was
before: of the same class, with nothing against it that was not there. Good after a change is
allowed only where all that was changed lies in regions nobody signed (`regions.UNSIGNED`), and
while all that is hashed is what it was: whatever a kernel maps is unchanged.
"""

from __future__ import annotations

import hashlib
import io
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise

from signing.kernel import Kernel
from signing.path import Trust
from signing.report import Report
from signing.verify import Verifier
from tests.builders import authorities, signed
from tests.builders.der import octets, sequence
from tests.builders.signed import How, about, countersignature, message, token
from tests.conftest import REAL_DATA
from tests.signing import changes, regions
from tests.signing.hostile.judging import is_good
from tests.signing.hostile.times import THEN, stamped
from tests.signing.regions import Region

SECONDS = 1.0  # of CPU, for any judgement
NOW = datetime(2027, 3, 1, tzinfo=UTC)  # all real signers need their timestamps by then
_KERNEL = Kernel(
    build=19045,
    architecture="x64",
    server=False,
    secure_boot=True,
    test_signing=False,
    no_integrity_checks=False,
    upgraded=True,
    whql_required=False,
)
# Of each kind one: dual, SHA-1 with PKCS #9, page hashes, attestation, MD5, tokens, ELAM, old.
EXECUTABLES = (
    "brad457_npcap.sys",
    "ralphje_pciide.sys",
    "ralphje_DXCore.dll",
    "whql_virtio_w11/viostor.sys",
    "legacy_sha1/WinRing0_3ec5ad51e6879464dfbccb9f4ed76c6325056a42548d5994ba869da9c4c039a8.sys",
    "legacy_sha1/gdrv.sys",
    "legacy_sha1/ADV64DRV.sys",
    "ralphje_whois.exe",
    "saferwall_WdBoot.sys",
    "saferwall_amdxata.sys",
    "virtio_old/Wnet_amd64_viostor.sys",
    "winefi_bootmgfw.efi",
)
CATALOGS = (
    "ralphje_115fe8649854ad531fb7ecd1318fbee6b33c9cbd78f02ed582092a96d5eb5899.cat",
    "sassoftware_hyperv.cat",
    "whql_virtio_w11/vioscsi.cat",
    "brad457_npcap.cat",
)
PAIRS = {  # plain files and the catalogs that list them
    "virtio_old/Win7_amd64_balloon.inf": "virtio_old/Win7_amd64_balloon.cat",
    "whql_virtio_w11/vioscsi.inf": "whql_virtio_w11/vioscsi.cat",
}
BUILT = (
    "built plain",
    "built countersigned",
    "built token",
    "built nested",
    "built two, pages",
    "built with leftovers",
)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is changed: an executable, a catalog by itself, or one for the sake of `listed`."""

    name: str
    content: bytes
    regions: tuple[Region, ...]
    listed: bytes = b""

    @property
    def size(self) -> int:
        return len(self.content)

    @property
    def is_executable(self) -> bool:
        return self.content[:2] == b"MZ"


@dataclass(frozen=True, slots=True)
class Outcome:
    kind: str  # of the change
    regions: tuple[str, ...]  # that it touches
    survived: bool  # good as before
    seconds: float


# --- subjects -----------------------------------------------------------------------------


def names() -> list[str]:
    """Of all subjects whose files are there."""
    folder = REAL_DATA / "signed"
    found = [*BUILT, *(each for each in (*EXECUTABLES, *CATALOGS) if (folder / each).is_file())]
    return found + [each for each in PAIRS if (folder / each).is_file()]


@cache
def subject(name: str) -> Subject:
    if name in BUILT:
        content = _built(name)
        return Subject(name, content, tuple(regions.of_executable(content)))
    folder = REAL_DATA / "signed"
    if name in PAIRS:
        content = (folder / PAIRS[name]).read_bytes()
        listed = (folder / name).read_bytes()
        return Subject(name, content, tuple(regions.of_message(content)), listed)
    content = (folder / name).read_bytes()
    find = regions.of_executable if content[:2] == b"MZ" else regions.of_message
    return Subject(name, content, tuple(find(content)))


def _built(name: str) -> bytes:
    image = signed.stub(b"code" * 300)
    publisher = How(authorities.publisher())
    if name == "built countersigned":
        return signed.good(image, stamped(countersignature(THEN, bare=True)))
    if name == "built token":
        return signed.good(image, How(authorities.expired(), later=(token(THEN),)))
    if name == "built nested":
        inner = message(about(image, "sha384"), [stamped(token(THEN))])
        rsa = authorities.issue(
            authorities.Shape("RSA publisher", authorities.rsa_key(2)), authorities.authority()
        )
        return signed.good(image, How(rsa, later=(signed.nested(inner),)))
    if name == "built two, pages":
        first = message(about(image, pages="sha1"), [publisher])
        return signed.signed(image, first, message(about(image, pages="sha256"), [publisher]))
    if name == "built with leftovers":
        return signed.signed(image, _leftovers(image))
    return signed.good(image, publisher)


def _leftovers(image: bytes) -> bytes:
    """What nobody needs: the root, somebody's certificate, a list, an attribute."""
    rest = (authorities.root().certificate, authorities.stamper().certificate)
    later = signed.fixed(signed.attribute("1.3.6.1.4.1.99999.5", octets(bytes(40))))
    key = authorities.issue(
        authorities.Shape("RSA publisher", authorities.rsa_key(2)), authorities.authority()
    )
    how = How(key, later=(later,))
    return message(about(image), [how], [*key.bag, *rest], lists=sequence(octets(bytes(40))))


# --- judging ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Shelf:
    """One catalog, which is always asked."""

    content: bytes
    name: str = "one.cat"
    is_complete: bool = True

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.content).digest()

    def read(self) -> bytes:
        return self.content

    def find(self, digest: bytes) -> Sequence[_Shelf]:  # noqa: ARG002
        return [self]


def judged(what: Subject, content: bytes) -> Report:
    trust = Trust((authorities.root().certificate,))
    shelf = _Shelf(content) if what.listed else None
    built = what.name in BUILT
    kernel = Kernel() if built else _KERNEL  # the organisation's own are no kernel's business
    return Verifier(trust, NOW, kernel, shelf).verify(io.BytesIO(what.listed or content))


def stands(report: Report) -> tuple[object, ...]:
    """What somebody would go by."""
    best = report.best
    faults = sorted(each.flaw for each in best.way.faults) if best and best.way else []
    return report.kind, report.why_no_replacement(boot=False), report.hidden, faults


@cache
def baseline(name: str) -> Report:
    what = subject(name)
    return judged(what, what.content)


def hashed(content: bytes) -> bytes:
    """What is hashed of an executable, by its own headers: all but two fields and the table."""
    checksum, entry = signed.places(content)
    at, size = (
        int.from_bytes(content[place : place + 4], "little") for place in (entry, entry + 4)
    )
    head = content[:checksum] + content[checksum + 4 : entry]
    return head + content[entry + 8 : at] + content[at + size :]


# --- changes ----------------------------------------------------------------------------


def _transplant(data: bytearray, at: int, rng: random.Random) -> tuple[int, int]:
    """A piece of another file that is of the same kind and size, as a name or a signature is."""
    for region in _regions_of(bytes(data)):
        donors = _donors().get((region.name, region.end - region.start), ())
        if region.start <= at < region.end and donors:
            data[region.start : region.end] = rng.choice(donors)
            return region.start, region.end
    return changes.bit(data, at, rng)


@cache
def _regions_of(content: bytes) -> tuple[Region, ...]:
    """The regions of an unchanged subject."""
    return next(each.regions for each in map(subject, names()) if each.content == content)


@cache
def _donors() -> dict[tuple[str, int], list[bytes]]:
    found: dict[tuple[str, int], list[bytes]] = {}
    for what in map(subject, names()):
        for region in what.regions:
            piece = what.content[region.start : region.end]
            found.setdefault((region.name, len(piece)), []).append(piece)
    return found


CHANGES: dict[str, changes.Change] = {
    "bit": changes.bit,
    "byte": changes.byte,
    "number": changes.number,
    "length": changes.length,
    "insertion": changes.insert,
    "deletion": changes.delete,
    "truncation": changes.truncate,
    "appendix": changes.append,
    "zeros": changes.zero,
    "swap": changes.swap,
    "several": changes.several,
    "transplant": _transplant,
}
_WEIGHTS = (8, 4, 3, 3, 2, 2, 1, 1, 2, 2, 2, 2)


def run(name: str, seed: str) -> Outcome:
    """One case. Raises AssertionError for a false "good", or whatever the procedure lets out."""
    what, rng = subject(name), random.Random(f"{name} {seed}")
    region = _region(what, rng)
    at = rng.randrange(region.start, region.end)
    (kind,) = rng.choices(list(CHANGES), _WEIGHTS)
    return _outcome(what, kind, at, rng, f"{name} {seed}")


def flip(name: str, region: Region, seed: int) -> Outcome:
    """A bit of that region."""
    rng = random.Random(f"{name} {region} {seed}")
    at = rng.randrange(region.start, region.end)
    return _outcome(subject(name), "bit", at, rng, f"{name} {region} {seed}")


def _region(what: Subject, rng: random.Random) -> Region:
    """Half of the cases fall where there is least: every region as often as any other."""
    if rng.random() < 0.5:
        return rng.choice(what.regions)
    return Region(0, len(what.content), "")


def _outcome(what: Subject, kind: str, at: int, rng: random.Random, case: str) -> Outcome:
    changed = bytearray(what.content)
    start, end = CHANGES[kind](changed, at, rng)
    content = bytes(changed)
    began = time.process_time()
    report = judged(what, content)
    seconds = time.process_time() - began
    touched = _touched(what, content, start, end)
    same = stands(report) == stands(baseline(what.name))
    survived = content != what.content and (same or is_good(report))
    if survived:
        _must_be_explained(what, content, touched, case)
    return Outcome(kind, touched, survived, seconds)


def _touched(what: Subject, content: bytes, start: int, end: int) -> tuple[str, ...]:
    """Regions with a byte that is another one; of what moved, those at both ends."""
    same = len(content) == len(what.content)
    found = {}
    for region in what.regions:
        first, last = max(region.start, start), min(region.end, end)
        if first < last and not (same and content[first:last] == what.content[first:last]):
            found[region.name] = True
    return tuple(found)


def _must_be_explained(what: Subject, content: bytes, touched: Sequence[str], case: str) -> None:
    signed_ones = [name for name in touched if name not in regions.UNSIGNED]
    assert not signed_ones, f"{case}: good, though {signed_ones} changed"
    if what.is_executable:
        assert hashed(content) == hashed(what.content), f"{case}: good, and it is another program"


def check_regions(what: Subject) -> None:
    """The map has every byte once."""
    assert what.regions[0].start == 0
    assert what.regions[-1].end == len(what.content)
    assert all(one.end == two.start for one, two in pairwise(what.regions))
