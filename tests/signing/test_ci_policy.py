"""Binary Code Integrity policies: a real one, those the builder compiles, and hostile bytes."""

from __future__ import annotations

import random
import struct
import time
from dataclasses import replace
from pathlib import Path

import pytest

from signing import ci_policy, ci_policy_xml, ci_rules
from signing.ci_rules import FileRule, Group, Kind, Policy
from signing.errors import MalformedError, SigningError
from tests.builders.ci_policy import compiled, counted, der, text, u32, wrapped
from tests.builders.ci_policy_xml import ALLOW_ALL, Parts, policy
from tests.conftest import real

MUTATIONS = 1500  # raised by hand for a campaign
NOTHING = ".".join("0000")  # a version

RULES = f"""{ALLOW_ALL}
  <Deny ID="ID_DENY_1" FriendlyName="x" Hash="{"AB" * 32}" />
  <Deny ID="ID_DENY_2" FileName="old.sys" MinimumFileVersion="1.2.3.4" />
  <Deny ID="ID_DENY_3" FileName="range.sys" MinimumFileVersion="0.0.0.0"
        MaximumFileVersion="3.1.65535.65535" />
  <Deny ID="ID_DENY_4" InternalName="inner" FileDescription="described" ProductName="product" />
  <Deny ID="ID_DENY_5" PackageFamilyName="Some.App_1" PackageVersion="1.0.0.0" />
  <Deny ID="ID_DENY_6" FilePath="C:\\here\\*" AppIDs="some" />
  <FileAttrib ID="ID_FILEATTRIB_1" FileName="dual.sys" MinimumFileVersion="2.0" />"""
SIGNERS = f"""
  <Signer ID="ID_SIGNER_1" Name="a CA"><CertRoot Type="TBS" Value="{"CD" * 32}" />
    <CertEKU ID="ID_EKU_1" /><CertIssuer Value="Issuer" /><CertPublisher Value="Some Ltd" />
    <CertOemID Value="OEM" /><FileAttribRef RuleID="ID_FILEATTRIB_1" /></Signer>
  <Signer ID="ID_SIGNER_2" Name="root" SignTimeAfter="2020-01-02T03:04:05+00:00">
    <CertRoot Type="Wellknown" Value="06" /></Signer>"""
FULL = policy(
    Parts(
        rules=RULES,
        files=("ID_ALLOW_ALL", *(f"ID_DENY_{number}" for number in range(1, 7))),
        signers=SIGNERS,
        denied='<DeniedSigner SignerId="ID_SIGNER_1"><ExceptAllowRule AllowRuleID="ID_ALLOW_ALL" />'
        "</DeniedSigner>",
        allowed='<AllowedSigner SignerId="ID_SIGNER_2"><ExceptDenyRule DenyRuleID="ID_DENY_2" />'
        "</AllowedSigner>",
        options=("Enabled:UMCI", "Enabled:Audit Mode"),
        ekus='<EKU ID="ID_EKU_1" Value="010A2B0601040182370A0305" FriendlyName="WHQL" />',
        more_scenarios='<SigningScenario Value="12" ID="ID_SCENARIO_2" '
        'InheritedScenarios="ID_SCENARIO_1" MinimumHashAlgorithm="32772"><ProductSigners />'
        '<TestSigners><DeniedSigners><DeniedSigner SignerId="ID_SIGNER_2" /></DeniedSigners>'
        "</TestSigners></SigningScenario>",
        rest="<BasePolicyID>{610A906E-0544-4C73-A32A-AB70CE59A0EB}</BasePolicyID>"
        "<PolicyID>{610A906E-0544-4C73-A32A-AB70CE59A0EC}</PolicyID>"
        '<SupplementalPolicySigners><SupplementalPolicySigner SignerId="ID_SIGNER_2" />'
        "</SupplementalPolicySigners><Settings>"
        '<Setting Provider="PolicyInfo" Key="Information" ValueName="Name"><Value>'
        "<String>Ours</String></Value></Setting>"
        '<Setting Provider="P" Key="K" ValueName="B"><Value><Boolean>true</Boolean></Value>'
        '</Setting><Setting Provider="P" Key="K" ValueName="D"><Value><DWord>7</DWord></Value>'
        '</Setting><Setting Provider="P" Key="K" ValueName="X"><Value><Binary>0102</Binary>'
        "</Value></Setting></Settings>",
    )
)


# --- what two policies say, whatever the order of their rules ----------------------------------


def bare(rule: FileRule) -> FileRule:
    """A rule without what the binary form cannot hold."""
    return replace(rule, id="", friendly_name="")


def said(found: Policy) -> object:
    """All that a policy says, its references followed."""
    rules = [bare(rule) for rule in found.rules]
    signers = (
        [replace(signer, id="", name="", attributes=()) for signer in found.signers],
        [[rules[number] for number in signer.attributes] for signer in found.signers],
    )

    def group(one: Group) -> object:
        listed = [
            [(entry.signer, [rules[number] for number in entry.exceptions]) for entry in entries]
            for entries in (one.allowed, one.denied)
        ]
        return listed, sorted((rules[number] for number in one.files), key=repr)

    scenarios = [
        (
            (one.value, one.inherited, one.minimum_hash),
            [group(part) for part in (one.product, one.test, one.test_signing)],
        )
        for one in found.scenarios
    ]
    return (
        (found.policy_id, found.base_id, found.platform_id, found.version, found.supplemental),
        (found.options, found.ekus, found.hvci, found.settings, found.not_understood),
        (found.update_signers, found.ci_signers, found.supplemental_signers),
        sorted(rules, key=repr),
        signers,
        scenarios,
    )


# --- the real one ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", real("signed/winefi_winsipolicy.p7b"))
def test_a_policy_that_microsoft_signed(path: Path) -> None:
    data = path.read_bytes()
    found = ci_policy.parse(data)
    assert found.format_version == 7
    assert found.name == "Windows10S_Lockdown_Policy_Supplementable"
    # Microsoft's article "Inbox App Control policies" names this id for winsipolicy.p7b.
    assert found.policy_id == found.base_id == "{5951A96A-E0B5-4D3D-8FB8-3E5B61030784}"
    assert found.version == (10, 0, 15039, 0)
    assert found.signature == data
    assert found.not_understood == ()
    assert not found.audit
    assert not found.supplemental
    # Independently: names in the bytes, in UTF-16, in front of "any version" and no hash.
    names = [dict(rule.names)[ci_rules.ORIGINAL_NAME] for rule in found.rules]
    for name in names:
        assert text(name) + b"\xff" * 8 + u32(0) in data
    assert len(names) == data.count(b"\0\0\0\0" + b"\xff" * 8 + u32(0)) == 34
    assert {rule.kind for rule in found.rules} == {Kind.DENY}
    assert {"bash.exe", "wsl.exe", "windbg.Exe", "kd.Exe"} <= set(names)
    assert [scenario.value for scenario in found.scenarios] == [131, 12]
    production = "4E80BE107C860DE896384B3EFF50504DC2D76AC7151DF3102A4450637A032146"
    assert production in [signer.tbs.hex().upper() for signer in found.signers]
    assert "1.3.6.1.4.1.311.61.4.1" in found.ekus  # ELAM
    assert {one.value: len(one.product.allowed) for one in found.scenarios} == {131: 12, 12: 19}


@pytest.mark.parametrize("path", real("signed/winefi_winsipolicy.p7b"))
def test_what_is_in_the_wrapper_reads_alike_without_it(path: Path) -> None:
    content, message = ci_policy.unwrapped(path.read_bytes())
    assert content in message
    alone = ci_policy.parse(content)
    assert alone.signature == b""
    assert said(alone) == said(ci_policy.parse(path.read_bytes()))


# --- XML and binary are one ---------------------------------------------------------------------


@pytest.mark.parametrize("path", real("signed/blocklist/loldrivers_DenyPolicy.xml"))
def test_a_list_of_thousands_says_the_same_in_both_forms(path: Path) -> None:
    xml = path.read_bytes()
    binary = ci_policy.parse(wrapped(compiled(xml)))
    assert said(binary) == said(ci_policy_xml.parse(xml))
    assert len(binary.rules) > 2900
    assert binary.signature != b""


def test_every_field_says_the_same_in_both_forms() -> None:
    binary = ci_policy.parse(compiled(FULL))
    assert said(binary) == said(ci_policy_xml.parse(FULL))
    assert binary.supplemental  # its id is not that of its base
    assert binary.name == "Ours"
    assert binary.audit
    assert [signer.signed_after for signer in binary.signers] == [0, 132_224_078_450_000_000]


@pytest.mark.parametrize("number", range(2, 9))
def test_older_formats(number: int) -> None:
    found = ci_policy.parse(compiled(FULL, format_version=number))
    assert found.format_version == number
    assert len(found.rules) == 8
    inner = [rule for rule in found.rules if ("InternalName", "inner") in rule.names]
    assert bool(inner) is (number >= 4)
    assert any(rule.package for rule in found.rules) is (number >= 5)
    base = "{610A906E-0544-4C73-A32A-AB70CE59A0EB}"
    assert (found.policy_id != base) is (number >= 6)
    assert found.base_id == base
    assert any(rule.path for rule in found.rules) is (number >= 7)
    assert any(rule.maximum for rule in found.rules) is (number >= 3)


def test_a_later_format_is_read_as_far_as_it_is_known() -> None:
    data = bytearray(compiled(FULL))
    data[0:4] = u32(9)
    found = ci_policy.parse(bytes(data) + b"what nobody knows")
    assert len(found.rules) == 8
    assert found.not_understood == ("what format 9 has beyond format 8",)


def test_settings_of_applications_are_passed_over() -> None:
    data = compiled(FULL).removesuffix(u32(0, 9)) + u32(1) + text("manifest") + u32(0, 9)
    assert len(ci_policy.parse(data).rules) == 8


@pytest.mark.parametrize(
    ("kind", "minimum", "maximum", "compiles_to", "bounds"),
    [
        ("Deny", None, None, ("65535.65535.65535.65535", "0"), (None, None)),
        ("Deny", "65535.65535.65535.65535", None, ("65535.65535.65535.65535", "0"), (None, None)),
        ("Deny", "1.2.3.4", None, ("1.2.3.4", "0"), ((1, 2, 3, 4), None)),
        ("Deny", NOTHING, None, ("0", "0"), ((0, 0, 0, 0), None)),
        ("Deny", None, "2.0.0.0", ("0", "2.0.0.0"), ((0, 0, 0, 0), (2, 0, 0, 0))),
        ("Deny", "1.0", "2.0.0.0", ("1.0", "2.0.0.0"), ((1, 0, 0, 0), (2, 0, 0, 0))),
        ("Allow", None, None, ("0", "0"), (None, None)),
        ("FileAttrib", NOTHING, None, ("0", "0"), (None, None)),
        ("FileAttrib", "1.0.0.0", NOTHING, ("1.0.0.0", "0"), ((1, 0, 0, 0), None)),
    ],
)
def test_versions_are_what_the_compiler_makes_of_them(
    kind: str,
    minimum: str | None,
    maximum: str | None,
    compiles_to: tuple[str, str],
    bounds: tuple[ci_rules.Version | None, ci_rules.Version | None],
) -> None:
    said_so = "".join(
        f' {name}FileVersion="{value}"'
        for name, value in (("Minimum", minimum), ("Maximum", maximum))
        if value is not None
    )
    xml = policy(Parts(rules=f'<{kind} ID="ID_1" FileName="x.sys"{said_so} />', files=()))
    data = compiled(xml)
    for value in compiles_to:
        parts = [*map(int, value.split(".")), 0, 0, 0]
        assert struct.pack("<4H", *reversed(parts[:4])) in data
    for found in (ci_policy.parse(data), ci_policy_xml.parse(xml)):
        assert (found.rules[0].minimum, found.rules[0].maximum) == bounds


# --- mistakes ----------------------------------------------------------------------------------

GOOD = compiled(FULL)


def changed(at: int, new: bytes) -> bytes:
    return GOOD[:at] + new + GOOD[at + len(new) :]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"", "ends in a number", id="empty"),
        pytest.param(b"\x08", "ends in a number", id="one byte"),
        pytest.param(GOOD[:0x44], "are left|do not fit|ends in", id="header alone"),
        pytest.param(GOOD[:-4], "ends in a number", id="without its end"),
        pytest.param(changed(0, u32(0)), "format version 0", id="no format"),
        pytest.param(changed(0, u32(0x100)), "format version 256", id="absurd format"),
        pytest.param(changed(0x24, u32(4)), "options 0x00000004", id="options"),
        pytest.param(changed(0x28, u32(0xFFFFFFFF)), "do not fit", id="EKUs"),
        pytest.param(changed(0x2C, u32(0x7FFFFFFF)), "do not fit", id="file rules"),
        pytest.param(changed(0x30, u32(0x80000000)), "do not fit", id="signers"),
        pytest.param(changed(0x34, u32(0x10000)), "do not fit|block|of kind", id="scenarios"),
        pytest.param(changed(0x40, u32(0x44)), "a body at 0x44", id="body elsewhere"),
        pytest.param(changed(0x44, u32(0xFFFFFFF0)), "are wanted", id="huge EKU"),
        pytest.param(bytes(ci_policy.LARGEST + 1), "too many", id="too large"),
        pytest.param(wrapped(b""), "ends in a number", id="empty content"),
        pytest.param(wrapped(GOOD)[:-1], "where", id="cut wrapper"),
        pytest.param(wrapped(GOOD) + b"x", "behind the signature", id="behind the wrapper"),
        pytest.param(
            wrapped(GOOD, kind=bytes.fromhex("06092a864886f70d010701")),
            "of type 1.2.840.113549.1.7.1",
            id="other content",
        ),
        pytest.param(
            wrapped(GOOD, outer=bytes.fromhex("06092a864886f70d010701")),
            "no signed data",
            id="no signed data",
        ),
        pytest.param(der(0x30, bytes(200)), "expected", id="DER of nothing"),
    ],
)
def test_what_follows_no_format_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(MalformedError, match=problem):
        ci_policy.parse(data)


def test_filling_behind_the_wrapper_is_fine_and_bytes_behind_the_end_are_told() -> None:
    assert ci_policy.parse(wrapped(GOOD) + bytes(7)).name == "Ours"
    assert ci_policy.parse(GOOD + b"more").not_understood == ("4 bytes behind its end",)
    older = ci_policy.parse(changed(0, u32(7)))  # block 8 is where format 7 has its end
    assert older.not_understood == ("8 bytes behind its end",)


def test_references_to_nothing_are_refused() -> None:
    signer = u32(0) + counted(b"\xcd" * 32) + u32(1, 0)  # its first and only purpose
    at = GOOD.index(signer) + len(signer) - 4
    with pytest.raises(MalformedError, match="purpose 1 of 1"):
        ci_policy.parse(changed(at, u32(1)))


def test_a_text_must_end_and_be_text() -> None:
    name = text("dual.sys")
    at = GOOD.index(name)
    with pytest.raises(MalformedError, match="without its end"):
        ci_policy.parse(changed(at + len(name) - 4, u32(1)))
    with pytest.raises(MalformedError, match="no UTF-16"):
        ci_policy.parse(changed(at + 4, b"\x00\xd8\x00\xd8"))


def mutated(good: bytes, rng: random.Random) -> bytes:
    """Numbers of interest at places that hold numbers, flips, cuts, pieces moved."""
    bad = bytearray(good)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(bad))
        match rng.randrange(5):
            case 0:
                bad[at] ^= 1 << rng.randrange(8)
            case 1:
                word = rng.choice([0, 1, 2, 7, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
                at &= ~3
                bad[at : at + 4] = u32(word)
            case 2:
                del bad[at : at + rng.randrange(1, 40)]
            case 3:
                bad[at:at] = rng.randbytes(rng.randrange(1, 40))
            case _:
                other = rng.randrange(len(good))
                bad[at : at + 24] = good[other : other + 24]
        bad = bad or bytearray(b"\x30\x82")
    return bytes(bad)


def test_damage_is_refused_in_one_way_and_in_no_time() -> None:
    rng = random.Random(20261124)
    samples = [GOOD, wrapped(GOOD), compiled(FULL, format_version=3)]
    read, slowest = 0, 0.0
    for number in range(MUTATIONS):
        bad = mutated(samples[number % len(samples)], rng)
        start = time.process_time()
        try:
            found = ci_policy.parse(bad)
        except SigningError:
            pass
        else:
            read += 1
            assert len(found.name) < 10_000
        slowest = max(slowest, time.process_time() - start)
    assert slowest < 0.5
    assert 0 < read < MUTATIONS  # some damage changes a name or a hash: a list like any other
