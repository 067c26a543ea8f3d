"""What NTFS keeps about a file beside its bytes, through ntfs-3g's extended attributes.

Names and meaning: ntfs-3g's manual page, "Extended attributes"; measured in media-facts section 4.
Security descriptors: [MS-DTYP] sections 2.4.2 (SID), 2.4.4 (ACE), 2.4.5 (ACL) and 2.4.6.

Two traps decide the shape of this module. `os.getxattr` asks with 128 bytes first, which ntfs-3g
answers with EIO for a longer descriptor: so `lgetxattr` is called with a large buffer at once. And
`listxattr` shows none of these names: so each is asked for by name. Where a file system has no such
attribute (FAT, ext4) the answer is None. Not kept: the change time (ntfs-3g sets it itself), named
streams and object ids, which the files we replace do not have.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_SECURITY = b"system.ntfs_acl"
_ATTRIBUTES = b"system.ntfs_attrib_be"
_TIMES = b"system.ntfs_times_be"
_CREATED = b"system.ntfs_crtime_be"
_SHORT_NAME = b"system.ntfs_dos_name"
_REPARSE = b"system.ntfs_reparse_data"

_BUFFER = 64 * 1024
# EMLINK: ntfs-3g tells no short name of a file with several hard links.
_ABSENT = frozenset({errno.ENODATA, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS})


@dataclass(frozen=True, slots=True)
class Metadata:
    """Raw values, as ntfs-3g gives and takes them; None where the file has none."""

    security: bytes | None = None  # self-relative security descriptor
    attributes: bytes | None = None  # big-endian dword, FILE_ATTRIBUTE_*
    times: bytes | None = None  # creation, modification, access (, change): big-endian FILETIMEs
    short_name: bytes | None = None  # 8.3 name
    modified: int = 0  # ns since 1970: what file systems without `times` have


def read(path: Path) -> Metadata:
    """Everything of a file that replacing it by a new one would lose."""
    return Metadata(
        security=_get(path, _SECURITY),
        attributes=_get(path, _ATTRIBUTES),
        times=_get(path, _TIMES),
        short_name=_get(path, _SHORT_NAME),
        modified=path.lstat().st_mtime_ns,
    )


def write(path: Path, metadata: Metadata, *, times: bool) -> None:
    """Give a file the descriptor, attributes and times of `metadata`, but not its short name.

    Without `times` only the creation time is given: a changed file was modified now.
    """
    if metadata.security is not None:
        _set(path, _SECURITY, metadata.security)
    if metadata.attributes is not None:
        _set(path, _ATTRIBUTES, metadata.attributes)
    if metadata.times is not None:
        _set(path, _TIMES if times else _CREATED, metadata.times if times else metadata.times[:8])
    elif times and metadata.modified:
        os.utime(path, ns=(metadata.modified, metadata.modified), follow_symlinks=False)


def set_security(path: Path, descriptor: bytes) -> bool:
    """Set a security descriptor; False where the file system has none."""
    if _get(path, _SECURITY) is None:
        return False
    _set(path, _SECURITY, descriptor)
    return True


def security(path: Path) -> bytes | None:
    """The security descriptor; None where the file system has none."""
    return _get(path, _SECURITY)


def hides_short_name(path: Path) -> bool:
    """Whether there is a short name here that ntfs-3g does not tell, as the file has several links.

    Once its long name was renamed or removed, that short name is lost: none can be set then.
    """
    return _ask(path, _SHORT_NAME)[1] == errno.EMLINK


def identity_of_packed(path: Path) -> bytes:
    """What tells a compressed file, which ntfs-3g cannot read, from another: its record, the times
    of its creation and last change, its reparse point. Whoever writes to it unpacks it."""
    times = _get(path, _TIMES) or b""
    return path.lstat().st_ino.to_bytes(8, "big") + times[:16] + (_get(path, _REPARSE) or b"")


def set_short_name(path: Path, name: bytes) -> None:
    """Set the 8.3 name. Raises FileExistsError when another file has taken it."""
    if _get(path, _SHORT_NAME) != name:
        _set(path, _SHORT_NAME, name)


# --- security descriptors -----------------------------------------------------------------


def _sid(*parts: int) -> bytes:
    return (
        struct.pack("<BB", 1, len(parts)) + b"\0\0\0\0\0\5" + struct.pack(f"<{len(parts)}I", *parts)
    )


_SYSTEM = _sid(18)
_ADMINISTRATORS = _sid(32, 544)
_TRUSTED = frozenset({_SYSTEM, _ADMINISTRATORS})
_DACL_PRESENT, _DACL_PROTECTED, _SELF_RELATIVE = 0x0004, 0x1000, 0x8000
_ALLOW, _DENY = 0, 1
_FULL_CONTROL = 0x001F01FF
_HEADER = struct.Struct("<BBHIIII")
_ACL = struct.Struct("<BBHHH")
_ACE = struct.Struct("<BBHI")


def _private(inherit: int) -> bytes:
    """Owner Administrators; SYSTEM and Administrators may do all, nobody else anything."""
    aces = b"".join(
        _ACE.pack(_ALLOW, inherit, _ACE.size + len(sid), _FULL_CONTROL) + sid
        for sid in (_SYSTEM, _ADMINISTRATORS)
    )
    dacl = _ACL.pack(2, 0, _ACL.size + len(aces), 2, 0) + aces
    owner, group = _HEADER.size, _HEADER.size + len(_ADMINISTRATORS)
    control = _SELF_RELATIVE | _DACL_PROTECTED | _DACL_PRESENT
    header = _HEADER.pack(1, 0, control, owner, group, 0, group + len(_ADMINISTRATORS))
    return header + _ADMINISTRATORS + _ADMINISTRATORS + dacl


PRIVATE_FOLDER = _private(inherit=0x03)  # object inherit, container inherit
PRIVATE_FILE = _private(inherit=0)


def is_private(descriptor: bytes) -> bool:
    """True if nobody but SYSTEM and Administrators owns it or appears in its protected DACL."""
    try:
        _, _, control, owner, _, _, dacl = _HEADER.unpack_from(descriptor)
        wanted = _DACL_PROTECTED | _DACL_PRESENT
        if control & wanted != wanted or not owner or not dacl:
            return False
        if _sid_at(descriptor, owner) not in _TRUSTED:
            return False
        return all(sid in _TRUSTED for sid in _granted(descriptor, dacl))
    except (struct.error, IndexError):
        return False


def _sid_at(descriptor: bytes, offset: int) -> bytes:
    return descriptor[offset : offset + 8 + 4 * descriptor[offset + 1]]


def _granted(descriptor: bytes, dacl: int) -> list[bytes]:
    """The SIDs that the DACL allows something; an unknown kind of entry counts as a stranger."""
    *_, count, _ = _ACL.unpack_from(descriptor, dacl)
    at, sids = dacl + _ACL.size, []
    for _ in range(count):
        kind, _, size, _ = _ACE.unpack_from(descriptor, at)
        if kind != _DENY:
            sids.append(_sid_at(descriptor, at + _ACE.size) if kind == _ALLOW else b"")
        at += size
    return sids


# --- extended attributes ------------------------------------------------------------------


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _get(path: Path, name: bytes) -> bytes | None:
    value, code = _ask(path, name)
    if value is None and code not in _ABSENT:
        raise OSError(code, os.strerror(code), str(path))
    return value


def _ask(path: Path, name: bytes) -> tuple[bytes | None, int]:
    """The value, or why there is none."""
    buffer = ctypes.create_string_buffer(_BUFFER)
    size = int(_libc().lgetxattr(os.fsencode(path), name, buffer, _BUFFER))
    return (buffer.raw[:size], 0) if size >= 0 else (None, ctypes.get_errno())


def _set(path: Path, name: bytes, value: bytes) -> None:
    if _libc().lsetxattr(os.fsencode(path), name, value, len(value), 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(path))
