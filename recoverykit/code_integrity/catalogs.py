"""The catalogs of one Windows: opened safely, and indexed when somebody first asks.

A driver with a good signature of its own asks none, and a real Windows has thousands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from recoverykit.code_integrity import places
from recoverykit.errors import RecoveryKitError, why
from recoverykit.evidence import files
from recoverykit.model import Gap, Source, WindowsInstall

if TYPE_CHECKING:
    from signing.catalog_index import CatalogIndex, CatalogRef
    from signing.catalog_index import Source as CatalogSource
    from signing.image import Stream


@dataclass(frozen=True, slots=True)
class _Placed:
    """One catalog of the target."""

    install: WindowsInstall
    name: str

    @contextmanager
    def open(self) -> Iterator[Stream]:
        """Raises OSError only, as an index wants it."""
        try:
            with files.opened(self.install, self.name) as file:
                yield file.stream
        except RecoveryKitError as exc:
            raise OSError(why(exc)) from exc


@dataclass(slots=True)
class Shelf:
    """Catalogs by the digests they list. Reads only; never raises on bad input.

    `folders`: more of them on this host, whose catalogs that Windows need not have.
    """

    install: WindowsInstall | None = None
    folders: tuple[Path, ...] = ()
    progress: Callable[[int], object] | None = None
    gaps: list[Gap] = field(default_factory=list)
    _index: CatalogIndex | None = None

    @property
    def is_complete(self) -> bool:
        """Whether all that the Windows has are here. A Windows without any is not believed."""
        return self.install is not None and bool(self._indexed().refs) and not self.gaps

    @property
    def was_asked(self) -> bool:
        return self._index is not None

    @property
    def count(self) -> int:
        return len(self._indexed().refs)

    def find(self, digest: bytes) -> Sequence[CatalogRef]:
        return self._indexed().find(digest)

    def _indexed(self) -> CatalogIndex:
        if self._index is None:
            from signing import catalog_index  # here, because cryptography takes 50 ms to load

            self._index = catalog_index.build(self._sources(), progress=self.progress)
            self.gaps += (
                Gap(Source(name), f"What it lists is not known: {reason}.")
                for name, reason in self._index.gaps
            )
        return self._index

    def _sources(self) -> Iterator[CatalogSource]:
        from signing import catalog_index

        for folder in self.folders:
            yield from catalog_index.folder(folder)
        if self.install is None:
            return
        for found in places.catalogs_of(self.install):
            if isinstance(found, Gap):
                self.gaps.append(found)
            else:
                yield _Placed(self.install, found.path)
