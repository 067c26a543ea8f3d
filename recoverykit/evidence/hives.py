"""In which state the hives are that every boot loads.

SYSTEM and SOFTWARE are read whole, with their logs, and the chain of their cells is walked; of SAM
and SECURITY only the header is looked at, and the rest only where that says that their logs are
needed: what is in them is nobody's business here, but a boot that cannot load them ends, too (stop
code 0xC0000218).
"""

from __future__ import annotations

from collections.abc import Iterator

from recoverykit import installs
from recoverykit.errors import FormatError, RecoveryKitError, why
from recoverykit.formats import hive_tiling
from recoverykit.formats.regf import SECTOR, BaseBlock
from recoverykit.formats.regf_log import Recovery
from recoverykit.model import Evidence, Gap, HiveHealth, HiveState, Source, WindowsInstall

_HEADERS_ONLY = ("SAM", "SECURITY")

Loaded = Recovery | RecoveryKitError | OSError


def collect(install: WindowsInstall, system: Loaded) -> Iterator[Evidence]:
    """A HiveState for SYSTEM and SOFTWARE, and for SAM and SECURITY where something is wrong.

    `system`: what came of reading the SYSTEM hive. What is there and cannot be opened, or lies
    behind a link, is a Gap.
    """
    yield _state(Source(install.system_hive), "SYSTEM", system)
    yield _state(Source(install.software_hive), "SOFTWARE", load(install, install.software_hive))
    folder = install.system_hive.rpartition("/")[0]
    for name in _HEADERS_ONLY:
        state = _by_header(install, f"{folder}/{name}", name)
        if state is not None:
            yield state


def load(install: WindowsInstall, path: str) -> Loaded:
    """A hive made whole with its logs, or why that is not possible."""
    try:
        return installs.read_hive(install, path)[1]
    except (RecoveryKitError, OSError) as exc:
        return exc


def _state(source: Source, name: str, loaded: Loaded) -> Evidence:
    if isinstance(loaded, FileNotFoundError):
        return HiveState(source, name, HiveHealth.MISSING, "its file is not there")
    if isinstance(loaded, FormatError):
        where = Source(source.path, loaded.offset)
        return HiveState(where, name, HiveHealth.DAMAGED, str(loaded))
    if isinstance(loaded, OSError | RecoveryKitError):
        return Gap(source, f"the {name} hive cannot be read: {why(loaded)}")
    try:
        hive_tiling.check(loaded.data)
    except FormatError as exc:
        return HiveState(Source(source.path, exc.offset), name, HiveHealth.DAMAGED, str(exc))
    if loaded.dirty:
        return HiveState(source, name, HiveHealth.RECOVERED, "dirty, and whole with its logs")
    return HiveState(source, name, HiveHealth.CLEAN)


def _by_header(install: WindowsInstall, path: str, name: str) -> Evidence | None:
    """None for a hive that needs no logs, and for one that its logs make whole."""
    source = Source(path)
    try:
        with installs.on_disk(install.mount, path).open("rb", buffering=0) as stream:
            base = BaseBlock.parse(stream.read(SECTOR) or b"")
    except (OSError, RecoveryKitError) as exc:
        return _state(source, name, exc)
    if base.clean:
        return None
    state = _state(source, name, load(install, path))
    is_whole = isinstance(state, HiveState) and state.health is HiveHealth.RECOVERED
    return None if is_whole else state
