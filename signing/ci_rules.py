"""Code Integrity policies (WDAC, "App Control for Business"): what one says, in either form.

Binary (`ci_policy`) and XML (`ci_policy_xml`) give the same values. Windows reads the binary form
alone, so XML is taken as its compiler takes it: a version that is absent and one that compiles to
the same bytes are one here. Names and meanings: Microsoft, "Understand App Control for Business
policy rules and file rules" (learn.microsoft.com, select-types-of-rules-to-create); the bits of the
options: "Understanding App Control event tags" (event-tag-explanations), and for those that are not
in its table WDACTools' CIPolicyParser.psm1 (mattifestation).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from signing.der import dotted

Version = tuple[int, int, int, int]

ANY_VERSION: Version = (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF)  # what Deny compiles to without versions
LOWEST: Version = (0, 0, 0, 0)
KERNEL, USER = 131, 12  # values of signing scenarios
AUDIT = "Enabled:Audit Mode"
UMCI = "Enabled:UMCI"
AUDIT_ON_FAILURE = "Enabled:Boot Audit On Failure"
LOCKDOWN = "Enabled:Conditional Windows Lockdown Policy"  # winsipolicy.p7b, on every machine
SUPPLEMENT_FLAG = 0x4000_0000  # of the option bits: the policy supplements another one

OPTIONS: Mapping[str, int] = {
    UMCI: 0x0000_0004,
    "Enabled:Boot Menu Protection": 0x0000_0008,
    "Enabled:Intelligent Security Graph Authorization": 0x0000_0010,
    "Enabled:Invalidate EAs on Reboot": 0x0000_0020,
    "Enabled:Windows Lockdown Trial Mode": 0x0000_0040,
    "Required:WHQL": 0x0000_0080,
    "Enabled:Developer Mode Dynamic Code Trust": 0x0000_0100,
    "Enabled:Allow Supplemental Policies": 0x0000_0400,
    "Disabled:Runtime FilePath Rule Protection": 0x0000_0800,
    "Enabled:Revoked Expired As Unsigned": 0x0000_2000,
    AUDIT: 0x0001_0000,
    "Disabled:Flight Signing": 0x0002_0000,
    "Enabled:Inherit Default Policy": 0x0004_0000,
    "Enabled:Unsigned System Integrity Policy": 0x0008_0000,
    "Enabled:Dynamic Code Security": 0x0010_0000,
    "Required:EV Signers": 0x0020_0000,
    AUDIT_ON_FAILURE: 0x0040_0000,
    "Enabled:Advanced Boot Options Menu": 0x0080_0000,
    "Disabled:Script Enforcement": 0x0100_0000,
    "Required:Enforce Store Applications": 0x0200_0000,
    "Enabled:Secure Setting Policy": 0x0400_0000,
    "Enabled:Managed Installer": 0x0800_0000,
    "Enabled:Update Policy No Reboot": 0x1000_0000,
    LOCKDOWN: 0x2000_0000,
}
# An option that the compiler writes as a setting, not as a bit (AppControl Manager, Helper.cs).
SETTING_OPTION = "Disabled:Default Windows Certificate Remapping"

# TBS digests of roots that policies name by number. Microsoft (event-tag-explanations, "Microsoft
# Root CAs trusted by Windows") says which they are, and that Windows knows their TBS digests;
# HotCakeX's WDACConfig (Get-SignerInfo.ps1) has those of the certificates' own algorithms. The
# SHA-256 of 04 and 05 are of the certificates in signing/data/roots.
WELL_KNOWN_ROOTS: Mapping[int, tuple[bytes, ...]] = {
    number: tuple(map(bytes.fromhex, digests))
    for number, digests in {
        0x03: ("d67576f5521d1ccab52e9215e0f9f743",),
        0x04: (
            "8b3c3087b7056f5ec5ddba91a1b901f0",
            "b0f310311013abfe7a7b41182ad99bc9846bdf91c432d48aa1777208150185a4",
        ),
        0x05: (
            "391be92883d52509155bfeae27b9bd340170b76b",
            "855920f04434989fc8f601eecd2f79ff93fe51b541d63aa94bef1425cd7d521d",
        ),
        0x06: ("08fba831c08544208f5208686b991ca1b2cfc510e7301784ddf1eb5bf0393239",),
        0x07: ("279cd652c4e252bfbe5217ac722205d7729ba409148cfa9e6d9e5b1cb94eaff1",),
        0x09: ("09cbafbd98e81b4d6baaab32b8b2f5d7",),
        0x0A: ("7a4d9890b0f9006a6f77472d50d83ca54975fcc2b7ea0563490134e19b78782a",),
        0x0E: ("ed55f82e1444f79ca9dce826846fdc4e0ea3859e3d26efef412d2fff0c7c8e6c",),
    }.items()
}

# Names of a version resource, as they are called there, in the order of the binary form.
ORIGINAL_NAME = "OriginalFilename"
INTERNAL_NAME, DESCRIPTION, PRODUCT = "InternalName", "FileDescription", "ProductName"


class Kind(StrEnum):
    """What a file rule is for."""

    DENY = "deny"
    ALLOW = "allow"
    ATTRIBUTE = "file attribute"  # narrows the signers that name it


@dataclass(frozen=True, slots=True)
class FileRule:
    """One file rule. All that it states must be true of a file; `minimum` of Deny is special.

    `minimum` and `maximum` are as compiled: of Deny and file attributes of a denied signer with
    both, files from minimum to maximum are meant; with `minimum` alone, files up to it (Microsoft,
    select-types-of-rules-to-create, the note on version numbers). None: no version is asked for.
    """

    kind: Kind
    id: str = ""  # "" in the binary form, which has none
    friendly_name: str = ""
    hash: bytes = b""
    names: tuple[tuple[str, str], ...] = ()  # (ORIGINAL_NAME, "x.sys"); "*" is any file
    minimum: Version | None = None
    maximum: Version | None = None
    path: str = ""  # FilePath
    package: str = ""  # PackageFamilyName
    package_version: Version | None = None
    app_ids: str = ""
    unknown: tuple[str, ...] = ()  # attributes that are not understood: it never matches


@dataclass(frozen=True, slots=True)
class SignerRule:
    """Whose signatures are meant. `tbs` or `well_known` is of a certificate in their chains."""

    id: str = ""
    name: str = ""
    tbs: bytes = b""  # digest of a certificate's TBSCertificate, of its own algorithm
    well_known: int | None = None  # number of a root that Windows knows
    ekus: tuple[str, ...] = ()  # OIDs
    issuer: str = ""
    publisher: str = ""  # CN of the leaf
    oem_id: str = ""
    attributes: tuple[int, ...] = ()  # indices of file rules: one of them must fit
    signed_after: int = 0  # FILETIME; 0: whenever
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """A signer in a scenario, and the file rules (indices) for which the entry does not hold."""

    signer: int
    exceptions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """One of the three groups of signers of a scenario."""

    allowed: tuple[Listed, ...] = ()
    denied: tuple[Listed, ...] = ()
    files: tuple[int, ...] = ()  # FileRulesRef


@dataclass(frozen=True, slots=True)
class Scenario:
    """What counts for drivers (131) or programs (12)."""

    value: int
    id: str = ""
    friendly_name: str = ""
    inherited: tuple[int, ...] = ()  # indices of scenarios
    minimum_hash: int = 0  # CALG_*; 0: none is asked for
    product: Group = Group()
    test: Group = Group()
    test_signing: Group = Group()


@dataclass(frozen=True, slots=True)
class Setting:
    """A secure setting, such as the policy's own name."""

    provider: str
    key: str
    value_name: str
    value: bool | int | bytes | str


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """A whole policy. Equal only to itself: that makes it cheap to keep an index of one."""

    format_version: int  # 0: XML
    policy_id: str  # "{...}" in capitals; of the old format the type's
    base_id: str
    platform_id: str = ""
    type_id: str = ""
    version: Version = LOWEST
    friendly_name: str = ""
    supplemental: bool = False
    options: frozenset[str] = frozenset()
    ekus: tuple[str, ...] = ()
    rules: tuple[FileRule, ...] = ()
    signers: tuple[SignerRule, ...] = ()
    scenarios: tuple[Scenario, ...] = ()
    update_signers: tuple[int, ...] = ()
    ci_signers: tuple[int, ...] = ()
    supplemental_signers: tuple[int, ...] = ()
    hvci: int = 0
    settings: tuple[Setting, ...] = ()
    signature: bytes = b""  # the CMS message that lay around it, to be judged by others
    not_understood: tuple[str, ...] = field(default=())  # clauses, one for each thing

    @property
    def audit(self) -> bool:
        """It only records what it would deny."""
        return AUDIT in self.options

    @property
    def name(self) -> str:
        """What it calls itself: "Microsoft Windows Driver Policy"; else its id."""
        for setting in self.settings:
            where = (setting.provider, setting.key, setting.value_name)
            if where == ("PolicyInfo", "Information", "Name") and isinstance(setting.value, str):
                return setting.value
        return self.friendly_name or f"policy {self.policy_id}"


def version(number: int) -> Version:
    """The four parts of a 64-bit version number."""
    return number >> 48 & 0xFFFF, number >> 32 & 0xFFFF, number >> 16 & 0xFFFF, number & 0xFFFF


def version_bounds(
    kind: Kind, minimum: Version, maximum: Version
) -> tuple[Version | None, Version | None]:
    """(minimum, maximum) of a rule from what its two compiled fields hold.

    A maximum of 0 is none. For Deny the compiler writes the highest minimum where the XML has no
    versions at all; for the other kinds a minimum of 0 is none.
    """
    high = None if maximum == LOWEST else maximum
    if kind is Kind.DENY:
        return (None if high is None and minimum == ANY_VERSION else minimum), high
    return (None if minimum == LOWEST else minimum), high


def compiled_minimum(kind: Kind, minimum: Version | None, maximum: Version | None) -> Version:
    """What the compiler writes for a minimum that XML has or has not (AppControl Manager,
    BinaryOpsForward.cs, as ConvertFrom-CIPolicy does)."""
    if minimum is not None:
        return minimum
    return ANY_VERSION if kind is Kind.DENY and maximum is None else LOWEST


def eku_oid(value: bytes) -> str:
    """The OID of an EKU's value: DER whose tag policies write as 01; "" where it is not one."""
    if len(value) < 3 or value[0] not in (0x01, 0x06) or value[1] != len(value) - 2:
        return ""
    return dotted(value[2:])


def no_options(bits: int) -> tuple[str, ...]:
    """Clauses about option bits that are not known. The highest bit is always set."""
    known = 0x8000_0000 | SUPPLEMENT_FLAG
    for bit in OPTIONS.values():
        known |= bit
    left = bits & ~known
    return (f"option bits {left:#010x}",) if left else ()
