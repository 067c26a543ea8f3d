"""What a policy that lets only load what it names lets load: a row per rule, and real drivers."""

from __future__ import annotations

import hashlib
import io
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from signing import ci_policy, ci_policy_xml, image
from signing.allow_list import allows
from signing.block_list import Identity, Link, Signer
from signing.ci_rules import Policy
from signing.kernel import Answer, Kernel
from signing.named_signers import named_signers
from signing.path import Trust
from signing.report import About
from signing.verify import CatalogRef, Verifier
from tests.builders.ci_policy import compiled
from tests.builders.ci_policy_xml import ALLOW_ALL, Parts, policy
from tests.conftest import read_real, real

HASH, OTHER = hashlib.sha256(b"driver").digest(), hashlib.sha256(b"other").digest()
TBS = hashlib.sha256(b"CA").digest()
SIGNER = Signer(
    "Some Ltd",
    (
        Link({"sha256": hashlib.sha256(b"leaf").digest()}, "Some Ltd"),
        Link({"sha1": b"x" * 20, "sha256": TBS}, "Some CA"),
    ),
    frozenset({"1.3.6.1.5.5.7.3.3", "1.3.6.1.4.1.311.10.3.5"}),
)
DRIVER = Identity(
    {"sha1": b"a" * 20, "sha256": HASH, "page-sha256": b"p" * 32, "flat-sha256": b"f" * 32},
    {"OriginalFilename": "Some.sys", "InternalName": "some"},
    (5, 2, 0, 1),
    (SIGNER,),
)
UNSIGNED = "Enabled:Unsigned System Integrity Policy"
MORE = "Enabled:Allow Supplemental Policies"
BASE = "{11111111-2222-3333-4444-555555555555}"
EKUS = (
    '<EKU ID="E1" Value="010A2B0601040182370A0305" />'
    '<EKU ID="E2" Value="010A2B0601040182370A0306" />'
)


def rule(attributes: str, *, more: str = "", names: tuple[str, ...] = ()) -> Parts:
    """A policy with one Allow, that does not let everything load."""
    rules = f'<Allow ID="ID_RULE" {attributes} />{more}'
    return Parts(rules=rules, files=("ID_RULE", *names))


def signer(
    body: str = '<CertPublisher Value="Some Ltd" />',
    *,
    rules: str = "",
    root: str = f'Type="TBS" Value="{TBS.hex().upper()}"',
    exceptions: str = "",
    attributes: str = "",
) -> Parts:
    return Parts(
        rules=rules,
        files=(),
        signers=f'<Signer ID="ID_SIGNER" Name="x" {attributes}><CertRoot {root} />{body}</Signer>',
        allowed=f'<AllowedSigner SignerId="ID_SIGNER">{exceptions}</AllowedSigner>',
        ekus=EKUS,
    )


def read(parts: Parts, *, binary: bool = True) -> Policy:
    xml = policy(parts)
    return ci_policy.parse(compiled(xml)) if binary else ci_policy_xml.parse(xml)


def hex_of(digest: bytes) -> str:
    return digest.hex().upper()


NAME, FITS = 'FileName="some.SYS"', '<FileAttrib ID="ID_A" FileName="some.sys" '
NARROW = '<FileAttribRef RuleID="ID_A" />'
TESTERS = '<TestSigners><FileRulesRef><FileRuleRef RuleID="ID_RULE" /></FileRulesRef></TestSigners>'
ROWS: dict[str, tuple[Parts, bool | None]] = {
    "its hash": (rule(f'Hash="{hex_of(HASH)}"'), True),
    "the hash of its first page": (rule(f'Hash="{hex_of(b"p" * 32)}"'), True),
    "of the whole file, which Authenticode knows": (rule(f'Hash="{hex_of(b"f" * 32)}"'), False),
    "another hash": (rule(f'Hash="{hex_of(OTHER)}"'), False),
    "its name": (rule(NAME), True),
    "another name": (rule('FileName="other.sys"'), False),
    "its name, from a version on": (rule(f'{NAME} MinimumFileVersion="5.2.0.1"'), True),
    "its name, from a later one on": (rule(f'{NAME} MinimumFileVersion="5.2.0.2"'), False),
    "its name, up to an older one": (rule(f'{NAME} MaximumFileVersion="5.2.0.0"'), False),
    "everything": (rule('FileName="*"'), True),
    "everything, and a denial of it": (
        rule(
            'FileName="*"',
            more=f'<Deny ID="ID_NO" Hash="{hex_of(HASH)}" />',
            names=("ID_NO",),
        ),
        False,
    ),
    "everything, and a denial that may mean it": (
        rule('FileName="*"', more=f'<Deny ID="ID_NO" {NAME} AppIDs="x" />', names=("ID_NO",)),
        None,
    ),
    "a path is for programs": (rule('FilePath="C:\\*"'), False),
    "an application's only, perhaps": (rule(f'{NAME} AppIDs="x"'), None),
    "its signer": (signer(), True),
    "any under that CA": (signer(""), True),
    "another publisher": (signer('<CertPublisher Value="Other Ltd" />'), False),
    "another CA": (signer(root=f'Type="TBS" Value="{hex_of(OTHER)}"'), False),
    "a root by a number unknown here": (signer(root='Type="Wellknown" Value="08"'), None),
    "that, of another publisher": (
        signer('<CertPublisher Value="Other Ltd" />', root='Type="Wellknown" Value="08"'),
        False,
    ),
    "its purpose": (signer('<CertEKU ID="E1" />'), True),
    "another purpose": (signer('<CertEKU ID="E2" />'), False),
    "its signer, for this file": (
        signer(NARROW, rules=f'{FITS} MinimumFileVersion="5.0.0.0" />'),
        True,
    ),
    "its signer, for later ones": (
        signer(NARROW, rules=f'{FITS} MinimumFileVersion="6.0.0.0" />'),
        False,
    ),
    "its signer but for this file": (
        signer(
            "",
            rules=f'<Deny ID="ID_D" Hash="{hex_of(HASH)}" />',
            exceptions='<ExceptDenyRule DenyRuleID="ID_D" />',
        ),
        False,
    ),
    "its signer but for another file": (
        signer(
            "",
            rules=f'<Deny ID="ID_D" Hash="{hex_of(OTHER)}" />',
            exceptions='<ExceptDenyRule DenyRuleID="ID_D" />',
        ),
        True,
    ),
    "its signer, of a time": (signer("", attributes='SignTimeAfter="2015-07-29T00:00:00Z"'), None),
    "nothing at all": (Parts(rules="", files=()), False),
    "no word of drivers": (replace(rule('FileName="*"'), scenario="12"), None),
    "inherited": (
        replace(
            Parts(rules=f'<Allow ID="ID_RULE" Hash="{hex_of(HASH)}" />', files=()),
            inherited='InheritedScenarios="ID_S2"',
            more_scenarios='<SigningScenario Value="99" ID="ID_S2"><ProductSigners><FileRulesRef>'
            '<FileRuleRef RuleID="ID_RULE" /></FileRulesRef></ProductSigners></SigningScenario>',
        ),
        True,
    ),
    "a minimum for hashes, and a signer": (
        replace(signer(), inherited='MinimumHashAlgorithm="32781"'),
        None,
    ),
    "a minimum for hashes, and its hash": (
        replace(rule(f'Hash="{hex_of(HASH)}"'), inherited='MinimumHashAlgorithm="32781"'),
        True,
    ),
    "tests, which are not judged": (
        replace(
            Parts(rules=f'<Allow ID="ID_RULE" Hash="{hex_of(OTHER)}" />', files=()),
            inherited='InheritedScenarios="ID_S2"',
            more_scenarios='<SigningScenario Value="99" ID="ID_S2"><ProductSigners />'
            f"{TESTERS}</SigningScenario>",
        ),
        None,
    ),
}


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "xml"])
@pytest.mark.parametrize("name", ROWS)
def test_rules(name: str, binary: bool) -> None:
    parts, expected = ROWS[name]
    assert allows(read(parts, binary=binary), DRIVER) is expected


@pytest.mark.parametrize("parts", [rule(NAME), signer(NARROW, rules=f"{FITS} />")])
def test_a_file_whose_names_cannot_be_read(parts: Parts) -> None:
    assert allows(read(parts), replace(DRIVER, names={})) is None
    assert allows(read(parts), replace(DRIVER, names={"OriginalFilename": "x"})) is False


def test_a_file_whose_version_cannot_be_read() -> None:
    parts = rule(f'{NAME} MinimumFileVersion="5.0.0.0"')
    assert allows(read(parts), replace(DRIVER, version=None)) is None


def test_a_file_that_nobody_signed() -> None:
    assert allows(read(signer()), replace(DRIVER, signers=())) is False


# --- supplements ------------------------------------------------------------------------------


def supplement(parts: Parts, base: str = BASE) -> Policy:
    head = (
        "<VersionEx>1.0.0.0</VersionEx><PolicyID>{AAAAAAAA-2222-3333-4444-555555555555}</PolicyID>"
        f"<BasePolicyID>{base}</BasePolicyID>"
    )
    more = replace(parts, head=head, attributes='PolicyType="Supplemental Policy"')
    found = read(more)
    assert found.supplemental
    return found


def base(*options: str) -> Policy:
    head = (
        f"<VersionEx>1.0.0.0</VersionEx><PolicyID>{BASE}</PolicyID>"
        f"<BasePolicyID>{BASE}</BasePolicyID>"
    )
    return read(replace(rule(f'Hash="{hex_of(OTHER)}"'), head=head, options=options))


@pytest.mark.parametrize(
    ("options", "parts", "of", "expected"),
    [
        ((UNSIGNED, MORE), rule(NAME), BASE, True),
        ((UNSIGNED, MORE), rule('FileName="other.sys"'), BASE, False),
        ((UNSIGNED, MORE), rule(NAME), "{99999999-2222-3333-4444-555555555555}", False),
        ((UNSIGNED,), rule(NAME), BASE, False),
        ((MORE,), rule(NAME), BASE, None),  # it had to be signed
        ((MORE,), rule('FileName="other.sys"'), BASE, False),
    ],
)
def test_supplements(
    options: tuple[str, ...], parts: Parts, of: str, expected: bool | None
) -> None:
    assert allows(base(*options), DRIVER, (supplement(parts, of),)) is expected


def test_what_the_base_denies_no_supplement_allows() -> None:
    denying = rule('FileName="x"', more=f'<Deny ID="D" {NAME} />', names=("D",))
    denying = replace(denying, options=(UNSIGNED, MORE))
    found = read(denying)
    assert allows(found, DRIVER, (supplement(rule(NAME), found.policy_id),)) is False


# --- real drivers ---------------------------------------------------------------------------

# As Microsoft's example DefaultWindows names what Windows and its hardware need.
_DEFAULT = "".join(
    f'<Signer ID="ID_{root}_{eku}" Name="x"><CertRoot Type="Wellknown" Value="{root}" />'
    f'<CertEKU ID="{eku}" /></Signer>'
    for root in ("05", "06")
    for eku in ("E1", "E2")
)
DEFAULT_WINDOWS = Parts(
    rules="",
    files=(),
    signers=_DEFAULT,
    ekus=EKUS,
    allowed="".join(
        f'<AllowedSigner SignerId="ID_{root}_{eku}" />'
        for root in ("05", "06")
        for eku in ("E1", "E2")
    ),
)
_NOW = datetime(2026, 3, 1, tzinfo=UTC)
_REAL = {
    "signed/saferwall_acpi.sys": True,  # part of Windows
    "signed/whql_virtio_w11/viostor.sys": True,  # attested
    "signed/legacy_sha1/AsIO64.sys": False,  # cross-signed
}


def identity(content: bytes) -> Identity:
    stream = io.BytesIO(content)
    layout = image.read(stream)
    found = Verifier(Trust(), _NOW).verify(stream, About())
    return Identity(
        image.digests(stream, layout, ["sha1", "sha256"]),
        {"OriginalFilename": "x.sys"},
        None,
        named_signers(each.signature for each in found.vouchers),
    )


@pytest.mark.parametrize("sample", real(*_REAL))
def test_real_drivers(sample: Path) -> None:
    expected = next(_REAL[name] for name in _REAL if str(sample).endswith(name))
    assert allows(read(DEFAULT_WINDOWS), identity(read_real(sample))) is expected


W10 = Kernel(
    build=19045,
    architecture="x64",
    server=False,
    secure_boot=True,
    test_signing=False,
    no_integrity_checks=False,
    flight_signing=False,
    upgraded=False,
    boot_upgraded=False,
    whql_required=False,
    cross_signed_ended=False,
)
W11 = replace(W10, build=26100, cross_signed_ended=True)


class NoCatalogs:
    """Of a Windows that has none but could be looked into."""

    is_complete = True

    def find(self, digest: bytes) -> tuple[CatalogRef, ...]:  # noqa: ARG002
        return ()


def said(sample: Path, kernel: Kernel, unsure: str, excepted: bool | None) -> tuple[Answer, str]:
    made = Verifier(
        Trust(), _NOW, kernel, NoCatalogs(), unsure=lambda _: unsure, excepted=lambda _: excepted
    ).verify(io.BytesIO(read_real(sample)))
    assert made.verdict.boot is made.verdict.demand
    assert made.best is not None
    assert made.best.verdict == made.verdict  # a replacement is judged by these
    return made.verdict.demand, made.verdict.reason


@pytest.mark.parametrize(
    "sample", real("signed/saferwall_acpi.sys", "signed/whql_virtio_w11/viostor.sys")
)
def test_what_a_policy_may_refuse_is_not_known_to_load(sample: Path) -> None:
    assert said(sample, W10, "", None)[0] is Answer.YES
    assert said(sample, W10, "a policy may refuse it", None) == (
        Answer.UNKNOWN,
        "a policy may refuse it",
    )


@pytest.mark.parametrize("sample", real("signed/legacy_sha1/AsIO64.sys"))
def test_exceptions_from_the_end_of_cross_signed_trust(sample: Path) -> None:
    answers = [said(sample, W11, "", excepted)[0] for excepted in (True, False, None)]
    assert answers == [Answer.YES, Answer.NO, Answer.UNKNOWN]
    assert "has ended the trust" in said(sample, W11, "", False)[1]  # noqa: FBT003
    assert said(sample, W11, "a policy may refuse it", True)[0] is Answer.UNKNOWN  # noqa: FBT003


# --- cost -----------------------------------------------------------------------------------


def test_many_rules_and_files_cost_little() -> None:
    digests = [hashlib.sha256(str(number).encode()).digest() for number in range(5000)]
    rules = "".join(
        f'<Allow ID="ID_{at}" Hash="{hex_of(each)}" />' for at, each in enumerate(digests)
    )
    found = read(Parts(rules=rules, files=[f"ID_{at}" for at in range(5000)]), binary=False)
    allows(found, DRIVER)
    start = time.process_time()
    for digest in digests[:2000]:
        assert allows(found, replace(DRIVER, digests={"sha256": digest})) is True
    assert time.process_time() - start < 5


def test_allowing_all_is_no_restriction() -> None:
    assert allows(read(Parts(rules=ALLOW_ALL)), DRIVER) is True
