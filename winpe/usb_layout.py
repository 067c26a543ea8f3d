"""What a stick holds: the image as it is, and behind it a partition for reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from winpe import usb_fat, usb_gpt
from winpe.usb_write import HEAD, Layout, Segment

ALIGNED = 1 << 20  # bytes: where partitions begin


@dataclass(frozen=True, slots=True)
class Stick:
    """A layout, and what a person wants to know about it."""

    layout: Layout
    form: str  # "image" or "files"
    reports: int = 0  # bytes of the partition for reports; 0 where there is none
    note: str = ""  # one sentence where something asked for could not be done


def of_image(image: Path, size: int, work: Path, *, reports: bool) -> Stick:
    """The image for a stick of `size` bytes. Raises MediaError, OSError.

    Without a partition for reports the stick holds the image's bytes and nothing else.
    """
    length = image.stat().st_size
    head = read(image, HEAD).ljust(HEAD, b"\0")
    body = Segment(image, HEAD, length - HEAD, HEAD)
    plain = Layout(head, (body,) if length > HEAD else ())
    if not reports:
        return Stick(plain, "image")
    if not usb_gpt.present(head):
        note = "The image has no GUID partition table: it gets no partition for reports."
        return Stick(plain, "image", note=note)
    start = aligned(max(length, HEAD))
    room = min((size - usb_gpt.tail_size(head) - start) // ALIGNED * ALIGNED, usb_fat.LARGEST)
    if room < usb_fat.SMALLEST:
        return Stick(plain, "image", note=no_room(size))
    table = usb_gpt.stretched(head, size, start, room, usb_fat.REPORTS)
    folder, used = reports_partition(work, start, room)
    layout = Layout(table.head, (*plain.body, Segment(folder, 0, used, start)), table.tail)
    return Stick(layout, "image", room)


def reports_partition(work: Path, start: int, size: int) -> tuple[Path, int]:
    """An empty file system for reports in a file; how many bytes of it must be written."""
    made = work / "reports.img"
    return made, usb_fat.make(made, usb_fat.REPORTS, size, start)


def no_room(size: int) -> str:
    """Why there is no partition for reports."""
    return (
        f"The stick holds {size / 1e6:,.0f} MB: too few for a partition for reports, "
        f"which takes {usb_fat.SMALLEST / 1e6:.0f} MB beside the medium."
    )


def aligned(size: int) -> int:
    """The next place where a partition may begin."""
    return -(-size // ALIGNED) * ALIGNED


def read(path: Path, size: int) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as file:
        return file.read(size)
