"""Three independent readers of hives, each a process of its own: hivex, python-registry, dissect.

All print the same lines, see hivex_dump.py. Nothing here imports our code.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Reader:
    name: str
    python: str
    module: str  # what that Python must have
    script: str

    @property
    def argv(self) -> list[str]:
        return [self.python, str(_HERE / self.script)]


HIVEX = Reader("hivex", "/usr/bin/python3", "hivex", "hivex_dump.py")
PYTHON_REGISTRY = Reader("python-registry", sys.executable, "Registry", "python_registry_dump.py")
DISSECT = Reader("dissect.regf", sys.executable, "dissect.regf", "dissect_dump.py")
READERS = (HIVEX, PYTHON_REGISTRY, DISSECT)


@cache
def available(reader: Reader) -> bool:
    if reader.python == sys.executable:
        return find_spec(reader.module.partition(".")[0]) is not None
    if shutil.which(reader.python) is None:
        return False
    probe = subprocess.run([reader.python, "-c", f"import {reader.module}"], capture_output=True)
    return probe.returncode == 0


@contextmanager
def reading(readers: Sequence[Reader], hive: Path) -> Iterator[dict[Reader, Output]]:
    """All of them at once; their lines come while the caller does its own share."""
    outputs = {reader: Output(reader, hive) for reader in readers}
    try:
        yield outputs
    finally:
        for output in outputs.values():
            output.close()


def lines(reader: Reader, hive: Path) -> list[str]:
    with reading([reader], hive) as outputs:
        return outputs[reader].lines()


class Output:
    """What one reader says of one hive; a file in between, so that nobody waits for a pipe."""

    def __init__(self, reader: Reader, hive: Path) -> None:
        self._reader = reader
        self._file = TemporaryFile()  # noqa: SIM115 - closed in close()
        self._errors = TemporaryFile()  # noqa: SIM115 - closed in close()
        self._process = subprocess.Popen(
            [*reader.argv, str(hive)], stdout=self._file, stderr=self._errors
        )

    def lines(self) -> list[str]:
        status = self._process.wait()
        self._errors.seek(0)
        assert status == 0, f"{self._reader.name}: {self._errors.read().decode()}"
        self._file.seek(0)
        return self._file.read().decode("ascii").splitlines()

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._file.close()
        self._errors.close()


class Server:
    """A reader that stays: for tests that read hundreds of small hives."""

    def __init__(self, reader: Reader) -> None:
        self._process = subprocess.Popen(
            [*reader.argv, "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="ascii",
        )

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def lines(self, hive: Path) -> list[str]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(f"{hive}\n")
        stdin.flush()
        found: list[str] = []
        for line in stdout:
            if line == "\n":
                return found
            found.append(line.rstrip("\n"))
        raise AssertionError(f"the reader died on {hive}")
