"""What may take another file's place, where a file has several signatures."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from io import BytesIO

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from signing.kernel import Answer, Kernel, Kind, Verdict
from signing.path import Trust
from signing.report import Report, Voucher
from signing.signature import Way
from signing.verify import Verifier
from tests.builders import authenticode, pe
from tests.signing.makers import NOW, YEAR

YES = Verdict(Answer.YES, Answer.YES, "it loads")
NO = Verdict(Answer.NO, Answer.NO, "that kernel does not load it")
OPEN = Verdict(Answer.UNKNOWN, Answer.UNKNOWN, "nobody can tell")


def report(*, late: bool = False) -> Report:
    """Of a driver that one signer signed, judged while its certificate is valid or after that."""
    data = authenticode.signed(pe.driver(None), authenticode.publisher())
    root = authenticode.root().certificate.public_bytes(Encoding.DER)
    now = NOW + 3 * YEAR if late else NOW + timedelta(days=1)
    return Verifier(Trust((root,), windows=False), now, Kernel()).verify(BytesIO(data))


def voucher(kind: Kind, verdict: Verdict, *, late: bool = False) -> Voucher:
    (found,) = report(late=late).vouchers
    return replace(found, kind=kind, verdict=verdict)


@pytest.mark.parametrize(
    ("vouchers", "words"),
    [
        ([voucher(Kind.INBOX, YES)], ""),
        ([voucher(Kind.INBOX, NO), voucher(Kind.WHQL, YES)], ""),
        ([voucher(Kind.INBOX, OPEN)], "nobody can tell"),
        # The kernel takes it for the second one, which has run out: neither is good by itself.
        ([voucher(Kind.INBOX, OPEN), voucher(Kind.WHQL, YES, late=True)], "nobody can tell"),
        ([voucher(Kind.PUBLISHER, YES)], "it loads"),
        # A person's word does not count against a kernel that certainly refuses the file.
        ([voucher(Kind.ORGANISATION, NO)], "does not load"),
        ([voucher(Kind.ORGANISATION, OPEN)], ""),
        ([], "that kernel"),
    ],
)
def test_one_signature_has_to_be_good_by_itself(vouchers: list[Voucher], words: str) -> None:
    found = replace(report(), vouchers=tuple(vouchers), verdict=NO if not vouchers else YES)
    for boot in (True, False):
        why = found.why_no_replacement(boot=boot)
        assert words in why
        assert bool(why) is bool(words)


def test_nothing_helps_where_something_is_hidden() -> None:
    found = replace(report(), vouchers=(voucher(Kind.INBOX, YES),), hidden=True)
    assert "nobody signed" in found.why_no_replacement(boot=False)


def test_a_way_that_ran_out() -> None:
    way: Way | None = voucher(Kind.INBOX, YES, late=True).way
    assert way is not None
    assert {fault.flaw.value for fault in way.faults} == {"expired"}
