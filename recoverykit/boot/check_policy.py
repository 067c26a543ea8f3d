"""What else a boot needs of the volume: policy files that can be read, catalogs, room.

`System32\\CodeIntegrity` holds the policies the loader reads (`SiPolicy.p7b`,
`CiPolicies\\Active\\*.cip`: Microsoft "Understand App Control policy"), the driver block list and
the index of catalogs. A policy may be signed (PKCS#7) or bare, so that only one that is empty or
blank is known to be bad here; whom policies deny `vouching` knows. Windows writes to its
hives, logs and page file on every start, and cannot on a volume that is full.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from recoverykit import installs
from recoverykit.boot.check_files import Files
from recoverykit.boot.check_line import Fault, failed, judged, passed, skipped, warned
from recoverykit.errors import RecoveryKitError, why
from recoverykit.model import CheckLine, Source, WindowsInstall

INTEGRITY, SPACE = "code-integrity", "free-space"

LEAST_FREE = 4 << 20  # bytes; our choice: hives and their logs grow in steps of less
LITTLE_FREE = 256 << 20
_FOLDER = "System32/CodeIntegrity"
_ENFORCED = "SiPolicy.p7b"
_ACTIVE = "CiPolicies/Active"
_BESIDE = ("driversipolicy.p7b", "driver.stl", "bootcat.cache")
_CATALOGS = "System32/CatRoot/{F750E6C3-38EE-11D1-85E5-00C04FC295EE}"
_MOST_POLICIES = 64  # Windows takes 32
_PAGE = 4096


def integrity(files: Files) -> CheckLine:
    """Policies that cannot be read end the boot; lists beside them, and catalogs, do not."""
    install = files.install
    try:
        policies = [*_policies(install)]
        faults = [fault for path in policies for fault in _blank(install, path, fatal=True)]
        for name in _BESIDE:
            path = installs.locate(install.mount, f"{install.folder}/{_FOLDER}/{name}")
            faults += _blank(install, path, fatal=False) if path else ()
        faults += _catalogs(install)
    except (RecoveryKitError, OSError) as exc:
        return skipped(INTEGRITY, f"its folder cannot be read: {why(exc)}")
    text = "no policy of an organisation is in force"
    if policies:
        text = (
            f"{len(policies)} policies are in force; whom they deny is told by driver-signatures, "
            "what a list of allowed files would let pass was not checked"
        )
    return judged(INTEGRITY, faults, passed(INTEGRITY, text, map(Source, policies)))


def space(install: WindowsInstall, free: int | None) -> CheckLine:
    """`free`: bytes; None: ask the file system."""
    try:
        if free is None:
            status = os.statvfs(install.mount)
            free = status.f_bavail * status.f_frsize
    except OSError as exc:
        return skipped(SPACE, f"the file system does not say: {why(exc)}")
    text = f"{free / (1 << 20):,.0f} MiB are free"
    source = [Source(install.folder)]
    if free < LEAST_FREE:
        return failed(SPACE, f"{text}: Windows cannot write its hives", source)
    if free < LITTLE_FREE:
        return warned(SPACE, f"{text}: little for logs and the page file", source)
    return passed(SPACE, text)


def _policies(install: WindowsInstall) -> Iterator[str]:
    folder = f"{install.folder}/{_FOLDER}"
    if single := installs.locate(install.mount, f"{folder}/{_ENFORCED}"):
        yield single
    active = installs.locate(install.mount, f"{folder}/{_ACTIVE}")
    if active is not None and (install.mount / active).is_dir():
        with os.scandir(install.mount / active) as entries:
            names = [one.name for one in entries if one.is_file(follow_symlinks=False)]
        found = sorted(name for name in names if name.lower().endswith(".cip"))
        yield from (f"{active}/{name}" for name in found[:_MOST_POLICIES])


def _blank(install: WindowsInstall, path: str, *, fatal: bool) -> Iterator[Fault]:
    with installs.on_disk(install.mount, path).open("rb", buffering=0) as stream:
        start = stream.read(_PAGE) or b""
    name = path.rsplit("/", 1)[-1]
    if not start:
        yield Fault(f"{name} is empty", Source(path), fatal)
    elif not any(start):
        yield Fault(f"{name} is nothing but zeros", Source(path), fatal)


def _catalogs(install: WindowsInstall) -> Iterator[Fault]:
    wanted = f"{install.folder}/{_CATALOGS}"
    found = installs.locate(install.mount, wanted)
    if found is None or not any((install.mount / found).iterdir()):
        text = "there are no catalogs: drivers without a signature of their own will be refused"
        yield Fault(text, Source(found or wanted), fatal=False)
