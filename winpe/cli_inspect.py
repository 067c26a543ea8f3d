"""`build_media.py inspect`: what an image is made of, and what each part costs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from winpe import inspection
from winpe.inspection import Inspection

_SHOWN = 30  # parts; --json has all


def inspect(
    image: Annotated[Path, typer.Argument(help="An ISO file, or the device of a stick.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show what an image is made of, and what each part costs. Checks nothing: see verify.

    Example: build_media.py inspect recovery.iso
    """
    found = inspection.inspect(image)
    typer.echo(as_text(found) if not as_json else _as_json(found))


def as_text(found: Inspection) -> str:
    """The table, the most expensive parts first."""
    rows = [f"recipe id {found.image_id}, made {found.made}"]
    rows += [f"{name} {value}" for name, value in sorted(found.facts.items())]
    rows += [f"starts with: {words}" for words in found.command_lines]
    rows += [
        "",
        "    stored  unpacked  MB (~ estimated: a part of something compressed as a whole)",
    ]
    rows += [_row(part) for part in found.parts[:_SHOWN]]
    rest = found.parts[_SHOWN:]
    stored, unpacked = (sum(sizes) / 1e6 for sizes in _sizes(rest))
    rows += [f" {stored:9.2f} {unpacked:9.2f}  {len(rest)} smaller parts"] if rest else []
    # Nothing of an image that was not verified steers the terminal.
    return "\n".join("".join(c if c.isprintable() else "?" for c in row) for row in rows)


def _row(part: inspection.Part) -> str:
    mark = "~" if part.estimated else " "
    return f"{mark}{part.stored / 1e6:9.2f} {part.unpacked / 1e6:9.2f}  {part.name}"


def _sizes(parts: tuple[inspection.Part, ...]) -> tuple[list[int], list[int]]:
    return [part.stored for part in parts], [part.unpacked for part in parts]


def _as_json(found: Inspection) -> str:
    return json.dumps({"schema": inspection.SCHEMA, **asdict(found)}, indent=2)
