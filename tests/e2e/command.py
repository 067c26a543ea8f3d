"""The runtime's command line, run as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY


@dataclass(frozen=True, slots=True)
class Done:
    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.out)
        return parsed


def recoverykit(*arguments: str | Path) -> Done:
    """`python -m recoverykit ARGUMENTS`."""
    argv = [sys.executable, "-m", "recoverykit", *map(str, arguments)]
    done = subprocess.run(
        argv, cwd=REPOSITORY, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)
