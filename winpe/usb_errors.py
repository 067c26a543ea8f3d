"""What can go wrong with a stick, with exit codes as the runtime has them (docs/exit-codes.md)."""

from __future__ import annotations

from winpe.errors import MediaError


class DeviceRefusedError(MediaError):
    """The device must not, or cannot, be written to. Nothing on it was changed."""

    code = "device-refused"
    exit_code = 5


class StickError(MediaError):
    """Writing had begun and did not end well: the stick starts nothing, its old content is gone."""

    code = "stick-not-made"
    exit_code = 4


class ReadBackError(StickError):
    """The device returns other bytes than were written to it."""

    code = "read-back"


class StoppedError(StickError):
    """Somebody pressed Ctrl-C."""

    code = "stopped"
    exit_code = 130
