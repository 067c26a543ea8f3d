"""Every error the media builder raises on purpose, with the exit code and the hint it shows.

Exit codes follow those of the runtime where they mean the same (docs/exit-codes.md).
"""

from __future__ import annotations

from typing import ClassVar


class MediaError(Exception):
    """Base: nothing was built; a file that stood in the output's place still stands there."""

    code: ClassVar[str] = "failed"  # stable, kebab-case
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class MediaUsageError(MediaError):
    """What was asked for cannot be understood, or contradicts itself."""

    code = "usage"
    exit_code = 2


class MissingToolError(MediaError):
    """A program of the build host is not installed."""

    code = "missing-tool"

    def __init__(self, tool: str) -> None:
        super().__init__(
            f"{tool} is not installed on this machine",
            hint="run script/bootstrap, or build inside the container of Containerfile",
        )


class ToolError(MediaError):
    """A program of the build host failed; its last words are part of the message."""

    code = "tool-failed"


class MirrorError(MediaError):
    """No Debian mirror is known."""

    code = "no-mirror"


class DownloadError(MediaError):
    """Packages or wheels could not be fetched, or are not what was pinned."""

    code = "download-failed"


class OutputError(MediaError):
    """The image cannot be written where it was asked for."""

    code = "output"


class DiskFullError(OutputError):
    """No space left for the cache or the image."""

    code = "disk-full"


class ContentError(MediaError):
    """Something that belongs on the medium is missing or does not work there."""

    code = "content"


class ImageRefusedError(MediaError):
    """A signature or a hash of an image does not hold."""

    code = "signature-refused"
    exit_code = 20
