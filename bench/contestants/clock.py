"""What every contestant does around its work: time it, count what it saw, print both.

Peak memory is the kernel's VmHWM, which begins with the program: the maximum that wait4() knows
counts the parent too, whose memory a child shares until it runs a program of its own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

Counts = dict[str, object]
Work = Callable[..., Callable[[], Counts] | Counts]


def main(works: Mapping[str, Work]) -> None:
    """`argv`: name of the work, files. Imports are done by now; what a work returns as a function
    (hashing what it made, say) is not timed."""
    work, files = works[sys.argv[1]], sys.argv[2:]
    began = time.process_time()
    counts = work(*files)
    cpu = time.process_time() - began
    peak = _peak()
    print(
        json.dumps({"cpu": cpu, "peak": peak, "counts": counts() if callable(counts) else counts})
    )


def _peak() -> int:
    """Bytes of memory at the worst moment so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
