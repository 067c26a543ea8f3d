"""osslsigncode at work on signed files, for bench/signatures.py: a process for each, as it is.

Given only the roots these files need: with all that Microsoft's program has, it takes ten times as
long. Its work is that of its processes.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys

_OPTIONS = ("-ignore-cdp", "-ignore-crl")


def main(roots: str, *paths: str) -> None:
    good = 0
    for path in paths:
        argv = ["osslsigncode", "verify", "-CAfile", roots, "-TSA-CAfile", roots, *_OPTIONS]
        done = subprocess.run([*argv, "-in", path], capture_output=True)
        good += done.returncode == 0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    print(json.dumps({"cpu": cpu, "peak": used.ru_maxrss * 1024, "counts": {"good": good}}))


if __name__ == "__main__":
    main(*sys.argv[2:])
