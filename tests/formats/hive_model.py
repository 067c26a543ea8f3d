"""A hive as plain Python objects: what the editor must have done, done without cells."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from recoverykit.formats.binary import to_filetime
from recoverykit.formats.hive import Hive
from recoverykit.formats.hive_editor import Editor
from tests.builders.hive_check import fold

Facts = tuple[int, str, bytes, tuple[tuple[str, int, bytes], ...]]  # time, class, security, values


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """What the editor must refuse."""


@dataclass(slots=True)
class ModelKey:
    name: str
    ticks: int
    class_name: str
    security: bytes
    values: dict[bytes, tuple[str, int, bytes]] = field(default_factory=dict)
    children: dict[bytes, ModelKey] = field(default_factory=dict)


class Model:
    """The editor's twin. Names and sizes that Windows has not are tested elsewhere."""

    def __init__(self, image: bytes, when: datetime) -> None:
        self.ticks = to_filetime(when)
        above: list[ModelKey] = []
        for walked in Hive(image).walk():
            key = ModelKey(
                walked.name,
                walked.ticks,
                walked.class_name or "",
                descriptor(image, walked.cell),
                {fold(name): (name, kind, data) for name, kind, data in walked.values},
            )
            if walked.depth:
                above[walked.depth - 1].children[fold(key.name)] = key
            above[walked.depth :] = [key]
        self.root = above[0]

    def key(self, path: str) -> ModelKey:
        key = self.root
        for name in path.split("\\") if path else ():
            child = key.children.get(fold(name))
            if child is None:
                raise Refused(path)
            key = child
        return key

    def paths(self) -> list[str]:
        return list(self.facts())

    def facts(self) -> dict[str, Facts]:
        return dict(self._facts(self.root, ""))

    def _facts(self, key: ModelKey, path: str) -> Iterator[tuple[str, Facts]]:
        yield path, (key.ticks, key.class_name, key.security, tuple(key.values.values()))
        for child in key.children.values():
            yield from self._facts(child, f"{path}\\{child.name}" if path else child.name)

    # --- the editor's methods -------------------------------------------------------------

    def create_key(self, path: str, *, class_name: str = "", security: bytes | None = None) -> None:
        key, names = self.root, path.split("\\") if path else []
        for number, name in enumerate(names):
            child = key.children.get(fold(name))
            if child is None:
                last = number == len(names) - 1
                child = ModelKey(name, self.ticks, class_name if last else "", key.security)
                if last and security is not None:
                    child.security = security
                key.children[fold(name)] = child
                key.ticks = self.ticks
            key = child

    def delete_key(self, path: str) -> None:
        self.key(path)
        parent, name = self._above(path)
        del parent.children[fold(name)]
        parent.ticks = self.ticks

    def rename_key(self, path: str, name: str) -> None:
        key = self.key(path)
        parent, old = self._above(path)
        if parent.children.get(fold(name)) not in (None, key):
            raise Refused(name)
        del parent.children[fold(old)]
        key.name = name
        parent.children[fold(name)] = key
        parent.ticks = key.ticks = self.ticks

    def _above(self, path: str) -> tuple[ModelKey, str]:
        if not path:
            raise Refused("the root")
        above, _, name = path.rpartition("\\")
        return self.key(above), name

    def set_value(self, path: str, name: str, kind: int, data: bytes) -> None:
        key = self.key(path)
        old = key.values.get(fold(name))
        key.values[fold(name)] = (old[0] if old else name, kind, data)
        key.ticks = self.ticks

    def delete_value(self, path: str, name: str) -> None:
        key = self.key(path)
        if fold(name) not in key.values:
            raise Refused(name)
        del key.values[fold(name)]
        key.ticks = self.ticks

    def set_security(self, path: str, descriptor: bytes) -> None:
        key = self.key(path)
        key.security, key.ticks = descriptor, self.ticks


Twin = Editor | Model
Step = Callable[[Twin], None]


def descriptor(image: bytes, cell: int) -> bytes:
    """The security descriptor of the key whose cell is at this offset."""
    (where,) = struct.unpack_from("<I", image, 4096 + cell + 4 + 44)
    (size,) = struct.unpack_from("<I", image, 4096 + where + 4 + 16)
    start = 4096 + where + 4 + 20
    return image[start : start + size]


def facts(image: bytes) -> dict[str, Facts]:
    """All a hive says, read from its bytes."""
    found: dict[str, Facts] = {}
    above: list[str] = []
    for key in Hive(image).walk():
        prefix = above[key.depth - 1] if key.depth else ""
        path = (f"{prefix}\\{key.name}" if prefix else key.name) if key.depth else ""
        above[key.depth :] = [path]
        found[path] = (
            key.ticks,
            key.class_name or "",
            descriptor(image, key.cell),
            tuple(key.values),
        )
    return found
