"""A very small Windows volume, the plan for its faulty driver, and what a volume looks like."""

from __future__ import annotations

import hashlib
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from recoverykit.formats import hive
from recoverykit.host import ntfs_metadata
from recoverykit.model import (
    EditHive,
    Evidence,
    FileSystem,
    Finding,
    KeyChange,
    Plan,
    RegistryChange,
    RegistryData,
    RegistryKey,
    Service,
    Source,
    StartType,
    Suspect,
    ValueChange,
    Verdict,
    Volume,
    WindowsInstall,
)
from recoverykit.repair import hives
from recoverykit.repair import plan as planning
from tests.builders import hive as builder
from tests.builders import registry
from tests.independent import registry as hivex

NOW = datetime(2026, 11, 22, 17, 45, 1, tzinfo=UTC)
SYSTEM = "Windows/System32/config/SYSTEM"
DRIVER = "Windows/System32/drivers/acme filter.sys"
SERVICE = "ControlSet001\\Services\\acme"
OVERRIDE = f"{SERVICE}\\StartOverride"
_NOT_WINDOWS = ("RecoveryKit", "System Volume Information")
BOOT, OFF = b"\0\0\0\0", b"\4\0\0\0"


@cache
def system_hive() -> bytes:
    """A SYSTEM hive with one faulty boot-start service, its StartOverride, and a bystander."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "SYSTEM"
        changes = [
            registry.change("Select", {"Current": 1}),
            registry.change(SERVICE, {"Start": 0, "Type": 1, "ErrorControl": 3}),
            registry.change(OVERRIDE, {"0": 0, "1": 4}),
            registry.change("ControlSet001\\Services\\good", {"Start": 0, "Type": 1}),
        ]
        registry.write(path, changes, NOW)
        return path.read_bytes()


def build(mount: Path) -> None:
    """Write the volume's files below an empty folder."""
    files = {
        SYSTEM: system_hive(),
        f"{SYSTEM}.LOG1": b"",
        f"{SYSTEM}.LOG2": b"",
        "Windows/System32/config/SOFTWARE": b"another hive",
        DRIVER: b"MZ acme" * 1000,
        "Windows/System32/drivers/good.sys": b"MZ good" * 1000,
    }
    for name, content in files.items():
        path = mount / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@cache
def spread_hive() -> bytes:
    """The same services pages apart, so that a log can hold the pages of some of them only."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "SYSTEM"
        filler = {"data": bytes(range(256)) * 20}
        changes = [
            registry.change("Select", {"Current": 1}),
            registry.change(SERVICE, {"Start": 0, "Type": 1, "ErrorControl": 3}),
            registry.change("ControlSet001\\Services\\filler", filler),
            registry.change(OVERRIDE, {"0": 0, "1": 4}),
            registry.change("ControlSet001\\Services\\more", filler),
            registry.change("ControlSet001\\Services\\good", {"Start": 0, "Type": 1}),
        ]
        registry.write(path, changes, NOW)
        return path.read_bytes()


def soil(mount: Path, *, grow: bool = False) -> None:
    """Make the hive dirty: made whole from its log it is `spread_hive`, in which Windows had just
    disabled no service (they were 3 before), perhaps with one more bin than the file has."""
    whole = bytearray(spread_hive())
    if grow:
        size = len(whole) - 4096
        whole += struct.pack("<4sII20xi", b"hbin", size, 4096, 4064).ljust(4096, b"\0")
        struct.pack_into("<I", whole, 40, size + 4096)
        whole[:512] = builder.sealed(whole[:512])
    before = spread_hive()
    stale = poked(before, OVERRIDE, "0", 3)
    stale = poked(stale, "ControlSet001\\Services\\good", "Start", 3)
    primary, log = builder.dirty_with_log(stale, bytes(whole))
    (mount / SYSTEM).write_bytes(primary)
    (mount / f"{SYSTEM}.LOG1").write_bytes(log)


def poked(image: bytes, key: str, name: str, number: int) -> bytes:
    """A hive with one DWORD written over, and nothing else."""
    loaded, _ = hive.read(image)
    found = loaded.find(key)
    value = found.value(name) if found else None
    assert value is not None
    at = value.extents[0][0]
    return image[:at] + struct.pack("<I", number) + image[at + 4 :]


def install(mount: Path) -> WindowsInstall:
    return WindowsInstall(
        volume=Volume("disk.img#3", FileSystem.NTFS, mount),
        mount=mount,
        folder="Windows",
        system_hive=SYSTEM,
        software_hive="Windows/System32/config/SOFTWARE",
    )


def service(name: str = "acme", driver: str = "acme filter.sys", **changes: object) -> Service:
    made = Service(
        source=Source(SYSTEM),
        name=name,
        start=StartType.BOOT,
        type=1,
        error_control=1,
        driver=driver,
        path=DRIVER,
        image_path="",
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # a table's rows name the fields


def suspect() -> Suspect:
    finding = Finding("acme filter.sys", "crash", 60, "It was named by three crashes.", ())
    return Suspect("acme filter.sys", "acme", Verdict.CULPRIT, 90, (finding,), DRIVER)


def plan(mount: Path, evidence: Sequence[Evidence] | None = None) -> Plan:
    loaded, _ = hives.load(mount / SYSTEM)
    made = planning.make(install(mount), suspect(), evidence or [service()], loaded)
    assert isinstance(made, Plan), made
    return made


def rich_plan(mount: Path) -> Plan:
    """The same, and keys and values that come, go and grow: no longer only numbers."""
    made = plan(mount)
    loaded, _ = hives.load(mount / SYSTEM)
    acme = loaded.find(SERVICE)
    kind = acme.value("Type") if acme else None
    assert kind is not None
    new = "ControlSet001\\Services\\new"
    more: tuple[RegistryChange, ...] = (
        ValueChange(SERVICE, "Type", RegistryData(kind.type, kind.data), None),
        ValueChange(SERVICE, "Note", None, RegistryData(1, "x\0".encode("utf-16-le") * 40)),
        KeyChange(new, None, RegistryKey("klass")),
        KeyChange(f"{new}\\below", None, RegistryKey()),
        ValueChange(new, "big", None, RegistryData(3, bytes(range(256)) * 70)),
    )
    edit, *rest = made.actions
    assert isinstance(edit, EditHive)
    return replace(made, actions=(EditHive(edit.hive, (*edit.changes, *more)), *rest))


# --- looking at it ------------------------------------------------------------------------

State = dict[str, tuple[str, object, object, object]]


def state(mount: Path, *, without: str = "\0") -> State:
    """Bytes, security descriptor, attributes and short name of every file but our own folder's."""
    found: State = {}
    tops = [top for top in mount.iterdir() if top.name not in _NOT_WINDOWS]
    for path in sorted(path for top in tops for path in (top, *top.rglob("*"))):
        name = path.relative_to(mount).as_posix()
        if without in name or path.is_dir():
            continue
        kept = ntfs_metadata.read(path)
        found[name] = (
            hashlib.sha256(_content(path)).hexdigest(),
            kept.security,
            kept.attributes,
            kept.short_name,
        )
    return found


def _content(path: Path) -> bytes:
    """A file that Windows compressed is a link to ntfs-3g, which leads nowhere."""
    return ntfs_metadata.identity_of_packed(path) if path.is_symlink() else path.read_bytes()


def start(mount: Path) -> bytes:
    loaded, _ = hives.load(mount / SYSTEM)
    key = loaded.find(SERVICE)
    value = key.value("Start") if key else None
    assert value is not None
    return value.data


def set_value(mount: Path, key: str, name: str, value: int) -> None:
    """What Windows may do once it runs again."""
    hivex.edit(mount / SYSTEM, [registry.change(key, {name: value})])
