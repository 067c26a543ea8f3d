"""Thousands of small policies, judged by ours and, rule by rule over their XML, by a plain reader.

The plain reader knows the documents of Microsoft that `signing.block_list` names and nothing of our
parsers or of the index. Seeded: the same policies on every machine.
"""

from __future__ import annotations

import random
from xml.etree import ElementTree as ET

from signing import ci_policy, ci_policy_xml
from signing.block_list import Identity, Link, Signer, denied, judge
from tests.builders.ci_policy import SIPOLICY, compiled
from tests.builders.ci_policy_xml import ALLOW_ALL, Parts, policy

POLICIES = 120  # raised by hand for a campaign
HASHES = [bytes((number,)) * 32 for number in range(6)]
NAMES = ["a.sys", "B.SYS", "c.sys", "*"]
PRODUCTS = ["One", "Two"]
VERSIONS = [None, "0.0.0.0", "1.0.0.0", "1.2.0.0", "2.0.0.0", "65535.65535.65535.65535"]  # noqa: S104
PUBLISHERS = ["Some Ltd", "Other Ltd"]
EKUS = {"E1": "1.3.6.1.4.1.311.10.3.5", "E2": "1.3.6.1.4.1.311.10.3.6"}


# --- policies and files by chance -----------------------------------------------------------------


def attributes(rng: random.Random, *, named: bool) -> str:
    parts = []
    if named or rng.random() < 0.7:
        parts.append(f'FileName="{rng.choice(NAMES)}"')
    else:
        return f'Hash="{rng.choice(HASHES).hex()}"'
    if rng.random() < 0.2:
        parts.append(f'ProductName="{rng.choice(PRODUCTS)}"')
    versions = [(word, rng.choice(VERSIONS)) for word in ("Minimum", "Maximum")]
    return " ".join(
        [*parts, *(f'{word}FileVersion="{version}"' for word, version in versions if version)]
    )


def parts(rng: random.Random) -> Parts:
    rules, signers, denying, named = [ALLOW_ALL], [], [], ["ID_ALLOW_ALL"]
    for number in range(rng.randrange(4)):
        rules.append(f'<Deny ID="D{number}" {attributes(rng, named=False)} />')
        if rng.random() < 0.8:
            named.append(f"D{number}")
    for number in range(3):
        rules.append(f'<FileAttrib ID="F{number}" {attributes(rng, named=True)} />')
        rules.append(f'<Allow ID="A{number}" {attributes(rng, named=True)} />')
    for number in range(rng.randrange(3)):
        body = [f'<CertRoot Type="TBS" Value="{rng.choice(HASHES).hex()}" />']
        body += [f'<CertEKU ID="{eku}" />' for eku in EKUS if rng.random() < 0.2]
        if rng.random() < 0.6:
            body.append(f'<CertPublisher Value="{rng.choice(PUBLISHERS)}" />')
        body += [f'<FileAttribRef RuleID="F{one}" />' for one in range(3) if rng.random() < 0.3]
        signers.append(f'<Signer ID="S{number}" Name="">{"".join(body)}</Signer>')
        exceptions = [
            f'<ExceptAllowRule AllowRuleID="A{one}" />' for one in range(3) if rng.random() < 0.2
        ]
        denying.append(f'<DeniedSigner SignerId="S{number}">{"".join(exceptions)}</DeniedSigner>')
    return Parts(
        rules="".join(rules),
        files=named,
        signers="".join(signers),
        denied="".join(denying),
        ekus='<EKU ID="E1" Value="010A2B0601040182370A0305" />'
        '<EKU ID="E2" Value="010A2B0601040182370A0306" />',
        options=("Enabled:Audit Mode",) if rng.random() < 0.1 else (),
        scenario=rng.choice(["131", "131", "131", "12"]),
    )


def file(rng: random.Random) -> Identity:
    names = {"OriginalFilename": rng.choice(NAMES[:3]).lower()} if rng.random() < 0.9 else {}
    if rng.random() < 0.5:
        names["ProductName"] = rng.choice(PRODUCTS)
    signers = [
        Signer(
            rng.choice(PUBLISHERS),
            tuple(Link({"sha256": rng.choice(HASHES)}, "") for _ in range(rng.randrange(3))),
            frozenset(oid for oid in EKUS.values() if rng.random() < 0.5),
        )
        for _ in range(rng.randrange(3))
    ]
    version = rng.randrange(3), rng.randrange(3), 0, rng.randrange(2)
    return Identity({"sha256": rng.choice(HASHES)}, names, version, tuple(signers))


# --- the plain reader -----------------------------------------------------------------------------


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def in_range(rule: ET.Element, version: tuple[int, ...], *, denying: bool) -> bool:
    low, high = rule.get("MinimumFileVersion"), rule.get("MaximumFileVersion")
    if high is not None and not any(numbers(high)):
        high = None  # compiles to none
        low = low or (VERSIONS[1] if rule.tag == f"{SIPOLICY}Deny" else None)
    if rule.tag != f"{SIPOLICY}Deny" and low is not None and not any(numbers(low)):
        low = None  # compiles to none
    if high is not None:
        return numbers(low or "0") <= version <= numbers(high)
    if low is None:
        return True
    return version <= numbers(low) if denying else version >= numbers(low)


def means(rule: ET.Element, one: Identity, *, denying: bool) -> bool:
    if (digest := rule.get("Hash")) is not None:
        return bytes.fromhex(digest) in one.digests.values()
    for attribute, label in (("FileName", "OriginalFilename"), ("ProductName", "ProductName")):
        wanted = rule.get(attribute)
        if wanted not in (None, "*") and one.names.get(label, "").upper() != wanted.upper():
            return False
    assert one.version is not None
    return in_range(rule, one.version, denying=denying)


def plainly_denied(xml: bytes, one: Identity) -> bool:
    root = ET.fromstring(xml)  # noqa: S314 - made above
    by_id = {each.get("ID", ""): each for each in root.iter()}
    scenario = next(root.iter(f"{SIPOLICY}SigningScenario"))
    options = [each.text for each in root.iter(f"{SIPOLICY}Option")]
    if "Enabled:Audit Mode" in options or scenario.get("Value") != "131":
        return False
    for reference in scenario.iter(f"{SIPOLICY}FileRuleRef"):
        rule = by_id[reference.get("RuleID", "")]
        if rule.tag == f"{SIPOLICY}Deny" and means(rule, one, denying=True):
            return True
    return any(
        signs(by_id[each.get("SignerId", "")], signer, one, by_id)
        and not any(
            means(by_id[exception.get("AllowRuleID", "")], one, denying=False)
            for exception in each.iter(f"{SIPOLICY}ExceptAllowRule")
        )
        for each in scenario.iter(f"{SIPOLICY}DeniedSigner")
        for signer in one.signers
    )


def signs(rule: ET.Element, signer: Signer, one: Identity, by_id: dict[str, ET.Element]) -> bool:
    (root,) = rule.iter(f"{SIPOLICY}CertRoot")
    if bytes.fromhex(root.get("Value", "")) not in [each.tbs["sha256"] for each in signer.chain]:
        return False
    publishers = [each.get("Value") for each in rule.iter(f"{SIPOLICY}CertPublisher")]
    purposes = [EKUS[each.get("ID", "")] for each in rule.iter(f"{SIPOLICY}CertEKU")]
    if publishers not in ([], [signer.publisher]) or not signer.purposes.issuperset(purposes):
        return False
    narrowed = [by_id[each.get("RuleID", "")] for each in rule.iter(f"{SIPOLICY}FileAttribRef")]
    return not narrowed or any(means(each, one, denying=True) for each in narrowed)


# --- and both ------------------------------------------------------------------------------------


def test_both_say_the_same() -> None:
    rng = random.Random(20261124)
    verdicts = {True: 0, False: 0}
    for _ in range(POLICIES):
        xml = policy(parts(rng))
        binary, text = ci_policy.parse(compiled(xml)), ci_policy_xml.parse(xml)
        for _ in range(12):
            one = file(rng)
            expected = plainly_denied(xml, one)
            assert (denied(binary, one) is not None) is expected, (xml, one)
            assert (denied(text, one) is not None) is expected, (xml, one)
            assert judge(text, one).undecided == ()
            verdicts[expected] += 1
    assert min(verdicts.values()) > POLICIES
