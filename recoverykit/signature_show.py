"""What `recoverykit verify` found, as text for a technician or as JSON (recoverykit.signatures/1).

Pure. What fails comes first, what cannot be told after it, and what passes last: of the drivers of
a whole Windows only how many there are, unless somebody asks for details. The JSON is promised to
scripts: names are added, never renamed or removed, while the schema's number stays.
"""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from recoverykit import __version__
from recoverykit.report import printable
from recoverykit.signature_check import Checked, Verification
from signing.kernel import Answer, Kind

if TYPE_CHECKING:
    from signing.certificate import Certificate
    from signing.efi import EfiVerdict
    from signing.report import Report, Voucher
    from signing.timestamp import Timestamp

SCHEMA = "recoverykit.signatures/1"

_MARKS = {Answer.YES: "ok  ", Answer.NO: "FAIL", Answer.UNKNOWN: "?   "}
_INDENT = " " * 6
_MOST_GAPS = 12
_CLASSES = {
    Kind.INBOX: "part of Windows",
    Kind.WHQL: "WHQL",
    Kind.ATTESTATION: "attested",
    Kind.ELAM: "ELAM",
    Kind.MICROSOFT: "Microsoft",
    Kind.CROSS_SIGNED: "cross-signed",
    Kind.FLIGHT_SIGNED: "flight-signed",
    Kind.TEST_SIGNED: "test-signed",
    Kind.ORGANISATION: "trusted here",
    Kind.PUBLISHER: "public CA",
    Kind.SELF_SIGNED: "self-signed",
    Kind.UNTRUSTED: "untrusted",
    Kind.REVOKED: "distrusted",
    Kind.UNSIGNED: "not signed",
    Kind.TAMPERED: "tampered",
    Kind.UNREADABLE: "unreadable",
}


# --- text ---------------------------------------------------------------------------------


def to_text(found: Sequence[Verification], *, details: bool, width: int) -> str:
    """`details`: every file with its signers, not only those that do not pass."""
    lines: list[str] = []
    for each in found:
        if lines:
            lines.append("")
        lines += _text(each, details, max(60, min(width, 120)))
    return "".join(f"{line}\n" for line in lines)


def _text(found: Verification, details: bool, width: int) -> Iterator[str]:
    yield from _about(found)
    everything = details or found.install is None
    for answer in (Answer.NO, Answer.UNKNOWN, Answer.YES):
        for checked in found.files:
            if checked.answer is answer and (everything or answer is not Answer.YES):
                yield from _file(checked, details, width)
    yield _sum(found)
    for gap in found.gaps[:_MOST_GAPS]:
        yield from _wrapped(f"note: {gap.source.path}: {gap.reason}", width, "")
    if len(found.gaps) > _MOST_GAPS:
        yield f"note: and {len(found.gaps) - _MOST_GAPS} more things that could not be learned"


def _about(found: Verification) -> Iterator[str]:
    if found.install is None:
        return
    product = found.install.product or "Windows"
    place = f"{found.install.volume.name}:/{found.install.folder}"
    yield printable(f"{product}, build {found.install.build or 'unknown'}, in {place}")
    if found.kernel is not None:
        kernel = found.kernel.kernel
        facts = (
            ("Secure Boot", kernel.secure_boot),
            ("testsigning", kernel.test_signing),
            ("nointegritychecks", kernel.no_integrity_checks),
            ("memory integrity", kernel.hvci),
            ("vulnerable driver list", kernel.block_list),
        )
        words = {True: "on", False: "off", None: "not known"}
        yield "; ".join(f"{name} {words[value]}" for name, value in facts) + "."
    if found.lists:
        yield printable(f"Block lists: {', '.join(found.lists)}.")


def _file(checked: Checked, details: bool, width: int) -> Iterator[str]:
    report = checked.report
    kind = _CLASSES[report.kind] if report else "not read"
    if checked.efi is not None:
        kind = "program for firmware"
    yield printable(f"{_MARKS[checked.answer]}  {checked.path}")
    facts = [kind, *_since(report), *_started(checked), *_firmware(checked)]
    yield from _wrapped(f"{'; '.join(facts)}: {checked.reason}", width, _INDENT)
    if report is None:
        return
    for oddity in report.oddities:
        yield from _wrapped(f"note: {oddity}", width, _INDENT)
    if details:
        for voucher in report.vouchers:
            yield from _wrapped(_described(voucher), width, _INDENT + "  ")


def _since(report: Report | None) -> Iterator[str]:
    best = report.best if report else None
    stamp = best.signature.timestamp if best else None
    if stamp is not None and stamp.time is not None:
        yield f"signed {stamp.time.date()}"


def _started(checked: Checked) -> Iterator[str]:
    if checked.start is not None:
        yield f"{checked.start.name.lower()}-start, {', '.join(checked.services[:3])}"


def _firmware(checked: Checked) -> Iterator[str]:
    found = checked.efi
    if found is None:
        return
    names = dict.fromkeys(one.authority for one in found.signatures if one.authority)
    if names:
        yield f"by {' and by '.join(names)}"
    if found.svn is not None:
        yield f"security version {found.svn}"
    if found.components:
        yield "SBAT " + " ".join(f"{one.name} {one.generation}" for one in found.components[1:6])


def _described(voucher: Voucher) -> str:
    signature = voucher.signature
    where = signature.origin.value + (f" {signature.place}" if signature.place else "")
    signer = signature.signer.name if signature.signer else "nobody named"
    parts = [f"{where}: {_CLASSES[voucher.kind]}, {signature.algorithm.upper()}, by {signer}"]
    if voucher.way is not None:
        chain = voucher.way.chain
        above = [each.name for each in chain.issued[1:]] + [chain.anchor.name]
        parts.append(f"under {' < '.join(above)}")
        parts += (fault.clause for fault in voucher.way.faults)
    for stamp in signature.timestamps:
        when = _time(stamp.time) if stamp.time else "no time"
        parts.append(f"timestamp {when} by {stamp.signer or 'nobody named'}")
        if stamp.reason:
            parts.append(f"not believed: {stamp.reason}")
    if signature.problem:
        parts.append(signature.problem)
    return "; ".join(parts)


def _sum(found: Verification) -> str:
    counts = Counter(checked.answer for checked in found.files)
    kinds = Counter(
        _CLASSES[checked.report.kind]
        for checked in found.files
        if checked.answer is Answer.YES and checked.report is not None and checked.efi is None
    )
    passed = f"{counts[Answer.YES]} pass"
    if kinds:
        passed += f" ({', '.join(f'{count} {kind}' for kind, count in kinds.most_common())})"
    parts = [f"{len(found.files)} {'file' if len(found.files) == 1 else 'files'}: {passed}"]
    if counts[Answer.NO]:
        parts.append(f"{counts[Answer.NO]} FAIL")
    if counts[Answer.UNKNOWN]:
        parts.append(f"of {counts[Answer.UNKNOWN]} it cannot be told")
    if found.catalogs:
        parts.append(f"{found.catalogs:,} catalogs were looked into")
    return "; ".join(parts) + "."


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        printable(text),
        width,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


# --- JSON ---------------------------------------------------------------------------------


def to_json(found: Sequence[Verification], exit_code: int) -> str:
    document = {
        "schema": SCHEMA,
        "version": __version__,
        "exit_code": exit_code,
        "verified": [_verification(each) for each in found],
    }
    return json.dumps(document, indent=2) + "\n"


def _verification(found: Verification) -> dict[str, Any]:
    made: dict[str, Any] = {
        "files": [_checked(each) for each in found.files],
        "catalogs": found.catalogs,
        "block_lists": list(found.lists),
        "gaps": [{"path": gap.source.path, "reason": gap.reason} for gap in found.gaps],
    }
    if found.install is not None:
        made["install"] = {
            "volume": found.install.volume.name,
            "folder": found.install.folder,
            "product": found.install.product,
            "build": found.install.build,
        }
    if found.kernel is not None:
        made["kernel"] = [
            {
                "name": fact.name,
                "value": fact.value,
                "path": fact.source.path,
                "key": fact.source.key,
                "how": fact.text,
            }
            for fact in found.kernel.facts
        ]
    return made


def _checked(checked: Checked) -> dict[str, Any]:
    made: dict[str, Any] = {
        "path": checked.path,
        "passes": checked.answer.value,
        "reason": checked.reason,
        "start": checked.start.name.lower() if checked.start is not None else None,
        "services": list(checked.services),
    }
    if checked.report is None:
        return made | {"class": None, "unread": checked.unread}
    report = checked.report
    return made | {
        "class": report.kind.value,
        "machine": report.machine,
        "loads": {
            "boot": report.verdict.boot.value,
            "demand": report.verdict.demand.value,
            "reason": report.verdict.reason,
        },
        "digests": {name: value.hex() for name, value in report.digests.items()},
        "signatures": [_signature(each) for each in report.vouchers],
        "denied": _listed(report.denied),
        "advised": _listed(report.advised),
        "oddities": list(report.oddities),
        "hidden_bytes": report.hidden,
        "problem": report.problem,
        "secure_boot": _secure_boot(checked.efi),
    }


def _secure_boot(found: EfiVerdict | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "starts": found.answer.value,
        "reason": found.reason,
        "digest": found.digest.hex(),
        "signatures": [
            {
                "signer": one.signer,
                "authority": one.authority,
                "problem": one.problem,
                "trusted_by": one.trusted_by,
                "revoked_by": one.revoked_by,
            }
            for one in found.signatures
        ],
        "sbat": [{"component": one.name, "generation": one.generation} for one in found.components],
        "security_version": str(found.svn) if found.svn is not None else None,
    }


def _listed(denied: Any) -> dict[str, str] | None:
    if denied is None:
        return None
    return {"list": denied.list_name, "rule": denied.rule, "reason": denied.reason}


def _signature(voucher: Voucher) -> dict[str, Any]:
    signature = voucher.signature
    return {
        "origin": signature.origin.value,
        "catalog": signature.place or None,
        "class": voucher.kind.value,
        "algorithm": signature.algorithm,
        "digest": signature.digest.hex(),
        "intact": signature.is_intact,
        "holds": signature.holds,
        "page_hashes": signature.pages_fit if signature.has_pages else None,
        "signer": _certificate(signature.signer) if signature.signer else None,
        "timestamps": [_timestamp(each) for each in signature.timestamps],
        "chains": [
            {
                "store": way.chain.store.value,
                "root": way.chain.anchor.name,
                "certificates": [_certificate(each) for each in way.chain.certificates],
                "faults": [
                    {"kind": fault.flaw.value, "reason": fault.clause} for fault in way.faults
                ],
                "counts": way == voucher.way,
            }
            for way in signature.ways
        ],
        "problem": signature.problem,
    }


def _certificate(found: Certificate) -> dict[str, Any]:
    return {
        "name": found.name,
        "issuer": found.issuer_name,
        "serial": f"{found.serial:x}",
        "sha256": found.fingerprint(),
        "not_before": _time(found.not_before),
        "not_after": _time(found.not_after),
        "purposes": sorted(found.purposes) if found.purposes is not None else None,
    }


def _timestamp(stamp: Timestamp) -> dict[str, Any]:
    return {
        "kind": stamp.kind.value,
        "time": _time(stamp.time) if stamp.time else None,
        "signer": stamp.signer,
        "believed": stamp.is_good,
        "weak": stamp.is_weak,
        "reason": stamp.reason,
    }


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
