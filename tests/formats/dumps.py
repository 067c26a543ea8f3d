"""A crash to build dumps of, and every form it can be built in."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from recoverykit.formats import crashdump
from recoverykit.model import CrashDump
from tests.builders import dump
from tests.builders.dump import Mod

WHEN = datetime(2024, 7, 19, 5, 9, 12, 345678, tzinfo=UTC)
WRITTEN = datetime(2024, 7, 19, 5, 12, tzinfo=UTC)
UPTIME = timedelta(seconds=93, microseconds=250000)
KERNEL = 0xFFFF_F807_5BC0_E000
ACME = 0xFFFF_F807_6200_0000
MODULES = (
    Mod("\\SystemRoot\\system32\\ntoskrnl.exe", KERNEL, 0x104_6000, 0x5DEE2B07),
    Mod("\\SystemRoot\\system32\\hal.dll", 0xFFFF_F807_5BA6_0000, 0x6000, 0x1A7BE8E9),
    Mod("\\SystemRoot\\System32\\drivers\\AcmeFlt.sys", ACME, 0x2_3000, 0x6699_0000),
    Mod("\\SystemRoot\\System32\\drivers\\storport.sys", 0xFFFF_F807_6210_0000, 0xB_0000, 7),
)
UNLOADED = (
    Mod("dump_storport.sys", 0xFFFF_F807_6096_0000, 0x1_0000),
    Mod("hwpolicy.sys", 0xFFFF_F807_5E47_0000, 0x1_1000),
)
STACK = (
    KERNEL + 0x411AA9,
    0xD1,
    ACME + 0x1234,
    0,
    ACME + 0x22FFF,
    ACME + 0x23000,  # one byte too far
    0xFFFF_F807_6210_4321,
    KERNEL - 1,
)
FACTS: dict[str, Any] = {
    "bugcheck": 0xD1,
    "parameters": (0x28, 2, 0, ACME + 0x1234),
    "when": WHEN,
    "uptime": UPTIME,
    "modules": MODULES,
    "stack": STACK,
    "unloaded": UNLOADED,
}

KERNEL_32, ACME_32 = 0x8280_0000, 0x8B00_0000
MODULES_32 = (
    Mod("\\SystemRoot\\system32\\ntkrnlpa.exe", KERNEL_32, 0x41_3000, 0x4CE7_8A09),
    Mod("\\SystemRoot\\System32\\drivers\\AcmeFlt.sys", ACME_32, 0x2_3000, 0x6699_0000),
)
FACTS_32: dict[str, Any] = {
    **FACTS,
    "parameters": (0x28, 2, 0, ACME_32 + 0x1234),
    "modules": MODULES_32,
    "stack": (KERNEL_32 + 0x11AA9, 0xD1, ACME_32 + 0x1234, ACME_32 + 0x23000),
    "unloaded": (Mod("hwpolicy.sys", 0x9A47_0000, 0x1_1000),),
}

FORMS: dict[str, Callable[[], bytes]] = {
    "triage": lambda: dump.build_triage(**FACTS),
    "triage arm64": lambda: dump.build_triage(machine="arm64", **FACTS),
    "full": lambda: dump.build_memory("full", **FACTS),
    "bitmap": lambda: dump.build_memory("bitmap", debugger_data="plain", **FACTS),
    "bitmap arm64": lambda: dump.build_memory("bitmap", machine="arm64", **FACTS),
    "kernel bitmap": lambda: dump.build_memory("kernel-bitmap", debugger_data="plain", **FACTS),
    "automatic": lambda: dump.build_memory("kernel-bitmap", dump_type=7, **FACTS),
    "kernel": lambda: dump.build_memory("kernel", build=7601, debugger_data="plain", **FACTS),
    "32 triage": lambda: dump.build_32bit("triage", **FACTS_32),
    "32 full": lambda: dump.build_32bit("full", **FACTS_32),
    "32 full without PAE": lambda: dump.build_32bit("full", pae=False, **FACTS_32),
    "32 kernel": lambda: dump.build_32bit("kernel", debugger_data="plain", **FACTS_32),
    "32 kernel without PAE": lambda: dump.build_32bit("kernel", pae=False, **FACTS_32),
    "32 bitmap": lambda: dump.build_32bit("bitmap", build=19045, **FACTS_32),
}


def parse(data: bytes) -> CrashDump:
    return crashdump.parse(io.BytesIO(data), len(data), "MEMORY.DMP", WRITTEN)
