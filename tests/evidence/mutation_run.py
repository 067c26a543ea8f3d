"""A machine with every artifact we read, one of them damaged at random: evidence or Gaps, ever.

`machine` lays a small Windows into a folder, with something in every place a collector looks at.
`run` damages one file of it (seeded: bytes, runs, ends, numbers a parser believes), collects and
judges, and puts the file back. Anything raised is a fault; so is taking long.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from recoverykit import installs
from recoverykit.diagnosis import verdict
from recoverykit.evidence import collect
from recoverykit.model import FileSystem, Kind, Volume, WindowsInstall
from tests.builders import (
    bootstat,
    dump,
    events,
    evtx,
    faults,
    history,
    inf,
    servicing,
    srttrail,
    wer,
    windows,
)
from tests.builders.dump_shape import Facts, Mod

SECONDS = 10.0  # CPU of one case; an undamaged machine takes a tenth of one
_NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, 0x8000_0000)
_BASE = 0xFFFF_F800_1000_0000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one damaged machine."""

    name: str  # of the damaged file
    kind: Kind
    gaps: int
    seconds: float  # CPU


def machine(folder: Path) -> Path:
    """Write it, and return the volume's root."""
    made = windows.populate(folder, hives=windows.BUILT, ntfs=False)
    faults.boot_start_driver_crashes(made)
    last = history.CRASHES[-1]
    mods = [Mod("ntoskrnl.exe", _BASE, 0x100_0000), Mod("acmeflt.sys", _BASE + 0x200_0000, 0x8000)]
    fault = mods[1].base + 0x11C4
    crash: Facts = {
        "bugcheck": 0xD1,
        "parameters": (16, 2, 0, fault),
        "when": last,
        "modules": mods,
        "stack": [mods[0].base + 64, fault],
    }
    named: Facts = {**crash, "bugcheck": 0x50, "parameters": (1, 0, fault, 2)}
    files: dict[str, bytes] = {
        "Minidump/101326-1-01.dmp": dump.build_triage(**crash),
        "MEMORY.DMP": dump.build_memory(**named),
        "../pagefile.sys": dump.build_memory("kernel-bitmap", **crash),
        "System32/LogFiles/Srt/SrtTrail.txt": srttrail.build([srttrail.Session()]),
        "bootstat.dat": bootstat.status(bootstat.Status(succeeded=False, attempts=3))
        + bootstat.log([bootstat.started(last), bootstat.failed(0x13, 0xC0000098, "\\a.sys")]),
        "../Boot/BOOTSTAT.DAT": bootstat.log([bootstat.started(last)]),
        "WinSxS/pending.xml": servicing.queue([servicing.delete("\\SystemRoot\\x.sys")]),
        "PFRO.log": servicing.pfro([servicing.Boot(last, failures=(("C:\\a.sys", "", 0x20),))]),
        "Logs/CBS/CBS.log": servicing.startup(last, failed=True).encode(),
        "INF/oem7.inf": inf.build(inf.Driver(service="acmeflt")),
        "../ProgramData/Microsoft/Windows/WER/ReportQueue/Kernel_50_1/Report.wer": wer.build(),
        "System32/drivers/acmeflt/rules.dat": b"\xaa" * 4096,
        "System32/winevt/Logs/Microsoft-Windows-CodeIntegrity%4Operational.evtx": evtx.build(
            [events.code_integrity_refused(last, "\\Windows\\System32\\drivers\\acmeflt.sys")]
        ),
    }
    for name, content in files.items():
        made.put(name, content, last - timedelta(minutes=1))
    return folder


def install(root: Path) -> WindowsInstall:
    """The installation `machine` wrote. Its hive may be damaged: it is found all the same."""
    (found,), _ = installs.find(Volume("test", FileSystem.NTFS, root), root)
    return found


def targets(root: Path) -> list[Path]:
    """What is damaged: every file but the many stub drivers, of which a few do."""
    drivers = sorted(root.rglob("*.sys"))
    few = [
        *drivers[:4],
        *(path for path in drivers if path.name in ("acmeflt.sys", "pagefile.sys")),
    ]
    others = [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.suffix != ".sys" and "WinSxS/amd64" not in path.as_posix()
    ]
    wanted = (".evtx", ".dmp", ".txt", ".dat", ".log", ".xml", ".inf", ".wer", "", ".log1")
    return [*few, *(path for path in others if path.suffix.lower() in wanted)]


def run(root: Path, seed: int) -> Outcome:
    """One case; whatever it raises is a fault of ours."""
    rng = random.Random(f"evidence {seed}")
    target = rng.choice(targets(root))
    whole = target.read_bytes()
    target.write_bytes(damaged(whole, rng))
    begun = time.process_time()
    try:
        found = install(root)
        evidence = collect(found)
        diagnosis = verdict.judge(found, evidence)
    finally:
        spent = time.process_time() - begun
        target.write_bytes(whole)
    return Outcome(target.relative_to(root).as_posix(), diagnosis.kind, len(diagnosis.gaps), spent)


# --- damage -------------------------------------------------------------------------------


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A copy with one to four kinds of damage."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        rng.choice(_KINDS)(changed, rng)
    return bytes(changed)


def _somewhere(data: bytearray, rng: random.Random) -> int:
    """Beginnings hold what parsers believe: every other place is near the start."""
    limit = len(data) if rng.random() < 0.5 else min(len(data), 0x3000)
    return rng.randrange(max(1, limit))


def _flip(data: bytearray, rng: random.Random) -> None:
    if data:
        data[_somewhere(data, rng) % len(data)] ^= 1 << rng.randrange(8)


def _number(data: bytearray, rng: random.Random) -> None:
    width = rng.choice((1, 2, 4, 8))
    at = _somewhere(data, rng) & ~(width - 1)
    if at + width <= len(data):
        value = rng.choice((*_NUMBERS, rng.getrandbits(64))) & (1 << 8 * width) - 1
        data[at : at + width] = value.to_bytes(width, "little")


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[_somewhere(data, rng) :]


def _blank(data: bytearray, rng: random.Random) -> None:
    at = _somewhere(data, rng)
    length = rng.choice((1, 16, 512, 4096))
    data[at : at + length] = bytes(min(length, len(data) - at)) if at < len(data) else b""


def _noise(data: bytearray, rng: random.Random) -> None:
    at = _somewhere(data, rng)
    length = min(rng.choice((4, 64, 700)), len(data) - at)
    if length > 0:
        data[at : at + length] = rng.randbytes(length)


def _copy(data: bytearray, rng: random.Random) -> None:
    source, at = _somewhere(data, rng), _somewhere(data, rng)
    length = rng.choice((8, 100, 1500))
    data[at:at] = data[source : source + length]


_KINDS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip,
    _number,
    _number,
    _cut,
    _blank,
    _noise,
    _copy,
)
