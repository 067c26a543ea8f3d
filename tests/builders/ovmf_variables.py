"""The variable store of OVMF with Secure Boot keys enrolled, written without firmware's help.

Layout: UEFI PI 1.7 volume 3, "Firmware Volume" (the header that the empty store begins with);
EDK2, MdeModulePkg/Include/Guid/VariableFormat.h (store and variable headers); UEFI 2.10, 32.4.1
(EFI_SIGNATURE_LIST). Variables are appended to a store that is empty, as OVMF_VARS*.fd is.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization

_GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")
_IMAGE_SECURITY = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")
_ENABLE = uuid.UUID("f0a30bc7-af08-4556-99c4-001009c93a44")
_X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
_AUTHENTICATED_STORE = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792")
_OWNER = uuid.UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")
_KEYS = 0x27  # non-volatile, boot services, runtime, time-based authenticated
_SETTING = 0x03  # non-volatile, boot services
_STORE_HEADER = 28


def enrolled(empty: bytes, db: Sequence[x509.Certificate], authority: x509.Certificate) -> bytes:
    """`empty`: content of OVMF_VARS*.fd. `authority` becomes platform and key exchange key."""
    made = b"".join(
        (
            _variable("PK", _GLOBAL, _KEYS, signature_list([authority])),
            _variable("KEK", _GLOBAL, _KEYS, signature_list([authority])),
            _variable("db", _IMAGE_SECURITY, _KEYS, signature_list(db)),
            _variable("SecureBootEnable", _ENABLE, _SETTING, b"\x01"),
        )
    )
    (header,) = struct.unpack_from("<H", empty, 48)  # of the firmware volume
    assert empty[header : header + 16] == _AUTHENTICATED_STORE.bytes_le
    at = header + _STORE_HEADER
    assert empty[at : at + len(made)] == b"\xff" * len(made), "the store is not empty"
    return empty[:at] + made + empty[at + len(made) :]


def _variable(name: str, vendor: uuid.UUID, attributes: int, data: bytes) -> bytes:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    moment = struct.pack("<HBBBBBBIhBB", now.year, now.month, now.day, 0, 0, 0, 0, 0, 0, 0, 0)
    wide = (name + "\0").encode("utf-16-le")
    header = struct.pack("<HBBIQ", 0x55AA, 0x3F, 0, attributes, 0)  # valid, added
    header += moment + struct.pack("<III", 0, len(wide), len(data)) + vendor.bytes_le
    whole = header + wide + data
    return whole + b"\xff" * (-len(whole) % 4)


def signature_list(certificates: Sequence[x509.Certificate]) -> bytes:
    """Certificates differ in size, so each has a list of its own."""
    lists = b""
    for certificate in certificates:
        der = certificate.public_bytes(serialization.Encoding.DER)
        size = 16 + len(der)
        lists += _X509.bytes_le + struct.pack("<III", 28 + size, 0, size) + _OWNER.bytes_le + der
    return lists
