"""The real boot stores of shared/data, and those of their facts that several tests need."""

from __future__ import annotations

from functools import cache

from recoverykit.formats import bcd
from recoverykit.formats.bcd import Store
from recoverykit.formats.hive import Hive
from tests.formats.hives import hive_bytes

STORES = {  # name: (objects, elements)
    "bcd_arm64_phone": (20, 75),
    "bcd_asus/Boot_BCD": (16, 75),
    "bcd_asus/Recovery_BCD": (10, 31),
    "bcd_usbpe_bios": (9, 35),
    "bcd_usbpe_efi": (9, 35),
    "bcd_win10iso_bios": (9, 35),
    "bcd_win10iso_efi": (9, 36),
    "bcd_win2go": (53, 147),
    "bcd_windeploy_bios": (11, 42),
    "bcd_windeploy_efi": (3, 20),
    "ezreg_BCD": (9, 36),
    "regipy_BCD.xz": (17, 78),
}


@cache
def real_store(name: str) -> Store:
    """Skips the test where the sample is absent."""
    return bcd.parse(Hive(hive_bytes(name)), name)
