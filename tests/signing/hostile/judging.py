"""What somebody says of a file who trusts the root of the tests alone."""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass

from signing.kernel import Kernel, Kind
from signing.path import Trust
from signing.report import Report
from signing.verify import Verifier
from tests.builders import authenticode as keys_of_tests
from tests.builders import authorities, catalogs, signed
from tests.builders.authorities import NOW
from tests.builders.der_map import node
from tests.builders.signed import TRUST_LIST, Content

GOOD = {
    Kind.INBOX,
    Kind.WHQL,
    Kind.ATTESTATION,
    Kind.ELAM,
    Kind.MICROSOFT,
    Kind.CROSS_SIGNED,
    Kind.ORGANISATION,
}
_UNKNOWN = Kernel()
SECONDS = 1.0  # for any judgement


@dataclass(frozen=True, slots=True)
class Shelf:
    """Catalogs at hand, each of which claims to list everything: the procedure has to look."""

    contents: Sequence[bytes]

    @property
    def is_complete(self) -> bool:
        return True

    def find(self, digest: bytes) -> Sequence[_Ref]:  # noqa: ARG002
        return [_Ref(f"{number}.cat", each) for number, each in enumerate(self.contents)]


@dataclass(frozen=True, slots=True)
class _Ref:
    name: str
    content: bytes

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.content).digest()

    def read(self) -> bytes:
        return self.content


def judged(content: bytes, *catalogs: bytes, kernel: Kernel = _UNKNOWN) -> Report:
    """By somebody who trusts the tests' root alone."""
    trust = Trust((authorities.root().certificate,), windows=False)
    verifier = Verifier(trust, NOW, kernel, Shelf(catalogs) if catalogs else None)
    began = time.process_time()
    report = verifier.verify(io.BytesIO(content))
    assert time.process_time() - began < SECONDS
    return report


def is_good(report: Report) -> bool:
    return (
        report.kind in GOOD
        and any(each.kind in GOOD for each in report.vouchers)
        and not report.why_no_replacement(boot=False)
    )


def said(report: Report) -> str:
    """All that is said of a file."""
    stamps = (stamp.reason for each in report.vouchers for stamp in each.signature.timestamps)
    problems = (each.signature.problem for each in report.vouchers)
    why = report.why_no_replacement(boot=False)
    return "; ".join((report.problem, why, report.verdict.reason, *problems, *stamps))


def list_of(image: bytes, **changed: object) -> Content:
    """A catalog's list of this executable."""
    member = catalogs.Member(signed.file_digest(image, "sha256"), "stub.sys", **changed)  # type: ignore[arg-type]
    made = catalogs.catalog([member], keys_of_tests.publisher())
    return Content(TRUST_LIST, node(made).at(1, 0, 2, 1, 0).whole)
