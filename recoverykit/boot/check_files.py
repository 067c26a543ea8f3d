"""The files a boot loads: each opened once, and looked at as far as the loader would.

What keeps a file from being loaded: no PE image, another machine type, damage to its sections, a
wrong header checksum, imports nobody offers, a signature made for other bytes. Reading is what
costs here: files that Windows compressed (CompactOS) are unpacked in Python, so that whole ones are
read only as long as a budget lasts; after that neither checksum nor signature is known.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from recoverykit import installs
from recoverykit.errors import FormatError, RecoveryKitError, TargetRefusedError, why
from recoverykit.evidence import files
from recoverykit.evidence.modules import Modules
from recoverykit.formats import pe, pe_check, pe_imports
from recoverykit.formats.pe_imports import Import
from recoverykit.model import WindowsInstall
from recoverykit.vouching import Judge, Standing

WHOLE_FILES = 384 << 20  # bytes of whole files read on one machine: about 1 s of CPU
_LARGEST = 32 << 20  # of one file; real kernels have 12 MiB
_PACKED = 32  # how much more a byte costs in a compressed file
_LARGEST_PACKED = 2 << 20  # a compressed kernel would leave nothing for the drivers
_API_SETS = ("api-ms-", "ext-ms-")


@dataclass(frozen=True, slots=True)
class Seen:
    """What one file is like. Without `damage` and `unread` nothing keeps it from being loaded."""

    path: str  # on disk
    damage: str = ""  # one clause why it cannot be loaded
    unread: str = ""  # one clause why it could not be looked at here
    imports: tuple[Import, ...] = ()
    unresolved: tuple[str, ...] = ()  # "ntoskrnl.exe!KeNew", "acme.dll"
    standing: Standing | None = None  # of its signature; None: not asked, or not read
    word: str = ""  # one clause on the standing


@dataclass(slots=True)
class Files:
    """The files of one installation, each looked at once."""

    install: WindowsInstall
    modules: Modules
    judge: Judge
    left: int = WHOLE_FILES
    seen: dict[str, Seen] = field(default_factory=dict)

    def see(self, path: str, *, signed: bool = False) -> Seen:
        """Look at a file that exists. `signed`: ask for its signature as well."""
        known = self.seen.get(path)
        if known is None or (signed and known.standing is None):
            known = self.seen[path] = self._look(path, signed=signed)
        return known

    def place(self, relative: str) -> str | None:
        """Where a file is, compressed or not; None where it is not."""
        return installs.driver_path(self.install, "", "\\" + relative.replace("/", "\\"))[1]

    def system(self, name: str) -> str | None:
        """A file of System32."""
        return self.place(f"{self.install.folder}/System32/{name}")

    def library(self, dll: str) -> str | None:
        """Where the kernel finds a module that is imported by that name."""
        return self.system(f"drivers/{dll}") or self.system(dll)

    def _look(self, path: str, *, signed: bool) -> Seen:
        known = Seen(path)
        try:
            with files.opened(self.install, path) as file:
                whole = self._spend(file)
                stream = io.BytesIO(file.stream.read() or b"") if whole else file.stream
                known = self._image(known, stream, file.size, whole=whole)
                if whole and signed and not known.damage:
                    standing, word = self.judge.standing(stream)
                    known = replace(known, standing=standing, word=word)
        except TargetRefusedError as exc:
            return replace(known, unread=why(exc))
        except (OSError, RecoveryKitError) as exc:
            return replace(known, damage=f"it cannot be read: {why(exc)}")
        return known

    def _spend(self, file: files.OpenFile) -> bool:
        """Whether the whole file may be read."""
        cost = file.size * (_PACKED if file.packed else 1)
        if file.size > (_LARGEST_PACKED if file.packed else _LARGEST) or cost > self.left:
            return False
        self.left -= cost
        return True

    def _image(self, known: Seen, stream: pe.Stream, size: int, *, whole: bool) -> Seen:
        try:
            image = pe.headers(stream)
        except FormatError as exc:
            if exc.structure != pe.FILE:
                raise  # how it is compressed, not what it holds
            return replace(known, damage=pe_check.no_image(stream, exc.problem, "program"))
        wrong = self._damage(stream, image, size, whole=whole)
        if wrong:
            return replace(known, damage=wrong)
        try:
            needs = pe_imports.imports(stream, image)
        except FormatError as exc:
            return replace(known, damage=f"its table of imports is damaged: {exc.problem}")
        unresolved = self.modules.unresolved(known.path, image.machine, needs)
        return replace(known, imports=needs, unresolved=unresolved)

    def _damage(self, stream: pe.Stream, image: pe.Headers, size: int, *, whole: bool) -> str:
        wanted = self.install.architecture
        if wanted and image.machine != wanted:
            return f"it is made for {image.machine}, this Windows is {wanted}"
        check = pe_check.damage_of_whole if whole else pe_check.damage
        return check(stream, image, size)


def is_api_set(dll: str) -> bool:
    """A name that the schema of API sets maps to a module, which is not looked up here."""
    return dll.lower().startswith(_API_SETS)


def modules_of(imports: Sequence[Import]) -> tuple[str, ...]:
    """The modules these are taken from, in lower case, without API sets."""
    return tuple(need.dll.lower() for need in imports if not is_api_set(need.dll))
