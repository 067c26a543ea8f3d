from __future__ import annotations

from collections import Counter

import pytest

from recoverykit.formats.hive import Hive
from recoverykit.formats.hive_layer import LAYERED, Layer, inherits_class, layer
from tests.formats.hives import hive_bytes, walk


@pytest.mark.parametrize(
    ("bits", "expected", "inherits"),
    [
        (0x00, Layer.MERGED, False),
        (0x80, Layer.MERGED, True),
        (0x01, Layer.TOMBSTONE, False),
        (0x02, Layer.REPLACED, False),
        (0x03, Layer.REPLACED_TREE, False),
        (0xFF, Layer.REPLACED_TREE, True),
    ],
)
def test_the_bits(bits: int, expected: Layer, inherits: bool) -> None:
    assert layer(bits) is expected
    assert inherits_class(bits) is inherits


def test_a_real_layered_hive() -> None:
    """The system hive of a Windows sandbox: deleted keys and values, and keys that cover others."""
    hive = Hive(hive_bytes("yarp/System_Delta"))
    assert hive.base.minor == 6
    assert hive.base.flags & LAYERED
    keys = list(walk(hive))
    assert Counter(key.layer for key in keys) == {
        Layer.MERGED: 522,
        Layer.TOMBSTONE: 2,
        Layer.REPLACED_TREE: 62,
    }
    assert sum(key.inherits_class for key in keys) == 515
    for key in keys:
        if key.layer is Layer.TOMBSTONE:
            assert not [*key.values(), *key.subkeys()]
            assert key.class_name is None
        if key.layer is Layer.REPLACED_TREE:
            assert {below.layer for below in key.subkeys()} <= {
                Layer.REPLACED_TREE,
                Layer.TOMBSTONE,
            }
    deleted = [value for key in keys for value in key.values() if value.is_tombstone]
    assert len(deleted) >= 3
    assert {(value.type, value.data) for value in deleted} == {(0, b"")}


def test_other_hives_have_no_layers() -> None:
    """Their bits are other flags, or nothing."""
    image = bytearray(hive_bytes("bcd_win2go"))
    hive = Hive(bytes(image))
    image[hive.root.offset + 17] = 0x81
    root = Hive(bytes(image)).root
    assert root.layer is Layer.MERGED
    assert not root.inherits_class
    assert not any(value.is_tombstone for key in walk(hive) for value in key.values())
