from __future__ import annotations

import pytest

from winpe import inspection
from winpe.cli_inspect import as_text
from winpe.inspection import Inspection, Part


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("usr/lib/modules/6.12/kernel/drivers/net/e1000e.ko", "modules: net"),
        ("usr/lib/modules/6.12/kernel/fs/fuse.ko", "modules: fs"),
        ("usr/lib/modules/6.12/modules.dep.bin", "modules: their index"),
        ("usr/lib/python3.11/os.pyc", "Python: standard library"),
        ("usr/lib/python3/dist-packages/evtx/a.so", "Python: evtx"),
        ("usr/lib/python3/dist-packages/pefile.pyc", "Python: pefile"),
        ("usr/lib/x86_64-linux-gnu/libc.so.6", "libraries"),
        ("usr/bin/kmod", "tools"),
        ("init", "other"),
    ],
)
def test_kinds(name: str, kind: str) -> None:
    assert inspection.kind(name) == kind


def test_nothing_on_the_image_steers_the_terminal() -> None:
    part = Part("k", 5_000_000, 9_000_000, estimated=True)
    found = Inspection("id", "now", {"a\x1b[2J": "b"}, (), (part,))
    assert "\x1b" not in as_text(found)
    assert "~     5.00      9.00  k" in as_text(found)
