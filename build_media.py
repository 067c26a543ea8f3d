#!/usr/bin/env python3
"""Build, sign and verify recovery media. `build_media.py --help` shows how.

The work is done in winpe/; this file only lets it be called from a checkout, with the checkout's
own .venv whichever Python it was started with.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_VENV = Path(__file__).resolve().parent / ".venv"

if __name__ == "__main__":
    if _VENV.is_dir() and Path(sys.prefix) != _VENV and not os.environ.get("VIRTUAL_ENV"):
        python = str(_VENV / "bin/python")
        os.execv(python, [python, *sys.argv])  # noqa: S606 - no shell is wanted
    try:
        from winpe.cli import main
    except ModuleNotFoundError as exc:
        sys.exit(f"error: {exc}\nhint: run script/bootstrap once; it makes .venv")
    main()
