"""pefile at work on the headers of executables, for bench/signatures.py."""

from __future__ import annotations

import pefile

from bench.contestants.clock import Counts, main


def headers(*paths: str) -> Counts:
    sections = 0
    for path in paths:
        with pefile.PE(path, fast_load=True) as image:
            sections += len(image.sections)
    return {"sections": sections}


if __name__ == "__main__":
    main({"headers": headers})
