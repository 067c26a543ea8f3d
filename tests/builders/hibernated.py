"""Leave an NTFS volume as hibernation (or Fast Startup) leaves it: hiberfil.sys holds an image."""

from __future__ import annotations

from pathlib import Path

HIBERNATED, RESUMED = b"hibr", b"wake"


def hibernate(mount: Path, magic: bytes = HIBERNATED) -> None:
    """Write hiberfil.sys into a mounted volume; only its first bytes are looked at.

    Windows writes `magic` in upper case since Windows 8, and blanks the header once it resumed.
    """
    header = magic.ljust(4096, b"\0")
    (mount / "hiberfil.sys").write_bytes(header + bytes(2 * 4096))
