"""How the keys of a layered hive, which Windows keeps for containers, cover those of another one.

Layout: msuhanov/regf, "Windows registry file format specification", section "Layered keys". Only
told, never followed: the hive below is not ours to know.
"""

from __future__ import annotations

from enum import StrEnum


class Layer(StrEnum):
    """What becomes of the key of the same path in the hive below."""

    MERGED = "merged"
    TOMBSTONE = "tombstone"  # it is deleted, and this one is nothing else
    REPLACED = "replaced"  # not seen; its subkeys still are
    REPLACED_TREE = "replaced-tree"  # not seen, and nothing below it


_NUMBERED = tuple(Layer)
LAYERED = 0x0002  # flag of a hive: its keys have these bits


def layer(bits: int) -> Layer:
    """From the second byte of a key's access bits."""
    return _NUMBERED[bits & 3]


def inherits_class(bits: int) -> bool:
    """Whether the class name is that of the key below."""
    return bool(bits & 0x80)
