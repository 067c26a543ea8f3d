"""Code Integrity policies compiled from XML to the binary form, and wrapped like signed ones.

Made from the descriptions of the format (HotCakeX's article "XML to CIP and back" and
BinaryOpsForward.cs of AppControl Manager), not from our parser: it walks ElementTree and knows
nothing of `signing.ci_rules`. As ConfigCI does, file rules are written in an order of their own.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

SIPOLICY = "{urn:schemas-microsoft-com:sipolicy}"
_FLAGS = {
    "Enabled:UMCI": 2,
    "Enabled:Boot Menu Protection": 3,
    "Enabled:Intelligent Security Graph Authorization": 4,
    "Enabled:Invalidate EAs on Reboot": 5,
    "Required:WHQL": 7,
    "Enabled:Allow Supplemental Policies": 10,
    "Disabled:Runtime FilePath Rule Protection": 11,
    "Enabled:Revoked Expired As Unsigned": 13,
    "Enabled:Audit Mode": 16,
    "Disabled:Flight Signing": 17,
    "Enabled:Inherit Default Policy": 18,
    "Enabled:Unsigned System Integrity Policy": 19,
    "Enabled:Dynamic Code Security": 20,
    "Required:EV Signers": 21,
    "Enabled:Boot Audit On Failure": 22,
    "Enabled:Advanced Boot Options Menu": 23,
    "Disabled:Script Enforcement": 24,
    "Required:Enforce Store Applications": 25,
    "Enabled:Managed Installer": 27,
    "Enabled:Update Policy No Reboot": 28,
}
_RANKS = {"Deny": 0, "Allow": 1, "FileAttrib": 2}
_DEFAULT_ID = "{A244370E-44C9-4C06-B551-F6016E563076}"


def u32(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


def counted(data: bytes) -> bytes:
    return u32(len(data)) + data + bytes(-len(data) % 4)


def text(value: str | None) -> bytes:
    return counted((value or "").encode("utf-16-le")) + u32(0)


def version(value: str | None) -> bytes:
    parts = [*map(int, (value or "0").split(".")), 0, 0, 0]
    return struct.pack("<4H", *reversed(parts[:4]))


def guid(value: str) -> bytes:
    return uuid.UUID(value).bytes_le


def compiled(xml: bytes | str, *, format_version: int = 8) -> bytes:
    """The binary policy of a policy in XML, with the blocks of that format version."""
    root = ET.fromstring(xml)  # noqa: S314 - ours, or a file of the tests' own data
    return _Compiler(root, format_version).policy()


class _Compiler:
    def __init__(self, root: ET.Element, format_version: int) -> None:
        self.root, self.format = root, format_version
        self.rules = sorted(self.all("FileRules/*"), key=self.rank)
        self.signers = self.all("Signers/Signer")
        self.scenarios = self.all("SigningScenarios/SigningScenario")
        self.ekus = self.all("EKUs/EKU")

    def all(self, path: str, below: ET.Element | None = None) -> list[ET.Element]:
        spaced = "/".join(f"{SIPOLICY}{step}" if step != "*" else step for step in path.split("/"))
        return (self.root if below is None else below).findall(spaced)

    def word(self, tag: str) -> str:
        found = self.all(tag)
        return (found[0].text or "").strip() if found else ""

    @staticmethod
    def rank(rule: ET.Element) -> tuple[int, str, str]:
        kind = rule.tag.removeprefix(SIPOLICY)
        return _RANKS[kind], rule.get("FileName", "").lower(), rule.get("Hash", "")

    @staticmethod
    def index(among: list[ET.Element], name: str | None) -> int:
        return next(number for number, one in enumerate(among) if one.get("ID") == name)

    def references(
        self, found: Iterable[ET.Element], among: list[ET.Element], by: str, *, sort: bool = False
    ) -> bytes:
        numbers = [self.index(among, one.get(by)) for one in found]
        return u32(len(numbers), *(sorted(numbers) if sort else numbers))

    def policy(self) -> bytes:
        policy_id = self.word("PolicyID") or self.word("PolicyTypeID") or _DEFAULT_ID
        base_id = self.word("BasePolicyID") or policy_id
        flags = 1 << 31
        if self.root.get("PolicyType") == "Supplemental Policy":
            flags |= 1 << 30
        for option in self.all("Rules/Rule/Option"):
            flags |= 1 << _FLAGS[option.text or ""]
        parts = (self.ekus, self.rules, self.signers, self.scenarios)
        return b"".join(
            (
                u32(self.format),
                guid(base_id),
                guid(self.word("PlatformID") or str(uuid.UUID(int=0))),
                u32(flags, *map(len, parts)),
                version(self.word("VersionEx")),
                u32(0x40),
                self.body(),
                self.blocks(policy_id, base_id),
                u32(self.format + 1),
            )
        )

    def body(self) -> bytes:
        pieces = [counted(bytes.fromhex(eku.get("Value", ""))) for eku in self.ekus]
        pieces += map(self.rule, self.rules)
        pieces += map(self.signer, self.signers)
        for tag in ("UpdatePolicySigners/UpdatePolicySigner", "CiSigners/CiSigner"):
            pieces.append(self.references(self.all(tag), self.signers, "SignerId"))
        pieces += map(self.scenario, self.scenarios)
        pieces.append(u32(int(self.word("HvciOptions") or "0")))
        settings = self.all("Settings/Setting")
        return b"".join([*pieces, u32(len(settings)), *map(self.setting, settings)])

    def rule(self, rule: ET.Element) -> bytes:
        low, high = rule.get("MinimumFileVersion"), rule.get("MaximumFileVersion")
        if rule.tag == f"{SIPOLICY}Deny" and low is None and high is None:
            low = "65535.65535.65535.65535"
        return b"".join(
            (
                u32(_RANKS[rule.tag.removeprefix(SIPOLICY)]),
                text(rule.get("FileName")),
                version(low),
                counted(bytes.fromhex(rule.get("Hash", ""))),
            )
        )

    def signer(self, signer: ET.Element) -> bytes:
        root = self.all("CertRoot", signer)[0]
        value = bytes.fromhex(root.get("Value", ""))
        words = []
        for tag in ("CertIssuer", "CertPublisher", "CertOemID"):
            found = self.all(tag, signer)
            words.append(text(found[0].get("Value") if found else None))
        return b"".join(
            (
                u32(0) + counted(value) if root.get("Type") == "TBS" else u32(1, value[0]),
                self.references(self.all("CertEKU", signer), self.ekus, "ID"),
                *words,
                self.references(self.all("FileAttribRef", signer), self.rules, "RuleID"),
            )
        )

    def scenario(self, scenario: ET.Element) -> bytes:
        parents = [name for name in scenario.get("InheritedScenarios", "").split(",") if name]
        numbers = [self.index(self.scenarios, name) for name in parents]
        pieces = [u32(int(scenario.get("Value", "0")), len(numbers), *numbers)]
        pieces.append(u32(int(scenario.get("MinimumHashAlgorithm", "0")) or 0x800C))
        for tag in ("ProductSigners", "TestSigners", "TestSigningSigners"):
            groups = self.all(tag, scenario)
            pieces.append(self.group(groups[0]) if groups else u32(0, 0, 0))
        return b"".join(pieces)

    def group(self, group: ET.Element) -> bytes:
        pieces = []
        for word, other in (("Allowed", "Deny"), ("Denied", "Allow")):
            found = self.all(f"{word}Signers/{word}Signer", group)
            pieces.append(u32(len(found)))
            for one in found:
                pieces.append(u32(self.index(self.signers, one.get("SignerId"))))
                exceptions = self.all(f"Except{other}Rule", one)
                pieces.append(self.references(exceptions, self.rules, f"{other}RuleID"))
        files = self.all("FileRulesRef/FileRuleRef", group)
        return b"".join([*pieces, self.references(files, self.rules, "RuleID", sort=True)])

    def setting(self, setting: ET.Element) -> bytes:
        head = b"".join(text(setting.get(name)) for name in ("Provider", "Key", "ValueName"))
        (value,) = self.all("Value/*", setting)
        said = value.text or ""
        match value.tag.removeprefix(SIPOLICY):
            case "Boolean":
                return head + u32(0, int(said == "true"))
            case "DWord":
                return head + u32(1, int(said))
            case "Binary":
                return head + u32(2) + counted(bytes.fromhex(said))
            case _:
                return head + u32(3) + text(said)

    def blocks(self, policy_id: str, base_id: str) -> bytes:
        signers = self.references(
            self.all("SupplementalPolicySigners/SupplementalPolicySigner"),
            self.signers,
            "SignerId",
        )
        made = {
            3: [*map(self.versions, self.rules), *map(self.time, self.signers)],
            4: [
                text(rule.get(name))
                for rule in self.rules
                for name in ("InternalName", "FileDescription", "ProductName")
            ],
            5: [
                text(rule.get("PackageFamilyName")) + version(rule.get("PackageVersion"))
                for rule in self.rules
            ],
            6: [guid(policy_id), guid(base_id), signers],
            7: [text(rule.get("FilePath")) for rule in self.rules],
            8: [u32(0)],
        }
        return b"".join(
            u32(number) + b"".join(pieces)
            for number, pieces in made.items()
            if number <= self.format
        )

    @staticmethod
    def versions(rule: ET.Element) -> bytes:
        ids = rule.get("AppIDs")
        return version(rule.get("MaximumFileVersion")) + (u32(1) + text(ids) if ids else u32(0))

    @staticmethod
    def time(signer: ET.Element) -> bytes:
        after = signer.get("SignTimeAfter")
        if after is None:
            return struct.pack("<q", 0)
        spent = datetime.fromisoformat(after) - datetime(1601, 1, 1, tzinfo=UTC)
        return struct.pack("<q", int(spent.total_seconds()) * 10_000_000)


# --- the wrapper ------------------------------------------------------------------------------


def der(tag: int, *contents: bytes) -> bytes:
    body = b"".join(contents)
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(digits))) + digits + body


_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")  # 1.2.840.113549.1.7.2
_POLICY = bytes.fromhex("06092b0601040182374f01")  # 1.3.6.1.4.1.311.79.1


def wrapped(policy: bytes, *, kind: bytes = _POLICY, outer: bytes = _SIGNED_DATA) -> bytes:
    """A policy as the content of a PKCS#7 message that nobody signed (RFC 2315, section 9)."""
    content = der(0x30, kind, der(0xA0, der(0x04, policy)))
    signed = der(0x30, der(0x02, b"\x01"), der(0x31), content, der(0x31))
    return der(0x30, outer, der(0xA0, signed))
