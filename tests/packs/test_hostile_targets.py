"""Targets that lie: what is broken is an answer ("cannot be told"), never an exception."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from recoverykit import packs
from recoverykit.packs import Detection, Pack
from tests.builders import pe
from tests.packs import samples
from tests.repair import target

MUTATIONS = 60  # a campaign may raise it

DRIVER = f"{target.DRIVER}"
SOFTWARE = "Windows/System32/config/SOFTWARE"
VERSION = pe.driver({"FileVersion": "7.11.2.0"})


def curious() -> Pack:
    """Looks at everything there is to look at."""
    return samples.pack(
        "[[detect]]\nname = 'file'\nfile = '%SystemRoot%\\System32\\drivers\\acme*.sys'\n"
        "version-from = '7'\n",
        "[[detect]]\nname = 'driver'\ndriver = 'acme filter.sys'\nversion-before = '8'\n",
        "[[detect]]\nname = 'program'\nservice = 'AcmeAgent'\n",
        "[[detect]]\nname = 'value'\nkey = 'SOFTWARE\\Acme\\Agent'\nvalue = 'Mode'\n",
        "[[detect]]\nname = 'system'\nkey = 'SYSTEM\\CurrentControlSet\\Services\\acme'\n"
        "value = 'Start'\ntype = 'dword'\ndata = 0\n",
        "[when]\nany = ['file', 'driver', 'program', 'value', 'system']\n",
        "[[act]]\nquarantine = 'driver'\n",
        "[[verify]]\ngone = 'file'\n[[verify]]\ndisabled = 'acme'\n",
        "[[verify]]\nkey = 'SOFTWARE\\Acme\\Agent'\nvalue = 'Mode'\nabsent = true\n",
    )


def spoiled(rng: random.Random, content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(rng.randrange(1, 30)):
        at = rng.randrange(len(data))
        if rng.randrange(4):
            data[at] = rng.choice((0, 255, rng.randrange(256)))
        else:
            data[at : at + rng.randrange(64)] = rng.randbytes(rng.randrange(64))
    return bytes(data[: rng.randrange(1, len(data))] if not rng.randrange(8) else data)


def look(mount: Path) -> Detection:
    began = time.process_time()
    found = packs.detect(curious(), samples.install(mount), [target.service()])
    told = packs.verify(curious(), samples.install(mount))
    assert time.process_time() - began < 5
    assert all(isinstance(text, str) for text in told)
    return found


def test_mutated_hives_and_drivers_are_answers(mount: Path) -> None:
    rng = random.Random(291)
    good = {name: (mount / name).read_bytes() for name in (target.SYSTEM, SOFTWARE)}
    good[DRIVER] = VERSION
    answers = set()
    for _ in range(MUTATIONS):
        for name, content in good.items():
            (mount / name).write_bytes(spoiled(rng, content) if rng.randrange(2) else content)
        answers |= {seen.holds for seen in look(mount).seen}
    assert answers == {True, False, None}


def test_what_lies_in_the_way(mount: Path) -> None:
    folder = mount / "Windows/System32/drivers"
    (folder / "acme1.sys").symlink_to("acme1.sys")  # to itself
    (folder / "acme2.sys").mkdir()
    os.mkfifo(folder / "acme3.sys")
    (folder / "acme4.sys").symlink_to("/etc/passwd")
    (folder / "acme\x1b[2J.sys").write_bytes(VERSION)
    (folder / "acme:stream.sys").write_bytes(VERSION)
    (folder / os.fsdecode(b"acme\xff.sys")).symlink_to(".")
    found = look(mount)
    assert found.of("file").holds is None  # names that Windows cannot have
    (folder / "acme\x1b[2J.sys").unlink()
    (folder / "acme:stream.sys").unlink()
    assert look(mount).of("file").paths == ()
    (folder / "acme5.sys").write_bytes(VERSION)
    assert look(mount).of("file").paths == ("Windows/System32/drivers/acme5.sys",)


def test_a_windows_without_its_folders(mount: Path) -> None:
    (mount / "Windows/System32").rename(mount / "gone")
    found = look(mount)
    assert {seen.holds for seen in found.seen} <= {False, None}
