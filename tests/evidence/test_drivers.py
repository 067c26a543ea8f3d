"""Driver files: damage, imports, signatures, compression, and that nothing makes this raise."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recoverykit import installs
from recoverykit.evidence import drivers
from recoverykit.evidence.modules import MOST, Modules
from recoverykit.host import mounts
from recoverykit.model import (
    DriverFile,
    FileSystem,
    Gap,
    Service,
    Source,
    StartType,
    Volume,
    Vouching,
    WindowsInstall,
)
from tests.builders import ntfs, pe, wof
from tests.conftest import REPOSITORY, need, real
from tests.conftest import mounts as can_mount
from tests.evidence.conftest import installation, put

MUTATIONS = int(os.environ.get("RECOVERYKIT_MUTATIONS", "150"))
ACME = {"CompanyName": "Acme Security GmbH", "FileVersion": "3.1.7.0"}
KERNEL = ("IoCreateDevice", "KeInitializeEvent", "RtlInitUnicodeString")
DRIVERS = "Windows/System32/drivers"


def windows(mount: Path, volume: Volume | None = None) -> WindowsInstall:
    (mount / DRIVERS).mkdir(parents=True, exist_ok=True)
    return installation(mount, volume, architecture="x64")


@pytest.fixture
def install(tmp_path: Path) -> WindowsInstall:
    return windows(tmp_path)


def service(
    install: WindowsInstall, name: str, start: StartType = StartType.BOOT, image: str = ""
) -> Service:
    driver, path = installs.driver_path(install, name, image)
    return Service(Source("SYSTEM"), name, start, 1, 1, driver, path, image)


def examined(install: WindowsInstall, *names: str) -> dict[str, DriverFile]:
    found = list(drivers.collect(install, [service(install, name) for name in names]))
    assert [item for item in found if isinstance(item, Gap)] == []
    return {item.driver: item for item in found if isinstance(item, DriverFile)}


def one(install: WindowsInstall, data: bytes, name: str = "acme") -> DriverFile:
    put(install, f"{DRIVERS}/{name}.sys", data)
    return examined(install, name)[f"{name}.sys"]


# --- headers and damage -------------------------------------------------------------------


def test_what_identifies_it_in_a_dump(install: WindowsInstall) -> None:
    built = datetime(2024, 7, 19, 4, 9, tzinfo=UTC)
    file = one(install, pe.driver(ACME, built=built))
    assert (file.stamp, file.image_size) == (int(built.timestamp()), 0x3000)
    assert (file.machine, file.company, file.damage) == ("x64", "Acme Security GmbH", "")


def without(data: bytes, start: int, length: int) -> bytes:
    return data[:start] + bytes(length) + data[start + length :]


STUB = pe.driver(ACME, padding=b"\x90" * 9000)


@pytest.mark.parametrize(
    ("data", "damage"),
    [
        pytest.param(STUB, "", id="whole"),
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(bytes(8192), "its beginning is nothing but zeros", id="zeros"),
        pytest.param(b"garbage " * 99, "it is no driver: does not start with MZ", id="garbage"),
        pytest.param(STUB[:0x60], "it is no driver: is cut off", id="headers cut"),
        pytest.param(STUB[:5000], "its section .text ends beyond the file", id="truncated"),
        pytest.param(
            without(STUB, 0x400, 4096),
            "its section .text is blank where its code begins",
            id="page",
        ),
        pytest.param(
            without(STUB, 0x1800, 512),
            "the checksum in its header is not that of the file",
            id="hole",
        ),
    ],
)
def test_damage(install: WindowsInstall, data: bytes, damage: str) -> None:
    file = one(install, data)
    assert (file.damage, file.size) == (damage, len(data))
    assert (file.machine == "") == damage.startswith(("it is", "its beginning"))


def test_windows_own_early_drivers_are_checked_too(install: WindowsInstall) -> None:
    put(install, f"{DRIVERS}/disk.sys", without(pe.driver(ACME, padding=b"\x90" * 900), 0x500, 64))
    file = examined(install, "disk")["disk.sys"]
    assert file.damage == "the checksum in its header is not that of the file"
    assert (file.company, file.vouching) == ("", Vouching.NOT_LOOKED)


def test_a_spent_budget_keeps_to_headers(install: WindowsInstall) -> None:
    put(install, f"{DRIVERS}/acme.sys", without(STUB, 0x1800, 512))
    acme = service(install, "acme")
    examiner = drivers._Examiner(install, Modules(install, [acme]), left=100)
    file = examiner.file(acme, f"{DRIVERS}/acme.sys")
    assert (file.damage, file.vouching, file.machine) == ("", Vouching.NOT_LOOKED, "x64")


def test_third_parties_have_the_budget_first(install: WindowsInstall) -> None:
    names = ("disk", "acme", "other")
    for name in names:
        put(install, f"{DRIVERS}/{name}.sys", without(STUB, 0x1800, 512))
    starts = (StartType.BOOT, StartType.DEMAND, StartType.BOOT)
    services = [service(install, name, start) for name, start in zip(names, starts, strict=True)]
    found = [item for item in drivers.collect(install, services) if isinstance(item, DriverFile)]
    assert [item.driver for item in found] == ["other.sys", "acme.sys", "disk.sys"]


def test_what_is_no_file(install: WindowsInstall) -> None:
    (install.mount / DRIVERS / "acme.sys").mkdir()
    os.mkfifo(install.mount / DRIVERS / "pipe.sys")
    found = list(drivers.collect(install, [service(install, n) for n in ("acme", "pipe")]))
    assert [item.reason for item in found if isinstance(item, Gap)] == [
        f"the driver of {name} cannot be read: {DRIVERS}/{name}.sys is not a regular file."
        for name in ("acme", "pipe")
    ]


# --- imports ------------------------------------------------------------------------------


@pytest.fixture
def kernel(install: WindowsInstall) -> WindowsInstall:
    put(install, "Windows/System32/ntoskrnl.exe", pe.driver(ACME, exports=KERNEL))
    put(install, "Windows/System32/hal.dll", pe.driver(ACME, exports=["HalGetBusData"]))
    return install


def needing(**imports: list[str | int]) -> bytes:
    return pe.driver(ACME, imports={key.replace("__", "."): v for key, v in imports.items()})


@pytest.mark.parametrize(
    ("imports", "unresolved"),
    [
        pytest.param({"NTOSKRNL.EXE": list(KERNEL)}, (), id="all there"),
        pytest.param({"ntoskrnl.exe": ["KeNew", "KeNewer"]}, ("KeNew", "KeNewer"), id="newer"),
        pytest.param({"ntoskrnl.exe": ["keinitializeevent"]}, ("keinitializeevent",), id="case"),
        pytest.param({"ntoskrnl.exe": [12]}, (), id="by number"),
        pytest.param({"ext-ms-win-ntos-x-l1-1-0.dll": ["Anything"]}, (), id="API set"),
    ],
)
def test_imports_from_the_kernel(
    kernel: WindowsInstall, imports: dict[str, list[str | int]], unresolved: tuple[str, ...]
) -> None:
    file = one(kernel, pe.driver(ACME, imports=imports))
    assert file.unresolved == tuple(f"ntoskrnl.exe!{name}" for name in unresolved)


def test_a_module_that_is_nowhere(kernel: WindowsInstall) -> None:
    data = needing(ntoskrnl__exe=["IoCreateDevice"], acmelib__sys=["AcmeOpen"])
    assert one(kernel, data).unresolved == ("acmelib.sys",)


@pytest.mark.parametrize(
    "home", [DRIVERS, "Windows/System32", "Windows/System32/DriverStore/FileRepository/acme"]
)
def test_where_modules_are_looked_for(kernel: WindowsInstall, home: str) -> None:
    library = put(kernel, f"{home}/AcmeLib.sys", pe.driver(ACME, exports=["AcmeOpen"]))
    put(kernel, f"{DRIVERS}/acme.sys", needing(acmelib__sys=["AcmeOpen", "AcmeClose"]))
    path = str(library.relative_to(kernel.mount)).replace("/", "\\").removeprefix("Windows\\")
    services = [
        service(kernel, "acme"),
        service(kernel, "acmelib", StartType.DEMAND, f"\\SystemRoot\\{path}"),
    ]
    (file, *_) = drivers.collect(kernel, services)
    assert isinstance(file, DriverFile)
    assert file.unresolved == ("acmelib.sys!AcmeClose",)


def test_beside_the_driver(kernel: WindowsInstall) -> None:
    put(kernel, f"{DRIVERS}/Acme/acme.sys", needing(acmelib__sys=["AcmeOpen"]))
    put(kernel, f"{DRIVERS}/Acme/acmelib.sys", pe.driver(ACME, exports=["AcmeOpen"]))
    image = "\\SystemRoot\\System32\\drivers\\Acme\\acme.sys"
    (file,) = drivers.collect(kernel, [service(kernel, "acme", image=image)])
    assert isinstance(file, DriverFile)
    assert file.unresolved == ()


def test_other_hardware_abstraction_layers(kernel: WindowsInstall) -> None:
    data = needing(hal__dll=["HalGetBusData", "HalMakeBeep"])
    assert one(kernel, data).unresolved == ("hal.dll!HalMakeBeep",)
    put(kernel, "Windows/System32/halmacpi.dll", pe.driver(ACME, exports=["HalMakeBeep"]))
    assert one(kernel, data).unresolved == ()


def test_a_module_without_an_export_table_proves_nothing(kernel: WindowsInstall) -> None:
    put(kernel, f"{DRIVERS}/acmelib.sys", pe.driver(ACME))
    put(kernel, f"{DRIVERS}/torn.sys", pe.driver(ACME, exports=["A"])[:0x300])
    assert one(kernel, needing(acmelib__sys=["AcmeOpen"], torn__sys=["B"])).unresolved == ()


@pytest.mark.parametrize("kernel_file", [b"", b"MZ", pe.driver(ACME)], ids=["no", "bad", "stub"])
def test_without_a_kernel_nothing_is_said(install: WindowsInstall, kernel_file: bytes) -> None:
    if kernel_file:
        put(install, "Windows/System32/ntoskrnl.exe", kernel_file)
    assert one(install, needing(ntoskrnl__exe=["KeNew"], gone__sys=["A"])).unresolved == ()


def test_for_another_kind_of_machine_nothing_is_said(kernel: WindowsInstall) -> None:
    data = pe.driver(ACME, machine="x86", imports={"ntoskrnl.exe": ["KeNew"]})
    file = one(kernel, data)
    assert (file.machine, file.unresolved) == ("x86", ())


def test_not_all_of_a_hundred_are_told(kernel: WindowsInstall) -> None:
    names: list[str | int] = [f"KeNew{number}" for number in range(100)]
    assert len(one(kernel, needing(ntoskrnl__exe=names)).unresolved) == MOST


# --- signatures ---------------------------------------------------------------------------


@pytest.mark.parametrize("sample", real("signed/brad457_npcap.sys"))
def test_who_claims_to_have_signed_it(install: WindowsInstall, sample: Path) -> None:
    data = sample.read_bytes()
    file = one(install, data, "npcap")
    assert (file.vouching, file.signer, file.damage) == (
        Vouching.EMBEDDED,
        "Insecure.Com LLC",
        "",
    )
    changed = bytearray(data)
    changed[0x3000] ^= 1
    file = one(install, bytes(changed), "npcap")
    assert (file.vouching, file.signer) == (Vouching.TAMPERED, "Insecure.Com LLC")
    assert file.damage == "the checksum in its header is not that of the file"


def test_nothing_embedded(install: WindowsInstall) -> None:
    assert one(install, STUB).vouching is Vouching.NONE


def test_without_signatures_no_cryptography_is_loaded(install: WindowsInstall) -> None:
    put(install, f"{DRIVERS}/acme.sys", STUB)
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from pathlib import Path\n"
        "from tests.evidence import test_drivers as t\n"
        f"install = t.windows(Path({str(install.mount)!r}))\n"
        "assert t.examined(install, 'acme')['acme.sys'].vouching is t.Vouching.NONE\n"
        "print('signing.authenticode' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# --- compressed by Windows ----------------------------------------------------------------


@pytest.fixture(scope="module")
def packed_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A volume with one driver compressed in each of the four ways."""
    image = tmp_path_factory.mktemp("packed") / "disk.img"
    image.write_bytes(ntfs.volume(16))
    volume = Volume("disk.img", FileSystem.NTFS, image, size=image.stat().st_size)
    data = pe.driver(ACME, padding=random.Random(7).randbytes(50_000) + bytes(70_000))
    with mounts.opened(volume, writable=True) as mount:
        install = windows(mount, volume)
        for name in wof.CHUNKS:
            wof.write(install.mount / DRIVERS / f"{name}.sys", name, data)
        exports = pe.driver(ACME, exports=KERNEL)
        wof.write(install.mount / "Windows/System32/ntoskrnl.exe", "LZX", exports)
        wof.write(install.mount / DRIVERS / "broken.sys", "LZX", data, b"\xff" * 90)
        needs = needing(ntoskrnl__exe=["IoCreateDevice", "KeNew"])
        wof.write(install.mount / DRIVERS / "needs.sys", "XPRESS4K", needs)
    yield image
    shutil.rmtree(image.parent)


@can_mount
@need("ntfs-3g", "mkntfs")
@wof.needs_wimlib
def test_compressed_drivers(packed_image: Path) -> None:
    volume = Volume("disk.img", FileSystem.NTFS, packed_image, size=packed_image.stat().st_size)
    with mounts.opened(volume) as mount:
        install = windows(mount, volume)
        files = examined(install, *wof.CHUNKS, "needs")
    for name in wof.CHUNKS:
        file = files[f"{name.lower()}.sys"]
        assert (file.packed, file.machine, file.company) == (name, "x64", ACME["CompanyName"])
        assert (file.damage, file.vouching, file.links) == ("", Vouching.NONE, 1)
        assert file.size > 120_000
    assert files["needs.sys"].unresolved == ("ntoskrnl.exe!KeNew",)


@can_mount
@need("ntfs-3g", "mkntfs")
@wof.needs_wimlib
def test_a_broken_stream_is_a_gap(packed_image: Path) -> None:
    volume = Volume("disk.img", FileSystem.NTFS, packed_image, size=packed_image.stat().st_size)
    with mounts.opened(volume) as mount:
        install = windows(mount, volume)
        (gap,) = drivers.collect(install, [service(install, "broken")])
    assert isinstance(gap, Gap)
    assert "WOF file at 0x" in gap.reason or "LZX chunk" in gap.reason


@can_mount
@need("ntfs-3g", "mkntfs")
@wof.needs_wimlib
def test_a_folder_does_not_show_what_is_compressed(packed_image: Path) -> None:
    volume = Volume("disk.img", FileSystem.NTFS, packed_image, size=packed_image.stat().st_size)
    with mounts.opened(volume) as mount:
        install = windows(mount)  # the same volume, as a folder that somebody mounted
        (gap,) = drivers.collect(install, [service(install, "LZX")])
    assert isinstance(gap, Gap)
    assert "is compressed by Windows" in gap.reason


# --- hostile, and many --------------------------------------------------------------------


def test_hostile_files_make_gaps_at_most(kernel: WindowsInstall) -> None:
    rng = random.Random(20240719)
    good = pe.driver(ACME, imports={"ntoskrnl.exe": list(KERNEL), "acme.dll": ["A"]}, exports=["B"])
    begun = time.process_time()
    damaged = 0
    for _ in range(MUTATIONS):
        bad = bytearray(good[: rng.choice((len(good), len(good), rng.randrange(len(good))))])
        for _ in range(rng.randrange(1, 10)):
            limit = rng.choice((0x200, len(bad)))
            if bad:
                bad[rng.randrange(min(limit, len(bad)))] = rng.choice((0, 255, rng.randrange(256)))
        put(kernel, f"{DRIVERS}/acme.sys", bytes(bad))
        put(kernel, "Windows/System32/hal.dll", bytes(bad))
        (found,) = drivers.collect(kernel, [service(kernel, "acme")])
        assert isinstance(found, DriverFile | Gap)
        damaged += isinstance(found, DriverFile) and bool(found.damage)
    assert damaged > MUTATIONS // 2
    assert time.process_time() - begun < MUTATIONS * 0.02


def test_hundreds_of_drivers_take_no_time(install: WindowsInstall) -> None:
    """400 drivers with 150 imports each of a kernel with 3,500 exports."""
    names = [f"KeFunctionWithALongName{number}" for number in range(3500)]
    put(install, "Windows/System32/ntoskrnl.exe", pe.driver(ACME, exports=names))
    rng = random.Random(1)
    services = []
    for number in range(400):
        imports = {"ntoskrnl.exe": rng.sample(names, 150)}
        put(install, f"{DRIVERS}/acme{number}.sys", pe.driver(ACME, imports=imports))
        services.append(service(install, f"acme{number}"))
    begun = time.process_time()
    found = list(drivers.collect(install, services))
    assert time.process_time() - begun < 0.8  # 0.3 s on the machine this was written on
    assert len(found) == 400
    assert {item.unresolved for item in found if isinstance(item, DriverFile)} == {()}
