"""volatility3's layers at work on a crash dump, for bench/dumps.py."""

from __future__ import annotations

import struct
from pathlib import Path

from volatility3.framework import contexts
from volatility3.framework.layers import crash, intel, physical

from bench.contestants.clock import Counts, main
from bench.contestants.dump_walk import WORDS, hits, modules


def dump(path: str) -> Counts:
    context = contexts.Context()
    context.config["file.location"] = Path(path).resolve().as_uri()
    context.add_layer(physical.FileLayer(context, "file", "file"))
    context.config["dump.base_layer"] = "file"
    layer = crash.WindowsCrashDump64Layer(context, "dump", "dump")
    context.add_layer(layer)
    header = layer.get_header()
    context.config["kernel.memory_layer"] = "dump"
    context.config["kernel.page_map_offset"] = layer.dtb
    context.add_layer(intel.WindowsIntel32e(context, "kernel", "kernel"))
    read = context.layers["kernel"].read
    listed = modules(read, int(header.PsLoadedModuleList))
    (stack,) = struct.unpack("<Q", context.layers["file"].read(0x348 + 0x98, 8))
    words = struct.unpack(f"<{WORDS}Q", read(stack, 8 * WORDS))
    return {
        "bugcheck": int(header.BugCheckCode),
        "parameters": [int(value) for value in header.BugCheckCodeParameter],
        "modules": len(listed),
        "stamps": sum(stamp for _, _, _, stamp in listed),
        "hits": hits(listed, words),
    }


if __name__ == "__main__":
    main({"dump": dump})
