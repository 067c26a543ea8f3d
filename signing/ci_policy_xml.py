"""Code Integrity policies in XML: what people write, and what our updatable block list is.

Elements and attributes: Microsoft's schema cipolicy.xsd (urn:schemas-microsoft-com:sipolicy), as
WDACTools' CIPolicyParser.psm1 shows it; the real ones at hand are Microsoft's recommended driver
block rules and the LOLDrivers project's DenyPolicy.xml. Windows never reads XML, so a mistake that
its compiler refuses is refused here too, with the line: an id twice, a reference to nothing, a
signer narrowed by a rule that is no FileAttrib. What is unknown (an option, an attribute of a rule)
is kept as "not understood", and such a rule never matches.

Not read: Macros, AppSettings, AppIDTags, which concern no driver.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from signing import ci_rules, ci_xml
from signing.ci_rules import FileRule, Group, Kind, Listed, Policy, Scenario, Setting, SignerRule
from signing.ci_xml import Element

ENTERPRISE = "{A244370E-44C9-4C06-B551-F6016E563076}"  # the id of a policy that names none

_KINDS = {"Deny": Kind.DENY, "Allow": Kind.ALLOW, "FileAttrib": Kind.ATTRIBUTE}
_GENERIC = {"Exclude": Kind.DENY, "Match": Kind.ALLOW, "Attribute": Kind.ATTRIBUTE}
_NAMES = {
    "FileName": ci_rules.ORIGINAL_NAME,
    "InternalName": ci_rules.INTERNAL_NAME,
    "FileDescription": ci_rules.DESCRIPTION,
    "ProductName": ci_rules.PRODUCT,
}
_RULE_ATTRIBUTES = frozenset(_NAMES) | {
    *("ID", "FriendlyName", "Hash", "MinimumFileVersion", "MaximumFileVersion", "FilePath"),
    *("PackageFamilyName", "PackageVersion", "AppIDs", "Type"),
}
_SIGNER_PARTS = frozenset(
    {"CertRoot", "CertEKU", "CertIssuer", "CertPublisher", "CertOemID", "FileAttribRef"}
)
# What the compiler adds to a policy that only tags programs.
_TAGGING = frozenset(
    {
        ci_rules.AUDIT,
        ci_rules.UMCI,
        "Required:Enforce Store Applications",
        "Enabled:Advanced Boot Options Menu",
        "Disabled:Script Enforcement",
    }
)
_REMAPPING = Setting(
    "Microsoft", "PolicySettings", "DisabledDefaultWindowsCertificateRemappingValueName", value=True
)
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)

T = TypeVar("T")


def parse(data: bytes) -> Policy:
    """The policy. Raises MalformedError, whose text names the line, and nothing else."""
    return _Interpreter(ci_xml.read(data)).policy()


def _version(node: Element, text: str) -> ci_rules.Version:
    parts = text.split(".")
    if len(parts) > 4 or not all(re.fullmatch(r"[0-9]{1,5}", part) for part in parts):
        raise node.fail(f"{text[:40]!r} is no version")
    numbers = [int(part) for part in parts] + [0] * (4 - len(parts))
    if max(numbers) > 0xFFFF:
        raise node.fail(f"{text[:40]!r} is no version")
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _guid(node: Element, text: str) -> str:
    try:
        return f"{{{str(uuid.UUID(text)).upper()}}}"
    except ValueError as error:
        raise node.fail(f"{text[:60]!r} is no GUID") from error


def _number(node: Element, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > 0xFFFF_FFFF:
        raise node.fail(f"{text[:40]!r} is no number of 32 bits")
    return int(text)


def _hex(node: Element, text: str) -> bytes:
    if len(text) % 2 or not re.fullmatch(r"[0-9A-Fa-f]*", text):
        raise node.fail(f"{text[:80]!r} is no sequence of hexadecimal digits")
    return bytes.fromhex(text)


def _file_time(node: Element, text: str) -> int:
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise node.fail(f"{text[:40]!r} is no time") from error
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return (when - _EPOCH) // timedelta(microseconds=1) * 10


class _Interpreter:
    """Reads the tree of one policy. Ids become indices."""

    def __init__(self, root: Element) -> None:
        self.root = root
        self.unknown: list[str] = []
        self.ekus: dict[str, int] = {}
        self.rules: dict[str, int] = {}
        self.kinds: list[Kind] = []
        self.signers: dict[str, int] = {}
        self.scenarios: dict[str, int] = {}

    def policy(self) -> Policy:
        root = self.root
        type_id = self.guid("PolicyTypeID")
        policy_id = self.guid("PolicyID") or type_id or ENTERPRISE
        base_id = self.guid("BasePolicyID") or policy_id
        options, extra = self.options()
        ekus = tuple(self.each("EKUs", "EKU", self.ekus, self.eku))
        rules = tuple(self.file_rules())
        signers = tuple(
            self.each("Signers", "Signer", self.signers, lambda node: self.signer(node, ekus))
        )
        for node in root.within("SigningScenarios", "SigningScenario"):
            self.add(self.scenarios, node)
        number = root.child("VersionEx")
        hvci = root.child("HvciOptions")
        return Policy(
            format_version=0,
            policy_id=policy_id,
            base_id=base_id,
            platform_id=self.guid("PlatformID"),
            type_id=type_id,
            version=_version(number, number.text) if number else ci_rules.LOWEST,
            friendly_name=root.get("FriendlyName"),
            supplemental=root.get("PolicyType") == "Supplemental Policy" or policy_id != base_id,
            options=options,
            ekus=ekus,
            rules=rules,
            signers=signers,
            scenarios=tuple(map(self.scenario, root.within("SigningScenarios", "SigningScenario"))),
            update_signers=self.references("UpdatePolicySigners", "UpdatePolicySigner"),
            ci_signers=self.references("CiSigners", "CiSigner"),
            supplemental_signers=self.references(
                "SupplementalPolicySigners", "SupplementalPolicySigner"
            ),
            hvci=_number(hvci, hvci.text) if hvci and hvci.text else 0,
            settings=(*map(self.setting, root.within("Settings", "Setting")), *extra),
            not_understood=tuple(self.unknown),
        )

    # --- ids --------------------------------------------------------------------------------

    def add(self, ids: dict[str, int], node: Element) -> None:
        name = node.need("ID")
        if name in ids:
            raise node.fail(f"{name} a second time")
        ids[name] = len(ids)

    def find(self, ids: dict[str, int], node: Element, attribute: str) -> int:
        name = node.need(attribute)
        if name not in ids:
            raise node.fail(f"{node.tag} names {name}, which is not there")
        return ids[name]

    def find_rule(self, node: Element, attribute: str, kind: Kind) -> int:
        index = self.find(self.rules, node, attribute)
        if self.kinds[index] is not kind:
            raise node.fail(f"{node.tag} names {node.get(attribute)}, which is no {kind} rule")
        return index

    def each(
        self, tag: str, inner: str, ids: dict[str, int], read: Callable[[Element], T]
    ) -> Iterator[T]:
        for node in self.root.within(tag, inner):
            self.add(ids, node)
            yield read(node)

    def references(self, tag: str, inner: str) -> tuple[int, ...]:
        return tuple(
            self.find(self.signers, node, "SignerId") for node in self.root.within(tag, inner)
        )

    # --- parts ------------------------------------------------------------------------------

    def guid(self, tag: str) -> str:
        node = self.root.child(tag)
        return _guid(node, node.text) if node and node.text else ""

    def options(self) -> tuple[frozenset[str], list[Setting]]:
        found = set()
        extra = []
        for rule in self.root.within("Rules", "Rule"):
            for option in rule.all("Option"):
                if option.text == ci_rules.SETTING_OPTION:
                    extra.append(_REMAPPING)
                elif option.text in ci_rules.OPTIONS:
                    found.add(option.text)
                else:
                    self.unknown.append(f"option {option.text[:60]!r}")
        if self.root.get("PolicyType") == "AppID Tagging Policy":
            found |= _TAGGING
        return frozenset(found), extra

    def eku(self, node: Element) -> str:
        raw = _hex(node, node.need("Value"))
        oid = ci_rules.eku_oid(raw)
        if not oid:
            self.unknown.append(f"purpose {raw[:32].hex()}")
        return oid or raw.hex()

    def file_rules(self) -> Iterator[FileRule]:
        for holder in self.root.all("FileRules"):
            for node in holder.children:
                kind = _KINDS.get(node.tag) or _GENERIC.get(node.get("Type"))
                if kind is None:
                    self.unknown.append(f"file rule {node.tag[:40]} of line {node.line}")
                    kind = Kind.ATTRIBUTE  # keeps its place, and no signer may name it by mistake
                self.add(self.rules, node)
                self.kinds.append(kind)
                yield self.file_rule(node, kind)

    def file_rule(self, node: Element, kind: Kind) -> FileRule:
        texts = {name: node.get(name) for name in ("MinimumFileVersion", "MaximumFileVersion")}
        low, high = (_version(node, text) if text else None for text in texts.values())
        minimum, maximum = ci_rules.version_bounds(
            kind, ci_rules.compiled_minimum(kind, low, high), high or ci_rules.LOWEST
        )
        unknown = tuple(sorted(node.attributes.keys() - _RULE_ATTRIBUTES))
        if node.tag not in _KINDS and node.tag != "FileRule":
            unknown = (*unknown, node.tag)
        elif unknown:
            self.unknown.append(f"{unknown[0][:40]} of {node.get('ID')[:80]}")
        package_version = node.get("PackageVersion")
        return FileRule(
            kind,
            node.get("ID"),
            node.get("FriendlyName"),
            _hex(node, node.get("Hash")),
            tuple((label, node.get(name)) for name, label in _NAMES.items() if node.get(name)),
            minimum,
            maximum,
            node.get("FilePath"),
            node.get("PackageFamilyName"),
            _version(node, package_version) if package_version else None,
            node.get("AppIDs"),
            unknown,
        )

    def signer(self, node: Element, ekus: tuple[str, ...]) -> SignerRule:
        root = node.child("CertRoot")
        if root is None:
            raise node.fail("Signer without CertRoot")
        value = _hex(root, root.need("Value"))
        kind = root.need("Type").lower()
        if kind not in ("tbs", "wellknown") or not value:
            raise root.fail("CertRoot of no known type")
        after = node.get("SignTimeAfter")
        unknown = tuple({child.tag for child in node.children} - _SIGNER_PARTS)
        if unknown:
            self.unknown.append(f"{unknown[0][:40]} of {node.get('ID')[:80]}")
        return SignerRule(
            node.get("ID"),
            node.get("Name"),
            value if kind == "tbs" else b"",
            value[0] if kind == "wellknown" else None,
            tuple(ekus[self.find(self.ekus, child, "ID")] for child in node.all("CertEKU")),
            self.value(node, "CertIssuer"),
            self.value(node, "CertPublisher"),
            self.value(node, "CertOemID"),
            tuple(
                self.find_rule(child, "RuleID", Kind.ATTRIBUTE)
                for child in node.all("FileAttribRef")
            ),
            _file_time(node, after) if after else 0,
            unknown,
        )

    def value(self, node: Element, tag: str) -> str:
        child = node.child(tag)
        return child.need("Value") if child else ""

    def scenario(self, node: Element) -> Scenario:
        algorithm = node.get("MinimumHashAlgorithm")
        parents = [name for name in re.split(r"[,\s]+", node.get("InheritedScenarios")) if name]
        for name in parents:
            if name not in self.scenarios:
                raise node.fail(f"it inherits {name[:80]}, which is not there")
        return Scenario(
            _number(node, node.need("Value")),
            node.get("ID"),
            node.get("FriendlyName"),
            tuple(self.scenarios[name] for name in parents),
            _number(node, algorithm) if algorithm else 0,
            self.group(node.child("ProductSigners")),
            self.group(node.child("TestSigners")),
            self.group(node.child("TestSigningSigners")),
        )

    def group(self, node: Element | None) -> Group:
        if node is None:
            return Group()
        return Group(
            tuple(
                self.listed(one, "ExceptDenyRule", "DenyRuleID", Kind.DENY)
                for one in node.within("AllowedSigners", "AllowedSigner")
            ),
            tuple(
                self.listed(one, "ExceptAllowRule", "AllowRuleID", Kind.ALLOW)
                for one in node.within("DeniedSigners", "DeniedSigner")
            ),
            tuple(
                self.find(self.rules, one, "RuleID")
                for one in node.within("FileRulesRef", "FileRuleRef")
            ),
        )

    def listed(self, node: Element, tag: str, attribute: str, kind: Kind) -> Listed:
        return Listed(
            self.find(self.signers, node, "SignerId"),
            tuple(self.find_rule(one, attribute, kind) for one in node.all(tag)),
        )

    def setting(self, node: Element) -> Setting:
        holder = node.child("Value")
        found = holder.children if holder else []
        if len(found) != 1:
            raise node.fail("Setting without a value")
        child = found[0]
        value: bool | int | bytes | str
        match child.tag:
            case "Boolean" if child.text in ("true", "false", "1", "0"):
                value = child.text in ("true", "1")
            case "DWord":
                value = _number(child, child.text)
            case "Binary":
                value = _hex(child, child.text)
            case "String":
                value = child.raw
            case _:
                raise child.fail(f"a value of type {child.tag[:40]}")
        return Setting(node.get("Provider"), node.get("Key"), node.get("ValueName"), value)
