"""A file of the host that is whole under its name, or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole(target: Path) -> Iterator[BinaryIO]:
    """Write into a file beside `target`, which takes its name when the block has ended well.

    One that had the name is replaced. Raises OSError.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}-", dir=target.parent)
    unfinished = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        unfinished.chmod(0o644)
        unfinished.replace(target)
    except BaseException:  # whatever it was, also Ctrl-C: nothing half done is left
        unfinished.unlink(missing_ok=True)
        raise
