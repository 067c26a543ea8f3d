"""What the boot entries of an installation ask of its kernel: test signing, no integrity checks.

An entry has the settings of its own and, where it has none, those of the objects it inherits from,
in their order (Microsoft "BCDEdit /set", `inherit`). Elements: `formats.bcd_names`; the two of the
loader beside those of the library are in Microsoft's "BcdOSLoaderElementTypes".

Several entries may start one Windows, and several stores may have such entries: what they do not
agree upon is not known. Which of them will be chosen is decided by the firmware and by whoever sits
in front of the screen. "Disable driver signature enforcement" of the start menu is for one start
and stands nowhere.

`loadoptions` with DISABLE_INTEGRITY_CHECKS: guides of Vista and 7 set it, and no page of Microsoft
says who heeds it; so it makes `no_integrity_checks` unknown, not true.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from recoverykit.boot import store as stores
from recoverykit.boot.store import Role
from recoverykit.code_integrity import Fact
from recoverykit.evidence import boot_entries as entries
from recoverykit.evidence.boot_entries import Owner
from recoverykit.evidence.reading import plain
from recoverykit.formats import bcd
from recoverykit.formats.bcd import Element, Object, Store, Value
from recoverykit.model import Gap, Source, Volume, WindowsInstall

LOADER = "loader"  # the name of the fact which program starts this Windows

_SWITCHES: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("test_signing", (0x16000049, 0x26000027)),
    ("no_integrity_checks", (0x16000048, 0x26000026)),
    ("flight_signing", (0x1600007E,)),
    ("debug", (0x260000A0,)),
)
_NUMBERS = (  # off, auto or on; without one Windows decides
    ("hypervisor_launch", 0x250000F0),
    ("vsm_launch", 0x25000142),
    ("boot_hvci", 0x25000144),
)
_LOAD_OPTIONS = 0x12000030
_NO_CHECKS = "DISABLE_INTEGRITY_CHECKS"
_MAX_INHERITED = 64  # objects; real entries have six


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry that starts this Windows, or may."""

    object: Object
    holders: tuple[Object, ...]  # of its settings: itself, and what it inherits from
    source: Source  # of the store's file
    sure: bool  # its partition is that of the installation
    whole: bool  # nothing of its store could not be read

    @property
    def name(self) -> str:
        return plain(entries.name(self.object), 60)

    def find(self, *elements: int) -> tuple[Value | None, Source]:
        """The first of these settings that is there, and where; or where it would be."""
        for holder in self.holders:
            found = next(filter(None, map(holder.find, elements)), None)
            if found is not None:
                return found.value, self._source(holder, found)
        return None, Source(self.source.path, key=bcd.object_key(self.object.id))

    def _source(self, holder: Object, element: Element) -> Source:
        return Source(self.source.path, key=bcd.element_key(holder.id, element.type))


def settings(
    install: WindowsInstall, boot_volumes: Sequence[tuple[Volume, Path]] = ()
) -> tuple[tuple[Fact, ...], tuple[Gap, ...]]:
    """What its entries agree upon, as facts; what they do not, and what was not read, as gaps.

    `boot_volumes`: other volumes that may hold its boot files, with where they are mounted.
    """
    found, gaps = _entries(install, boot_volumes)
    if not found:
        reason = "No boot entry of this Windows was read, so what it asks for is not known."
        return (), (*gaps, Gap(Source(install.volume.name), reason))
    said = tuple(_agreed(found))
    facts = tuple(item for item in said if isinstance(item, Fact))
    return facts, (*gaps, *(item for item in said if isinstance(item, Gap)))


# --- which entries ------------------------------------------------------------------------


def _entries(
    install: WindowsInstall, boot_volumes: Sequence[tuple[Volume, Path]]
) -> tuple[list[_Entry], list[Gap]]:
    """Entries whose partition is ours; those whose partition cannot be told where none is."""
    found: list[_Entry] = []
    gaps: list[Gap] = []
    for volume, mount in (*boot_volumes, (install.volume, install.mount)):
        for one in stores.find(mount):
            if one.role is not Role.SYSTEM or not _is_started(install, volume, one.path):
                continue
            own = volume == install.volume
            source = Source(one.path if own else f"{volume.name}:/{one.path}")
            if one.store is None:
                reason = f"This boot store cannot be used: {one.problem.rstrip('.')}."
                gaps.append(Gap(source, reason))
                continue
            gaps += [
                Gap(Source(source.path, gap.source.offset, gap.source.key), gap.reason)
                for gap in one.store.gaps
            ]
            found += _of_store(install, volume, one.store, source)
    return [one for one in found if one.sure] or found, gaps


def _is_started(install: WindowsInstall, volume: Volume, path: str) -> bool:
    """Firmware reads no store on the volume of a UEFI Windows, nor that of a BIOS on a GPT disk."""
    disk = install.volume.disk
    if path.lower().startswith("efi/"):
        return volume.is_esp or volume != install.volume
    return disk is None or disk.scheme != "gpt"


def _of_store(
    install: WindowsInstall, volume: Volume, store: Store, source: Source
) -> Iterator[_Entry]:
    owner = Owner(install, volume)
    for one in entries.loaders(store):
        starts = owner.starts(one)
        if starts is not False and not entries.is_recovery(one):
            holders = _holders(store, one)
            whole = not store.gaps and len(holders) <= _MAX_INHERITED
            yield _Entry(one, holders, source, sure=starts is True, whole=whole)


def _holders(store: Store, entry: Object) -> tuple[Object, ...]:
    """An entry and what it inherits from, the nearest first; one too many where there is more."""
    pending, held = [entry], {entry.id: entry}
    while pending and len(held) <= _MAX_INHERITED:
        one = pending.pop(0)
        listed = one.value(entries.INHERIT)
        for name in listed if isinstance(listed, tuple) else ():
            found = store.find(str(name))
            if found is not None and found.id not in held:
                held[found.id] = found
                pending.append(found)
    return tuple(held.values())


# --- what they say ------------------------------------------------------------------------


def _agreed(found: Sequence[_Entry]) -> Iterator[Fact | Gap]:
    for name, elements in _SWITCHES:
        yield from _switch(found, name, elements)
    for name, element in _NUMBERS:
        yield from _number(found, name, element)
    programs = {entries.text(one.object, entries.PATH).lower() for one in found}
    if len({program[-4:] for program in programs}) == 1:  # ".efi" or ".exe"
        source = Source(found[0].source.path, key=bcd.object_key(found[0].object.id))
        yield Fact(LOADER, min(programs), source, f"the boot entry {found[0].name} names it")


def _number(found: Sequence[_Entry], name: str, element: int) -> Iterator[Fact | Gap]:
    """One setting with a number. What is absent is left to Windows, and not told."""
    values = [one.find(element) for one in found]
    number, source = values[0]
    if len({value for value, _ in values}) > 1:
        yield _disagreement(found, name, source)
    elif isinstance(number, int):
        yield Fact(name, int(number), source, f"the boot entry {found[0].name} says so")
    elif number is not None:
        reason = f"What the boot entry {found[0].name} says of {_TITLES[name]} cannot be read."
        yield Gap(source, reason)


def _switch(found: Sequence[_Entry], name: str, elements: tuple[int, ...]) -> Iterator[Fact | Gap]:
    """One setting that is on or off. What is absent is off, unless the store was not read whole."""
    states = [_state(one, name, elements) for one in found]
    values = {value for value, _, _ in states}
    value, source, text = states[0]
    if len(values) == 1 and value is not None:
        yield Fact(name, value, source, text)
    elif len(values) > 1 and None not in values:
        yield _disagreement(found, name, source)
    else:
        unknown = next(state for state in states if state[0] is None)
        yield Gap(unknown[1], f"Whether {_TITLES[name]} is on is not known: {unknown[2]}.")


def _state(entry: _Entry, name: str, elements: tuple[int, ...]) -> tuple[bool | None, Source, str]:
    value, source = entry.find(*elements)
    if value is True:
        return True, source, f"the boot entry {entry.name} asks for it"
    if value not in (None, False):
        return None, source, f"the boot entry {entry.name} has a setting that cannot be read"
    if name == "no_integrity_checks":
        options, where = entry.find(_LOAD_OPTIONS)
        if isinstance(options, str) and _NO_CHECKS in options.upper():
            return None, where, f"the load options of the boot entry {entry.name} ask for it"
    if not entry.whole:
        return None, source, f"not all that the boot entry {entry.name} inherits from was read"
    return False, source, f"the boot entry {entry.name} does not ask for it"


_TITLES = {
    "test_signing": "test signing",
    "no_integrity_checks": "loading without integrity checks",
    "flight_signing": "flight signing",
    "debug": "kernel debugging",
    "hypervisor_launch": "the start of the hypervisor",
    "vsm_launch": "virtualization-based security",
    "boot_hvci": "memory integrity",
}


def _disagreement(found: Sequence[_Entry], name: str, source: Source) -> Gap:
    names = ", ".join(dict.fromkeys(one.name for one in found))
    reason = (
        f"Whether {_TITLES[name]} is on is not known: several boot entries start this Windows"
        f" and do not agree ({names})."
    )
    return Gap(source, reason)
