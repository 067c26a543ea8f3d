"""The blocks of folders against volumes that mkntfs made."""

from __future__ import annotations

import random
import struct
from contextlib import suppress

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats import ntfs_folder, ntfs_volume
from recoverykit.formats.ntfs_volume import ROOT, NtfsVolume
from tests.builders import ntfs, tables
from tests.conftest import need

pytestmark = need("mkntfs")
MUTANTS = 300
BITMAP = 6  # the MFT record of $Bitmap, which the root lists


def opened(data: bytes | bytearray) -> NtfsVolume:
    return NtfsVolume.open(tables.reader(data))


def written(data: bytes | bytearray, pieces: ntfs_folder.Pieces) -> bytearray:
    made = bytearray(data)
    for at, content in pieces.items():
        made[at : at + len(content)] = content
    return made


def record_at(image: bytes | bytearray, number: int) -> int:
    boot = opened(image).boot
    return boot.mft + number * boot.record_size


# --- blocks -------------------------------------------------------------------------------


@pytest.mark.parametrize("cluster", [512, 4096, 65536])
def test_what_the_root_lists(cluster: int) -> None:
    image = ntfs.volume(16, cluster)
    names = ntfs_folder.names(opened(image), ROOT)
    assert names.keys() >= {"$MFT", "$Bitmap", "$Secure", "."}
    assert names["$Bitmap"] & 0xFFFF_FFFF_FFFF == BITMAP
    assert not any(ntfs_folder.is_dead(opened(image), one) for one in names.values())
    assert ntfs_folder.places(opened(image), ROOT)["$Bitmap"].leaf


def test_a_name_is_seen_in_a_torn_block_too() -> None:
    image = bytearray(ntfs.volume(16, 4096))
    assert not ntfs_folder.mentions(opened(image), ROOT, "RecoveryKit")
    place = ntfs_folder.places(opened(image), ROOT)["$Secure"]
    image[place.block + 510 : place.block + 512] = b"\0\0"  # the number at a sector's end
    assert "$Secure" not in ntfs_folder.names(opened(image), ROOT)
    assert ntfs_folder.mentions(opened(image), ROOT, "$Secure")


@pytest.mark.parametrize("cluster", [512, 4096, 65536])
def test_blocks_bring_a_folder_back(cluster: int) -> None:
    image = ntfs.volume(16, cluster)
    kept = ntfs_folder.blocks(opened(image), ROOT)
    root = record_at(image, ROOT)
    assert image[root : root + 1024] in kept.values()
    assert any(content.startswith(b"INDX") for content in kept.values())
    broken = written(image, {at: bytes(len(content)) for at, content in kept.items()})
    with pytest.raises(FormatError):
        ntfs_folder.names(opened(broken), ROOT)
    assert written(broken, kept) == image
    again = NtfsVolume.open(ntfs_folder.overlaid(tables.reader(broken), kept))
    assert ntfs_folder.names(again, ROOT) == ntfs_folder.names(opened(image), ROOT)


def test_overlaid_reads_of_every_alignment() -> None:
    data, pieces = bytes(range(100)), {10: b"x" * 10, 40: b"y"}
    whole = bytes(written(data, pieces))
    read = ntfs_folder.overlaid(tables.reader(data), pieces)
    for start in range(0, 60, 3):
        for length in (1, 5, 17, 90):
            assert read(start, length) == whole[start : start + length]


def test_a_folder_without_an_index_is_refused() -> None:
    with pytest.raises(FormatError, match="has none"):
        ntfs_folder.names(opened(ntfs.volume()), BITMAP)


# --- the mirror ---------------------------------------------------------------------------


def test_a_mirror_that_is_one() -> None:
    assert ntfs_folder.mirror(tables.reader(ntfs.volume())) == {}


@pytest.mark.parametrize("number", range(4))
def test_a_mirror_that_lags_behind(number: int) -> None:
    image = bytearray(ntfs.volume())
    at = record_at(image, number)
    image[at + 8] ^= 1  # its sequence number in $LogFile: a whole record, and another one
    pieces = ntfs_folder.mirror(tables.reader(image))
    (place,) = pieces
    assert place == opened(image).boot.mirror + number * 1024
    assert pieces[place] == image[at : at + 1024]
    assert ntfs_folder.mirror(tables.reader(written(image, pieces))) == {}


def test_a_torn_record_comes_back_from_the_mirror() -> None:
    image = bytearray(ntfs.volume())
    at = record_at(image, 0)
    image[at + 510] ^= 0xFF
    pieces = ntfs_folder.mirror(tables.reader(image))
    assert pieces == {at: ntfs.volume()[at : at + 1024]}


def test_two_torn_records_are_left_alone() -> None:
    image = bytearray(ntfs.volume())
    for start in (record_at(image, 1), opened(image).boot.mirror + 1024):
        image[start + 510] ^= start & 0xFF | 1
    image[record_at(image, 1)] = 0
    assert ntfs_folder.mirror(tables.reader(image)) == {}


# --- torn writes --------------------------------------------------------------------------


def torn(image: bytes, at: int, size: int, sectors: int) -> bytearray:
    """A block as the power leaves it when it goes after some sectors of a write that changed
    nothing but the number of the update: Russon, "Fixup"."""
    made = bytearray(image)
    start, count = struct.unpack_from("<HH", made, at + 4)
    (number,) = struct.unpack_from("<H", made, at + start)
    for end in range(512, size + 1, 512):
        if end <= 512 * sectors:
            struct.pack_into("<H", made, at + end - 2, number + 1)
    struct.pack_into("<H", made, at + start, number + 1)
    assert count == size // 512 + 1
    return made


def index_of_the_root(image: bytes | bytearray) -> int:
    return ntfs_folder.places(opened(image), ROOT)["$Bitmap"].block


@pytest.mark.parametrize("sectors", range(1, 8))
def test_a_torn_index_is_made_whole(sectors: int) -> None:
    image = ntfs.volume()
    broken = torn(image, index_of_the_root(image), 4096, sectors)
    assert "$Bitmap" not in ntfs_folder.names(opened(broken), ROOT)
    whole = written(broken, ntfs_folder.healed(opened(broken), ROOT))
    assert ntfs_folder.names(opened(whole), ROOT) == ntfs_folder.names(opened(image), ROOT)
    assert ntfs_folder.healed(opened(whole), ROOT) == {}


def test_a_torn_record_is_made_whole() -> None:
    image = ntfs.volume()
    broken = torn(image, record_at(image, BITMAP), 1024, 1)
    with pytest.raises(FormatError, match="torn write"):
        ntfs_volume.stream(opened(broken), BITMAP)
    whole = written(broken, ntfs_folder.healed(opened(broken), BITMAP))
    assert ntfs_volume.stream(opened(whole), BITMAP) == ntfs_volume.stream(opened(image), BITMAP)


def test_sectors_of_an_older_write_are_left_alone() -> None:
    image = ntfs.volume()
    at = index_of_the_root(image)
    broken = torn(bytes(torn(image, at, 4096, 3)), at, 4096, 3)  # the rest is two writes behind
    assert ntfs_folder.healed(opened(broken), ROOT) == {}


def test_a_mixture_of_two_lists_is_left_alone() -> None:
    """The names after the tear would not be in order: something was put in or taken out."""
    image = bytearray(ntfs.volume())
    at = index_of_the_root(image)
    names = sorted(ntfs_folder.places(opened(image), ROOT).items(), key=lambda one: one[1].at)
    late = next(place for _, place in names if place.block == at and place.at > 600)
    image[at + late.at + 82] = ord("!")  # the first letter: now before every other
    broken = torn(bytes(image), at, 4096, 1)
    assert ntfs_folder.healed(opened(broken), ROOT) == {}


# --- clusters -----------------------------------------------------------------------------


@pytest.mark.parametrize("cluster", [512, 4096])
def test_clusters_that_were_freed_too_early(cluster: int) -> None:
    image = bytearray(ntfs.volume(16, cluster))
    bitmap = ntfs_volume.stream(opened(image), BITMAP)
    log = ntfs_volume.stream(opened(image), ntfs_volume.LOG_FILE)
    assert bitmap is not None
    assert log is not None
    assert ntfs_folder.claimed(opened(image), ntfs_volume.LOG_FILE) == {}
    first = log.runs[0][0] // cluster
    ((place, _),) = ntfs_folder.spans(bitmap, (first + 9) // 8, 1)
    was = image[place]
    image[place] = 0
    pieces = ntfs_folder.claimed(opened(image), ntfs_volume.LOG_FILE)
    assert written(image, pieces)[place] == was
    assert ntfs_folder.claimed(opened(written(image, pieces)), ntfs_volume.LOG_FILE) == {}


# --- names that lead nowhere --------------------------------------------------------------


@pytest.mark.parametrize("how", ["free", "of another file"])
def test_a_dead_name_is_cut_out(how: str) -> None:
    image = bytearray(ntfs.volume())
    before = ntfs_folder.places(opened(image), ROOT)
    at = record_at(image, BITMAP)
    if how == "free":
        image[at + 22] &= ~1  # no longer in use
    else:
        image[at + 16] += 1  # its sequence number
    pieces = ntfs_folder.without_dead(opened(image), ROOT, "$bitmap")
    (block,) = pieces.values()
    assert block[:4] == b"INDX"
    after = ntfs_folder.places(opened(written(image, pieces)), ROOT)
    assert before.keys() - after.keys() == {"$Bitmap"}
    assert {name: place.reference for name, place in after.items()} == {
        name: place.reference for name, place in before.items() if name != "$Bitmap"
    }
    assert ntfs_folder.without_dead(opened(written(image, pieces)), ROOT, "$Bitmap") == {}


@pytest.mark.parametrize("name", ["$Bitmap", "nothing.sys"])
def test_a_name_that_lives_stays(name: str) -> None:
    assert ntfs_folder.without_dead(opened(ntfs.volume()), ROOT, name) == {}


# --- hostile ------------------------------------------------------------------------------


def test_mutants_are_refused_or_read() -> None:
    image, rng = ntfs.volume(), random.Random(20240719)
    boot = opened(image).boot
    kept = ntfs_folder.blocks(opened(image), ROOT)
    places = [*kept, boot.mft, boot.mft + 1024 * ROOT]
    refused = 0
    for _ in range(MUTANTS):
        mutant = bytearray(image)
        for _ in range(rng.randrange(1, 6)):
            at = rng.choice(places) + rng.randrange(512)
            mutant[at] = rng.choice((0, 0xFF, rng.randrange(256)))
            if rng.random() < 0.3:
                struct.pack_into("<I", mutant, at & ~3, rng.choice((0, 0xFFFF_FFFF, 1 << 31)))
        try:
            volume = opened(mutant)
            ntfs_folder.blocks(volume, ROOT)
            for reference in ntfs_folder.names(volume, ROOT).values():
                ntfs_folder.is_dead(volume, reference)
            ntfs_folder.without_dead(volume, ROOT, "$Bitmap")
            ntfs_folder.healed(volume, ROOT)
            ntfs_folder.claimed(volume, ROOT)
        except FormatError:
            refused += 1
        with suppress(FormatError):
            ntfs_folder.mirror(tables.reader(mutant))
    assert 0 < refused < MUTANTS
