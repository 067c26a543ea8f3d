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
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from recoverykit.errors import FormatError
from recoverykit.formats import hive_keys, hive_lists, hive_security, hive_values
from recoverykit.formats.binary import Buffer, to_filetime
from recoverykit.formats.cells import MAX_DEPTH
from recoverykit.formats.hive import Hive, Key
from recoverykit.formats.hive_heap import Heap
from recoverykit.formats.hive_keys import KeyNode
from recoverykit.formats.hive_subtree import Subtree, collect
from recoverykit.formats.hive_values import ValueNode
from recoverykit.formats.regf import BASE_BLOCK_SIZE, SECTOR, seal
from recoverykit.formats.upcase import upcase

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
        self._ordered: set[int] = set()  # keys whose lists were found sorted
        self._in_place, self._broken = True, False
        hive_keys.key_at(self._heap, self._root)

    # --- looking --------------------------------------------------------------------------

    @property
    def hive(self) -> Hive:
        """The hive as it is now, to read. It does not follow later changes."""
        self._require_usable()
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
        self._require_usable()
        heap, over = self._heap, {}
        head = bytearray(heap.image[:SECTOR])
        if heap.writes:
            head[12:20] = over[BASE_BLOCK_SIZE + 20] = struct.pack("<Q", self._ticks)
        seal(head, sequence, heap.end - BASE_BLOCK_SIZE)
        return heap.whole({0: bytes(head), **over})

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
            key = hive_keys.key_at(self._heap, self._root)
            for depth, name in enumerate(names):
                child = self._child(key, name)
                if child is None:
                    for missing in names[depth:]:
                        hive_keys.require_key_name(missing)
                    break
                key = child
            else:
                return
            self._heap.survey()
            self._require_order(key)
            hive_lists.claim(self._heap, key)
            hive_security.require_ring(self._heap, key.security)
            for missing in names[depth:-1]:
                key = self._create(key, missing, "", key.security)
            descriptor = key.security
            if security is not None:
                descriptor = hive_security.equal_or_new(self._heap, key.security, security)
            self._create(key, names[-1], class_name, descriptor)

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
        hive_lists.insert(heap, parent, cell, name, minor=self._minor)
        hive_security.add_user(heap, security)
        length = len(hive_keys.utf16(class_name))
        hive_keys.grow_maximum(
            heap, parent.cell, hive_keys.KEY_MAX_NAME, len(hive_keys.utf16(name))
        )
        hive_keys.grow_maximum(heap, parent.cell, hive_keys.KEY_MAX_CLASS, length)
        self._touch(parent.cell)
        self._ordered.add(cell)
        return hive_keys.key_at(heap, cell)

    def delete_key(self, path: str) -> None:
        """Delete a key with all that is below it. Raises FormatError where there is none."""
        with self._changing():
            heap = self._heap
            heap.survey()
            parent, key = self._parent_and_key(path)
            self._require_order(parent)
            subtree = collect(heap, key, minor=self._minor, depth=len(_names(path)))
            heap.claim(subtree.cells, f"key {path}")
            hive_security.require_removable(heap, subtree.securities)
            hive_lists.remove(heap, parent, key.cell)
            self._free(subtree)
            if parent.subkeys == 1:
                hive_keys.clear_maximum(heap, parent.cell, hive_keys.KEY_MAX_NAME)
                hive_keys.clear_maximum(heap, parent.cell, hive_keys.KEY_MAX_CLASS)
            self._touch(parent.cell)

    def _free(self, subtree: Subtree) -> None:
        for cell in subtree.cells:
            self._heap.free(cell)
        hive_security.remove_users(self._heap, subtree.securities)
        self._ordered.difference_update(subtree.cells)

    def rename_key(self, path: str, name: str) -> None:
        """Give a key another name; all below it stays. A name its parent has already is refused."""
        hive_keys.require_key_name(name)
        with self._changing():
            heap = self._heap
            heap.survey()
            parent, key = self._parent_and_key(path)
            self._require_order(parent)
            other = self._child(parent, name)
            if other is not None and other.cell != key.cell:
                raise FormatError(f"key {path}", 0, f"cannot become {name!r}: that exists already")
            children = hive_lists.listing(heap, key).keys
            heap.claim([key.cell, *children], f"key {path}")
            hive_lists.remove(heap, parent, key.cell)
            cell = hive_keys.write_name(heap, key, name)
            for child in children if cell != key.cell else ():
                heap.put_u32(child, hive_keys.KEY_PARENT, cell)
            parent = hive_keys.key_at(heap, parent.cell)
            hive_lists.insert(heap, parent, cell, name, minor=self._minor)
            self._ordered.discard(key.cell)
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
            found = hive_security.equal(self._heap, key.security, descriptor)
            if found != key.security:
                hive_security.require_removable(self._heap, leaving)
                self._heap.claim([key.cell], f"key {path}")
                new = hive_security.equal_or_new(self._heap, key.security, descriptor)
                hive_security.assign(self._heap, key.cell, new)
                hive_security.remove_users(self._heap, leaving)
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
            key = self._key(path)
            cells, value = self._value(key, name)
            if value is None:
                self._append(key, cells, name, type, data)
            else:
                self._replace(value, f"value {path}\\{name}", type, data)
            heap = self._heap
            length = len(hive_keys.utf16(value.name if value is not None else name))
            hive_keys.grow_maximum(heap, key.cell, hive_keys.KEY_MAX_VALUE_NAME, length)
            hive_keys.grow_maximum(heap, key.cell, hive_keys.KEY_MAX_VALUE_DATA, len(data))
            self._touch(key.cell)

    def _replace(self, value: ValueNode, label: str, kind: int, data: bytes) -> None:
        heap = self._heap
        if len(data) != value.size:
            heap.survey()
        own = hive_values.data_cells(heap, value, minor=self._minor)
        heap.claim([value.cell, *own], label)
        kept = hive_values.exchange(heap, value, kind, data, minor=self._minor)
        if not kept or value.type != kind:
            self._in_place = False

    def _append(self, key: KeyNode, cells: list[int], name: str, kind: int, data: bytes) -> None:
        heap = self._heap
        heap.survey()
        if cells:
            heap.claim([key.value_list], "value list")
        new = hive_values.new_value(heap, name, kind, data, minor=self._minor, near=key.cell)
        hive_values.write_value_list(heap, key, [*cells, new])
        self._in_place = False

    def delete_value(self, path: str, name: str) -> None:
        """Delete a value. Raises FormatError where there is none."""
        with self._changing():
            heap = self._heap
            heap.survey()
            key = self._key(path)
            cells, value = self._value(key, name)
            if value is None:
                raise FormatError(f"value {path}\\{name}", 0, "does not exist")
            own = [value.cell, *hive_values.data_cells(heap, value, minor=self._minor)]
            heap.claim([key.value_list, *own], f"value {path}\\{name}")
            for cell in own:
                heap.free(cell)
            cells.remove(value.cell)
            hive_values.write_value_list(heap, key, cells)
            if not cells:
                hive_keys.clear_maximum(heap, key.cell, hive_keys.KEY_MAX_VALUE_NAME)
                hive_keys.clear_maximum(heap, key.cell, hive_keys.KEY_MAX_VALUE_DATA)
            self._in_place = False
            self._touch(key.cell)

    def _value(self, key: KeyNode, name: str) -> tuple[list[int], ValueNode | None]:
        """The cells of all values of a key, and the value of that name, in any case."""
        cells = hive_values.value_cells(self._heap, key)
        wanted = upcase(name)
        for cell in cells:
            value = hive_values.value_at(self._heap, cell)
            if upcase(value.name) == wanted:
                return cells, value
        return cells, None

    # --- shared ---------------------------------------------------------------------------

    def _require_usable(self) -> None:
        if self._broken:
            raise FormatError("hive", 0, "an earlier change failed half-way: start again")

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """An exception after the first byte was written leaves the editor unusable."""
        self._require_usable()
        before = self._heap.writes
        try:
            yield
        except BaseException:
            self._broken = self._heap.writes != before
            raise

    def _touch(self, cell: int) -> None:
        position = self._heap.at(cell, hive_keys.KEY_NAME, "registry key") + hive_keys.KEY_TIME
        self._heap.exchange(position, struct.pack("<Q", self._ticks))

    def _child(self, key: KeyNode, name: str) -> KeyNode | None:
        return hive_lists.find(self._heap, key, name, ordered=key.cell in self._ordered)

    def _require_order(self, key: KeyNode) -> None:
        """A key's list is about to change: once, make sure that it is sorted."""
        if key.cell not in self._ordered:
            hive_lists.require_sorted(self._heap, key)
            self._ordered.add(key.cell)
        self._in_place = False

    def _key(self, path: str) -> KeyNode:
        key = hive_keys.key_at(self._heap, self._root)
        for name in _names(path):
            child = self._child(key, name)
            if child is None:
                raise FormatError(f"key {path}", 0, "does not exist")
            key = child
        return key

    def _parent_and_key(self, path: str) -> tuple[KeyNode, KeyNode]:
        if not path:
            raise FormatError("key", 0, "the root of a hive is neither deleted nor renamed")
        above, _, name = path.rpartition("\\")
        parent = self._key(above)
        key = self._child(parent, name) if name else None
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
