"""A full-size machine, diagnosed: CPU and memory, and what each collector costs.

    .venv/bin/python -m bench.diagnose [--rounds 5] [--keep FOLDER] [--json]

The machine: a SYSTEM hive of 20 MB, 400 driver services with 80 MB of files, a System.evtx of
20 MB in which no session came up (so that reading does not end early), a setupapi.dev.log of 20 MB,
four small dumps and a MEMORY.DMP of 1 GB (sparse). `recoverykit diagnose FOLDER --json` runs as a
process of its own; then the collectors one by one in another. CPU is user and system time of the
whole process, imports included; memory its peak. Medians; the machine may be busy. The bounds are
those of the issue: 5 s and 250 MB.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from bench import event_logs, text_logs
from bench.contest import process
from tests.builders import dump, history, pe, registry, windows
from tests.builders.dump_shape import Mod
from tests.independent import registry as independent

MAX_CPU, MAX_MEMORY = 5.0, 250.0  # seconds, MB
HIVE_SIZE, DRIVERS, DRIVER_BYTES = 20 << 20, 400, 80 << 20
LOG_MEGABYTES, DUMP_SIZE = 20, 1 << 30
_CRASH = datetime(2026, 10, 13, 6, 5, tzinfo=UTC)
_THIRD_PARTY = 60

_COLLECTORS = """
import json, sys, time
from pathlib import Path
from recoverykit import evidence, installs
from recoverykit.diagnosis import verdict
from recoverykit.model import FileSystem, Volume
root = Path(sys.argv[1])
rows, begun = [], time.process_time()
def lap(name, count):
    global begun
    now = time.process_time()
    rows.append((name, now - begun, count))
    begun = now
volume = Volume(str(root), FileSystem.NTFS, root)
(install,), _ = installs.find(volume, root)
lap("find", 1)
found = []
for name, items in evidence.stages(install):
    found += items
    lap(name, len(items))
diagnosis = verdict.judge(install, found)
lap("verdict", len(diagnosis.suspects))
print(json.dumps({"rows": rows, "kind": diagnosis.kind}))
"""


@dataclass(frozen=True, slots=True)
class Cost:
    cpu: float  # seconds
    memory: float  # MB, peak


# --- the machine --------------------------------------------------------------------------


def build(root: Path) -> None:
    """Write the machine below an empty folder."""
    machine = windows.populate(root, ntfs=False)
    services = independent.driver_services(machine.system)["services"]
    third = [f"vendor{number:03d}" for number in range(max(_THIRD_PARTY, DRIVERS - len(services)))]
    changes = [
        registry.change(
            f"{machine.control_set}\\Services\\{name}",
            {"Type": 1, "Start": number % 4, "ErrorControl": 1, "Group": "Extended Base"},
            history.INSTALLED,
        )
        for number, name in enumerate(third)
    ]
    independent.edit(machine.system, changes)
    _grow(machine)
    _write_drivers(machine, third)
    machine.put(windows.EVENT_LOG, event_logs.build("boot loop"), _CRASH)
    machine.put("INF/setupapi.dev.log", text_logs.generate(LOG_MEGABYTES), _CRASH)
    _write_dumps(machine, third)


def _grow(machine: windows.Windows) -> None:
    """Device instances until the hive has its size."""
    number = 0
    while machine.system.stat().st_size < HIVE_SIZE:
        changes = [
            registry.change(
                f"{machine.control_set}\\Enum\\USB\\VID_{one:04X}\\{one:08x}",
                {
                    "DeviceDesc": f"@oem{one}.inf,%desc%;Device number {one}",
                    "HardwareID": [f"USB\\VID_{one:04X}&REV_0100", f"USB\\VID_{one:04X}"],
                    "ClassGUID": "{745a17a0-74d3-11d0-b6fe-00a0c90f57da}",
                    "Service": "HidUsb",
                    "Data": bytes(range(256)) * 4,
                },
            )
            for one in range(number, number + 1500)
        ]
        independent.edit(machine.system, changes)
        number += 1500


def _write_drivers(machine: windows.Windows, third: list[str]) -> None:
    """Files of a driver's usual size: 80 MB in all."""
    folder = machine.root / "System32/drivers"
    there = len(list(folder.iterdir()))
    for number, name in enumerate(third):
        strings = windows.third_party(f"Vendor {number} Inc.", "a driver", "1.2.3.4")
        image = pe.driver(strings, built=history.INSTALLED)
        size = DRIVER_BYTES // (there + len(third))
        machine.put(f"System32/drivers/{name}.sys", image, history.INSTALLED)
        os.truncate(folder / f"{name}.sys", len(image) + size)


def _write_dumps(machine: windows.Windows, third: list[str]) -> None:
    base = 0xFFFF_F800_1000_0000
    mods = [Mod("ntoskrnl.exe", base, 0x0100_0000)]
    mods += [
        Mod(f"{name}.sys", base + 0x0200_0000 + number * 0x0010_0000, 0x0008_0000)
        for number, name in enumerate([*third, *(f"inbox{n}" for n in range(140))])
    ]
    fault = mods[5].base + 0x11C4
    stack = [mods[0].base + 0x1000 + 8 * n for n in range(60)] + [fault]
    for number in range(4):
        when = _CRASH + timedelta(minutes=5 * number)
        content = dump.build_triage(
            bugcheck=0xD1, parameters=(number, 2, 0, fault), when=when, modules=mods, stack=stack
        )
        machine.put(f"Minidump/{when:%m%d%y}-{number}-01.dmp", content, when)
    dump.write_memory(
        machine.root / "MEMORY.DMP",
        size=DUMP_SIZE,
        bugcheck=0xD1,
        parameters=(3, 2, 0, fault),
        when=_CRASH + timedelta(minutes=15),
        modules=mods,
        stack=stack,
    )


# --- measuring ----------------------------------------------------------------------------


def run(argv: list[str]) -> tuple[Cost, str]:
    """A process of its own: what it cost, and what it printed."""
    printed, code, usage = process(argv)
    if code not in (0, 3):
        raise SystemExit(f"{argv[:4]} ended with {code}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024), printed


def measure(root: Path, rounds: int) -> dict[str, Any]:
    whole = [sys.executable, "-m", "recoverykit", "diagnose", str(root), "--json"]
    parts = [sys.executable, "-c", _COLLECTORS, str(root)]
    costs, laps = [], []
    for number in range(rounds + 1):
        cost, _ = run(whole)
        _, printed = run(parts)
        if number:  # one round to warm up
            costs.append(cost)
            laps.append(json.loads(printed))
    names = [name for name, _, _ in laps[0]["rows"]]
    return {
        "cpu": median(cost.cpu for cost in costs),
        "memory": median(cost.memory for cost in costs),
        "kind": laps[0]["kind"],
        "collectors": [
            {
                "name": name,
                "cpu": median(lap["rows"][at][1] for lap in laps),
                "items": laps[0]["rows"][at][2],
            }
            for at, name in enumerate(names)
        ],
    }


def main(
    rounds: Annotated[int, typer.Option(help="Rounds that count.", min=1)] = 5,
    keep: Annotated[Path | None, typer.Option(help="Build here, or use what is here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """Diagnose a full-size machine."""
    with TemporaryDirectory() as temporary:
        root = keep or Path(temporary)
        root.mkdir(parents=True, exist_ok=True)
        if not any(root.iterdir()):
            build(root)
        result = measure(root, rounds)
    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    typer.echo(f"{'collector':<16} {'CPU s':>8} {'items':>7}")
    for row in result["collectors"]:
        typer.echo(f"{row['name']:<16} {row['cpu']:>8.3f} {row['items']:>7}")
    typer.echo(
        f"\ndiagnose as a process: {result['cpu']:.2f} s CPU (at most {MAX_CPU:g}), "
        f"{result['memory']:.0f} MB (at most {MAX_MEMORY:g}); kind {result['kind']}"
    )


if __name__ == "__main__":
    typer.run(main)
