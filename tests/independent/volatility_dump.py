"""Print what volatility3's layers see in a memory dump: one JSON object. A process of its own.

    python -m tests.independent.volatility_dump DUMP [WORDS]

Its windows.modules wants symbols from the network; the layers (crash dump, then Intel paging) do
not, and this walks PsLoadedModuleList over them. Imports none of our code.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

from volatility3.framework import contexts
from volatility3.framework.layers import crash, intel, physical

from tests.independent.walk_modules import report


def main(path: str, words: int) -> None:
    context = contexts.Context()
    context.config["file.location"] = Path(path).resolve().as_uri()
    context.add_layer(physical.FileLayer(context, "file", "file"))
    head = context.layers["file"].read(0, 0x2000)
    wide = head[:8] == b"PAGEDU64"
    kind = crash.WindowsCrashDump64Layer if wide else crash.WindowsCrashDump32Layer
    context.config["dump.base_layer"] = "file"
    dump = kind(context, "dump", "dump")
    context.add_layer(dump)
    header = dump.get_header()
    if wide:
        paging: type = intel.WindowsIntel32e
    else:
        paging = intel.WindowsIntelPAE if int(header.PaeEnabled) == 1 else intel.WindowsIntel
    context.config["kernel.memory_layer"] = "dump"
    context.config["kernel.page_map_offset"] = dump.dtb
    context.add_layer(paging(context, "kernel", "kernel"))
    if wide:
        stack, instruction = (struct.unpack_from("<Q", head, 0x348 + at)[0] for at in (0x98, 0xF8))
    else:
        stack, instruction = (struct.unpack_from("<I", head, 0x320 + at)[0] for at in (0xC4, 0xB8))
    found = report(
        context.layers["kernel"].read,
        head=int(header.PsLoadedModuleList),
        wide=wide,
        stack=stack,
        words=words,
    )
    found |= {
        "bugcheck": int(header.BugCheckCode),
        "parameters": [int(value) for value in header.BugCheckCodeParameter],
        "build": int(header.MinorVersion),
        "time": int(header.SystemTime),
        "uptime": int(header.SystemUpTime),
        "instruction": instruction,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200)
