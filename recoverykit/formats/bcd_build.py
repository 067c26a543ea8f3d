"""A boot store's hive made from nothing, as `bcdedit /createstore` and its like make one.

Version 1.3, root key NewStoreRoot, and one security descriptor on every key, the one that the
stores of real installations have: all to SYSTEM, reading and changing permissions to
administrators. What goes in is a `Store` of any origin; `bcd_entries` makes those of new media.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from recoverykit.errors import FormatError
from recoverykit.formats import bcd_edit, hive_create, hive_edit
from recoverykit.formats.bcd import Store
from recoverykit.formats.hive import Hive

# O:BAG:SYD:(A;;0x60019;;;BA)(A;;KA;;;SY)
SECURITY = bytes.fromhex(
    "01000480480000005800000000000000140000000200340002000000"
    "000018001900060001020000000000052000000020020000"
    "000014003f000f00010100000000000512000000"
    "01020000000000052000000020020000"
    "010100000000000512000000"
)


def build(store: Store, *, when: datetime, name: str = "BCD") -> bytes:
    """The whole hive file, clean; `name` goes into its header. Raises FormatError for a store
    that cannot be one: an object or element named twice, a value too large.
    """
    _require_unique(store)
    image = hive_create.create(name, root="NewStoreRoot", when=when, minor=3, security=SECURITY)
    wanted = bcd_edit.changes(Store(()), store, Hive(image))
    first = hive_create.FIRST_SEQUENCE
    return hive_edit.edit(image, wanted, sequence=first, when=when).image


def _require_unique(store: Store) -> None:
    seen: Counter[str] = Counter()
    for item in store.objects:
        seen[item.id] += 1
        seen.update(f"{item.id} element {own.type:08x}" for own in item.elements)
    twice = next((name for name, count in seen.items() if count > 1), "")
    if twice:
        raise FormatError("boot store", 0, f"{twice} is there twice")
