"""Our view of signed files in the form of the peers', and in what it differs from one of theirs."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from signing import catalog_index, certificate, der, image, roots, signature, signed_data
from signing.certificate import Certificate
from signing.errors import SigningError
from signing.path import Flaw, Trust
from signing.roots import Store
from signing.signature import NESTED, Origin
from signing.signed_data import SignedData
from signing.verify import Verifier
from tests.independent.signature_peers import View

MESSAGES = (".cat", ".p7b")  # files that are a signed message
TOKEN = "1.3.6.1.4.1.311.3.3.1"  # noqa: S105  (an OID: the RFC 3161 timestamp of Windows)
_STORES = (Store.KERNEL, Store.CROSS, Store.PROGRAM)


@dataclass(frozen=True, slots=True)
class Own:
    """One signature as we see it."""

    algorithm: str
    digest: str  # hex, that the signature names
    is_intact: bool
    serial: str  # hex, of the signer's certificate
    chains: frozenset[tuple[str, ...]]  # serial numbers, signer first
    kind: str  # of its timestamp
    time: str
    ok: bool  # a way to a root with no flaw but an old digest, which the peers do not mind


def ours(file: Path, trust: Trust) -> tuple[Own, ...]:
    """All signatures of a file, each followed by those nested in it; () where there is none."""
    now = datetime.now(UTC)  # as for the peers: some certificates have run out, none will
    with file.open("rb") as stream:
        report = Verifier(trust, now).verify(stream)
    found = [voucher.signature for voucher in report.vouchers]
    found.sort(key=lambda each: each.origin is Origin.NESTED)
    return tuple(_own(each) for each in found)


def vouches(listing: Path, file: Path, trust: Trust) -> bool:
    """Whether a catalog speaks for a file, as an index over that one catalog finds it."""
    index = catalog_index.build([catalog_index.File(listing.name, listing)])
    verifier = Verifier(trust, datetime.now(UTC), catalogs=index)
    with file.open("rb") as stream:
        report = verifier.verify(stream)
    found = (voucher.signature for voucher in report.vouchers)
    return any(_own(each).ok for each in found if each.origin is Origin.CATALOG)


def _own(judged: signature.Signature) -> Own:
    stamp = judged.timestamps[0] if judged.timestamps else None
    is_sound = not judged.problem and not judged.is_tampered
    return Own(
        judged.algorithm if judged.digest else "",  # catalogs and policies are about themselves
        judged.digest.hex(),
        judged.is_intact,
        _serial(judged.signer) if judged.signer else "",
        frozenset(tuple(map(_serial, way.chain.certificates)) for way in judged.ways),
        stamp.kind.value if stamp else "",
        f"{stamp.time:%Y-%m-%dT%H:%M:%SZ}" if stamp and stamp.time else "",
        is_sound
        and any(all(fault.flaw is Flaw.WEAK for fault in way.faults) for way in judged.ways),
    )


def _serial(found: Certificate) -> str:
    """Its bytes: some that issue certificates forgot that these may be a negative number."""
    size = found.serial.bit_length() // 8 + 1
    return found.serial.to_bytes(size, "big", signed=True).hex().lstrip("0")


def differences(own: Sequence[Own], view: View) -> list[str]:
    """What a peer says otherwise, as words; what it does not say is no difference."""
    if len(own) != len(view.signatures):
        return ["number of signatures"]
    found = []
    for mine, theirs in zip(own, view.signatures, strict=True):
        intact = theirs.digest == theirs.computed
        pairs = {
            "algorithm": (mine.algorithm, theirs.algorithm),
            "digest": (mine.digest, theirs.digest),
            "intact": (mine.is_intact, intact if theirs.digest else mine.is_intact),
            "signer": (mine.serial, theirs.serial),
            "kind of timestamp": (mine.kind, theirs.kind),
            "time": (mine.time, theirs.time),
            "verdict": (mine.ok, theirs.ok),
        }
        found += [name for name, (a, b) in pairs.items() if a != b and a != "" and b != ""]
        if theirs.chain and theirs.chain not in mine.chains:
            found.append("chain")
    return found


# --- what all are given -------------------------------------------------------------------


def write_roots(path: Path, files: Iterable[Path]) -> None:
    """The roots we have that some certificate in the files names as its issuer, as PEM.

    All five hundred would make osslsigncode ten times slower, and signify three times.
    """
    named = {each.issuer for file in files for each in certificates(file)}
    anchors = {
        anchor.der
        for store in _STORES
        for anchor in roots.of_store(store)
        if anchor.der and roots.subject_of(anchor.der) in named
    }
    path.write_text("".join(ssl.DER_cert_to_PEM_cert(one) for one in sorted(anchors)))


def certificates(file: Path) -> Iterator[Certificate]:
    """All that can be read in all messages of a file, timestamps' too."""
    for message in messages(file):
        for encoded in message.certificates:
            try:
                yield certificate.read(encoded)
            except SigningError:
                continue


def messages(file: Path) -> Iterator[SignedData]:
    """The messages of a file, and those in one another."""
    if file.suffix in MESSAGES:
        yield from _with_inner(signed_data.read(file.read_bytes()))
        return
    with file.open("rb") as stream:
        layout = image.read(stream)
        entries = image.entries(stream, layout) if layout.is_signed else ()
    for entry in entries:
        yield from _with_inner(signed_data.read(der.without_filling(entry.content, "entry")[0]))


def _with_inner(message: SignedData) -> Iterator[SignedData]:
    yield message
    for signer in message.signers:
        for inner in (*signer.unsigned.get(NESTED, ()), *signer.unsigned.get(TOKEN, ())):
            yield from _with_inner(signed_data.read(inner))
