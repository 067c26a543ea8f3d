"""Print what kdmp-parser sees in a memory dump: one JSON object. A process of its own.

    python -m tests.independent.kdmp_dump DUMP [WORDS]

The parser gives the header and pages of virtual memory; this walks PsLoadedModuleList over them,
and reads WORDS of the stack. Imports none of our code.
"""

from __future__ import annotations

import json
import sys

import kdmp_parser

from tests.independent.walk_modules import report


class Memory:
    def __init__(self, dump: kdmp_parser.KernelDumpParser) -> None:
        self._dump = dump
        self._pages: dict[int, bytearray] = {}

    def read(self, address: int, size: int) -> bytes:
        found = b""
        while size > 0:
            base, start = address & ~0xFFF, address & 0xFFF
            if base not in self._pages:
                self._pages[base] = self._dump.read_virtual_page(base)
            piece = bytes(self._pages[base][start : start + size])
            found += piece
            address, size = address + len(piece), size - len(piece)
        return found


def main(path: str, words: int) -> None:
    dump = kdmp_parser.KernelDumpParser(path)
    header = dump.header
    found = report(
        Memory(dump).read,
        head=header.PsLoadedModuleList,
        wide=True,
        stack=dump.context.Rsp,
        words=words,
    )
    found |= {
        "bugcheck": header.BugCheckCode,
        "parameters": list(header.BugCheckCodeParameter),
        "build": header.MinorVersion,
        "time": header.SystemTime,
        "uptime": header.SystemUpTime,
        "instruction": dump.context.Rip,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200)
