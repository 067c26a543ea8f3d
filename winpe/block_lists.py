"""Block lists of drivers that a medium carries: read at the desk, so that none fails at a machine.

They lie in the payload, whose signed manifest covers them. The runtime heeds them beside those of
the target (docs/signatures.md): a driver that one of them names replaces nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from signing import block_list, manifest
from signing.errors import SigningError
from winpe.errors import MediaUsageError

MOST = 16
LARGEST = 16 << 20


@dataclass(frozen=True, slots=True)
class Carried:
    name: str
    content: bytes = field(repr=False)


def carried(paths: Iterable[Path]) -> tuple[Carried, ...]:
    """Lists without mistakes. Raises MediaUsageError."""
    found = [check(path) for path in paths]
    names = [each.name.lower() for each in found]
    for name in names:
        if names.count(name) > 1:
            raise MediaUsageError(f"two block lists are called {name}")
    if len(found) > MOST:
        raise MediaUsageError(f"{len(found)} block lists are more than the {MOST} that are carried")
    return tuple(found)


def check(path: Path) -> Carried:
    """One without mistakes. Raises MediaUsageError."""
    if path.suffix.lower() not in block_list.ENDINGS:
        raise MediaUsageError(
            f"{path}: what kind of block list it is cannot be told",
            hint=f"its name has to end in one of {' '.join(block_list.ENDINGS)}",
        )
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise MediaUsageError(f"{path} is larger than {LARGEST:,} bytes")
        block_list.read(content, path.name)
    except OSError as exc:
        raise MediaUsageError(f"{path} cannot be read: {exc.strerror or exc}") from exc
    except SigningError as exc:
        raise MediaUsageError(
            f"{path} is no block list: {exc}",
            hint="a policy of App Control in XML or binary form, or lines of SHA-256",
        ) from exc
    return Carried(path.name, content)


def install(found: Sequence[Carried], place: Path) -> None:
    """Put them into the payload below `place`."""
    folder = place / manifest.PAYLOAD_BLOCK_LISTS
    for each in found:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / each.name).write_bytes(each.content)
