"""Running the build host's programs: argument lists only, and errors a person can read.

Packages unpacked in the sysroot bring programs of their own release (Debian 12's Python and
GRUB); those run through the sysroot's own loader, so the host's release does not matter. Those of
another architecture run through qemu's user mode emulation.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from winpe.architecture import X64, Architecture
from winpe.errors import ContentError, MissingToolError, ToolError

_SBIN = "/usr/local/sbin:/usr/sbin:/sbin"  # depmod lives there; a user's PATH often lacks it


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    input_bytes: bytes | None = None,
) -> bytes:
    """Run a program to its end and return what it printed. Raises ToolError, MissingToolError."""
    command = [str(part) for part in argv]
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=environment(env),
            input=input_bytes,
            stdin=subprocess.DEVNULL if input_bytes is None else None,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as exc:
        raise MissingToolError(command[0]) from exc
    if done.returncode:
        raise failed(command[0], done.returncode, done.stderr or done.stdout)
    return done.stdout


def pipe(
    first: Sequence[str | Path],
    second: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    input_bytes: bytes = b"",
) -> None:
    """Run `first | second`; both must succeed. Raises ToolError, MissingToolError."""
    names = [str(part) for part in (first[0], second[0])]
    with tempfile.TemporaryFile() as feed, tempfile.TemporaryFile() as complaints:
        feed.write(input_bytes)
        feed.seek(0)
        try:
            with subprocess.Popen(
                [str(part) for part in first],
                cwd=cwd,
                env=environment(),
                stdin=feed,
                stdout=subprocess.PIPE,
                stderr=complaints,
            ) as source:
                status = subprocess.run(
                    [str(part) for part in second],
                    env=environment(),
                    stdin=source.stdout,
                    stdout=complaints,
                    stderr=complaints,
                    check=False,
                ).returncode
        except FileNotFoundError as exc:
            raise MissingToolError(str(exc.filename)) from exc
        for name, code in zip(reversed(names), (status, source.returncode), strict=True):
            if code:
                complaints.seek(0)
                raise failed(name, code, complaints.read())


def failed(program: str, status: int, output: bytes) -> ToolError:
    """The error for a program that ended badly: its last three lines are the message."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    why = "; ".join(lines[-3:]) or "it said nothing"
    hint = "free some space, or use --cache DIR on a larger disk" if "No space left" in why else ""
    return ToolError(f"{Path(program).name} failed with status {status}: {why}", hint=hint)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment with English messages, UTC, and the administrator's programs in PATH."""
    path = f"{os.environ.get('PATH', '/usr/bin:/bin')}:{_SBIN}"
    return {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC", "PATH": path, **(extra or {})}


def from_sysroot(
    sysroot: Path, program: str, architecture: Architecture = X64, *, name: str = ""
) -> list[str]:
    """The argument list that runs a program of the sysroot with the sysroot's own libraries.

    `name` is what the program shall take itself for, where it is one of several in one file.
    """
    libraries = sysroot / architecture.libraries
    places = (libraries, sysroot / architecture.loader_folder)
    found = (path for place in places if (path := place / architecture.loader).is_file())
    loader = next(found, None)
    if loader is None:
        raise ContentError(f"no program loader in {sysroot}")
    emulator = [] if architecture.native else [architecture.emulator]
    called = ["--argv0", name] if name else []
    found_in = ["--library-path", str(libraries)]
    return [*emulator, str(loader), *called, *found_in, str(sysroot / program)]
