"""hashlib alone over the same files, for bench/signatures.py: nobody can be faster."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bench.contestants.clock import Counts, main


def digests(*paths: str) -> Counts:
    total = 0
    for path in paths:
        with Path(path).open("rb") as stream:
            total += len(hashlib.file_digest(stream, "sha256").digest())
    return {"bytes": total}


if __name__ == "__main__":
    main({"digests": digests})
