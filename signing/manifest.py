"""The manifest of a medium: path, size and SHA-256 of every file, as canonical JSON.

Format "recoverykit.manifest/1" (docs/signing.md). One byte sequence per manifest: keys sorted, no
spaces, UTF-8, one final newline; anything else is refused, even if a JSON parser would read it.
Refused too: paths that could leave their folder or fool a reader (absolute, "..", backslashes,
control characters), paths out of order or twice, unknown fields, more than 32 MiB.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from signing.errors import SigningError, TamperedError

FORMAT = "recoverykit.manifest/1"
LARGEST = 32 * 1024 * 1024
BLOCK = 1024 * 1024  # one read: large enough that calls cost nothing, small enough for any machine

# Where things lie on a medium (relative to its root) and in the running system.
MEDIUM_MANIFEST = "recoverykit/manifest.json"
MEDIUM_SIGNATURE = "recoverykit/manifest.p7s"
MEDIUM_CERTIFICATE = "recoverykit/signing.crt"
PAYLOAD_MANIFEST = "usr/share/recoverykit/payload.json"
PAYLOAD_SIGNATURE = "usr/share/recoverykit/payload.p7s"
PAYLOAD_TRUST = "usr/share/recoverykit/trust"  # folder of *.crt
PAYLOAD_SETTINGS = "usr/share/recoverykit/settings.json"
PAYLOAD_REPLACEMENTS = "usr/share/recoverykit/replacements"  # folder of good drivers
PAYLOAD_DRIVER_TRUST = "usr/share/recoverykit/driver-trust"  # *.crt that vouch for drivers
PAYLOAD_BLOCK_LISTS = "usr/share/recoverykit/block-lists"  # folder of policies and hashes

# Facts that have a meaning here; others are for people.
MBR_CODE = "mbr-code-sha256"  # of the image's first MBR_CODE_SIZE bytes
MBR_CODE_SIZE = 0x1B0  # after it xorriso writes the address of the boot image, then the partitions

_IMAGE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LARGEST_FILE = 1 << 60
_LONGEST_PATH = 4096
_TIME = "%Y-%m-%dT%H:%M:%SZ"

Stream = io.RawIOBase | io.BufferedIOBase
Progress = Callable[[int, int], None]  # bytes done, bytes in all


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, or one symbolic link: then size and hash are those of the target's UTF-8 text."""

    path: str  # relative, forward slashes
    size: int
    sha256: str  # lower-case hex
    link: bool = False


@dataclass(frozen=True, slots=True)
class Manifest:
    image_id: str
    made: datetime  # aware; whole seconds
    entries: tuple[Entry, ...]  # sorted by path
    facts: Mapping[str, str] = field(default_factory=dict)
    format: str = FORMAT


class Files(Protocol):
    """Something that holds files: a folder (signing.tree), an ISO image (winpe)."""

    def names(self) -> Iterable[str]:
        """Every file and symbolic link, in any order."""

    def is_link(self, path: str) -> bool: ...

    def open(self, path: str) -> Stream:
        """The file's content; for a link its target as UTF-8. Raises OSError."""


# --- bytes ----------------------------------------------------------------------------------


def to_bytes(manifest: Manifest) -> bytes:
    """The only encoding of `manifest`. Raises SigningError if it could not be read back."""
    _check_values(manifest)
    document = {
        "entries": [_entry_fields(entry) for entry in manifest.entries],
        "facts": dict(manifest.facts),
        "format": manifest.format,
        "image": manifest.image_id,
        "made": manifest.made.astimezone(UTC).strftime(_TIME),
    }
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    content = text.encode() + b"\n"
    if len(content) > LARGEST:
        raise SigningError(f"the manifest has {len(content):,} bytes, over {LARGEST:,}")
    return content


def _entry_fields(entry: Entry) -> dict[str, str | int]:
    fields: dict[str, str | int] = {
        "path": entry.path,
        "sha256": entry.sha256,
        "size": entry.size,
    }
    return fields | {"link": True} if entry.link else fields


def from_bytes(content: bytes) -> Manifest:
    """Raises SigningError for anything that `to_bytes` does not write."""
    if len(content) > LARGEST:
        raise SigningError(f"the manifest has {len(content):,} bytes, over {LARGEST:,}")
    try:
        document = json.loads(content.decode())
    except (ValueError, RecursionError) as exc:  # not UTF-8, not JSON, or nested without end
        raise SigningError("the manifest is not JSON in UTF-8") from exc
    manifest = _manifest(document)
    # One encoding only: no second meaning hides in duplicate keys, escapes or spaces.
    if to_bytes(manifest) != content:
        raise SigningError("the manifest is not in its canonical form")
    return manifest


def _manifest(document: Any) -> Manifest:
    fields = _object(document, {"entries", "facts", "format", "image", "made"}, "the manifest")
    facts = fields["facts"]
    if not isinstance(facts, dict) or not isinstance(fields["entries"], list):
        raise SigningError("the manifest's facts or entries have the wrong type")
    try:
        made = datetime.strptime(fields["made"], _TIME).replace(tzinfo=UTC)
    except (TypeError, ValueError) as exc:
        raise SigningError("the manifest does not say when it was made") from exc
    entries = tuple(_entry(item) for item in fields["entries"])
    return Manifest(fields["image"], made, entries, facts, fields["format"])


def _entry(item: Any) -> Entry:
    names = {"path", "sha256", "size"}
    if isinstance(item, dict) and "link" in item:
        names = names | {"link"}
    fields = _object(item, names, "an entry of the manifest")
    return Entry(fields["path"], fields["size"], fields["sha256"], fields.get("link", False))


def _object(value: Any, names: set[str], what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != names:
        raise SigningError(f"{what} must have exactly the fields {', '.join(sorted(names))}")
    return value


def _check_values(manifest: Manifest) -> None:
    if manifest.format != FORMAT:
        raise SigningError(f"the manifest's format is not {FORMAT}")
    if not _matches(_IMAGE_ID, manifest.image_id):
        raise SigningError("the manifest's image id is not 1 to 128 letters, digits, '.-_'")
    for key, value in manifest.facts.items():
        if not _is_text(key) or not _is_text(value) or not key:
            raise SigningError("the manifest's facts must be plain text")
    if not manifest.entries:
        raise SigningError("the manifest is empty: it vouches for nothing")
    previous = ""
    for entry in manifest.entries:
        _check_entry(entry)
        if entry.path <= previous:
            raise SigningError(f"manifest: {entry.path!r} is listed twice or out of order")
        previous = entry.path


def _check_entry(entry: Entry) -> None:
    if not is_safe_path(entry.path):
        raise SigningError(f"manifest: {entry.path!r} is not a safe relative path")
    if type(entry.size) is not int or not 0 <= entry.size <= _LARGEST_FILE:
        raise SigningError(f"manifest: the size of {entry.path} is not a number of bytes")
    if not _matches(_SHA256, entry.sha256):
        raise SigningError(f"manifest: the hash of {entry.path} is not a SHA-256 in hex")
    if type(entry.link) is not bool:
        raise SigningError(f"manifest: {entry.path} is neither link nor file")


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def is_safe_path(path: Any) -> bool:
    """Whether `path` stays inside any folder it is put under, and prints as what it is."""
    if not _is_text(path) or not path or "\\" in path:
        return False
    return not any(part in ("", ".", "..") for part in path.split("/"))


def _is_text(value: Any) -> bool:
    """Text without control, format, line-breaking and surrogate characters, not too long."""
    if not isinstance(value, str) or len(value) > _LONGEST_PATH:
        return False
    if value.isascii():
        return value.isprintable()
    return not any(
        unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") for letter in value
    )


# --- making and checking --------------------------------------------------------------------


def for_files(
    files: Files,
    image_id: str,
    made: datetime,
    facts: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """The manifest of everything in `files`. `progress` hears bytes done; the total is unknown: 0.

    Raises SigningError for a name that no manifest may hold, OSError when a file cannot be read.
    """
    count = _Counter(progress, 0)
    entries = tuple(_measure(files, path, count) for path in sorted(files.names()))
    manifest = Manifest(image_id, made.replace(microsecond=0), entries, dict(facts or {}))
    _check_values(manifest)
    return manifest


def check(manifest: Manifest, files: Files, progress: Progress | None = None) -> None:
    """Compare everything in `files` with the manifest: nothing changed, missing or extra.

    Raises TamperedError naming the first path, in path order, that is not as signed, and how.
    """
    expected = {entry.path: entry for entry in manifest.entries}
    present = _names(files)
    count = _Counter(progress, sum(entry.size for entry in manifest.entries))
    for path in sorted(expected.keys() | present):
        if path not in expected:
            raise TamperedError(path, "is not in the manifest: somebody added it")
        if path not in present:
            raise TamperedError(path, "is missing")
        _check_file(expected[path], files, count)


def _names(files: Files) -> set[str]:
    try:
        names = Counter(files.names())
    except OSError as exc:
        raise SigningError(f"the files cannot be listed: {exc}") from exc
    twice = sorted(name for name, times in names.items() if times > 1)
    if twice:
        raise TamperedError(twice[0], "is there twice")
    return set(names)


def _check_file(entry: Entry, files: Files, count: _Counter) -> None:
    if files.is_link(entry.path) != entry.link:
        kinds = ("a file", "a symbolic link")
        raise TamperedError(
            entry.path, f"is {kinds[not entry.link]}, but {kinds[entry.link]} was signed"
        )
    try:
        found = _measure(files, entry.path, count, entry.size)
    except OSError as exc:
        raise TamperedError(
            entry.path,
            f"cannot be read: {exc.strerror or exc}",
            hint="the medium may be worn out: write the image to another one",
        ) from exc
    if found.size != entry.size:
        here = f"{found.size:,}" if found.size < entry.size else "more"
        raise TamperedError(entry.path, f"has {here} bytes; {entry.size:,} were signed")
    if found.sha256 != entry.sha256:
        raise TamperedError(entry.path, "has changed: its SHA-256 is not the signed one")


def _measure(files: Files, path: str, count: _Counter, limit: int = _LARGEST_FILE) -> Entry:
    """Size and hash by reading once, in large blocks; stops after `limit` bytes and one more."""
    digest = hashlib.sha256()
    size = 0
    block = memoryview(count.block)
    with files.open(path) as stream:
        while size <= limit and (read := stream.readinto(block)):
            digest.update(block[:read])
            size += read
            count.add(read)
    return Entry(path, size, digest.hexdigest(), files.is_link(path))


class _Counter:
    """Tells `progress` how far it is; owns the one buffer that all files are read into."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.block = bytearray(BLOCK)
        self._progress, self._total, self._done = progress, total, 0

    def add(self, size: int) -> None:
        self._done += size
        if self._progress is not None:
            self._progress(min(self._done, self._total) if self._total else self._done, self._total)
