"""What every byte of a signed file is for, by the specifications, and which of them nobody signed.

An independent map (tests.builders.der_map; "PE Format"; RFC 5652; "Windows Authenticode Portable
Executable Signature Format") of files that are as they should be. A change in a region of
`UNSIGNED` may leave a file good: each has its reason. A change anywhere else must not.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from tests.builders import signed
from tests.builders.der import oid
from tests.builders.der_map import Node, node

# Regions in which a change may go unnoticed, and why that is so and does no harm.
UNSIGNED = {
    "checksum": "not hashed: it is made after the signature, and Windows checks it by itself",
    "entry revision": "nothing is read by it",
    "message version": "follows from what the message holds; nothing is read by it",
    "message digest algorithms": "a summary; each signer names its own",
    "signer version": "follows from how the signer is named; nothing is read by it",
    "digest parameters": "NULL, and some write nothing; no digest here has any",
    "signature parameters": "NULL for RSA; those of PSS must fit the key's signature",
    "signature algorithm": "RSA has one name by itself and one with each digest, named beside it",
    "spare certificate": "on nobody's way up: roots, which are known already, and leftovers",
    "bag header": "leftovers may fall into the bag of certificates, or out of it",
    "revocation lists": "not read",
    "unsigned attribute": "by its nature: its name may become that of one nobody looks at",
    "unsigned part of a timestamp": "as in other messages",
    "one of several signatures": "if it is lost, or its way up is, another must be enough",
    "entry length": "up to the next multiple of eight it means the same",
}
_SEVERAL = "one of several signatures"
_NESTED, _COUNTER = oid(signed.NESTED), oid(signed.COUNTERSIGNATURE)
_TOKENS = (oid(signed.TOKEN), oid("1.2.840.113549.1.9.16.2.14"))
# Of the headers, from the signature on: name, size in PE32, size in PE32+ ("PE Format").
_FIELDS = (
    *(("Signature", 4, 4), ("Machine", 2, 2), ("NumberOfSections", 2, 2), ("TimeDateStamp", 4, 4)),
    *(("PointerToSymbolTable", 4, 4), ("NumberOfSymbols", 4, 4), ("SizeOfOptionalHeader", 2, 2)),
    *(("Characteristics", 2, 2), ("Magic", 2, 2), ("LinkerVersion", 2, 2), ("SizeOfCode", 4, 4)),
    *(("SizeOfInitializedData", 4, 4), ("SizeOfUninitializedData", 4, 4)),
    *(("AddressOfEntryPoint", 4, 4), ("BaseOfCode", 4, 4), ("BaseOfData", 4, 0)),
    *(("ImageBase", 4, 8), ("SectionAlignment", 4, 4), ("FileAlignment", 4, 4)),
    *(("OperatingSystemVersion", 4, 4), ("ImageVersion", 4, 4), ("SubsystemVersion", 4, 4)),
    *(("Win32VersionValue", 4, 4), ("SizeOfImage", 4, 4), ("SizeOfHeaders", 4, 4)),
    *(("CheckSum", 4, 4), ("Subsystem", 2, 2), ("DllCharacteristics", 2, 2)),
    *(("stack and heap", 16, 32), ("LoaderFlags", 4, 4), ("NumberOfRvaAndSizes", 4, 4)),
    *((f"directory {number}", 8, 8) for number in range(16)),
)


@dataclass(frozen=True, slots=True)
class Region:
    start: int
    end: int
    name: str


def of_executable(content: bytes) -> list[Region]:
    """Regions in order, from the first byte to the last."""
    checksum, entry = signed.places(content)
    at, size = struct.unpack_from("<II", content, entry)
    found = [
        Region(checksum, checksum + 4, "checksum"),
        Region(entry, entry + 8, "directory entry"),
        *_one_of_several(list(_table(content, at, at + size))),
    ]
    found += _headers(content, {region.start for region in found})
    return _complete(content, found, "hashed")


def _headers(content: bytes, taken: set[int]) -> Iterator[Region]:
    """Every field of the headers, every section: all of it is hashed."""
    (start,) = struct.unpack_from("<I", content, 60)
    (magic,) = struct.unpack_from("<H", content, start + 24)
    (count, optional) = struct.unpack_from("<H12xH", content, start + 6)
    yield Region(0, 2, "hashed MZ")
    yield Region(60, 64, "hashed e_lfanew")
    wide = magic == 0x20B
    at = start
    for name, size, size_wide in _FIELDS:
        end = at + (size_wide if wide else size)
        if end > at and at not in taken:
            yield Region(at, end, f"hashed {name}")
        at = end
    for number in range(count):
        header = start + 24 + optional + 40 * number
        name = content[header : header + 8].rstrip(b"\0").decode("latin-1")
        size, place = struct.unpack_from("<II", content, header + 16)
        yield Region(header, header + 40, f"hashed header of {name}")
        if size:
            yield Region(place, place + size, f"hashed {name}")


def _one_of_several(found: list[Region]) -> Iterator[Region]:
    """Where there are several signatures nobody needs the way up of each, or its timestamp."""
    several = sum(region.name == "signature" for region in found) > 1
    for region in found:
        free = several and region.name.startswith(("certificate", "timestamp"))
        yield Region(region.start, region.end, _SEVERAL if free else region.name)


def of_message(content: bytes) -> list[Region]:
    """The same for a catalog."""
    return _complete(content, list(_message(node(content))), "structure")


def _complete(content: bytes, found: list[Region], rest: str) -> list[Region]:
    found.sort(key=lambda region: region.start)
    whole, at = [], 0
    for region in [*found, Region(len(content), len(content), "")]:
        if region.start > at:
            whole.append(Region(at, region.start, rest))
        if region.end > region.start:
            whole.append(region)
        at = max(at, region.end)
    return whole


def _table(content: bytes, at: int, end: int) -> Iterator[Region]:
    while at < end:
        (length,) = struct.unpack_from("<I", content, at)
        if not length:
            yield Region(at, end, "filling")
            return
        message = node(content, at + 8)
        stop = at + length + -length % 8
        yield Region(at, at + 4, "entry length")
        yield Region(at + 4, at + 6, "entry revision")
        yield Region(at + 6, at + 8, "entry kind")
        inside = list(_message(message))
        yield from _complete_within(message, inside)
        yield Region(message.end, stop, "filling")
        at = stop


def _complete_within(outer: Node, found: list[Region]) -> Iterator[Region]:
    """What is between those that have a name is structure: tags, lengths, types."""
    at = outer.start
    for region in sorted(found, key=lambda each: each.start):
        if region.start > at:
            yield Region(at, region.start, "structure")
        yield region
        at = region.end
    if at < outer.end:
        yield Region(at, outer.end, "structure")


def _named(part: Node, name: str) -> Region:
    return Region(part.start, part.end, name)


# --- messages -----------------------------------------------------------------------------


def _message(outer: Node) -> Iterator[Region]:
    version, algorithms, contents, *rest = outer.at(1, 0).children()
    signers = rest[-1]
    yield _named(version, "message version")
    yield _named(algorithms, "message digest algorithms")
    value = contents.at(1, 0)
    yield Region(value.body, value.end, "contents")
    bag = next((each for each in rest[:-1] if each.tag == 0xA0), None)
    for part in rest[:-1]:
        if part.tag == 0xA1:
            yield _named(part, "revocation lists")
    certificates = bag.children() if bag else []
    if bag:
        yield Region(bag.start, bag.body, "bag header")
    wanted = [_issuer(each) for signer in signers.children() for each in _all_signers(signer)]
    ways = _ways(certificates, wanted)
    for each in certificates:
        yield from _certificate(each, ways)
    for signer in signers.children():
        yield from _signer(signer)


def _all_signers(signer: Node) -> Iterator[Node]:
    """A SignerInfo and its countersigners, whose certificates are in the same bag."""
    yield signer
    for attribute in _unsigned(signer):
        if attribute.at(0).whole == _COUNTER:
            yield from attribute.at(1).children()


def _unsigned(signer: Node) -> list[Node]:
    last = signer.children()[-1]
    return last.children() if last.tag == 0xA1 else []


def _issuer(signer: Node) -> bytes:
    """How a SignerInfo names its certificate."""
    return signer.at(1).contents


def _names(certificate: Node) -> tuple[bytes, bytes, bytes]:
    """(issuer and serial number as a SignerInfo has them, issuer, subject)."""
    fields = certificate.at(0).children()
    first = 1 if fields[0].tag == 0xA0 else 0
    serial, issuer, subject = fields[first], fields[first + 2], fields[first + 4]
    return issuer.whole + serial.whole, issuer.whole, subject.whole


def _ways(certificates: list[Node], wanted: list[bytes]) -> set[int]:
    """Where those certificates start that somebody who signed needs: his own, and what is above.

    No file here has two of one name that both lead up.
    """
    known = {each.start: _names(each) for each in certificates}
    found = {start for start, (identity, _, _) in known.items() if identity in wanted}
    names = [known[start][1] for start in found]
    for name in names:  # it grows while it is walked
        for start, (_, issuer, subject) in known.items():
            if subject == name != issuer and start not in found:
                found.add(start)
                names.append(issuer)
    return found


def _certificate(part: Node, ways: set[int]) -> Iterator[Region]:
    if part.start not in ways:
        yield _named(part, "spare certificate")
        return
    tbs, algorithm, signature = part.children()
    yield Region(part.start, tbs.start, "certificate")
    yield _named(tbs, "certificate, signed part")
    yield _named(algorithm, "certificate, algorithm outside")
    yield _named(signature, "certificate, signature")


# --- signers ------------------------------------------------------------------------------


def _signer(part: Node, prefix: str = "") -> Iterator[Region]:
    fields = part.children()
    yield _named(fields[0], "signer version")
    yield _named(fields[1], "signer's name")
    yield from _algorithm(fields[2], "digest algorithm", "digest parameters")
    rest = fields[3:]
    if rest[0].tag == 0xA0:
        yield _named(rest.pop(0), "signed attributes")
    yield from _algorithm(rest[0], "signature algorithm", "signature parameters")
    yield _named(rest[1], "signature")
    for attribute in _unsigned(part):
        yield from _attribute(attribute)


def _algorithm(part: Node, name: str, parameters: str) -> Iterator[Region]:
    kind, *rest = part.children()
    yield _named(kind, name)
    for each in rest:
        yield _named(each, parameters)


def _attribute(part: Node) -> Iterator[Region]:
    kind = part.at(0).whole
    if kind == _NESTED:
        yield Region(part.start, part.at(1).body, _SEVERAL)
        for value in part.at(1).children():
            yield from _complete_within(value, list(_message(value)))
    elif kind in (*_TOKENS, _COUNTER):
        yield from _timestamp(part, is_token=kind != _COUNTER)
    else:
        yield _named(part, "unsigned attribute")


def _timestamp(part: Node, *, is_token: bool) -> Iterator[Region]:
    """Without it the certificate must be valid now: where it is not, its signed parts must hold."""
    found: list[Region] = []
    for value in part.at(1).children():
        found += _message(value) if is_token else _signer(value)
    for region in _complete_within(part, found):
        free = region.name in UNSIGNED
        name = "unsigned part of a timestamp" if free else f"timestamp {region.name}"
        yield Region(region.start, region.end, name)
