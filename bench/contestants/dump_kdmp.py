"""kdmp-parser (C++) at work on a crash dump, for bench/dumps.py."""

from __future__ import annotations

import struct

import kdmp_parser

from bench.contestants.clock import Counts, main
from bench.contestants.dump_walk import WORDS, hits, modules
from tests.independent.kdmp_dump import Memory


def dump(path: str) -> Counts:
    found = kdmp_parser.KernelDumpParser(path)
    read = Memory(found).read
    header = found.header
    listed = modules(read, header.PsLoadedModuleList)
    words = struct.unpack(f"<{WORDS}Q", read(found.context.Rsp, 8 * WORDS))
    return {
        "bugcheck": header.BugCheckCode,
        "parameters": list(header.BugCheckCodeParameter),
        "modules": len(listed),
        "stamps": sum(stamp for _, _, _, stamp in listed),
        "hits": hits(listed, words),
    }


if __name__ == "__main__":
    main({"dump": dump})
