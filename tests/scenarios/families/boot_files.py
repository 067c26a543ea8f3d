"""Boot store, boot manager, loader: Windows itself is as it should be, and never gets its turn."""

from __future__ import annotations

import struct
from datetime import timedelta
from pathlib import Path
from random import Random

from recoverykit.model import Kind
from tests.scenarios import acts, profiles, story
from tests.scenarios.tree import Builder, Built, Scenario

FAMILY = "bcd"


def _boot(
    why: str, fault: str = "", *, uefi: bool | None = None, missing: tuple[str, ...] = ()
) -> Builder:
    def build(rng: Random, folder: Path) -> Built:
        among = (
            profiles.X64 if uefi is not False else (profiles.WIN10, profiles.WIN81, profiles.WIN7)
        )
        life = story.begin(rng, folder, among=among, uefi=uefi)
        m = life.m
        acts.session(life, 6, 2)
        if fault:
            m.faults.add(fault)
        m.missing.update(missing)
        return acts.told(life, Kind.BCD, why)

    return build


def safe_boot(rng: Random, folder: Path) -> Built:
    """msconfig's Safe boot was left on: every start goes into Safe Mode."""
    life = story.begin(rng, folder, among=profiles.CLIENTS, uefi=True, until=2)
    m = life.m
    m.boot_entries["25000080"] = struct.pack("<Q", rng.choice((0, 1)))
    for ago in (28, 20, 9, 6):
        acts.safe_mode(life, m.now - timedelta(hours=ago), 30)
    return acts.told(life, Kind.BCD, "The store says Safe Mode, and each start obeys.")


SCENARIOS = tuple(
    Scenario(f"bcd-{name}", FAMILY, Kind.BCD, build)
    for name, build in (
        ("store-missing", _boot("There is no boot store (0xC000000F).", "store-missing")),
        ("store-damaged", _boot("The boot store's first bin is zeros.", "store-damaged")),
        ("store-torn", _boot("The boot store is cut off (0xC0000098).", "store-torn")),
        ("wrong-device", _boot("The entry names a partition that is gone.", "wrong-device")),
        ("no-loader", _boot("The store has no entry for a Windows.", "no-loader")),
        ("no-manager", _boot("The store has no boot manager object.", "no-manager")),
        (
            "loader-missing",
            _boot("winload is gone.", missing=("winload.efi", "winload.exe")),
        ),
        ("manager-missing", _boot("bootmgfw.efi is gone.", "manager-missing", uefi=True)),
        ("manager-zeroed", _boot("The boot manager is zeros.", "manager-zeroed", uefi=True)),
        ("wrong-firmware", _boot("winload.exe on UEFI.", "wrong-firmware", uefi=True)),
        ("bios-manager-missing", _boot("bootmgr is gone.", "manager-missing", uefi=False)),
        ("bios-store-missing", _boot("Boot\\BCD is gone.", "store-missing", uefi=False)),
        ("safe-boot-left", safe_boot),
    )
)
