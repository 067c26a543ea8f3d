"""An installation whose SYSTEM hive is at hand, made up or real, for collectors that read it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from recoverykit.errors import FormatError
from recoverykit.formats import hive as hives
from recoverykit.formats.hive import Hive
from recoverykit.model import Evidence, Gap, Source, WindowsInstall
from tests.builders import hive
from tests.builders.mutate import mutants
from tests.evidence.conftest import CONFIG, installation
from tests.formats.hives import hive_bytes, logs_of

SYSTEM = f"{CONFIG}/SYSTEM"
MACHINES = {  # real machines, all of them healthy: file, build
    "dfwinreg_win81_SYSTEM.xz": "9600",
    "dissect_SYSTEM.gz": "19041.985",
    "plaso_win7x86_SYSTEM.xz": "7601",
    "regipy_SYSTEM.xz": "7601",
    "regipy_SYSTEM_2.xz": "9600",
    "regipy_SYSTEM_B.xz": "16299",
    "regipy_SYSTEM_WIN_10_1709.xz": "18362",
}
Collect = Callable[[WindowsInstall, Hive], Iterator[Evidence]]


def install(build: str = "19045.4651") -> WindowsInstall:
    return installation(Path("/nowhere"), build=build, architecture="x64")


def built(control_set: hive.Tree, **others: hive.Tree) -> Hive:
    """A SYSTEM hive with one control set, and keys beside it."""
    return Hive(hive.build({"ControlSet001": control_set, **others}))


def real_hive(name: str) -> Hive:
    """A real SYSTEM hive, with its logs where they are; skips the test where it is absent."""
    raw = hive_bytes(name)
    try:
        return hives.read(raw, logs_of(name))[0]
    except FormatError:
        return Hive(raw)  # dirty, its logs are lost


def value_at(image: bytes, source: Source) -> tuple[str, int]:
    """(name, type) of the value a Source points at, read from the bytes (msuhanov, "Key value")."""
    assert source.offset is not None
    size, kind, length = struct.unpack_from("<i2sH", image, source.offset)
    assert size < 0, "a free cell"
    assert kind == b"vk"
    (stored,) = struct.unpack_from("<I", image, source.offset + 16)
    name = image[source.offset + 24 : source.offset + 24 + length]
    return name.decode("latin-1"), stored


def key_at(image: bytes, source: Source) -> str:
    """The name of the key a Source points at, read from the bytes (msuhanov, "Key node")."""
    assert source.offset is not None
    size, kind = struct.unpack_from("<i2s", image, source.offset)
    assert size < 0, "a free cell"
    assert kind == b"nk"
    (length,) = struct.unpack_from("<H", image, source.offset + 76)
    return image[source.offset + 80 : source.offset + 80 + length].decode("latin-1")


def survive(image: bytes, collect: Collect, seed: str, count: int) -> tuple[int, int]:
    """Run a collector on damaged hives: (how many could be opened, how many Gaps they gave).

    What raises anything but the FormatError of opening such a hive fails the test.
    """
    opened = gaps = 0
    for data in mutants(image, seed, count):
        try:
            damaged = Hive(data)
        except FormatError:
            continue
        opened += 1
        gaps += sum(isinstance(item, Gap) for item in collect(install(), damaged))
    return opened, gaps
