"""Keys and values of a hive created, changed and deleted, in memory.

Layout: msuhanov/regf, "Windows registry file format specification". What comes out is what Windows
would have written: lists sorted and hashed (`hive_lists`), security descriptors shared and counted
(`hive_security`), space taken from and given back to the bins (`hive_heap`), records of a key's
longest name and largest data never too small, the time of every key that changed.

Refused with FormatError: dirty hives, versions before 1.3 and after 1.6, names and sizes Windows
does not have, and damage where a change needs its cells: whatever is overwritten or freed is an
allocated cell with one owner. Only what is touched is looked at; damage elsewhere stays as it is.
Everything is checked before the first byte changes wherever that can be known; where an error comes
later all the same, the editor refuses any further use.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from recoverykit.errors import FormatError
from recoverykit.formats import hive_keys, hive_security, hive_values
from recoverykit.formats.binary import Buffer, to_filetime
from recoverykit.formats.cells import MAX_DEPTH
from recoverykit.formats.hive import Hive, Key
from recoverykit.formats.hive_files import Patched, overlaid
from recoverykit.formats.hive_heap import Heap
from recoverykit.formats.hive_keys import KeyNode
from recoverykit.formats.hive_opened import Opened
from recoverykit.formats.hive_security import Ring
from recoverykit.formats.hive_subtree import collect
from recoverykit.formats.hive_values import ValueNode
from recoverykit.formats.regf import BASE_BLOCK_SIZE, NOWHERE, SECTOR, seal

OLDEST_MINOR = 3


class Editor:
    """A clean hive image being changed in memory.

    `when` becomes the last-write time of every key that changes. Raises FormatError if `image` is
    no hive, dirty, of a version that is not written, or if its bins or its root are damaged; and
    ValueError for a `when` without time zone.
    """

    def __init__(self, image: Buffer, when: datetime) -> None:
        self._ticks = to_filetime(when)
        self._snapshot = Hive(image)
        self._snapshot_of = 0
        base = self._snapshot.base
        if not base.clean:
            raise FormatError("hive", 0, "dirty: its logs must be applied before it is changed")
        if base.minor < OLDEST_MINOR:
            raise FormatError("hive header", 24, f"version 1.{base.minor} is not written")
        self._minor, self._root = base.minor, base.root_cell
        self._heap = Heap(bytes(image))
        self._opened, self._ring = Opened(self._heap), Ring(self._heap)
        self._trail: list[tuple[str, int]] = []  # names and cells on the way to the last key
        self._in_place, self._broken = True, False
        hive_keys.key_at(self._heap, self._root)

    # --- looking --------------------------------------------------------------------------

    @property
    def hive(self) -> Hive:
        """The hive as it is now, to read. It does not follow later changes."""
        self._write_lists()
        if self._snapshot_of != self._heap.writes:
            self._snapshot = Hive(self._heap.whole())
            self._snapshot_of = self._heap.writes
        return self._snapshot

    def find(self, path: str) -> Key | None:
        """The key at `path` as it is now."""
        return self.hive.find(path)

    @property
    def in_place(self) -> bool:
        """Whether only data was exchanged for data of the same size and type, and key times."""
        return self._in_place

    def finish(self, sequence: int) -> bytes:
        """The whole new file: clean, with this sequence number; longer only where it had to grow.

        The time stamp goes into the header and into its copy in the first bin, which logs must
        match; where nothing was changed, nothing but the header's numbers is.
        """
        self._write_lists()
        return self._heap.whole(self._frame(sequence))

    def patched(self, sequence: int) -> Patched | None:
        """The same as the sectors that differ; None where more than data and times changed."""
        self._write_lists()
        written = self._heap.exchanged()
        if written is None:
            return None
        return overlaid(bytes(self._heap.image), {**written, **self._frame(sequence)})

    def mentions(self, cells: Sequence[int]) -> dict[int, list[int]] | None:
        """Where the offsets of these cells stand: see `hive_sharing.mentions`."""
        return self._heap.mentions(cells)

    def _frame(self, sequence: int) -> dict[int, bytes]:
        """What is written beside the changes themselves: bytes by file offset."""
        heap, over = self._heap, {}
        head = bytearray(heap.image[:SECTOR])
        if heap.writes:
            head[12:20] = over[BASE_BLOCK_SIZE + 20] = struct.pack("<Q", self._ticks)
        seal(head, sequence, heap.end - BASE_BLOCK_SIZE)
        return {0: bytes(head), **over}

    def _write_lists(self) -> None:
        with self._changing():
            self._opened.write()

    # --- keys -----------------------------------------------------------------------------

    def create_key(self, path: str, *, class_name: str = "", security: bytes | None = None) -> None:
        """Create a key and those above it that are missing. One that exists is left as it is.

        `class_name` and `security` are the last key's; without `security` a key shares its parent's
        descriptor.
        """
        names = _names(path)
        if len(hive_keys.utf16(class_name)) > 2 * hive_keys.LONGEST_CLASS:
            raise FormatError(f"key {path}", 0, "its class name is too long")
        if security is not None:
            hive_security.require_descriptor(security)
        with self._changing():
            key = self._deepest(names)
            missing = names[len(self._trail) :]
            if not missing:
                return
            for name in missing:
                hive_keys.require_key_name(name)
            self._heap.survey()
            self._claim_list(key)
            hive_security.require_ring(self._heap, key.security)
            for name in missing[:-1]:
                key = self._create(key, name, "", key.security)
            descriptor = key.security
            if security is not None:
                descriptor = self._ring.equal_or_new(key.security, security)
            self._create(key, missing[-1], class_name, descriptor)

    def _create(self, parent: KeyNode, name: str, class_name: str, security: int) -> KeyNode:
        heap = self._heap
        cell = hive_keys.new_key(
            heap,
            name,
            parent=parent.cell,
            ticks=self._ticks,
            security=security,
            class_name=class_name,
        )
        self._opened.subkeys(parent.cell).insert(heap, cell, name, minor=self._minor)
        hive_security.add_user(heap, security)
        length = len(hive_keys.utf16(class_name))
        hive_keys.grow_maximum(
            heap, parent.cell, hive_keys.KEY_MAX_NAME, len(hive_keys.utf16(name))
        )
        hive_keys.grow_maximum(heap, parent.cell, hive_keys.KEY_MAX_CLASS, length)
        self._touch(parent.cell)
        return hive_keys.key_at(heap, cell)

    def delete_key(self, path: str) -> None:
        """Delete a key with all that is below it. Raises FormatError where there is none."""
        with self._changing():
            heap = self._heap
            heap.survey()
            parent, key = self._parent_and_key(path)
            self._claim_list(parent)
            subtree = collect(
                heap,
                key.cell,
                minor=self._minor,
                depth=len(_names(path)),
                settle=self._opened.write_key,
            )
            heap.claim(subtree.cells, f"key {path}")
            hive_security.require_removable(heap, subtree.securities)
            siblings = self._opened.subkeys(parent.cell)
            siblings.remove(heap, key)
            for cell in subtree.cells:
                heap.free(cell)
            self._ring.remove_users(subtree.securities)
            self._opened.forget(subtree.cells)
            if not len(siblings):
                hive_keys.clear_maximum(heap, parent.cell, hive_keys.KEY_MAX_NAME)
                hive_keys.clear_maximum(heap, parent.cell, hive_keys.KEY_MAX_CLASS)
            self._touch(parent.cell)

    def rename_key(self, path: str, name: str) -> None:
        """Give a key another name; all below it stays. A name its parent has already is refused."""
        hive_keys.require_key_name(name)
        with self._changing():
            heap = self._heap
            heap.survey()
            parent, key = self._parent_and_key(path)
            self._claim_list(parent)
            siblings = self._opened.subkeys(parent.cell)
            other = siblings.find(heap, name)
            if other is not None and other.cell != key.cell:
                raise FormatError(f"key {path}", 0, f"cannot become {name!r}: that exists already")
            children = self._opened.subkeys(key.cell).keys
            heap.claim([key.cell, *children], f"key {path}")
            self._opened.write_key(key.cell)
            self._opened.forget([key.cell])
            siblings.remove(heap, key)
            cell = hive_keys.write_name(heap, key, name)
            for child in children if cell != key.cell else ():
                heap.put_u32(child, hive_keys.KEY_PARENT, cell)
            siblings.insert(heap, cell, name, minor=self._minor)
            length = len(hive_keys.utf16(name))
            hive_keys.grow_maximum(heap, parent.cell, hive_keys.KEY_MAX_NAME, length)
            self._touch(cell)
            self._touch(parent.cell)

    def set_security(self, path: str, descriptor: bytes) -> None:
        """Give a key another security descriptor, shared with the keys that have the same."""
        hive_security.require_descriptor(descriptor)
        with self._changing():
            self._heap.survey()
            key = self._key(path)
            leaving = Counter([key.security])
            found = self._ring.equal(key.security, descriptor)
            if found != key.security:
                hive_security.require_removable(self._heap, leaving)
                self._heap.claim([key.cell], f"key {path}")
                new = self._ring.equal_or_new(key.security, descriptor)
                hive_security.assign(self._heap, key.cell, new)
                self._ring.remove_users(leaving)
                self._in_place = False
            self._touch(key.cell)

    # --- values ---------------------------------------------------------------------------

    def set_value(self, path: str, name: str, type: int, data: bytes) -> None:  # noqa: A002 - its name in Windows
        """Set a value of an existing key; "" is the default value.

        One that exists keeps its name's spelling and its place among the others.
        """
        if len(hive_keys.utf16(name)) > 2 * hive_values.LONGEST_NAME:
            raise FormatError(f"value {name[:40]!r}", 0, "its name is too long")
        if not 0 <= type <= 0xFFFF_FFFF:
            raise FormatError(f"value {path}\\{name}", 0, f"{type} is no type of a value")
        hive_values.require_storable(data, minor=self._minor)
        with self._changing():
            heap, key = self._heap, self._key(path)
            value = self._opened.values(key.cell).find(heap, name)
            if value is None:
                self._append(path, key, name, type, data)
            else:
                self._replace(path, key, value, type, data)
            length = len(hive_keys.utf16(value.name if value is not None else name))
            hive_keys.grow_maximum(heap, key.cell, hive_keys.KEY_MAX_VALUE_NAME, length)
            hive_keys.grow_maximum(heap, key.cell, hive_keys.KEY_MAX_VALUE_DATA, len(data))
            self._touch(key.cell)

    def _replace(self, path: str, key: KeyNode, value: ValueNode, kind: int, data: bytes) -> None:
        heap = self._heap
        if len(data) != value.size:
            heap.survey()
        own = hive_values.data_cells(heap, value, minor=self._minor)
        self._claim_values(key.cell, [value.cell, *own], f"value {path}\\{value.name}")
        kept = hive_values.exchange(heap, value, kind, data, minor=self._minor)
        if not kept or value.type != kind:
            self._in_place = False

    def _append(self, path: str, key: KeyNode, name: str, kind: int, data: bytes) -> None:
        heap, values = self._heap, self._opened.values(key.cell)
        heap.survey()
        values.require_room()
        self._claim_values(key.cell, [], f"value {path}\\{name}")
        new = hive_values.new_value(heap, name, kind, data, minor=self._minor, near=key.cell)
        values.append(heap, new, name)
        self._in_place = False

    def delete_value(self, path: str, name: str) -> None:
        """Delete a value. Raises FormatError where there is none."""
        with self._changing():
            heap = self._heap
            heap.survey()
            key = self._key(path)
            values = self._opened.values(key.cell)
            value = values.find(heap, name)
            if value is None:
                raise FormatError(f"value {path}\\{name}", 0, "does not exist")
            own = [value.cell, *hive_values.data_cells(heap, value, minor=self._minor)]
            self._claim_values(key.cell, own, f"value {path}\\{name}")
            for cell in own:
                heap.free(cell)
            values.remove(heap, value)
            if not len(values):
                hive_keys.clear_maximum(heap, key.cell, hive_keys.KEY_MAX_VALUE_NAME)
                hive_keys.clear_maximum(heap, key.cell, hive_keys.KEY_MAX_VALUE_DATA)
            self._in_place = False
            self._touch(key.cell)

    # --- shared ---------------------------------------------------------------------------

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """An exception after the first byte was written leaves the editor unusable."""
        if self._broken:
            raise FormatError("hive", 0, "an earlier change failed half-way: start again")
        before = self._heap.writes
        try:
            self._opened.trim()
            yield
        except BaseException:
            self._broken = self._heap.writes != before
            raise

    def _touch(self, cell: int) -> None:
        position = self._heap.at(cell, hive_keys.KEY_NAME, "registry key") + hive_keys.KEY_TIME
        self._heap.exchange(position, struct.pack("<Q", self._ticks))

    def _claim_list(self, key: KeyNode) -> None:
        """A key's list of subkeys is about to change: it must be sorted, and nobody else's."""
        found = self._opened.subkeys(key.cell)
        found.require_sorted(self._heap)
        self._heap.claim([key.cell, *found.cells], "subkey list")
        self._in_place = False

    def _claim_values(self, key: int, cells: list[int], what: str) -> None:
        """These cells of a key's value are about to change: they are nobody else's, nor is the key.

        Nor has another key the same list, for then it would get another value as well.
        """
        heap, listed = self._heap, self._opened.values(key).where
        wanted = [key, *cells] if listed == NOWHERE else [key, listed, *cells]
        heap.claim(wanted, what, () if heap.surveyed else self._parent_fields(key))

    def _parent_fields(self, key: int) -> set[int]:
        """Where a key's children name it as their parent: file offsets."""
        try:
            children = self._opened.subkeys(key).keys
            parents = [hive_keys.key_at(self._heap, child).parent for child in children]
        except FormatError:  # nothing is known of them
            return set()
        field = BASE_BLOCK_SIZE + 4 + hive_keys.KEY_PARENT
        return {field + c for c, parent in zip(children, parents, strict=True) if parent == key}

    def _deepest(self, names: list[str]) -> KeyNode:
        """The last key there is on a way, which `_trail` then says."""
        trail, cell = self._trail, self._root
        for depth, name in enumerate(names):
            if depth < len(trail) and trail[depth][0] == name:
                cell = trail[depth][1]
                continue
            del trail[depth:]
            child = self._opened.subkeys(cell).find(self._heap, name)
            if child is None:
                break
            cell = child.cell
            trail.append((name, cell))
        del trail[len(names) :]
        return hive_keys.key_at(self._heap, cell)

    def _key(self, path: str) -> KeyNode:
        names = _names(path)
        key = self._deepest(names)
        if len(self._trail) < len(names):
            raise FormatError(f"key {path}", 0, "does not exist")
        return key

    def _parent_and_key(self, path: str) -> tuple[KeyNode, KeyNode]:
        if not path:
            raise FormatError("key", 0, "the root of a hive is neither deleted nor renamed")
        above, _, name = path.rpartition("\\")
        parent = self._key(above)
        key = self._opened.subkeys(parent.cell).find(self._heap, name) if name else None
        if key is None:
            raise FormatError(f"key {path}", 0, "does not exist")
        if key.cell == self._root:
            raise FormatError(f"key {path}", BASE_BLOCK_SIZE + key.cell, "is the root once more")
        return parent, key


def _names(path: str) -> list[str]:
    names = path.split("\\") if path else []
    if not all(names):
        raise FormatError(f"key {path}", 0, "a name in its path is empty")
    if len(names) > MAX_DEPTH:
        raise FormatError(f"key {path[:80]}...", 0, f"deeper than {MAX_DEPTH} levels")
    return names
