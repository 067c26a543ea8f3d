from __future__ import annotations

import mmap
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recoverykit.formats.binary import Buffer, as_image, from_filetime, to_filetime

TICKS = 131_331_190_512_216_222  # of yarp's NewDirtyHive


def test_a_filetime_is_utc() -> None:
    assert from_filetime(TICKS) == datetime(2017, 3, 4, 16, 37, 31, 221622, tzinfo=UTC)


@pytest.mark.parametrize("ticks", [0, 2**63, 2**64 - 1])
def test_no_time_and_impossible_times_are_none(ticks: int) -> None:
    assert from_filetime(ticks) is None


def test_there_and_back_loses_only_what_a_datetime_cannot_hold() -> None:
    when = from_filetime(TICKS)
    assert when is not None
    assert to_filetime(when) == TICKS // 10 * 10
    assert to_filetime(datetime(1601, 1, 1, tzinfo=UTC)) == 0


@pytest.mark.parametrize(
    "when",
    [datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None), datetime(1600, 1, 1, tzinfo=UTC)],
    ids=["naive", "early"],
)
def test_times_without_zone_or_before_the_epoch_are_refused(when: datetime) -> None:
    with pytest.raises(ValueError, match="FILETIME"):
        to_filetime(when)


def test_slices_are_bytes_whatever_came_in(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"regf")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        buffers: list[Buffer] = [b"regf", bytearray(b"regf"), memoryview(b"regf"), mapped]
        assert [as_image(buffer)[:2] for buffer in buffers] == [b"re"] * 4
        assert as_image(mapped) is mapped  # not copied
