"""The only code that knows the host's operating system: devices, mounts, tools, processes."""

from __future__ import annotations

import sys

from recoverykit.errors import RecoveryKitError


class UnsupportedHostError(RecoveryKitError):
    """This operating system cannot do what was asked."""

    code = "unsupported-host"


def require_linux() -> None:
    """Raise UnsupportedHostError anywhere but on Linux: the one place that says so."""
    if sys.platform != "linux":
        raise UnsupportedHostError(
            "This build of recoverykit runs on Linux; here it cannot open disks.",
            hint="boot the recovery medium, or run it on a Linux machine",
        )
