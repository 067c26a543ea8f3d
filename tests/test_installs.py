"""Finding Windows and the files in it, on folders and on real NTFS."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from recoverykit import installs
from recoverykit.errors import FormatError, TargetRefusedError
from recoverykit.host import disks, mounts
from recoverykit.model import FileSystem, Gap, Volume, WindowsInstall
from tests.builders import ntfs, registry
from tests.conftest import REAL_DATA, need, read_real
from tests.conftest import mounts as can_mount

NOW = datetime(2026, 11, 22, tzinfo=UTC)
VERSION = "Microsoft\\Windows NT\\CurrentVersion"
ENVIRONMENT = "Control\\Session Manager\\Environment"
HIVES = REAL_DATA / "hives"


@cache
def system_hive(number: int = 1, name: str = "Current", machine: str = "AMD64") -> bytes:
    environment = registry.change(
        f"ControlSet{number:03}\\{ENVIRONMENT}", {"PROCESSOR_ARCHITECTURE": machine}
    )
    return _hive([registry.change("Select", {name: number}), environment])


@cache
def software_hive(product: str = "Windows 10 Pro", build: str = "19045", ubr: int = 4651) -> bytes:
    values: dict[str, registry.Entry] = {"ProductName": product, "CurrentBuild": build}
    return _hive([registry.change(VERSION, values | ({"UBR": ubr} if ubr else {}))])


def _hive(changes: list[dict[str, object]]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hive"
        registry.write(path, changes, NOW)
        return path.read_bytes()


def put(mount: Path, folder: str, system: bytes, software: bytes | None = None) -> Path:
    config = mount / folder / "System32" / "config"
    config.mkdir(parents=True, exist_ok=True)
    (config / "SYSTEM").write_bytes(system)
    if software is not None:
        (config / "SOFTWARE").write_bytes(software)
    return config


def find(mount: Path) -> tuple[list[WindowsInstall], list[Gap]]:
    return installs.find(Volume(str(mount), FileSystem.OTHER, mount), mount)


def one(mount: Path) -> WindowsInstall:
    (install,), gaps = find(mount)
    assert gaps == []
    return install


# --- installations ------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["Windows", "WINNT", "win.neu", "Мастдай"])
def test_any_top_level_folder(folder: str, tmp_path: Path) -> None:
    put(tmp_path, folder, system_hive(), software_hive())
    install = one(tmp_path)
    assert install.folder == folder
    assert install.system_hive == f"{folder}/System32/config/SYSTEM"
    assert (install.product, install.build) == ("Windows 10 Pro", "19045.4651")
    assert (install.architecture, install.control_set) == ("x64", 1)


def test_case_does_not_matter_and_spelling_is_kept(tmp_path: Path) -> None:
    config = tmp_path / "WINDOWS" / "system32" / "Config"
    config.mkdir(parents=True)
    (config / "system").write_bytes(system_hive())
    (config / "software").write_bytes(software_hive())
    install = one(tmp_path)
    assert install.system_hive == "WINDOWS/system32/Config/system"
    assert install.software_hive == "WINDOWS/system32/Config/software"


@pytest.mark.parametrize(
    ("product", "build", "ubr", "expected"),
    [
        ("Windows 10 Pro", "22631", 3880, ("Windows 11 Pro", "22631.3880")),
        ("Windows 10 Home", "21999", 1, ("Windows 10 Home", "21999.1")),
        ("Windows Server 2025", "26100", 1742, ("Windows Server 2025", "26100.1742")),
        ("Microsoft Windows XP", "2600", 0, ("Microsoft Windows XP", "2600")),
    ],
)
def test_product_and_build(
    product: str, build: str, ubr: int, expected: tuple[str, str], tmp_path: Path
) -> None:
    put(tmp_path, "Windows", system_hive(), software_hive(product, build, ubr))
    install = one(tmp_path)
    assert (install.product, install.build) == expected


@pytest.mark.parametrize(
    ("machine", "expected"), [("x86", "x86"), ("ARM64", "arm64"), ("MIPS", "")]
)
def test_architecture(machine: str, expected: str, tmp_path: Path) -> None:
    put(tmp_path, "Windows", system_hive(machine=machine), software_hive())
    assert one(tmp_path).architecture == expected


@pytest.mark.parametrize(("number", "name"), [(1, "Current"), (3, "Current"), (2, "Default")])
def test_control_set(number: int, name: str, tmp_path: Path) -> None:
    put(tmp_path, "Windows", system_hive(number, name), software_hive())
    assert one(tmp_path).control_set == number


def _truncated(hive: bytes) -> bytes:
    return hive[: len(hive) // 2]


def _dirty(hive: bytes) -> bytes:
    """Sequence numbers that differ, and no log to go with them."""
    return hive[:4] + struct.pack("<I", 99) + hive[8:]


def _no_hive(_: bytes) -> bytes:
    return b"MZ" * 4096


def _empty(_: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [_truncated, _dirty, _no_hive, _empty])
def test_a_broken_system_hive_does_not_hide_the_installation(
    damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    put(tmp_path, "Windows", damage(system_hive()), software_hive())
    (install,), (gap,) = find(tmp_path)
    assert install.control_set == installs.NO_CONTROL_SET
    assert install.product == "Windows 10 Pro"
    assert gap.source.path == "Windows/System32/config/SYSTEM"
    assert gap.reason.startswith("The SYSTEM hive cannot be used: ")
    with pytest.raises(FormatError) as caught:
        installs.read_hive(install, install.system_hive)
    assert caught.value.exit_code == 10


def test_a_missing_system_hive_is_said(tmp_path: Path) -> None:
    (put(tmp_path, "Windows", b"", software_hive()) / "SYSTEM").unlink()
    (install,), (gap,) = find(tmp_path)
    assert install.control_set == installs.NO_CONTROL_SET
    assert gap.reason == "The SYSTEM hive cannot be used: it is missing."


def test_a_hive_without_a_control_set_is_said(tmp_path: Path) -> None:
    put(tmp_path, "Windows", _hive([registry.change("Select", {"Current": 7})]), software_hive())
    (install,), (gap,) = find(tmp_path)
    assert install.control_set == installs.NO_CONTROL_SET
    assert "names no control set that exists" in gap.reason


@pytest.mark.parametrize("software", [None, b"", b"x" * 9000], ids=["missing", "empty", "junk"])
def test_a_broken_software_hive_is_only_a_gap(software: bytes | None, tmp_path: Path) -> None:
    put(tmp_path, "Windows", system_hive(), software)
    (install,), (gap,) = find(tmp_path)
    assert (install.control_set, install.product) == (1, "")
    assert gap.reason.startswith("The SOFTWARE hive cannot be used: ")


def test_windows_old_is_named_and_left_alone(tmp_path: Path) -> None:
    put(tmp_path, "Windows", system_hive(), software_hive())
    put(tmp_path, "Windows.old/WINDOWS", system_hive(), software_hive())
    found, (gap,) = find(tmp_path)
    assert [install.folder for install in found] == ["Windows"]
    assert gap.source.path == "Windows.old/WINDOWS"


@pytest.mark.parametrize("path", ["Users/config", "System32/config", "Windows/System32"])
def test_other_folders_are_no_windows(path: str, tmp_path: Path) -> None:
    (tmp_path / path).mkdir(parents=True)
    assert find(tmp_path) == ([], [])


def test_links_are_not_followed_to_an_installation(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", "Windows", system_hive(), software_hive())
    (tmp_path / "Windows").symlink_to(tmp_path / "elsewhere" / "Windows")
    (tmp_path / "Other").mkdir()
    (tmp_path / "Other" / "System32").symlink_to(tmp_path / "elsewhere" / "Windows" / "System32")
    assert find(tmp_path) == ([], [])


@pytest.mark.skipif(not (HIVES / "regipy_SYSTEM_B.xz").is_file(), reason="no real dirty hive")
def test_a_real_dirty_hive_is_read_with_its_logs(tmp_path: Path) -> None:
    system, *logs = (
        read_real(HIVES / f"regipy_SYSTEM_B{end}.xz") for end in ("", ".LOG1", ".LOG2")
    )
    config = put(tmp_path, "Windows", system, software_hive())
    for number, log in enumerate(logs, start=1):
        (config / f"system.Log{number}").write_bytes(log)
    install = one(tmp_path)
    _, recovery = installs.read_hive(install, install.system_hive)
    assert recovery.dirty
    assert recovery.recovered


@pytest.mark.skipif(not (HIVES / "plaso_win7_SOFTWARE.xz").is_file(), reason="no real hives")
def test_real_hives(tmp_path: Path) -> None:
    system = read_real(HIVES / "plaso_win7x86_SYSTEM.xz")
    put(tmp_path, "Windows", system, read_real(HIVES / "plaso_win7_SOFTWARE.xz"))
    install = one(tmp_path)
    assert install.product.startswith("Windows 7")
    assert install.build.startswith("760")
    assert (install.architecture, install.control_set) == ("x86", 1)


# --- paths --------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    drivers = tmp_path / "Windows" / "System32" / "drivers"
    drivers.mkdir(parents=True)
    (drivers / "Acme.sys").write_bytes(b"acme")
    store = tmp_path / "Windows/System32/DriverStore/FileRepository/acme.inf_amd64_1"
    store.mkdir(parents=True)
    (store / "acme2.SYS").write_bytes(b"acme2")
    vendor = tmp_path / "Program Files" / "Vendor One"
    vendor.mkdir(parents=True)
    (vendor / "filter.sys").write_bytes(b"filter")
    return tmp_path


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("Windows/System32/drivers/Acme.sys", "Windows/System32/drivers/Acme.sys"),
        ("WINDOWS/SYSTEM32/DRIVERS/ACME.SYS", "Windows/System32/drivers/Acme.sys"),
        ("windows//system32/", "Windows/System32"),
        ("windows/system32/drivers/other.sys", None),
        ("windows/system32/drivers/acme.sys/deeper", None),
        ("nowhere/at/all", None),
    ],
)
def test_locate(asked: str, found: str | None, tree: Path) -> None:
    assert installs.locate(tree, asked) == found


@pytest.mark.parametrize(
    "path",
    [
        "../etc/passwd",
        "Windows/../../etc/passwd",
        "Windows/./System32",
        "Windows/System32\\drivers",
        "Windows/Sys\0tem32",
        "Windows/System32/drivers/Acme.sys:stream",
        "Windows/*",
        "C:/Windows",
        "Windows/a\nb",
    ],
)
def test_odd_names_are_refused(path: str, tree: Path) -> None:
    for look in (installs.locate, installs.on_disk):
        with pytest.raises(TargetRefusedError, match="is not a path inside this volume"):
            look(tree, path)


@pytest.mark.parametrize("path", ["Windows/link/Acme.sys", "windows/LINK", "Windows/up/x"])
def test_links_are_refused(path: str, tree: Path) -> None:
    (tree / "Windows" / "link").symlink_to("System32/drivers")
    (tree / "Windows" / "up").symlink_to("/")
    for look in (installs.locate, installs.on_disk):
        with pytest.raises(TargetRefusedError, match="link, junction or other reparse point"):
            look(tree, path)


def test_on_disk_wants_the_file_to_exist(tree: Path) -> None:
    path = installs.on_disk(tree, "windows/system32/DRIVERS/acme.sys")
    assert path.read_bytes() == b"acme"
    with pytest.raises(FileNotFoundError):
        installs.on_disk(tree, "Windows/System32/drivers/other.sys")


def test_what_changed_is_seen(tree: Path) -> None:
    """Listings are kept; a folder that changed within one tick of its clock must not fool us."""
    drivers = tree / "Windows/System32/drivers"
    then = drivers.stat()
    assert installs.locate(tree, "Windows/System32/drivers/new.sys") is None
    (drivers / "New.sys").write_bytes(b"")
    (drivers / "Acme.sys").unlink()
    os.utime(drivers, ns=(then.st_atime_ns, then.st_mtime_ns))
    assert installs.locate(tree, "windows/system32/drivers/new.sys") is not None
    assert installs.locate(tree, "windows/system32/drivers/acme.sys") is None


def test_exact_spelling_wins(tree: Path) -> None:
    (tree / "Windows/System32/drivers/acme.sys").write_bytes(b"lower")
    for name in ("Acme.sys", "acme.sys"):
        assert installs.locate(tree, f"Windows/System32/drivers/{name}") == (
            f"Windows/System32/drivers/{name}"
        )


@pytest.fixture
def install(tree: Path) -> WindowsInstall:
    volume = Volume(str(tree), FileSystem.OTHER, tree)
    return WindowsInstall(volume, tree, "Windows", "", "")


ACME = ("acme.sys", "Windows/System32/drivers/Acme.sys")
STORED = (
    "acme2.sys",
    "Windows/System32/DriverStore/FileRepository/acme.inf_amd64_1/acme2.SYS",
)
FILTER = ("filter.sys", "Program Files/Vendor One/filter.sys")


@pytest.mark.parametrize(
    ("image_path", "expected"),
    [
        ("", ACME),
        ("System32\\drivers\\acme.sys", ACME),
        ("system32\\DRIVERS\\ACME.SYS", ACME),
        ("\\SystemRoot\\System32\\drivers\\acme.sys", ACME),
        ("SystemRoot\\System32\\drivers\\acme.sys", ACME),
        ("%SystemRoot%\\System32\\drivers\\acme.sys", ACME),
        ("%windir%\\system32\\drivers\\acme.sys", ACME),
        ("\\??\\%SystemRoot%\\System32\\drivers\\acme.sys", ACME),
        ("\\??\\C:\\Windows\\System32\\drivers\\acme.sys", ACME),
        ("\\??\\D:\\Windows\\System32\\drivers\\acme.sys", ACME),
        ("\\\\?\\C:\\Windows\\System32\\drivers\\acme.sys", ACME),
        ("\\DosDevices\\C:\\Windows\\System32\\drivers\\acme.sys", ACME),
        ("C:\\Windows\\System32\\drivers\\acme.sys", ACME),
        ("C:/Windows/System32/drivers/acme.sys", ACME),
        ("%SystemDrive%\\Windows\\System32\\drivers\\acme.sys", ACME),
        ("\\Device\\HarddiskVolume3\\Windows\\System32\\drivers\\acme.sys", ACME),
        ("\\Windows\\System32\\drivers\\acme.sys", ACME),
        ("System32\\drivers\\acme.sys -k now", ACME),
        ('"C:\\Program Files\\Vendor One\\filter.sys" /quiet', FILTER),
        ("\\??\\C:\\Program Files\\Vendor One\\filter.sys", FILTER),
        ("System32\\drivers\\acme.sys\0\0junk", ACME),
        (
            "\\SystemRoot\\System32\\DriverStore\\FileRepository\\acme.inf_amd64_1\\acme2.sys",
            STORED,
        ),
        ("System32\\drivers\\gone.sys", ("gone.sys", None)),
        ("\\??\\C:\\..\\..\\etc\\evil.sys", ("evil.sys", None)),
        ("..\\..\\evil.sys", ("evil.sys", None)),
        ("System32\\drivers\\acme.sys:hidden", ("acme.sys:hidden", None)),
    ],
)
def test_driver_path(
    image_path: str, expected: tuple[str, str | None], install: WindowsInstall
) -> None:
    assert installs.driver_path(install, "acme", image_path) == expected


def test_a_driver_behind_a_link_is_not_found(install: WindowsInstall) -> None:
    (install.mount / "Windows/System32/drivers/link.sys").symlink_to("Acme.sys")
    assert installs.driver_path(install, "link", "") == ("link.sys", None)


# --- on NTFS ------------------------------------------------------------------------------


def _reparse(tag: int, data: bytes) -> bytes:
    return struct.pack("<IHH", tag, len(data), 0) + data


def _junction(target: str) -> bytes:
    name, shown = f"\\??\\{target}".encode("utf-16-le"), target.encode("utf-16-le")
    head = struct.pack("<HHHH", 0, len(name), len(name) + 2, len(shown))
    return _reparse(0xA000_0003, head + name + b"\0\0" + shown + b"\0\0")


@pytest.fixture
def on_ntfs(tmp_path: Path) -> Iterator[WindowsInstall]:
    """A volume with a junction in the way and a driver compressed by CompactOS."""
    image = tmp_path / "disk.img"
    image.write_bytes(ntfs.volume())
    volume = disks.survey(image).volumes[0]
    with mounts.opened(volume, writable=True) as mount:
        put(mount, "Windows", system_hive(), software_hive())
        drivers = mount / "Windows" / "System32" / "drivers"
        drivers.mkdir()
        (drivers / "Acme.sys").write_bytes(b"acme")
        (drivers / "packed.sys").write_bytes(bytes(100))
        packed = _reparse(0x8000_0017, struct.pack("<IIII", 1, 2, 1, 0))
        os.setxattr(drivers / "packed.sys", "system.ntfs_reparse_data", packed)
        (mount / "Windows" / "jump").mkdir()
        os.setxattr(
            mount / "Windows" / "jump",
            "system.ntfs_reparse_data",
            _junction("C:\\Windows\\System32"),
        )
    with mounts.opened(volume) as mount:
        (install,), gaps = installs.find(volume, mount)
        assert gaps == []
        yield install


@can_mount
@need("ntfs-3g", "mkntfs", "losetup")
def test_junctions_and_packed_files(on_ntfs: WindowsInstall) -> None:
    assert on_ntfs.root == "disk.img:/Windows"
    with pytest.raises(TargetRefusedError, match="Windows/jump is a link, junction"):
        installs.locate(on_ntfs.mount, "Windows/jump/drivers/Acme.sys")
    assert installs.driver_path(on_ntfs, "acme", "") == ACME
    through = installs.driver_path(on_ntfs, "x", "\\SystemRoot\\jump\\drivers\\acme.sys")
    assert through == ("acme.sys", None)
    packed = installs.driver_path(on_ntfs, "packed", "")
    assert packed == ("packed.sys", "Windows/System32/drivers/packed.sys")
    with pytest.raises(TargetRefusedError):
        installs.on_disk(on_ntfs.mount, "Windows/System32/drivers/packed.sys")
