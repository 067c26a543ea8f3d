"""A Windows to run batch files in, where Wine is installed: its cmd.exe and reg.exe, nothing else.

What Wine 8 cannot do is known: wildcards between quotes find nothing, ^ and % in a variable are not
always plain text, certutil, takeown and fltmc are missing or do nothing, `reg load` too. So it runs
the course of undo.cmd over ordinary names; everything else is held by `batch_check`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NEEDED = ("wine", "wineserver")


@dataclass(frozen=True, slots=True)
class Wine:
    """One prefix: a drive C: and a registry."""

    prefix: Path

    @property
    def drive(self) -> Path:
        return self.prefix / "drive_c"

    def run(self, *command: str) -> tuple[int, str]:
        """Exit code and what was said."""
        done = subprocess.run(
            ["wine", *command],
            env=_environment(self.prefix),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        return done.returncode, (done.stdout + done.stderr).decode("ascii", "replace")

    def batch(self, path: str, *arguments: str) -> tuple[int, str]:
        return self.run("cmd", "/d", "/c", path, *arguments)

    def imported(self, text: bytes) -> None:
        """Import a .reg file."""
        (self.drive / "import.reg").write_bytes(text)
        code, said = self.run("reg", "import", "C:\\import.reg")
        assert code == 0, said

    def exported(self, key: str) -> str:
        """The .reg text of a key; "" where there is none."""
        out = self.drive / "export.reg"
        out.unlink(missing_ok=True)
        code, _ = self.run("reg", "export", key, "C:\\export.reg", "/y")
        return out.read_bytes().decode("utf-16") if code == 0 else ""

    def stop(self) -> None:
        subprocess.run(["wineserver", "-k"], env=_environment(self.prefix), check=False)


def make(prefix: Path) -> Wine:
    """A new prefix; takes some seconds."""
    made = Wine(prefix)
    code, said = made.run("wineboot", "-i")
    assert code == 0, said
    # It says that it succeeded, and prints nothing: as if there were none, like in WinRE.
    (made.drive / "windows/system32/certutil.exe").unlink(missing_ok=True)
    return made


def _environment(prefix: Path) -> dict[str, str]:
    keep: Sequence[str] = ("PATH", "HOME")
    kept = {name: os.environ[name] for name in keep if name in os.environ}
    return {**kept, "WINEPREFIX": str(prefix), "WINEARCH": "win64", "WINEDEBUG": "-all"}


def found() -> bool:
    return all(shutil.which(tool) for tool in NEEDED)
