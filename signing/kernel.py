"""Will this kernel load this driver? The kernel's side: what is known of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kernel:
    """What of a Windows decides which drivers it loads. None: not known."""

    build: int | None = None  # 19045
    revision: int | None = None  # UBR: 4291
    architecture: str = ""  # "x86" "x64" "arm64"
    server: bool | None = None
    secure_boot: bool | None = None  # as Windows last saw it
    test_signing: bool | None = None  # its boot entry
    no_integrity_checks: bool | None = None  # its boot entry
    flight_signing: bool | None = None  # its boot entry
    hvci: bool | None = None  # memory integrity
    upgraded: bool | None = None  # from a Windows before 1607, whose cross-signed drivers go on
    block_list: bool | None = None  # Microsoft's list of vulnerable drivers is enforced
