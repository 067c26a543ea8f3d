"""osslsigncode at work on signed files, for bench/signatures.py: a process for each, as it is.

Given only the 18 roots these files need: with all of Microsoft's program it takes 18 times as long
(0.19 s a file), where we and signify have them all. Its work is that of its processes.
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
