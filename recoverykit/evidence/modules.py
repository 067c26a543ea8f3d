"""Which imports of a driver no file of this Windows offers.

The kernel looks for a module among those it has loaded, by file name alone, then beside the driver,
then in System32\\drivers and System32. Names of API sets are mapped by a schema and taken as they
come; imports by number and modules without an export table prove nothing. Nothing is said where the
kernel itself cannot be read, or is for another kind of machine. Source: Microsoft "PE Format";
"Windows API sets" on Microsoft Learn; the search order as Windows Internals describes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from recoverykit import installs
from recoverykit.errors import RecoveryKitError
from recoverykit.evidence import files
from recoverykit.formats import pe, pe_imports
from recoverykit.formats.pe_imports import Import
from recoverykit.model import Service, WindowsInstall

MOST = 20  # unresolved imports told of one driver: a hundred say nothing more

_KERNEL = "ntoskrnl.exe"
_API_SETS = ("api-ms-", "ext-ms-")
# One name in import tables, several files: x86 kernels with PAE, and hardware abstraction layers
# that Setup put in place under the common name. What one of them offers, the machine may have.
_VARIANTS = {
    _KERNEL: (_KERNEL, "ntkrnlpa.exe", "ntkrnlmp.exe", "ntkrpamp.exe"),
    "hal.dll": ("hal.dll", "halmacpi.dll", "halacpi.dll", "halaacpi.dll", "halapic.dll"),
}


class Modules:
    """The modules of one installation; each file's exports are read once."""

    def __init__(self, install: WindowsInstall, services: Iterable[Service]) -> None:
        self._install = install
        self._services = {item.driver: item.path for item in services if item.path}
        self._exports: dict[str, tuple[str, frozenset[str]]] = {}  # by path
        self._found: dict[tuple[str, str], tuple[str, ...]] = {}  # by folder and name

    def unresolved(self, path: str, machine: str, needs: Sequence[Import]) -> tuple[str, ...]:
        """Imports of the driver at `path` that nobody exports: "ntoskrnl.exe!KeNew", "acme.dll"."""
        kernels = self._offers("", _KERNEL)
        if not kernels or not all(kind == machine and names for kind, names in kernels):
            return ()
        folder = path.rpartition("/")[0]
        missing = (symbol for need in needs for symbol in self._missing(folder, need))
        return tuple(symbol for symbol, _ in zip(missing, range(MOST), strict=False))

    def _missing(self, folder: str, need: Import) -> Iterator[str]:
        dll = need.dll.lower()
        if dll.startswith(_API_SETS):
            return
        offers = self._offers(folder, dll)
        if not offers:
            yield dll
        elif all(names for _, names in offers):
            offered = frozenset[str]().union(*(names for _, names in offers))
            for symbol in need.symbols:
                if symbol not in offered and not symbol.startswith("#"):
                    yield f"{dll}!{symbol}"

    def _offers(self, folder: str, dll: str) -> list[tuple[str, frozenset[str]]]:
        """(machine, exports) of each file this name may stand for; no exports: none known."""
        if (folder, dll) not in self._found:
            self._found[folder, dll] = tuple(self._paths(folder, dll))
        return [self._exported(path) for path in self._found[folder, dll]]

    def _paths(self, folder: str, dll: str) -> Iterator[str]:
        system = f"{self._install.folder}/System32"
        homes = [home for home in (folder, f"{system}/drivers", system) if home]
        for name in _VARIANTS.get(dll, (dll,)):
            for home in homes:
                if found := self._locate(f"{home}/{name}"):
                    yield found
                    break
        if dll in self._services and dll not in _VARIANTS:
            yield self._services[dll]

    def _locate(self, relative: str) -> str | None:
        """Where a file is; a link stands for a file that is there but cannot be read."""
        try:
            return installs.locate(self._install.mount, relative)
        except RecoveryKitError:
            return relative
        except OSError:
            return None

    def _exported(self, path: str) -> tuple[str, frozenset[str]]:
        if path not in self._exports:
            self._exports[path] = self._read(path)
        return self._exports[path]

    def _read(self, path: str) -> tuple[str, frozenset[str]]:
        try:
            with files.opened(self._install, path) as file:
                image = pe.headers(file.stream)
                return image.machine, pe_imports.exports(file.stream, image)
        except (OSError, RecoveryKitError):
            return "", frozenset()
