"""What lies below a volume that ntfs-3g has mounted, to be read beside it.

ntfs-3g names its device (a block device, or an image file) as the source of the mount; its writes
and our reads meet in the page cache of that. Source: proc(5), "/proc/pid/mountinfo".
"""

from __future__ import annotations

import re
import stat
from pathlib import Path

_OCTAL = re.compile(r"\\([0-7]{3})")  # spaces and the like


def behind(mount: Path) -> Path | None:
    """The device or image of a mounted volume; None for every mount but one of ntfs-3g."""
    kinds = [(kind, source) for point, kind, source in _mounts() if point == mount.resolve()]
    if not kinds or not kinds[-1][0].startswith("fuse"):
        return None
    source = Path(kinds[-1][1])
    try:
        mode = source.stat().st_mode
    except OSError:
        return None
    return source if stat.S_ISBLK(mode) or stat.S_ISREG(mode) else None


def _mounts() -> list[tuple[Path, str, str]]:
    """(mount point, type, source), oldest first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines():
        before, _, after = line.partition(" - ")
        kind, source = after.split(" ")[:2]
        found.append((Path(_plain(before.split(" ")[4])), kind, _plain(source)))
    return found


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), text)
