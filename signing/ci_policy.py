"""Code Integrity policies in the form that Windows reads: SiPolicy.p7b, driversipolicy.p7b, *.cip.

No public specification by Microsoft. Read after two readers that were made from its compiler
(ConfigCI): mattifestation/WDACTools, CIPolicyParser.psm1, and HotCakeX/Harden-Windows-Security,
AppControl Manager, BinaryOpsForward.cs and BinaryOpsReverse.cs, with its article on XML and binary;
held against a policy that Microsoft signed (winsipolicy.p7b, format 7). All little-endian:

    0x00 u32   format version, 1..8: the highest block that follows
    0x04 GUID  policy type (base policy)      0x14 GUID  platform
    0x24 u32   options; bit 31 is always set, bit 30: supplemental
    0x28 u32   counts: EKUs, file rules, signers, signing scenarios
    0x38 u64   version                        0x40 u32   offset of the body; 4 bytes later it begins
    body       EKUs: bytes
               file rules: u32 kind (0 deny, 1 allow, 2 attribute), text, u64 minimum version, bytes
               signers: u32 0 and bytes of a TBS digest, or 1 and u32 well-known root; EKU indices;
                        issuer, publisher, OEM id: texts; indices of file attributes
               indices of signers: that may update it; of user mode (CiSigners)
               scenarios: u32 value, indices inherited, u32 hash algorithm (0x800C: none), and three
                        times (product, test, test signing): allowed, denied (each a signer's index
                        and the indices of exceptions), indices of file rules
               u32 HVCI options; settings: 3 texts, u32 type (bool, u32, bytes, text), value
    blocks     u32 number, then for each file rule (or signer):
               3  u64 maximum version, texts of AppIDs; signers: FILETIME
               4  internal name, description, product: texts
               5  package family: text, u64 version
               6  GUIDs of policy and base policy, indices of supplemental signers
               7  path: text          8  settings of applications (not read)
    end        u32 format version + 1

Bytes are a u32 length, content, filling to four; a text is the same in UTF-16 and a u32 of 0 more;
indices are a u32 count and that many u32. In a PKCS#7 wrapper the policy is the content, of type
1.3.6.1.4.1.311.79.1; who signed it is not judged here (`Policy.signature`).

Of a later format what is known is read, and that more follows is said. Deliberately not read: the
settings of applications, which concern no driver.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from signing import ci_rules
from signing.ci_bytes import STRUCTURE, Reader
from signing.ci_rules import FileRule, Group, Kind, Listed, Policy, Scenario, Setting, SignerRule
from signing.der import Cursor, context
from signing.errors import MalformedError

LARGEST = 4 * 1024 * 1024  # Microsoft's own list of drivers is far below one
CONTENT_TYPE = "1.3.6.1.4.1.311.79.1"

_SIGNED_DATA = "1.2.840.113549.1.7.2"
_KINDS = (Kind.DENY, Kind.ALLOW, Kind.ATTRIBUTE)
_NO_HASH_ASKED = 0x800C
_LAST_KNOWN = 8
_BODY = 0x40

T = TypeVar("T")


def parse(data: bytes) -> Policy:
    """A policy, in its PKCS#7 wrapper or bare. Raises MalformedError and nothing else."""
    if len(data) > LARGEST:
        raise MalformedError(STRUCTURE, 0, f"{len(data)} bytes are too many")
    if data[:1] != b"\x30" or data[1:2] in (b"", b"\0"):  # bare: a version of one byte
        return _Parser(Reader(data)).policy()
    content, message = unwrapped(data)
    return replace(_Parser(Reader(content)).policy(), signature=message)


def unwrapped(data: bytes) -> tuple[bytes, bytes]:
    """(policy, CMS message) of a PKCS#7 file: who signed it is for others to find out."""
    outer = Cursor(data, "signed code integrity policy")
    message = outer.whole()
    if any(outer.rest()):
        raise outer.fail("something lies behind the signature")
    info = Cursor(message, outer.structure).enter()
    if info.oid() != _SIGNED_DATA:
        raise info.fail("it is no signed data")
    signed = info.enter(context(0)).enter()
    signed.integer()
    signed.skip()  # digest algorithms
    content = signed.enter()
    if (kind := content.oid()) != CONTENT_TYPE:
        raise content.fail(f"its content is no policy, but of type {kind}")
    return content.enter(context(0)).contents(0x04), message


@dataclass(slots=True)
class _Draft:
    """A file rule as far as it was read: its parts are spread over the whole file."""

    kind: Kind
    name: str
    minimum: ci_rules.Version
    hash: bytes
    maximum: ci_rules.Version = ci_rules.LOWEST
    app_ids: str = ""
    others: tuple[str, str, str] = ("", "", "")  # internal name, description, product
    package: str = ""
    package_version: ci_rules.Version = ci_rules.LOWEST
    path: str = ""

    def rule(self) -> FileRule:
        minimum, maximum = ci_rules.version_bounds(self.kind, self.minimum, self.maximum)
        labels = (
            ci_rules.ORIGINAL_NAME,
            ci_rules.INTERNAL_NAME,
            ci_rules.DESCRIPTION,
            ci_rules.PRODUCT,
        )
        named = zip(labels, (self.name, *self.others), strict=True)
        has_version = self.package_version != ci_rules.LOWEST
        return FileRule(
            self.kind,
            hash=self.hash,
            names=tuple((label, name) for label, name in named if name),
            minimum=minimum,
            maximum=maximum,
            path=self.path,
            package=self.package,
            package_version=self.package_version if has_version else None,
            app_ids=self.app_ids,
        )


class _Parser:
    """Reads one policy, front to back."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.files: list[_Draft] = []
        self.signers: list[SignerRule] = []
        self.supplemental: tuple[int, ...] = ()
        self.ids: tuple[str, str] | None = None
        self.unknown: list[str] = []

    def policy(self) -> Policy:
        """The header, the body, the blocks, and what they come to."""
        reader = self.reader
        self.format = reader.number()
        if not 0 < self.format < 0x100:
            raise MalformedError(STRUCTURE, 0, f"format version {self.format}")
        type_id, platform_id = reader.guid(), reader.guid()
        options = reader.number()
        if not options & 0x8000_0000:
            raise MalformedError(STRUCTURE, 0x24, f"options {options:#010x}")
        counts = [reader.number() for _ in range(4)]
        number = reader.version()
        body = reader.number()
        if body != _BODY:
            raise MalformedError(STRUCTURE, 0x40, f"a body at {body:#x}")
        ekus = self.ekus(counts[0])
        self.files = self.many(counts[1], 24, self.file_rule)
        self.signers = self.many(counts[2], 40, lambda: self.signer(ekus))
        update, user_mode = self.signer_indices(), self.signer_indices()
        scenarios = self.many(counts[3], 48, lambda: self.scenario(counts[3]))
        hvci = reader.number()
        settings = self.many(reader.number(), 32, self.setting)
        self.blocks()
        if left := len(reader.data) - reader.at:
            self.unknown.append(f"{left} bytes behind its end")
        policy_id, base_id = self.ids or (type_id, type_id)
        return Policy(
            format_version=self.format,
            policy_id=policy_id,
            base_id=base_id,
            platform_id=platform_id,
            type_id=type_id,
            version=number,
            supplemental=bool(options & ci_rules.SUPPLEMENT_FLAG) or policy_id != base_id,
            options=frozenset(name for name, bit in ci_rules.OPTIONS.items() if options & bit),
            ekus=ekus,
            rules=tuple(draft.rule() for draft in self.files),
            signers=tuple(self.signers),
            scenarios=tuple(scenarios),
            update_signers=update,
            ci_signers=user_mode,
            supplemental_signers=self.supplemental,
            hvci=hvci,
            settings=tuple(settings),
            not_understood=(*ci_rules.no_options(options), *self.unknown),
        )

    def many(self, count: int, each: int, read: Callable[[], T]) -> list[T]:
        self.reader.check(count, each)
        return [read() for _ in range(count)]

    def ekus(self, count: int) -> tuple[str, ...]:
        found = []
        for raw in self.many(count, 4, self.reader.counted):
            oid = ci_rules.eku_oid(raw)
            if not oid:
                self.unknown.append(f"purpose {raw[:32].hex()}")
            found.append(oid or raw.hex())  # never the purpose of a certificate
        return tuple(found)

    def file_rule(self) -> _Draft:
        reader = self.reader
        kind = reader.number()
        if kind >= len(_KINDS):
            raise reader.fail(f"a file rule of kind {kind}")
        return _Draft(_KINDS[kind], reader.text(), reader.version(), reader.counted())

    def signer(self, ekus: tuple[str, ...]) -> SignerRule:
        reader = self.reader
        tbs, well_known = b"", None
        match reader.number():
            case 0:
                tbs = reader.counted()
            case 1:
                well_known = reader.number()
            case other:
                raise reader.fail(f"a signer's root of kind {other}")
        purposes = reader.indices(len(ekus), "purpose")
        issuer, publisher, oem_id = reader.text(), reader.text(), reader.text()
        start = reader.at
        attributes = reader.indices(len(self.files), "file attribute")
        if any(self.files[index].kind is not Kind.ATTRIBUTE for index in attributes):
            raise MalformedError(STRUCTURE, start, "a signer narrowed by a rule of another kind")
        return SignerRule(
            tbs=tbs,
            well_known=well_known,
            ekus=tuple(ekus[index] for index in purposes),
            issuer=issuer,
            publisher=publisher,
            oem_id=oem_id,
            attributes=attributes,
        )

    def signer_indices(self) -> tuple[int, ...]:
        return self.reader.indices(len(self.signers), "signer")

    def scenario(self, count: int) -> Scenario:
        reader = self.reader
        value = reader.number()
        inherited = reader.indices(count, "signing scenario")
        algorithm = reader.number()
        return Scenario(
            value,
            inherited=inherited,
            minimum_hash=0 if algorithm == _NO_HASH_ASKED else algorithm,
            product=self.group(),
            test=self.group(),
            test_signing=self.group(),
        )

    def group(self) -> Group:
        allowed, denied = self.listed(), self.listed()
        return Group(allowed, denied, self.reader.indices(len(self.files), "file rule"))

    def listed(self) -> tuple[Listed, ...]:
        return tuple(self.many(self.reader.number(), 8, self.entry))

    def entry(self) -> Listed:
        signer = self.reader.number()
        if signer >= len(self.signers):
            raise self.reader.fail(f"signer {signer} of {len(self.signers)}")
        return Listed(signer, self.reader.indices(len(self.files), "file rule"))

    def setting(self) -> Setting:
        reader = self.reader
        where = reader.text(), reader.text(), reader.text()
        value: bool | int | bytes | str
        match reader.number():
            case 0:
                value = reader.number() != 0
            case 1:
                value = reader.number()
            case 2:
                value = reader.counted()
            case 3:
                value = reader.text()
            case other:
                raise reader.fail(f"a setting of type {other}")
        return Setting(*where, value)

    # --- blocks -----------------------------------------------------------------------------

    def blocks(self) -> None:
        """What later formats added. The number behind the last one tells that all was read."""
        readers = {3: self.block_3, 4: self.block_4, 5: self.block_5, 6: self.block_6}
        readers[7] = self.block_7
        for number in range(3, min(self.format, _LAST_KNOWN) + 1):
            self.mark(number)
            if number == _LAST_KNOWN:
                return self.block_8()
            readers[number]()
        return self.mark(self.format + 1)

    def mark(self, number: int) -> None:
        if (found := self.reader.number()) != number:
            self.reader.at -= 4
            raise self.reader.fail(f"block {number} was expected, not {found}")

    def block_3(self) -> None:
        reader = self.reader
        for draft in self.files:
            draft.maximum = reader.version()
            draft.app_ids = "".join(self.many(reader.number(), 8, reader.text))
        self.signers = [replace(signer, signed_after=reader.long()) for signer in self.signers]

    def block_4(self) -> None:
        for draft in self.files:
            draft.others = self.reader.text(), self.reader.text(), self.reader.text()

    def block_5(self) -> None:
        for draft in self.files:
            draft.package, draft.package_version = self.reader.text(), self.reader.version()

    def block_6(self) -> None:
        self.ids = self.reader.guid(), self.reader.guid()
        self.supplemental = self.signer_indices()

    def block_7(self) -> None:
        for draft in self.files:
            draft.path = self.reader.text()

    def block_8(self) -> None:
        """Settings of applications, and whatever a later format has: not read."""
        reader = self.reader
        if self.format > _LAST_KNOWN:
            self.unknown.append(f"what format {self.format} has beyond format {_LAST_KNOWN}")
            reader.at = len(reader.data)
        elif reader.number() == 0:
            self.mark(self.format + 1)
        else:  # they concern no driver
            reader.at = len(reader.data)
