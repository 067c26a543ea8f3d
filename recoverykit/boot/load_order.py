"""In which order Windows starts its drivers.

Boot-start drivers come before system-start ones. Among those of one kind the groups of
`Control\\ServiceGroupOrder` count, then the tags that `Control\\GroupOrderList` has for a group (a
count, then that many numbers); a driver without a group, or of a group nobody ranks, comes last,
and one whose tag is not listed comes after those whose is. Source: Microsoft "Specifying driver
load order" and "Automatically starting services"; windows-boot-facts.md, section 2. Not modelled:
dependencies (the loader ignores them), and what the loader itself brings in whatever its start type
says (the driver of the boot volume's file system).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from recoverykit.formats.hive import Hive, fold
from recoverykit.model import Service, StartType

_MAX_TAGS = 4096  # of one group; real ones have some dozen
_EARLY = (StartType.BOOT, StartType.SYSTEM)


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """Ranks of groups, and of tags within a group; names in folded case."""

    groups: tuple[str, ...] = ()
    tags: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def rank(self, service: Service) -> tuple[int, int]:
        """What drivers of one start type are sorted by."""
        group = fold(service.group)
        group_rank = self.groups.index(group) if group in self.groups else len(self.groups)
        tags = self.tags.get(group, ())
        tag_rank = tags.index(service.tag) if service.tag in tags else len(tags)
        return group_rank, tag_rank


def read(hive: Hive, control_set: str) -> LoadOrder:
    """The order of a control set; empty where its keys are. Raises FormatError."""
    key = hive.find(f"{control_set}\\Control\\ServiceGroupOrder")
    value = key.value("List") if key else None
    groups = tuple(fold(name) for name in (value.strings if value else None) or ())
    lists = hive.find(f"{control_set}\\Control\\GroupOrderList")
    tags = {fold(value.name): _tags(value.data) for value in lists.values()} if lists else {}
    return LoadOrder(groups, tags)


def sort(services: Iterable[tuple[Service, StartType]], order: LoadOrder) -> tuple[Service, ...]:
    """Those that are started early, first one first.

    Each with the start type that counts for this machine, which may not be the service's own.
    """
    early = [(service, start) for service, start in services if start in _EARLY]
    ranked = sorted(early, key=lambda pair: (_EARLY.index(pair[1]), order.rank(pair[0])))
    return tuple(service for service, _ in ranked)


def _tags(data: bytes) -> tuple[int, ...]:
    """As many as the list holds, whatever its count says."""
    if len(data) < 4:
        return ()
    (count,) = struct.unpack_from("<I", data)
    whole = min(count, (len(data) - 4) // 4, _MAX_TAGS)
    return struct.unpack_from(f"<{whole}I", data, 4)
