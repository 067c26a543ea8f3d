"""What keeps a driver's file from loading, whatever else is right with it: damage to the file.

Sections as in Microsoft "PE Format". CheckSum there: the sum of all 16-bit words with the carry
added back, the field itself taken as zero, plus the file's length; "all drivers" are checked when
loaded, and a mismatch is STATUS_IMAGE_CHECKSUM_MISMATCH (0xC0000221). A stored 0 is not called
damage: Windows 7 refuses such a driver (reactos/reactos#8969), what later ones do is documented
nowhere, and damage does not leave exactly a zero. Not judged: the machine type, the signature.
"""

from __future__ import annotations

from recoverykit.formats import pe
from recoverykit.formats.pe import Headers, Section, Stream, read_at

_PAGE = 4096
_CHUNK = 1 << 16  # even: a word never spans two chunks


def damage(stream: Stream, image: Headers, size: int) -> str:
    """One clause where the file of `size` bytes is damaged for certain, else "".

    Looks at the headers and two pages of code. Raises OSError where it cannot be read.
    """
    for section in image.sections:
        # What pads a section to the file's alignment may be missing: nothing lies there.
        needed = min(section.stored, section.size) if section.size else section.stored
        if needed and section.offset + needed > size:
            return f"its section {_name(section)} ends beyond the file"
    code = _code(image)
    if code is None:
        return ""
    entry = (image.entry - code.address) // _PAGE * _PAGE
    for start in sorted({0, entry}):
        page = read_at(stream, code.offset + start, min(_PAGE, code.stored - start))
        if page and not any(page):
            return f"its section {_name(code)} is blank where its code begins"
    return ""


def damage_of_whole(stream: Stream, image: Headers, size: int) -> str:
    """The same, and whether the checksum is right: reads the whole file. Raises OSError."""
    found = damage(stream, image, size)
    if not found and not has_right_checksum(stream, image):
        return "the checksum in its header is not that of the file"
    return found


def no_image(stream: Stream, problem: str, what: str) -> str:
    """One clause about a file that is no PE image: why, and that it is no `what`."""
    start = read_at(stream, 0, _PAGE)
    if not start:
        return "it is empty"
    if not any(start):
        return "its beginning is nothing but zeros"
    return f"it is no {what}: {problem}"


def checksum(stream: Stream, image: Headers) -> int:
    """The checksum its header should have. Reads the whole file. Raises OSError."""
    stream.seek(0)
    total = length = 0
    while chunk := stream.read(_CHUNK):
        # 65536 is 1 modulo 65535, so the number these bytes are leaves what their words' sum does.
        total += int.from_bytes(chunk, "little") % 0xFFFF
        length += len(chunk)
        if len(chunk) % 2:
            break  # only the end of a file is odd
    field = image.checksum << 8 * (image.checksum_at % 2)
    # A sum is folded to 0xFFFF, never to 0, as long as there is anything to sum.
    return ((total - field) % 0xFFFF or 0xFFFF) + length


def has_right_checksum(stream: Stream, image: Headers) -> bool:
    return image.checksum in (0, checksum(stream, image))


def _code(image: Headers) -> Section | None:
    """The section that holds the first instruction, where it is stored in the file."""
    for section in image.sections:
        if section.address <= image.entry < section.address + section.stored:
            return section if image.entry and section.flags & pe.EXECUTABLE else None
    return None


def _name(section: Section) -> str:
    """Its name as it can be shown: a damaged header may hold anything."""
    return "".join(letter if letter.isprintable() else "?" for letter in section.name) or "?"
