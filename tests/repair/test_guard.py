"""Who must never be disabled, and which role the refusal names."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoverykit.diagnosis import boot_path
from recoverykit.model import (
    DeviceNode,
    DeviceUse,
    Disk,
    DriverFile,
    Evidence,
    FileSystem,
    FilterUse,
    Gap,
    Known,
    MountedVolume,
    NodeKind,
    Service,
    Source,
    StartType,
    WindowsInstall,
)
from recoverykit.repair import guard
from tests.evidence import boot_paths
from tests.repair.target import DRIVER, install, service

HERE = Source("Windows/System32/config/SYSTEM", key="ControlSet001\\Enum\\x")
STORAGE = "{4d36e97b-e325-11ce-bfc1-08002be10318}"
DISKS = "{4d36e967-e325-11ce-bfc1-08002be10318}"
NETWORK = "{4d36e972-e325-11ce-bfc1-08002be10318}"
KEYBOARD = "{4d36e96b-e325-11ce-bfc1-08002be10318}"
RAID, CARD = "PCI\\VEN_1\\3&1&0&1", "PCI\\VEN_2\\3&1&0&2"
START = 1 << 20

# A machine that boots from a disk of `acmeraid`; a second card, of `otherraid`, has none.
MACHINE: list[Evidence] = [
    DeviceNode(
        *(HERE, "SCSI\\Disk\\4&1&0&0", NodeKind.DISK, "disk", DISKS, RAID, Known.PARENT),
        disk="{1}",
    ),
    DeviceNode(HERE, "STORAGE\\Volume\\1", NodeKind.VOLUME, "volume", disk="{1}", start=START),
    DeviceNode(
        *(HERE, RAID, NodeKind.CONTROLLER, "acmeraid", STORAGE, "ACPI\\PNP0A08\\0", Known.PARENT)
    ),
    DeviceNode(
        *(HERE, CARD, NodeKind.CONTROLLER, "otherraid", STORAGE, "ACPI\\PNP0A08\\0", Known.PARENT)
    ),
    DeviceNode(HERE, "ACPI\\PNP0A08\\0", NodeKind.OTHER, "acmebus", known=Known.TOP),
    DeviceUse(HERE, "acmeraid", RAID, STORAGE),
    DeviceUse(HERE, "otherraid", CARD, STORAGE),
]
ON_PATH = ("acmeraid", "acmebus")


def device(name: str, class_guid: str) -> DeviceUse:
    return DeviceUse(HERE, name, "PCI\\VEN_1234", class_guid)


def file(company: str, driver: str = "acme filter.sys", **more: object) -> DriverFile:
    modified = datetime(2026, 1, 1, tzinfo=UTC)
    made = DriverFile(Source(DRIVER), driver, 7000, modified, 1, company=company)
    return replace(made, **more)  # type: ignore[arg-type]  # the rows name the fields


def named(name: str, **more: object) -> Service:
    return service(name, f"{name}.sys", **more)


def target(**changes: object) -> WindowsInstall:
    """A Windows on a partition that we found and read ourselves."""
    made = install(Path("/nowhere"))
    disk = Disk(Path("disk.img"), 1 << 30, 512, "mbr")
    volume = replace(made.volume, identity=f"mbr:12345678:{START}", disk=disk)
    return replace(made, volume=replace(volume, **changes))  # type: ignore[arg-type]  # as above


def role(asked: Service, evidence: list[Evidence], at: WindowsInstall | None = None) -> str:
    """The role that forbids it; "" where nothing does."""
    refusal = guard.refuse(asked, evidence, install=at)
    return refusal.role if refusal else ""


# --- the path is not known: as wide as ever -----------------------------------------------


@pytest.mark.parametrize("at", [None, target()], ids=["no installation", "installation"])
@pytest.mark.parametrize(
    ("asked", "evidence", "said"),
    [
        pytest.param(service("ACPI", "acpi.sys"), [], "a bus", id="by service name"),
        pytest.param(service("disk", "hijacked.sys"), [], "disks and volumes", id="other file"),
        pytest.param(service("x", "ntfs.sys"), [], "the file system of the boot", id="by file"),
        pytest.param(service("x", "udfs.sys"), [], "a file system", id="another file system"),
        pytest.param(service("fvevol", "fvevol.sys"), [], "BitLocker", id="BitLocker"),
        pytest.param(service("kbdclass", "kbdclass.sys"), [], "keyboards", id="keyboard"),
        pytest.param(service("WdBoot", "wdboot.sys"), [], "part of Windows", id="Defender's ELAM"),
        pytest.param(service(group="SCSI Miniport"), [], "storage controllers", id="group"),
        pytest.param(service(group="boot bus extender"), [], "the buses", id="group, any case"),
        pytest.param(named("iaStorAC"), [], "storage controllers", id="a maker's, by name"),
        pytest.param(
            service(), [device("Acme", STORAGE.upper())], "SCSIAdapter", id="storage device"
        ),
        pytest.param(service(), [file("Microsoft Corporation")], "of Windows", id="inbox by file"),
        pytest.param(service("disk", "disk.sys"), [], "disks and volumes", id="disk"),
        pytest.param(service(group="FSFilter Encryption"), [], "encrypts", id="encryption"),
        pytest.param(named("SafeBoot"), [], "McAfee Endpoint Encryption", id="known encryption"),
    ],
)
def test_refused(
    asked: Service, evidence: list[Evidence], said: str, at: WindowsInstall | None
) -> None:
    refusal = guard.refuse(asked, evidence, install=at)
    assert refusal is not None
    assert said in refusal.role
    assert refusal.role in refusal.reason
    assert refusal.reason.endswith("Replace it or roll it back instead.")
    assert (refusal.driver, refusal.service) == (asked.driver, asked.name)


@pytest.mark.parametrize(
    "use",
    [
        FilterUse(HERE, "ACME", "class", "{71a27cdd}"),
        FilterUse(HERE, "acme", "device", "USB\\VID"),
        FilterUse(HERE, "acme", "class", KEYBOARD),
    ],
)
def test_without_an_installation_every_filter_is_refused(use: FilterUse) -> None:
    """Whoever asks so changes a Start value and no list (`recoverykit reg`)."""
    refusal = guard.refuse(service(), [*MACHINE, use])
    assert refusal is not None
    assert f"a filter of the {use.scope} {use.owner}" in refusal.role
    assert "0x7B" in refusal.reason


@pytest.mark.parametrize(
    ("asked", "evidence"),
    [
        pytest.param(service(), [], id="third party, no role"),
        pytest.param(service(), [FilterUse(HERE, "other", "class", "{x}")], id="another's filter"),
        pytest.param(service(), [device("other", STORAGE)], id="another's device"),
        pytest.param(service(), [device("acme", NETWORK)], id="a network card"),
        pytest.param(service(group="FSFilter Anti-Virus"), [], id="a scanner's group"),
        pytest.param(service(group="Early-Launch"), [], id="a maker's ELAM driver"),
        pytest.param(service(), [file("Acme Inc.")], id="third party by its file"),
    ],
)
def test_not_refused(asked: Service, evidence: list[Evidence]) -> None:
    assert guard.refuse(asked, evidence) is None
    assert guard.refuse(asked, [*MACHINE, *evidence], install=target()) is None


# --- the path is known --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("AcmeRaid", boot_path.CONTROLLER),
        ("acmebus", boot_path.BUS),
        ("otherraid", ""),
    ],
)
def test_what_drives_the_path(name: str, said: str) -> None:
    asked = named(name, group="SCSI Miniport")
    assert role(asked, MACHINE, target()) == said


def test_the_reason_says_what_it_drives_and_what_to_do() -> None:
    refusal = guard.refuse(named("acmeraid"), MACHINE, install=target())
    assert refusal is not None
    assert refusal.reason == (
        "acmeraid.sys must not be disabled: it is the storage controller of the boot disk; "
        f"it drives {RAID}. Replace it or roll it back instead."
    )


def test_a_guess_says_why_it_is_one() -> None:
    damaged: list[Evidence] = [*MACHINE, Gap(HERE, "damaged")]
    refusal = guard.refuse(named("otherraid"), damaged, install=target())
    assert refusal is not None
    assert "perhaps on the way to the boot disk" in refusal.role
    assert "a part of the device tree could not be read" in refusal.reason


# --- filters ------------------------------------------------------------------------------

CLASS_FILTER = FilterUse(HERE, "acme", "class", DISKS.upper())
DEVICE_FILTER = FilterUse(HERE, "acme", "device", RAID.lower(), class_guid=STORAGE)
FOLDER = target(disk=None)
MEMBER = target(disk=Disk(Path("x"), 1, 512, "mbr", member_of="dynamic disk (LDM)"))


@pytest.mark.parametrize("use", [CLASS_FILTER, DEVICE_FILTER], ids=["class", "device"])
@pytest.mark.parametrize(
    ("at", "refused"),
    [
        pytest.param(target(), False, id="we read the volume without it"),
        pytest.param(FOLDER, True, id="somebody mounted it"),
        pytest.param(target(filesystem=FileSystem.BITLOCKER), True, id="not readable"),
        pytest.param(MEMBER, True, id="a part of a set"),
    ],
)
def test_filters_of_the_path(use: FilterUse, at: WindowsInstall, refused: bool) -> None:
    assert bool(role(service(), [*MACHINE, use], at)) is refused


STRANGE_FILTER = FilterUse(HERE, "acme", "device", "ACME\\1\\1", class_guid="{acme}")
SPARE_FILTER = FilterUse(HERE, "acme", "class", "{4d36e96a-e325-11ce-bfc1-08002be10318}")
BUS_FILTER = FilterUse(HERE, "acme", "device", "acpi\\pnp0a08\\0", class_guid="{acme}")


@pytest.mark.parametrize(
    ("evidence", "refused"),
    [
        pytest.param([*MACHINE, BUS_FILTER], True, id="of a device of the path, whatever class"),
        pytest.param([*MACHINE, CLASS_FILTER], True, id="of disks"),
        pytest.param([*MACHINE, STRANGE_FILTER], False, id="of something else"),
        pytest.param([*MACHINE, SPARE_FILTER], True, id="of a storage class that is not on it"),
        pytest.param([STRANGE_FILTER], True, id="of something else, the path unknown"),
    ],
)
def test_filters_where_nobody_proved_anything(evidence: list[Evidence], refused: bool) -> None:
    assert bool(role(service(), evidence, FOLDER)) is refused


@pytest.mark.parametrize(
    "use",
    [
        FilterUse(HERE, "acme", "class", KEYBOARD),
        FilterUse(HERE, "acme", "device", "HID\\X\\1", class_guid=KEYBOARD),
    ],
)
def test_filters_of_other_devices(use: FilterUse) -> None:
    assert role(service(), [*MACHINE, use], FOLDER) == ""


ENCRYPTION = named("veracrypt", start=StartType.SYSTEM)


@pytest.mark.parametrize(
    ("asked", "more", "at", "refused"),
    [
        pytest.param(ENCRYPTION, [], target(), False, id="containers only"),
        pytest.param(ENCRYPTION, [], FOLDER, True, id="unproven"),
        pytest.param(
            ENCRYPTION,
            [FilterUse(HERE, "VeraCrypt", "class", DISKS)],
            target(),
            True,
            id="a filter of disks",
        ),
        pytest.param(
            replace(ENCRYPTION, start=StartType.BOOT), [], target(), True, id="boot-start"
        ),
        pytest.param(
            named("x", group="FSFilter Encryption"), [], target(), True, id="encrypts files"
        ),
    ],
)
def test_encryption(
    asked: Service, more: list[Evidence], at: WindowsInstall, refused: bool
) -> None:
    assert ("encrypt" in role(asked, [*MACHINE, *more], at)) is refused


# --- companions and libraries -------------------------------------------------------------


@pytest.mark.parametrize("use", [CLASS_FILTER, device("acme", STORAGE)], ids=["filter", "device"])
@pytest.mark.parametrize(
    ("own", "theirs", "refused"),
    [
        (("oem1.inf",), ("oem2.inf", "oem1.inf"), True),
        (("oem1.inf",), ("oem2.inf",), False),
        ((), (), False),
    ],
)
def test_companions(
    use: Evidence, own: tuple[str, ...], theirs: tuple[str, ...], refused: bool
) -> None:
    asked, other = service(owners=own), named("AcmeRaid", owners=theirs)
    found = role(asked, [*MACHINE, other, asked, use], target())
    assert ("companion" in found) is refused


def test_a_package_that_also_has_something_else() -> None:
    asked, raid = service(owners=("oem1.inf",)), named("acmeraid", owners=("oem1.inf",))
    assert role(asked, [*MACHINE, raid, asked, device("acme", NETWORK)], target()) == ""


@pytest.mark.parametrize(
    ("start", "libraries", "refused"),
    [
        (StartType.BOOT, ("ntoskrnl.exe", "acme filter.sys"), True),
        (StartType.BOOT, ("ntoskrnl.exe",), False),
        (StartType.DEMAND, ("acme filter.sys",), False),
        (StartType.DISABLED, ("acme filter.sys",), False),
    ],
)
def test_libraries(start: StartType, libraries: tuple[str, ...], refused: bool) -> None:
    user = named("user", start=start)
    evidence: list[Evidence] = [*MACHINE, user, file("Acme", "user.sys", libraries=libraries)]
    found = guard.refuse(service(), evidence, install=target())
    assert (found is not None) is refused
    assert found is None or "user.sys cannot load" in found.reason


def test_nobody_is_a_library_of_its_own() -> None:
    asked = service()
    evidence: list[Evidence] = [asked, file("Acme", libraries=("acme filter.sys",))]
    assert guard.refuse(asked, evidence, install=target()) is None


# --- properties ---------------------------------------------------------------------------

unknown = st.one_of(
    st.builds(
        DeviceNode,
        st.just(HERE),
        st.sampled_from([f"BUS\\NEW\\{n}" for n in range(4)]),
        st.sampled_from(NodeKind),
        st.sampled_from(["", "acme", "acmeraid"]),
        st.sampled_from(["", STORAGE, DISKS]),
        st.sampled_from(["", RAID, "BUS\\NEW\\0", "BUS\\NEW\\1", "gone"]),
        st.sampled_from(Known),
        st.sampled_from(["", "{1}", "{2}"]),
        st.none() | st.sampled_from([0, START]),
        st.sampled_from([(), (f"mbr:12345678:{START}",)]),
        removed=st.booleans(),
    ),
    st.builds(DeviceUse, st.just(HERE), st.just("x"), st.text(max_size=300), st.text(max_size=9)),
    st.builds(FilterUse, st.just(HERE), st.just("acmeraid"), st.text(max_size=6), st.text()),
    st.builds(MountedVolume, st.just(HERE), st.just("#"), st.text(max_size=9)),
    st.builds(Gap, st.just(HERE), st.just("damaged")),
)


@given(st.lists(unknown, max_size=8), st.sampled_from(ON_PATH), st.booleans())
def test_more_that_is_unknown_never_frees_the_path(
    more: list[Evidence], name: str, before: bool
) -> None:
    evidence = [*more, *MACHINE] if before else [*MACHINE, *more]
    assert guard.refuse(named(name), evidence, install=target()) is not None


@given(
    st.lists(st.sampled_from(MACHINE), unique_by=id, max_size=6),
    st.sampled_from(ON_PATH),
)
def test_less_that_is_known_never_frees_a_storage_driver(lost: list[Evidence], name: str) -> None:
    """Whatever of the tree is missing, what is left of it is no reason to let one go."""
    left = [item for item in MACHINE if item not in lost]
    asked = named(name, group="SCSI Miniport")
    assert guard.refuse(asked, left, install=target()) is not None


# --- real machines ------------------------------------------------------------------------


@pytest.mark.parametrize("name", boot_paths.MACHINES)
def test_real_paths_are_refused_and_what_is_harmless_is_not(name: str) -> None:
    machine, evidence = boot_paths.MACHINES[name], list(boot_paths.evidence(name))
    at = boot_paths.installed(machine)
    known = {item.name.casefold(): item for item in evidence if isinstance(item, Service)}
    needed = {service for _, service in machine.path if service.casefold() in known}
    assert {"disk", "ACPI", "pci"} <= needed
    for one in needed | {"volmgr", "partmgr", "mountmgr", "fvevol", "Ntfs", "volsnap"}:
        refusal = guard.refuse(known[one.casefold()], evidence, install=at)
        assert refusal is not None, one
    for one in machine.harmless:
        assert guard.refuse(known[one.casefold()], evidence, install=at) is None, one


@pytest.mark.parametrize("name", boot_paths.MACHINES)
def test_a_real_controller_of_a_third_party_is_known_by_its_place(name: str) -> None:
    """The same machines, their controller's driver under another name than Windows' own."""
    machine = boot_paths.MACHINES[name]
    own = next(service for device, service in machine.path if device.startswith("PCI\\"))
    evidence = [
        replace(item, service="acmeraid")
        if isinstance(item, DeviceNode | DeviceUse) and item.service == own
        else item
        for item in boot_paths.evidence(name)
    ]
    at = boot_paths.installed(machine)
    assert role(named("acmeraid"), evidence, at) == boot_path.CONTROLLER
