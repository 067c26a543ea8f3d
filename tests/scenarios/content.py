"""Data files that drivers read: channel files, definitions. Every machine has fresh ones."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.scenarios.machine import Machine

# How a channel file begins: CrowdStrike/falcon-windows-host-recovery.
CHANNEL = bytes.fromhex("aaaaaaaa01002301")
_DEFENDER = "../ProgramData/Microsoft/Windows Defender/Definition Updates"
# Where products keep their data, as far as public documentation tells.
FOLDERS = {
    "klif.sys": ("../ProgramData/Kaspersky Lab/AVP21.3/Bases", "base{0:03}.kdc"),
    "trufos.sys": ("../ProgramData/Bitdefender/Endpoint Security/Plugins", "e_spyw.i{0:03}"),
    "srtsp64.sys": ("../ProgramData/Symantec/Definitions/SDSDefs", "virscan{0:03}.dat"),
    "mbamswissarmy.sys": (
        "../ProgramData/Malwarebytes/MBAMService/ScanConfigs",
        "rules{0:03}.mbdb",
    ),
    "brightshield.sys": ("../ProgramData/Brightfort Systems/Shield/Patterns", "pat{0:03}.bsp"),
    "tellusmon.sys": ("../ProgramData/Tellus Analytics/Sensor/Models", "model{0:03}.tlm"),
}


def series(m: Machine, folder: str, pattern: str, newest: datetime, count: int) -> None:
    """Earlier files of the same kind, a day or more apart."""
    for number in range(count):
        when = newest - timedelta(days=1.3 * number, minutes=m.rng.uniform(0, 300))
        name = pattern.format(number * 7 + m.rng.randint(0, 5))
        m.put(f"{folder}/{name}", m.rng.randbytes(6000), when)


def channel_files(m: Machine, newest: datetime) -> None:
    """What a sensor's folder holds besides: other numbers, some refreshed every day."""
    for number in (3, 7, 10, 12, 17, 23, 29, 77, 103, 285, 290):
        when = newest - timedelta(hours=m.rng.uniform(0, 400))
        name = f"C-{number:08}-00000000-{m.rng.randrange(1 << 12):08}.sys"
        path = f"System32/drivers/CrowdStrike/{name}"
        m.put(path, CHANNEL + m.rng.randbytes(3000), when)


def everyday(m: Machine, last: datetime) -> None:
    """Fresh data of whatever security software runs here; `last`: the last day it was up."""
    if m.profile.generation == "10":
        folder = f"{_DEFENDER}/{{1B2C3D4E-AAAA-4BBB-8CCC-{m.rng.randrange(1 << 48):012X}}}"
        for name in ("mpasbase.vdm", "mpasdlta.vdm", "mpavbase.vdm", "mpavdlta.vdm"):
            m.put(f"{folder}/{name}", m.rng.randbytes(2000), last + timedelta(minutes=50))
    for driver in m.drivers.values():
        if driver.vendor.role not in ("av", "edr") or not driver.present:
            continue
        if driver.name == "csagent.sys":
            channel_files(m, last)
        elif driver.vendor.file in FOLDERS:
            where, pattern = FOLDERS[driver.vendor.file]
            series(m, where, pattern, last, 4)
        else:
            where = f"System32/drivers/{driver.vendor.service}"
            series(m, where, "data{0:03}.dat", last, 3)
