"""Damaged registry hives."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random

from recoverykit.model import Kind
from tests.builders import hive
from tests.scenarios import acts, profiles, story, write
from tests.scenarios.tree import Builder, Built, Scenario

FAMILY = "hive"
CORRUPT = 0xC000_014C  # STATUS_REGISTRY_CORRUPT


def _broken(
    why: str, change: Callable[[Random, bytes], bytes | None], name: str = "SYSTEM"
) -> Builder:
    def build(rng: Random, folder: Path) -> Built:
        life = story.begin(rng, folder, among=profiles.EVERY)
        off = acts.session(life, 7, 1, end=rng.choice(("clean", "power")))
        error = rng.choice((CORRUPT, 0)) if name == "SYSTEM" else 0
        end = acts.failed_boots(life, off + timedelta(minutes=30), 3, error=error)
        if rng.random() < 0.4:
            acts.startup_repair(life, end + timedelta(minutes=6))
        damage = write.Damage({name: lambda data: change(rng, data)})
        return acts.told(life, Kind.HIVE, why, damage=damage)

    return build


def _truncated(rng: Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) // 4, len(data) * 3 // 4) & ~511]


def _zeroed_page(rng: Random, data: bytes) -> bytes:
    """Whole pages of zeros where bins were: what an SSD gives back after a power failure."""
    made = bytearray(data)
    for _ in range(rng.randint(4, 12)):
        at = rng.randrange(4096, len(made), 4096)
        made[at : at + 4096] = bytes(4096)
    made[4096:8192] = bytes(4096) if rng.random() < 0.5 else made[4096:8192]
    return bytes(made)


def _garbage(rng: Random, data: bytes) -> bytes:
    """Sectors of another file in the middle."""
    made = bytearray(data)
    at = rng.randrange(8192, len(made) // 2, 4096)
    length = rng.randint(8, 20) * 4096
    made[at : at + length] = rng.randbytes(min(length, len(made) - at))
    return bytes(made)


def _dirty_without_logs(rng: Random, data: bytes) -> bytes:
    """Half of a flush: the header says dirty, a bin is torn, and the logs are empty."""
    made = bytearray(hive.soiled(data))
    at = rng.randrange(8192, len(made) - 4096, 4096)
    made[at : at + 2048] = rng.randbytes(2048)
    return bytes(made)


def _root_gone(_rng: Random, data: bytes) -> bytes:
    made = bytearray(data)
    root = struct.unpack_from("<I", data, 36)[0]
    made[4096 + root : 4096 + root + 128] = bytes(128)
    return bytes(made)


def _empty(_rng: Random, _data: bytes) -> bytes:
    return b""


def _zeros(_rng: Random, data: bytes) -> bytes:
    return bytes(len(data))


def _gone(_rng: Random, _data: bytes) -> None:
    return None


SCENARIOS = tuple(
    Scenario(f"hive-{name}", FAMILY, Kind.HIVE, build)
    for name, build in (
        ("truncated", _broken("The SYSTEM hive is cut off.", _truncated)),
        ("zeroed-pages", _broken("Pages of the SYSTEM hive are zeros.", _zeroed_page)),
        ("garbage", _broken("The SYSTEM hive holds sectors of another file.", _garbage)),
        (
            "dirty-torn",
            _broken("The SYSTEM hive is torn; its logs are empty.", _dirty_without_logs),
        ),
        ("root-gone", _broken("The SYSTEM hive's root key is gone.", _root_gone)),
        ("empty", _broken("The SYSTEM hive is empty.", _empty)),
        ("all-zeros", _broken("The SYSTEM hive is nothing but zeros.", _zeros)),
        ("missing", _broken("There is no SYSTEM hive.", _gone)),
        ("software-truncated", _broken("SOFTWARE is cut off.", _truncated, "SOFTWARE")),
        ("software-missing", _broken("There is no SOFTWARE hive.", _gone, "SOFTWARE")),
    )
)
