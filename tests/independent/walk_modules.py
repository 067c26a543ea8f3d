"""The loader's list of drivers over anybody's `read(address, size)`; for scripts beside this one.

Written for the readers of other projects, from the same structures as theirs; no code of ours.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

Read = Callable[[int, int], bytes]


def report(read: Read, *, head: int, wide: bool, stack: int, words: int) -> dict[str, Any]:
    """Drivers as [name, base, size, stamp] in load order, and words of the stack."""
    size, code = (8, "Q") if wide else (4, "I")
    base, length, names, stamp = (0x30, 0x40, 0x58, 0x9C) if wide else (0x18, 0x20, 0x2C, 0x58)

    def number(address: int, format_: str) -> int:
        return int(struct.unpack(f"<{format_}", read(address, struct.calcsize(format_)))[0])

    modules: list[list[Any]] = []
    at = number(head, code)
    while at != head and len(modules) < 5000:
        characters = number(at + names, "H")
        where = number(at + names + size, code)
        modules.append(
            [
                read(where, characters).decode("utf-16-le"),
                number(at + base, code),
                number(at + length, "I"),
                number(at + stamp, "I"),
            ]
        )
        at = number(at, code)
    values = struct.unpack(f"<{words}{code}", read(stack, words * size)) if words else ()
    return {"modules": modules, "stack": list(values), "stack_at": stack}
