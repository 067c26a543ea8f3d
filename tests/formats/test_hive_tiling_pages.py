"""A page of a real hive that was zeroed is noticed wherever a cell begins in it."""

from __future__ import annotations

import random
import struct

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import hive_tiling
from recoverykit.formats.hive import Hive
from tests.formats.hives import hive_bytes, walk

PAGE = 4096
PAGES = 12  # of each hive; measured with 150: all of those in which a cell begins
# Share of pages in which a cell begins. The rest lies inside long cells, most of them free.
SHARES = {
    "dissect_SYSTEM.gz": 0.98,
    "plaso_win7x86_SYSTEM.xz": 0.82,
    "regipy_SYSTEM.xz": 0.95,
    "regipy_SYSTEM_2.xz": 0.98,
    "regipy_SYSTEM_WIN_10_1709.xz": 0.97,
}
# Their cells follow each other without a gap; keys and lists are for the reader to refuse.
CONTENT_ONLY = ("yarp/BadListHive", "yarp/BadSubkeyHive", "yarp/TruncatedNameHive")


def starts(image: bytes | bytearray) -> set[int]:
    """Pages in which a cell or a bin begins, by a walk of the test's own."""
    found, at = set(), PAGE
    end = PAGE + struct.unpack_from("<I", image, 40)[0]
    while at < end:
        (length,) = struct.unpack_from("<I", image, at + 8)
        found.add(at // PAGE)
        cell = at + 32
        while cell < at + length:
            found.add(cell // PAGE)
            cell += abs(struct.unpack_from("<i", image, cell)[0])
        at += length
    return found


@pytest.mark.parametrize("name", SHARES)
def test_a_zeroed_page_is_noticed(name: str) -> None:
    image = bytearray(hive_bytes(name))
    begun = starts(image)
    total = struct.unpack_from("<I", image, 40)[0] // PAGE
    assert len(begun) / total == pytest.approx(SHARES[name], abs=0.01)
    for page in random.Random(name).sample(sorted(begun), PAGES):
        kept = image[page * PAGE : (page + 1) * PAGE]
        image[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
        with pytest.raises(FormatError):
            hive_tiling.check(image)
        image[page * PAGE : (page + 1) * PAGE] = kept
    hive_tiling.check(image)


@pytest.mark.parametrize("name", CONTENT_ONLY)
def test_what_only_the_content_shows_is_left_to_others(name: str) -> None:
    image = hive_bytes(name)
    hive_tiling.check(image)
    with pytest.raises(FormatError):
        list(walk(Hive(image)))
