"""EFI programs and what firmware trusts, written by hand.

UEFI Specification 2.10, 32.4.1 (EFI_SIGNATURE_LIST) and 8.2.2 (EFI_VARIABLE_AUTHENTICATION_2);
Microsoft "PE Format"; https://github.com/rhboot/shim, cert.S and sbat_var.S. `variables` reads
EDK II's store of authenticated variables (MdeModulePkg, VariableFormat.h), as OVMF's files hold it.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping, Sequence

from signing.keys import SigningKey
from tests.builders import authenticode

SHA256 = uuid.UUID("c1c41626-504c-4092-aca9-41f936934328")
X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
X509_SHA256 = uuid.UUID("3bd2a492-96c0-4079-b420-fcf98ef103ed")
OWNER = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")

_GLOBAL, _SECURITY = (
    "8be4df61-93ca-11d2-aa0d-00e098032b8c",
    "d719b2cb-3d3a-4596-a3bc-dad00e67656f",
)
_VENDORS = {
    "PK": (_GLOBAL, 0x27),
    "KEK": (_GLOBAL, 0x27),
    "db": (_SECURITY, 0x27),
    "dbx": (_SECURITY, 0x27),
    "SecureBootEnable": ("f0a30bc7-af08-4556-99c4-001009c93a44", 3),  # of edk2, not of UEFI
}
_PAGE, _BLOCK = 0x1000, 0x200
_HEADERS = 0x400
_MACHINES = {"x64": 0x8664, "arm64": 0xAA64, "x86": 0x14C}


def signature_list(
    kind: uuid.UUID, *entries: bytes, header: bytes = b"", owner: uuid.UUID = OWNER
) -> bytes:
    size = 16 + (len(entries[0]) if entries else 32)
    total = 28 + len(header) + size * len(entries)
    head = kind.bytes_le + struct.pack("<III", total, len(header), size) + header
    return head + b"".join(owner.bytes_le + each for each in entries)


def efi_time(year: int, month: int, day: int, rest: bytes = bytes(12)) -> bytes:
    return struct.pack("<HBB", year, month, day) + rest


def update(lists: bytes, signature: bytes = b"0\x00", time: bytes = efi_time(2026, 1, 2)) -> bytes:
    pkcs7 = uuid.UUID("4aafd29d-68df-49ee-8aa9-347d375665a7").bytes_le
    return time + struct.pack("<IHH", 24 + len(signature), 0x200, 0xEF1) + pkcs7 + signature + lists


def svn_data(application: str, major: int, minor: int) -> bytes:
    """SVN_DATA: version, application, minor, major, zeros."""
    guid = uuid.UUID(application).bytes_le
    return struct.pack("<B16sHH11x", 1, guid, minor, major)


def program(
    sections: Mapping[str, bytes] | None = None,
    rcdata: Mapping[str, bytes] | None = None,
    *,
    machine: str = "x64",
    subsystem: int = 10,
) -> bytes:
    """An EFI application that does nothing, with these sections and resources."""
    parts = {".text": b"\xc3".ljust(_BLOCK, b"\xcc"), **(sections or {})}
    laid: list[tuple[str, int, bytes]] = []
    address = _PAGE
    for name, content in parts.items():
        laid.append((name, address, content))
        address += _round(len(content), _PAGE)
    directory = (0, 0)
    if rcdata is not None:
        content = resources(rcdata, address)
        laid.append((".rsrc", address, content))
        directory = (address, len(content))
        address += _round(len(content), _PAGE)
    return _headers(laid, directory, address, machine, subsystem) + b"".join(
        content + bytes(-len(content) % _BLOCK) for _, _, content in laid
    )


def _headers(
    laid: Sequence[tuple[str, int, bytes]],
    resource: tuple[int, int],
    end: int,
    machine: str,
    subsystem: int,
) -> bytes:
    wide = machine != "x86"
    start = struct.pack("<HBBIIIII", 0x20B if wide else 0x10B, 0, 0, _BLOCK, 0, 0, _PAGE, _PAGE)
    start += struct.pack("<Q", 0) if wide else struct.pack("<II", 0, 0)
    middle = struct.pack("<II16xIIIHH", _PAGE, _BLOCK, end, _HEADERS, 0, subsystem, 0)
    sizes = bytes(32 if wide else 16)
    directories = struct.pack("<16xII", *resource).ljust(16 * 8, b"\0")
    optional = start + middle + sizes + struct.pack("<II", 0, 16) + directories
    names, table, offset = b"", b"", _HEADERS
    strings = 0
    for name, address, content in laid:
        shown = name.encode()
        if len(shown) > 8:  # in the table of strings, which begins where the symbols are
            shown, names = f"/{4 + len(names)}".encode(), names + shown + b"\0"
            strings = _HEADERS - 64
        size = _round(len(content), _BLOCK)
        table += struct.pack("<8sIIII12xI", shown, len(content), address, size, offset, 0x4000_0040)
        offset += size
    coff = struct.pack(
        "<HHIIIHH", _MACHINES[machine], len(laid), 0, strings, 0, len(optional), 0x2022
    )
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + b"PE\0\0" + coff + optional + table
    if not strings:
        return head.ljust(_HEADERS, b"\0")
    assert len(head) <= strings
    text = struct.pack("<I", 4 + len(names)) + names
    return head.ljust(strings, b"\0") + text.ljust(64, b"\0")


def resources(named: Mapping[str, bytes], address: int, kind: int = 10) -> bytes:
    """A tree of three levels: one type, the names, one language each."""
    count = len(named)
    names_at = 16 + 8
    languages_at = names_at + 16 + 8 * count
    data_at = languages_at + 24 * count
    strings_at = data_at + 16 * count
    tree = struct.pack("<12xHHII", 0, 1, kind, names_at | 0x8000_0000)
    tree += struct.pack("<12xHH", count, 0)
    strings, languages, data, contents = b"", b"", b"", b""
    total = sum(2 + 2 * len(name) for name in named)
    contents_at = strings_at + _round(total, 4)
    for index, (name, content) in enumerate(named.items()):
        below = languages_at + 24 * index
        name_at = strings_at + len(strings)
        tree += struct.pack("<II", name_at | 0x8000_0000, below | 0x8000_0000)
        strings += struct.pack("<H", len(name)) + name.encode("utf-16-le")
        languages += struct.pack("<12xHHII", 0, 1, 0x409, data_at + 16 * index)
        where = address + contents_at + len(contents)
        data += struct.pack("<IIII", where, len(content), 0, 0)
        contents += content + bytes(-len(content) % 4)
    return tree + languages + data + strings + bytes(-total % 4) + contents


def signed(image: bytes, *keys: SigningKey, how: authenticode.How | None = None) -> bytes:
    """The program with one entry of the certificate table for each key, in that order."""
    whole = image + bytes(-len(image) % 8)
    table = b""
    for key in keys:
        table += authenticode.signed(whole, key, how or authenticode.How())[len(whole) :]
    return with_table(whole, table)


def with_table(image: bytes, table: bytes) -> bytes:
    (magic,) = struct.unpack_from("<H", image, 0x40 + 24)
    at = 0x40 + 24 + (112 if magic == 0x20B else 96) + 4 * 8
    return image[:at] + struct.pack("<II", len(image), len(table)) + image[at + 8 :] + table


def vendor_certificates(trusted: bytes, revoked: bytes) -> bytes:
    """The section ".vendor_cert" of a shim."""
    places = (len(trusted), len(revoked), 16, 16 + len(trusted))
    return struct.pack("<IIII", *places) + trusted + revoked


def sbat_levels(automatic: str, latest: str) -> bytes:
    """The section ".sbatlevel" of a shim."""
    first, second = automatic.encode() + b"\0", latest.encode() + b"\0"
    return struct.pack("<III", 0, 8, 8 + len(first)) + first + second


def variables(store: bytes) -> dict[str, bytes]:
    """The authenticated variables of a firmware's flash, the last of each name."""
    found: dict[str, bytes] = {}
    at = store.find(b"\xaa\x55")
    while 0 <= at < len(store) - 60:
        state = store[at + 2]
        name_size, size = struct.unpack_from("<II", store, at + 36)
        name_at = at + 60
        if state == 0x3F and name_size < 256 and name_at + name_size + size <= len(store):
            name = store[name_at : name_at + name_size].decode("utf-16-le").rstrip("\0")
            found[name] = store[name_at + name_size : name_at + name_size + size]
        at = store.find(b"\xaa\x55", at + 2)
    return found


def with_variables(store: bytes, values: Mapping[str, bytes]) -> bytes:
    """A flash without variables (OVMF_VARS_4M.fd), with these as `variables` reads them."""
    (header,) = struct.unpack_from("<H", store, 48)  # of the firmware volume
    at = header + 28
    made = b""
    for name, value in values.items():
        vendor, attributes = _VENDORS[name]
        wide = (name + "\0").encode("utf-16-le")
        head = struct.pack("<HBxIQ", 0x55AA, 0x3F, attributes, 0) + efi_time(2026, 1, 1)
        head += struct.pack("<III", 0, len(wide), len(value)) + uuid.UUID(vendor).bytes_le
        made += head + wide + value
        made += b"\xff" * (-len(made) % 4)
    assert store[at : at + len(made)] == b"\xff" * len(made), "the flash is not empty"
    return store[:at] + made + store[at + len(made) :]


def _round(size: int, step: int) -> int:
    return -(-size // step) * step
