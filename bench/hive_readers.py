"""All samples, read by all three independent readers: where they differ from us, and why.

    .venv/bin/python -m bench.hive_readers [--only SYSTEM] [--json]

What tests/formats/test_hive_differential.py asserts, with dissect.regf for the large hives too
(minutes). For each hive and reader: keys compared, and how often each of its known faults struck
(tests/independent/reader_faults.py). Exit code 1 if a difference is not explained by one.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from recoverykit.errors import FormatError
from recoverykit.formats.hive import Hive
from recoverykit.formats.regf_log import recover
from tests.formats.agreement import agree, lines, opens
from tests.formats.hives import hive_bytes, logs_of, samples
from tests.independent.readers import READERS, available, reading


def images(only: str) -> list[tuple[str, bytes]]:
    """(name, hive): as it is, and recovered where logs make that another."""
    found = []
    for name in samples():
        if only not in name:
            continue
        image = hive_bytes(name)
        found.append((name, image))
        try:
            recovery = recover(image, logs_of(name))
        except FormatError:
            continue
        if recovery.recovered:
            found.append((f"{name} (recovered)", bytes(recovery.data)))
    return found


def compare(name: str, image: bytes, folder: Path) -> dict[str, object]:
    """One row of the report."""
    try:
        ours = list(lines(Hive(image)))
    except FormatError as error:
        return {"hive": name, "refused": str(error)}
    path = folder / "hive"
    path.write_bytes(image)
    wanted = [reader for reader in READERS if available(reader) and opens(reader.name, image)]
    row: dict[str, object] = {"hive": name, "keys": len(ours)}
    with reading(wanted, path) as outputs:
        for reader, output in outputs.items():
            found = agree(reader.name, image, ours, output.lines())
            row[reader.name] = {
                "keys": found.keys,
                "faults": dict(found.faults),
                "unexplained": found.unexplained,
            }
    return row


def main(
    only: Annotated[str, typer.Option(help="Part of a sample's name.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Compare every sample hive with hivex, python-registry and dissect.regf."""
    unexplained = 0
    with TemporaryDirectory(prefix="hive-readers-") as folder:
        for name, image in images(only):
            row = compare(name, image, Path(folder))
            typer.echo(json.dumps(row) if as_json else _text(row))
            for found in row.values():
                if isinstance(found, dict):
                    unexplained += len(found["unexplained"])
    typer.echo(f"{unexplained} differences not explained", err=True)
    raise typer.Exit(1 if unexplained else 0)


def _text(row: dict[str, object]) -> str:
    if "refused" in row:
        return f"{row['hive']}: damaged or no hive: {row['refused']}"
    text = [f"{row['hive']}: {row['keys']} keys"]
    for reader, found in row.items():
        if isinstance(found, dict):
            faults = ", ".join(f"{times} x {name}" for name, times in found["faults"].items())
            odd = "".join(f"\n    UNEXPLAINED {line}" for line in found["unexplained"][:5])
            text.append(f"  {reader}: {found['keys']} keys; {faults or 'the same'}{odd}")
    return "\n".join(text)


if __name__ == "__main__":
    typer.run(main)
