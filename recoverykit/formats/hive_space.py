"""Free cells of a hive by their size: one that is large enough is found in constant time.

Up to 256 bytes each size has a class of its own, above that each power of two has sixteen (the
two-level segregated fit of Masmano, Ripoll and others, 2004). A cell of the wanted bin is preferred
as Windows does, among the newest few of it; so is a cell of the wanted class. Bounded: of a hive
in crumbs only so many are remembered.
"""

from __future__ import annotations

_TRIED = 16  # cells of a bin, or of a class, that are looked at
_REMEMBERED = 1 << 17  # free cells
_STEPS = 5  # bits of a size that tell its class


class FreeSpace:
    """Free cells: file offset -> size in bytes, and the same by class and by bin."""

    __slots__ = ("_bins", "_classes", "_filled", "_sizes")

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}
        # Lists may name cells that are no longer free, or of another size now: `_sizes` decides.
        self._classes: dict[int, list[int]] = {}
        self._bins: dict[int, list[int]] = {}
        self._filled = 0  # bit by class: its list is not empty

    def add(self, start: int, size: int, number: int) -> None:
        """A free cell of the bin `number`; one that is known already may have another size now."""
        if self._sizes.get(start) == size or len(self._sizes) >= _REMEMBERED:
            return
        self._sizes[start] = size
        kind = _class(size)
        self._classes.setdefault(kind, []).append(start)
        self._bins.setdefault(number, []).append(start)
        self._filled |= 1 << kind

    def remove(self, start: int) -> None:
        """It is free no more, or not to be used. One that is not known is not missed."""
        self._sizes.pop(start, None)

    def find(self, need: int, number: int) -> int | None:
        """A free cell of `need` bytes or more, in the bin `number` if there is one."""
        kind = _class(need)
        found = self._among(self._bins.get(number), need)
        if found is None:
            found = self._among(self._classes.get(kind), need)
        while found is None:
            larger = self._filled >> kind + 1
            if not larger:
                return None
            kind += (larger & -larger).bit_length()
            found = self._newest(kind)
        return found

    def _among(self, starts: list[int] | None, need: int) -> int | None:
        if starts is None:
            return None
        while starts and starts[-1] not in self._sizes:
            starts.pop()
        for start in starts[: -_TRIED - 1 : -1]:
            if self._sizes.get(start, 0) >= need:
                return start
        return None

    def _newest(self, kind: int) -> int | None:
        """A cell of a class; an empty one is marked as that."""
        starts = self._classes[kind]
        while starts:
            if _class(self._sizes.get(starts[-1], 0)) == kind:
                return starts[-1]
            starts.pop()
        self._filled &= ~(1 << kind)
        return None


def _class(size: int) -> int:
    """Sizes are multiples of eight; each cell of a class is larger than any of a lower one."""
    units = size >> 3
    shift = max(units.bit_length() - _STEPS, 0)
    return (shift << _STEPS - 1) + (units >> shift)
