"""Does a list deny a file: one row per rule of Windows, then real lists and real drivers."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7

from signing import block_list, ci_policy, ci_policy_xml, ci_rules, der, hash_list, image
from signing.block_list import Denied, Identity, Link, Signer, denied, judge, remarks
from signing.ci_rules import Policy, Version
from signing.errors import MalformedError
from tests.builders.ci_policy import compiled, wrapped
from tests.builders.ci_policy_xml import ALLOW_ALL, Parts, policy
from tests.conftest import REPOSITORY, real

HASH, OTHER = hashlib.sha256(b"driver").digest(), hashlib.sha256(b"other").digest()
TBS = hashlib.sha256(b"CA").digest()
NOTHING = ".".join("0000")  # a version
EVERYTHING = "65535.65535.65535.65535"
SIGNER = Signer(
    "Some Ltd",
    (
        Link({"sha256": hashlib.sha256(b"leaf").digest()}, "Some Ltd"),
        Link({"sha1": b"x" * 20, "sha256": TBS}, "Some CA"),
        Link({"sha256": hashlib.sha256(b"root").digest()}, "Some Root"),
    ),
    frozenset({"1.3.6.1.5.5.7.3.3", "1.3.6.1.4.1.311.10.3.5"}),
    "OEM",
)
DRIVER = Identity(
    {"sha1": b"a" * 20, "sha256": HASH, "page-sha256": b"p" * 32, "flat-sha256": b"f" * 32},
    {"OriginalFilename": "Some.sys", "InternalName": "some", "ProductName": "Some Product"},
    (5, 2, 0, 1),
    (SIGNER,),
)


def read(parts: Parts, *, binary: bool = True) -> Policy:
    """The policy as Windows would have it, or from its XML."""
    xml = policy(parts)
    return ci_policy.parse(compiled(xml)) if binary else ci_policy_xml.parse(xml)


def both(parts: Parts) -> tuple[Policy, Policy]:
    return read(parts), read(parts, binary=False)


def rule(attributes: str, tag: str = "Deny") -> Parts:
    rules = f'{ALLOW_ALL}<{tag} ID="ID_RULE" {attributes} />'
    return Parts(rules=rules, files=("ID_ALLOW_ALL", "ID_RULE"))


def signer(
    body: str = '<CertPublisher Value="Some Ltd" />',
    *,
    rules: str = "",
    root: str = f'Type="TBS" Value="{TBS.hex().upper()}"',
    exceptions: str = "",
    attributes: str = "",
) -> Parts:
    return Parts(
        rules=ALLOW_ALL + rules,
        signers=f'<Signer ID="ID_SIGNER" Name="x" {attributes}><CertRoot {root} />{body}</Signer>',
        denied=f'<DeniedSigner SignerId="ID_SIGNER">{exceptions}</DeniedSigner>',
        ekus='<EKU ID="E1" Value="010A2B0601040182370A0305" />'
        '<EKU ID="E2" Value="010A2B0601040182370A0306" />',
    )


# --- hashes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("digest", "what"),
    [
        (HASH, "its hash"),
        (b"a" * 20, "its hash"),
        (b"p" * 32, "the hash of its first page"),
    ],
)
def test_a_hash(digest: bytes, what: str) -> None:
    parts = rule(f'Hash="{digest.hex().upper()}"')
    binary, xml = both(parts)
    name = f"policy {ci_policy_xml.ENTERPRISE}"
    assert denied(xml, DRIVER) == Denied(
        name, "rule ID_RULE", f"{name} names {what} (rule ID_RULE)"
    )
    found = denied(binary, DRIVER)
    assert found == Denied(name, "file rule 1", f"{name} names {what} (file rule 1)")


def test_the_hash_of_a_whole_file_counts_where_authenticode_knows_none() -> None:
    for found in both(rule(f'Hash="{(b"f" * 32).hex()}"')):
        assert denied(found, DRIVER) is None
        verdict = denied(found, Identity({"flat-sha256": b"f" * 32}))
        assert verdict is not None
        assert "names the hash of the whole file" in verdict.reason


def test_another_hash_denies_nothing() -> None:
    for found in both(rule(f'Hash="{OTHER.hex()}"')):
        assert judge(found, DRIVER) == block_list.Judgement(None)
        assert denied(found, Identity({})) is None


def test_a_hash_holds_whatever_version_the_rule_states() -> None:
    parts = rule(f'Hash="{HASH.hex()}" MinimumFileVersion="1.0.0.0"')
    assert all(denied(found, DRIVER) for found in both(parts))


# --- names and versions ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "is_denied"),
    [
        ('FileName="some.SYS"', True),
        ('FileName="other.sys"', False),
        ('FileName="Some.sys "', False),
        ('InternalName="Some"', True),
        ('ProductName="some product"', True),
        ('FileDescription="some"', False),  # the file has none
        ('FileName="Some.sys" ProductName="Another"', False),
        ('FileName="Some.sys" ProductName="Some Product"', True),
        ('FileName="*"', True),
        ('FileName="*" ProductName="Another"', False),
        ('FileName="*.sys"', False),  # no wildcards but the one
        ('MinimumFileVersion="9.0.0.0"', False),  # a version alone makes no rule
        ('FilePath="*\\Some.sys"', False),  # for programs
        ('PackageFamilyName="Some_1"', False),
    ],
)
def test_names(attributes: str, is_denied: bool) -> None:
    for found in both(rule(attributes)):
        assert (denied(found, DRIVER) is not None) is is_denied
        assert judge(found, DRIVER).undecided == ()


# (minimum, maximum) of Deny, and versions that it means and does not. Microsoft, "Understand App
# Control for Business policy rules and file rules", note on version numbers. The maximum alone:
# what ConfigCI compiles, not what that note says.
RANGES = [
    (None, None, [NOTHING, "5.2.0.1", EVERYTHING], []),
    ("5.2.0.1", None, [NOTHING, "5.2.0.0", "5.2.0.1"], ["5.2.0.2", "6.0.0.0"]),
    (EVERYTHING, None, [NOTHING, "5.2.0.1", EVERYTHING], []),
    (NOTHING, None, [NOTHING], ["0.0.0.1", "5.2.0.1"]),  # WDAC-Toolkit pull request 289: no effect
    (NOTHING, "3.1.65535.65535", [NOTHING, "3.1.9.9", "3.1.65535.65535"], ["3.2.0.0"]),
    ("2.0.0.0", "3.0.0.0", ["2.0.0.0", "2.5.1.1", "3.0.0.0"], ["1.9.0.0", "3.0.0.1"]),
    (None, "3.0.0.0", [NOTHING, "3.0.0.0"], ["3.0.0.1"]),
]


def numbers(version: str) -> Version:
    one, two, three, four = map(int, version.split("."))
    return one, two, three, four


def said(minimum: str | None, maximum: str | None) -> str:
    parts = []
    if minimum is not None:
        parts.append(f'MinimumFileVersion="{minimum}"')
    if maximum is not None:
        parts.append(f'MaximumFileVersion="{maximum}"')
    return " ".join(parts)


@pytest.mark.parametrize(("minimum", "maximum", "meant", "others"), RANGES)
def test_versions_of_deny(
    minimum: str | None, maximum: str | None, meant: list[str], others: list[str]
) -> None:
    for found in both(rule(f'FileName="some.sys" {said(minimum, maximum)}')):
        for version in meant:
            assert denied(found, replace(DRIVER, version=numbers(version))), version
        for version in others:
            assert not denied(found, replace(DRIVER, version=numbers(version))), version


@pytest.mark.parametrize(("minimum", "maximum", "meant", "others"), RANGES)
def test_versions_of_a_signer_who_is_denied(
    minimum: str | None, maximum: str | None, meant: list[str], others: list[str]
) -> None:
    """Like Deny, but that a minimum of 0 is no minimum in a compiled file attribute."""
    if minimum == NOTHING and maximum is None:
        meant, others = [*meant, *others], []
    rules = f'<FileAttrib ID="ID_ATTRIBUTE" FileName="some.sys" {said(minimum, maximum)} />'
    parts = signer('<FileAttribRef RuleID="ID_ATTRIBUTE" />', rules=rules)
    for found in both(parts):
        for version in meant:
            assert denied(found, replace(DRIVER, version=numbers(version))), version
        for version in others:
            assert not denied(found, replace(DRIVER, version=numbers(version))), version


@pytest.mark.parametrize(
    ("versions", "is_denied"),
    [((None, None), True), ((NOTHING, EVERYTHING), True), ((EVERYTHING, None), True)],
)
def test_a_file_without_a_version_fits_a_rule_that_asks_for_none(
    versions: tuple[str | None, str | None], is_denied: bool
) -> None:
    for found in both(rule(f'FileName="some.sys" {said(*versions)}')):
        assert bool(denied(found, replace(DRIVER, version=None))) is is_denied


def test_a_file_without_a_version_is_not_decided_by_a_rule_that_asks_for_one() -> None:
    for found in both(rule('FileName="some.sys" MinimumFileVersion="5.0.0.0"')):
        judgement = judge(found, replace(DRIVER, version=None))
        assert judgement.denied is None
        (one,) = judgement.undecided
        assert 'may deny files called "some.sys" up to version 5.0.0.0' in one.reason


def test_a_file_without_names_fits_no_rule_by_name() -> None:
    for found in both(rule('FileName="some.sys"')):
        assert judge(found, replace(DRIVER, names={})) == block_list.Judgement(None)


# --- signers -----------------------------------------------------------------------------------

PRODUCT_2010 = "08FBA831C08544208F5208686B991CA1B2CFC510E7301784DDF1EB5BF0393239"


@pytest.mark.parametrize(
    ("body", "is_denied"),
    [
        ("", True),
        ('<CertPublisher Value="Some Ltd" />', True),
        ('<CertPublisher Value="SOME LTD" />', True),
        ('<CertPublisher Value="Some Ltd." />', False),
        ('<CertPublisher Value="Some CA" />', False),  # the leaf's name is meant
        ('<CertIssuer Value="Some CA" />', True),
        ('<CertIssuer Value="Some Root" />', False),
        ('<CertOemID Value="OEM" />', True),
        ('<CertOemID Value="Other" />', False),
        ('<CertEKU ID="E1" />', True),
        ('<CertEKU ID="E2" />', False),
        ('<CertEKU ID="E1" /><CertEKU ID="E2" />', False),
        ('<FileAttribRef RuleID="A1" />', True),
        ('<FileAttribRef RuleID="A2" />', False),
        ('<FileAttribRef RuleID="A2" /><FileAttribRef RuleID="A1" />', True),
        ('<CertPublisher Value="X" /><FileAttribRef RuleID="A1" />', False),
    ],
)
def test_signers(body: str, is_denied: bool) -> None:
    rules = '<FileAttrib ID="A1" FileName="Some.sys" /><FileAttrib ID="A2" FileName="other.sys" />'
    for found in both(signer(body, rules=rules)):
        assert (denied(found, DRIVER) is not None) is is_denied
        assert judge(found, DRIVER).undecided == ()
        assert denied(found, replace(DRIVER, signers=())) is None


def test_any_certificate_of_the_chain_may_be_meant_and_any_signature() -> None:
    for link in SIGNER.chain:
        for digest in link.tbs.values():
            root = f'Type="TBS" Value="{digest.hex()}"'
            two = replace(DRIVER, signers=(replace(SIGNER, chain=()), SIGNER))
            assert all(denied(found, two) for found in both(signer("", root=root)))
    root = f'Type="TBS" Value="{OTHER.hex()}"'
    assert not any(denied(found, DRIVER) for found in both(signer("", root=root)))


def test_words_about_a_signer() -> None:
    rules = '<FileAttrib ID="A1" FileName="some.sys" MaximumFileVersion="6.0.0.0" />'
    body = '<CertPublisher Value="Some Ltd" /><FileAttribRef RuleID="A1" />'
    found = denied(read(signer(body, rules=rules), binary=False), DRIVER)
    assert found is not None
    assert found.reason == (
        f"policy {ci_policy_xml.ENTERPRISE} denies files signed by Some Ltd among "
        'files called "some.sys" up to version 6.0.0.0 (rule ID_SIGNER)'
    )


def test_exceptions_to_a_signer_who_is_denied() -> None:
    allow = '<Allow ID="ID_EXCEPT" FileName="some.sys" MinimumFileVersion="5.0.0.0" />'
    exceptions = '<ExceptAllowRule AllowRuleID="ID_EXCEPT" />'
    for found in both(signer(rules=allow, exceptions=exceptions)):
        assert denied(found, DRIVER) is None  # a minimum of Allow is a minimum
        assert denied(found, replace(DRIVER, version=(4, 9, 9, 9)))
        assert denied(found, replace(DRIVER, names={}))
        unsure = judge(found, replace(DRIVER, version=None))
        assert unsure.denied is None
        assert len(unsure.undecided) == 1


def test_roots_by_number() -> None:
    root = 'Type="Wellknown" Value="06"'
    link = Link(
        {"sha256": bytes.fromhex(PRODUCT_2010)}, "Microsoft Root Certificate Authority 2010"
    )
    by_microsoft = replace(SIGNER, chain=(*SIGNER.chain[:2], link))
    for found in both(signer(root=root)):
        assert denied(found, replace(DRIVER, signers=(by_microsoft,)))
        assert judge(found, DRIVER) == block_list.Judgement(None)
    for found in both(signer(root='Type="Wellknown" Value="14"')):  # any root Windows trusts
        assert denied(found, DRIVER) is None
        assert len(judge(found, DRIVER).undecided) == 1


@pytest.mark.parametrize(
    ("number", "file"),
    [
        (0x04, "microsoft-root-authority-1997.pem"),
        (0x05, "microsoft-root-2001.pem"),
        (0x06, "microsoft-root-2010.pem"),
        (0x0A, "microsoft-testing-root-2010.pem"),
    ],
)
@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_digests_of_roots_by_number(number: int, file: str) -> None:
    pem = (REPOSITORY / "signing/data/roots" / file).read_bytes()
    certificate = x509.load_pem_x509_certificate(pem)
    algorithm = certificate.signature_hash_algorithm
    assert algorithm is not None
    made = {
        hashlib.new(name, certificate.tbs_certificate_bytes, usedforsecurity=False).digest()
        for name in (algorithm.name, "sha256")
    }
    assert made == set(ci_rules.WELL_KNOWN_ROOTS[number])


def test_a_signer_bound_to_a_time_is_not_decided() -> None:
    for found in both(signer(attributes='SignTimeAfter="2020-01-01T00:00:00+00:00"')):
        assert judge(found, DRIVER).denied is None
        assert len(judge(found, DRIVER).undecided) == 1


# --- which rules count -------------------------------------------------------------------------

DENY = f'Hash="{HASH.hex()}"'


def test_audit_mode_denies_nothing_and_says_so() -> None:
    for found in both(replace(rule(DENY), options=("Enabled:Audit Mode",))):
        assert denied(found, DRIVER) is None
        assert denied(found, DRIVER, heed_audit=False)
        assert remarks(found) == ("it is in audit mode and denies nothing",)
        assert remarks(found, heed_audit=False) == ()


def test_a_supplement_denies_nothing_and_says_so() -> None:
    for found in both(replace(rule(DENY), attributes='PolicyType="Supplemental Policy"')):
        assert denied(found, DRIVER) is None
        assert remarks(found) == ("it supplements another policy and can only allow more",)


def test_rules_that_no_scenario_names_deny_nothing() -> None:
    for found in both(replace(rule(DENY), files=("ID_ALLOW_ALL",))):
        assert denied(found, DRIVER) is None


def test_programs_and_drivers_have_their_own_scenarios() -> None:
    for found in both(replace(rule(DENY), scenario="12")):
        assert denied(found, DRIVER) is None
        assert denied(found, DRIVER, kernel_mode=False) is None  # not without UMCI
        assert "it is for drivers alone" in remarks(found, kernel_mode=False)
    for found in both(replace(rule(DENY), scenario="12", options=("Enabled:UMCI",))):
        assert denied(found, DRIVER) is None
        assert denied(found, DRIVER, kernel_mode=False)


def test_inherited_scenarios_count_and_may_go_in_circles() -> None:
    parts = replace(
        rule(DENY),
        scenario="12",
        inherited='InheritedScenarios="ID_SCENARIO_2"',
        more_scenarios='<SigningScenario Value="131" ID="ID_SCENARIO_2" '
        'InheritedScenarios="ID_SCENARIO_1"><ProductSigners /></SigningScenario>',
    )
    for found in both(parts):
        assert denied(found, DRIVER)


def test_deny_comes_before_allow() -> None:
    parts = Parts(
        rules=f'{ALLOW_ALL}<Allow ID="ID_A" Hash="{HASH.hex()}" /><Deny ID="ID_D" {DENY} />',
        files=("ID_ALLOW_ALL", "ID_A", "ID_D"),
    )
    assert all(denied(found, DRIVER) for found in both(parts))


def test_paths_and_packages_of_programs_are_not_decided() -> None:
    for attributes in ('FilePath="C:\\x"', 'PackageFamilyName="x"'):
        parts = replace(rule(attributes), scenario="12", options=("Enabled:UMCI",))
        for found in both(parts):
            assert len(judge(found, DRIVER, kernel_mode=False).undecided) == 1


def test_what_is_not_understood_never_denies_and_is_told() -> None:
    found = read(rule(f'{DENY} Nonce="1"'), binary=False)
    assert denied(found, DRIVER) is None
    assert len(judge(found, DRIVER).undecided) == 1
    assert remarks(found) == ("it has 1 rules or parts that are not understood: Nonce of ID_RULE",)
    found = read(rule('FileName="some.sys" AppIDs="some.exe"'))
    assert denied(found, DRIVER) is None
    assert len(judge(found, DRIVER).undecided) == 1


def test_a_rule_that_is_understood_counts_beside_one_that_is_not() -> None:
    parts = rule(f'{DENY} Nonce="1"')
    rules = f'{parts.rules}<Deny ID="ID_2" {DENY} /><Deny ID="ID_3" {DENY} Nonce="2" />'
    found = read(replace(parts, rules=rules, files=("ID_RULE", "ID_2", "ID_3")), binary=False)
    verdict = denied(found, DRIVER)
    assert verdict is not None
    assert verdict.rule == "rule ID_2"


def test_lists_that_let_only_named_files_load_say_so() -> None:
    allows_some = Parts(rules='<Allow ID="ID_A" FileName="x.sys" />', files=("ID_A",))
    for found in both(allows_some):
        assert not block_list.lets_others_load(found)
        assert "it lets only load what it names" in remarks(found)
    for found in both(Parts()):
        assert block_list.lets_others_load(found)
        assert remarks(found) == ()
    for found in both(Parts(options=("Enabled:Boot Audit On Failure",))):
        (one,) = remarks(found)
        assert "audit mode when it stops a driver that the boot needs" in one


def test_names_of_lists_hold_no_escapes() -> None:
    name = "\x1b[2Jbad" + "x" * 500
    found = replace(read(rule(DENY), binary=False), friendly_name=name)
    verdict = denied(found, DRIVER)
    assert verdict is not None
    assert verdict.list_name.startswith("?[2Jbad")
    assert len(verdict.reason) < 250


@pytest.mark.parametrize(
    "found",
    [
        replace(read(rule(DENY)), policy_id="{D2BDA982-CCF6-4344-AC5B-0B44427B6816}"),
        replace(read(rule(DENY)), friendly_name="Microsoft Windows Driver Policy"),
    ],
)
def test_the_list_of_microsoft_is_called_so(found: Policy) -> None:
    verdict = denied(found, DRIVER)
    assert verdict is not None
    assert verdict.reason == "Microsoft's list of vulnerable drivers names its hash (file rule 1)"


# --- lists of hashes ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sha256", "flat-sha256"])
def test_a_list_of_hashes(kind: str) -> None:
    hashes = hash_list.parse(f"# ours\n{HASH.hex()}\n".encode(), "vulnerable.sha256")
    found = denied(hashes, Identity({kind: HASH}))
    assert found is not None
    assert found.list_name == "vulnerable.sha256"
    assert found.rule == "line 2"
    assert denied(hashes, Identity({"page-sha256": HASH})) is None
    assert denied(hashes, Identity({})) is None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(policy(rule(DENY)), id="XML"),
        pytest.param(b"\xef\xbb\xbf\n " + policy(rule(DENY)).split(b"?>", 1)[1], id="XML, BOM"),
        pytest.param(
            policy(rule(DENY)).decode().replace("utf-8", "utf-16").encode("utf-16"), id="UTF-16"
        ),
        pytest.param(compiled(policy(rule(DENY))), id="binary"),
        pytest.param(wrapped(compiled(policy(rule(DENY)))), id="signed binary"),
        pytest.param(HASH.hex().encode(), id="hashes"),
        pytest.param(b"00" * 32 + b"\n" + HASH.hex().encode(), id="hashes that begin like DER"),
    ],
)
def test_lists_of_any_kind(data: bytes) -> None:
    assert denied(block_list.read(data, "ours"), DRIVER)
    assert not denied(block_list.read(data, "ours"), Identity({"sha256": OTHER}))


@pytest.mark.parametrize("data", [b"", b"<x/>", b"\x30\x82", b"\x07\0\0\0", b"MZ\x90"])
def test_what_is_no_list_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        block_list.read(data, "ours")


# --- real lists, real drivers ------------------------------------------------------------------


def identity(path: Path) -> Identity:
    data = path.read_bytes()
    with path.open("rb") as stream:
        made = image.read(stream)
        digests = image.digests(stream, made, ("sha1", "sha256"))
        for name in ("sha1", "sha256"):
            digests[f"page-{name}"] = image.first_page(stream, made, name)
    digests["flat-sha256"] = hashlib.sha256(data).digest()
    return Identity(digests)


DRIVERS = "signed/legacy_sha1/"
LISTS = "signed/blocklist/"


AGENT = "Agent64_05f052c64d192cf69a462a5ec16dda0d43ca5d0245900c9fcb9201685a2e7748.sys"
WINRING = "WinRing0_3ec5ad51e6879464dfbccb9f4ed76c6325056a42548d5994ba869da9c4c039a8.sys"


@pytest.mark.parametrize("xml", real(f"{LISTS}loldrivers_DenyPolicy.xml"))
@pytest.mark.parametrize(
    "driver", real(*(f"{DRIVERS}{one}" for one in (AGENT, WINRING, "AsIO64.sys")))
)
def test_known_drivers_are_on_a_real_list_by_each_kind_of_hash(xml: Path, driver: Path) -> None:
    """Microsoft's cmdlets made that list: so our four hashes are what Windows means."""
    found = ci_policy_xml.parse(xml.read_bytes())
    digests = identity(driver).digests
    hit = {kind for kind, digest in digests.items() if denied(found, Identity({kind: digest}))}
    assert hit == {"sha1", "sha256", "page-sha1", "page-sha256"}
    assert all(denied(found, Identity(digests), kernel_mode=mode) for mode in (True, False))


@pytest.mark.parametrize("driver", real(f"{DRIVERS}gdrv.sys", f"{DRIVERS}ADV64DRV.sys"))
@pytest.mark.parametrize(
    "path",
    real(f"{LISTS}authentihash_samples_vulnerable.sha256", f"{LISTS}samples_vulnerable.sha256"),
)
def test_known_drivers_are_on_real_lists_of_hashes(path: Path, driver: Path) -> None:
    found = hash_list.parse(path.read_bytes(), path.name)
    kind = "sha256" if path.name.startswith("authentihash") else "flat-sha256"
    digests = identity(driver).digests
    assert denied(found, Identity({kind: digests[kind]}))
    assert denied(found, Identity({"sha256": OTHER, "flat-sha256": TBS})) is None


@pytest.mark.parametrize("driver", real(f"{DRIVERS}AsIO64.sys"))
def test_a_real_ca_is_known_by_the_digest_that_lists_have(driver: Path) -> None:
    """Microsoft's list of drivers calls VeriSign Class 3 Code Signing 2004 CA so."""
    with driver.open("rb") as stream:
        (entry,) = image.entries(stream, image.read(stream))
    made = {
        one.subject.rfc4514_string().split(",")[0]: hashlib.sha1(
            one.tbs_certificate_bytes, usedforsecurity=False
        ).hexdigest()
        for one in pkcs7.load_der_pkcs7_certificates(der.without_filling(entry.content, "entry")[0])
    }
    name = "CN=VeriSign Class 3 Code Signing 2004 CA"
    assert made[name] == "c7fc1727f5b75a6421a1f95c73bbdb23580c48e5"


@pytest.mark.parametrize("xml", real(f"{LISTS}loldrivers_DenyPolicy.xml"))
def test_every_hash_of_a_real_list_denies_and_no_other(xml: Path) -> None:
    found = ci_policy_xml.parse(xml.read_bytes())
    hit = dict.fromkeys((True, False), 0)
    for one in found.rules:
        changed = bytes((one.hash[0] ^ 1,)) + one.hash[1:] if one.hash else b""
        for kernel_mode in hit if one.hash else ():
            verdict = denied(found, Identity({"sha256": one.hash}), kernel_mode=kernel_mode)
            hit[kernel_mode] += verdict is not None
            assert not denied(found, Identity({"sha256": changed}), kernel_mode=kernel_mode)
    by_name = {rule.id: rule.hash for rule in found.rules}
    words = xml.read_text("utf-8-sig")
    _, drivers, programs = words.split("<SigningScenario ")
    for kernel_mode, part in ((True, drivers), (False, programs)):
        named = {by_name[name] for name in re.findall(r'FileRuleRef RuleID="([^"]+)"', part)}
        meant = sum(rule.hash in named - {b""} for rule in found.rules)
        assert hit[kernel_mode] == meant > 2500
    assert block_list.lets_others_load(found)
    assert remarks(found) == ()


@pytest.mark.parametrize("xml", real(f"{LISTS}loldrivers_DenyPolicy.xml"))
def test_a_signer_of_a_real_list(xml: Path) -> None:
    """ASUSTEK's EIO.sys up to 1.9.7.0, signed under DigiCert EV Code Signing CA (SHA2)."""
    found = ci_policy_xml.parse(xml.read_bytes())
    tbs = bytes.fromhex("EEC58131DC11CD7F512501B15FDBC6074C603B68CA91F7162D5A042054EDB0CF")
    asus = Signer("ASUSTEK COMPUTER INC.", (Link({}, ""), Link({"sha256": tbs}, "")), frozenset())
    eio = Identity({}, {"OriginalFilename": "EIO.sys"}, (1, 9, 7, 0), (asus,))
    verdict = denied(found, eio)
    assert verdict is not None
    assert verdict.rule == "rule ID_SIGNER_F_1_1"
    assert denied(found, replace(eio, version=(1, 9, 6, 0)))
    assert denied(found, replace(eio, version=(1, 9, 7, 1))) is None
    assert denied(found, replace(eio, names={"OriginalFilename": "fine.sys"})) is None
    assert denied(found, replace(eio, signers=())) is None


@pytest.mark.parametrize("xml", real(f"{LISTS}loldrivers_DenyPolicy.xml"))
def test_a_machine_full_of_drivers_takes_no_time(xml: Path) -> None:
    found = ci_policy_xml.parse(xml.read_bytes())
    drivers = [
        replace(DRIVER, digests={"sha256": hashlib.sha256(bytes([number % 256, 1])).digest()})
        for number in range(400)
    ]
    denied(found, DRIVER)  # the index is made once
    start = time.process_time()
    assert [denied(found, one) for one in drivers] == [None] * 400
    assert time.process_time() - start < 3


@pytest.mark.parametrize("policy_file", real("signed/winefi_winsipolicy.p7b"))
def test_the_policy_of_s_mode(policy_file: Path) -> None:
    found = ci_policy.parse(policy_file.read_bytes())
    assert judge(found, DRIVER) == block_list.Judgement(None)
    assert remarks(found) == (
        "it counts while Windows is in S mode alone",
        "it lets only load what it names",
    )
