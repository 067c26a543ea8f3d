"""The boot path: which disk, every step upwards, and when it is not to be relied on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoverykit.diagnosis.boot_path import BUS, CONTROLLER, DISK, VOLUME, boot_path
from recoverykit.model import (
    BootPath,
    DeviceNode,
    DeviceUse,
    Evidence,
    FilterUse,
    Gap,
    Known,
    MountedVolume,
    NodeKind,
    Source,
    WindowsInstall,
)
from tests.evidence import boot_paths
from tests.evidence.registry_case import SYSTEM, install

HERE = Source(SYSTEM, key="ControlSet001\\Enum\\x")
SCSI = "{4d36e97b-e325-11ce-bfc1-08002be10318}"
DISKS = "{4d36e967-e325-11ce-bfc1-08002be10318}"
VOLUMES = "{71a27cdd-812a-11d0-bec7-08002be2092f}"
CHIPSET = "{4d36e97d-e325-11ce-bfc1-08002be10318}"
NETWORK = "{4d36e972-e325-11ce-bfc1-08002be10318}"
ONE, TWO = "{00000000-0000-0000-0000-000000000001}", "{00000000-0000-0000-0000-000000000002}"
SIZE = 1 << 20
MBR = f"mbr:12345678:{SIZE}"
FIRST, SECOND = "SCSI\\Disk&Ven_A\\4&1&0&0", "SCSI\\Disk&Ven_B\\4&2&0&0"


def disk(name: str = FIRST, parent: str = "PCI\\RAID\\3&1&0&1", guid: str = ONE) -> DeviceNode:
    return DeviceNode(*(HERE, name, NodeKind.DISK, "disk", DISKS, parent, Known.PARENT), disk=guid)


def volume(guid: str = ONE, start: int = SIZE) -> DeviceNode:
    name = f"STORAGE\\Volume\\{guid}#{start:016X}"
    return DeviceNode(
        *(HERE, name, NodeKind.VOLUME, "volume", VOLUMES, "ROOT\\volmgr\\0000", Known.PARENT),
        disk=guid,
        start=start,
    )


def controller(name: str = "PCI\\RAID\\3&1&0&1", service: str = "acmeraid") -> DeviceNode:
    return DeviceNode(
        *(HERE, name, NodeKind.CONTROLLER, service, SCSI, "ACPI\\PNP0A08\\0", Known.PARENT)
    )


ROOT = DeviceNode(HERE, "ACPI\\PNP0A08\\0", NodeKind.OTHER, "pci", CHIPSET, "", Known.TOP)
OTHER = controller("PCI\\RAID\\3&1&0&2", "otherraid")
PLAIN: list[Evidence] = [disk(), volume(), controller(), ROOT]
BOTH: list[Evidence] = [*PLAIN, disk(SECOND, OTHER.device, TWO), volume(TWO, 2 * SIZE), OTHER]


def on(identity: str = MBR, start: int = 0) -> WindowsInstall:
    made = install()
    return replace(made, volume=replace(made.volume, identity=identity, start=start))


def in_image(offset: int) -> WindowsInstall:
    made = on("gpt:x")
    return replace(made, volume=replace(made.volume, offset=offset))


def services(path: BootPath) -> list[str]:
    return [node.service for node in path.nodes]


# --- a plain machine ----------------------------------------------------------------------


def test_every_step_has_its_role() -> None:
    path = boot_path(PLAIN, on())
    assert [(node.service, node.role) for node in path.nodes] == [
        ("volume", VOLUME),
        ("disk", DISK),
        ("acmeraid", CONTROLLER),
        ("pci", BUS),
    ]
    assert path.disks == (FIRST,)
    assert path.doubt == ""


def test_whatever_a_disk_hangs_on_is_its_controller() -> None:
    """USB disks hang on devices of another class, and makers have classes of their own."""
    usb = replace(controller(), kind=NodeKind.OTHER, class_guid="{acme}")
    assert boot_path([disk(), usb, ROOT]).nodes[1].role == CONTROLLER


def test_filters_of_a_device_and_of_its_class() -> None:
    filters = [
        FilterUse(HERE, "one", "class", DISKS.upper()),
        FilterUse(HERE, "two", "device", FIRST.lower(), upper=False, class_guid=DISKS),
        FilterUse(HERE, "two", "class", DISKS),
        FilterUse(HERE, "three", "class", NETWORK),
        FilterUse(HERE, "four", "device", SECOND),
    ]
    found = {node.role: node.filters for node in boot_path([*PLAIN, *filters], on()).nodes}
    assert found == {VOLUME: (), DISK: ("two", "one"), CONTROLLER: (), BUS: ()}


# --- which disk ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "disks"),
    [
        pytest.param(on(), (FIRST,), id="MBR: by where the partition begins"),
        pytest.param(on(f"mbr:12345678:{2 * SIZE}"), (SECOND,), id="the second"),
        pytest.param(on("gpt:x", 2 * SIZE), (SECOND,), id="GPT, told where it begins"),
        pytest.param(in_image(2 * SIZE), (SECOND,), id="GPT, in an image"),
        pytest.param(on("gpt:kept"), (SECOND,), id="GPT, in a kept table"),
        pytest.param(on("gpt:x"), (FIRST, SECOND), id="GPT, neither: both may be it"),
        pytest.param(on(""), (FIRST, SECOND), id="a folder somebody mounted"),
        pytest.param(None, (FIRST, SECOND), id="no installation"),
    ],
)
def test_which_disk(at: WindowsInstall | None, disks: tuple[str, ...]) -> None:
    kept = replace(disk(SECOND, OTHER.device, TWO), partitions=("gpt:other", "gpt:kept"))
    evidence = [item for item in BOTH if item != BOTH[4]]
    path = boot_path([*evidence, kept], at)
    assert path.disks == disks
    assert path.doubt == ""
    assert ("otherraid" in services(path)) == (SECOND in disks)
    assert ("acmeraid" in services(path)) == (FIRST in disks)


def test_a_disk_that_is_gone_counts_only_if_it_is_the_one() -> None:
    gone = replace(disk(SECOND, OTHER.device, TWO), removed=True)
    evidence = [*PLAIN, gone, volume(TWO, 2 * SIZE), OTHER]
    assert boot_path(evidence, None).disks == (FIRST,)
    assert boot_path(evidence, on(f"mbr:12345678:{2 * SIZE}")).disks == (SECOND,)


def test_windows_7_does_not_boot_from_usb() -> None:
    inside = replace(disk(), known=Known.PREFIX)
    stick = replace(disk("USBSTOR\\Disk\\1&0", guid=TWO), known=Known.GUESS, parent="")
    assert boot_path([inside, stick, controller(), ROOT]).disks == (FIRST,)
    assert boot_path([stick]).disks == (stick.device,)
    later = replace(stick, known=Known.PARENT, parent=controller().device)
    assert len(boot_path([inside, later, controller(), ROOT]).disks) == 2


# --- doubt --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("evidence", "doubt"),
    [
        pytest.param([], "the registry shows no disk", id="nothing"),
        pytest.param([controller(), ROOT], "the registry shows no disk", id="no disk"),
        pytest.param([disk(), volume(), ROOT], "was not found", id="the parent is missing"),
        pytest.param(
            [*PLAIN[:2], replace(controller(), parent="", known=Known.GUESS)],
            "is not recorded",
            id="nobody knows the parent",
        ),
        pytest.param(
            [*PLAIN[:2], replace(controller(), parent=FIRST.upper())],
            "do not end",
            id="a circle",
        ),
        pytest.param(
            [
                disk(parent="ROOT\\vdrvroot\\0000"),
                volume(),
                replace(controller("ROOT\\vdrvroot\\0000", "vdrvroot"), known=Known.TOP),
            ],
            "is a virtual disk",
            id="virtual",
        ),
        pytest.param(
            [disk(parent="HTREE\\ROOT\\0"), volume()], "is a virtual disk", id="hangs on the root"
        ),
        pytest.param(
            [
                disk(parent="HTREE\\ROOT\\0"),
                volume(),
                replace(ROOT, device="HTREE\\ROOT\\0"),
            ],
            "is a virtual disk",
            id="hangs on the root, which was read",
        ),
        pytest.param(
            [disk(guid=""), volume(guid=""), controller(), ROOT],
            "no disk of the registry",
            id="a disk without a GUID",
        ),
        pytest.param(
            [*PLAIN, Gap(Source(SYSTEM, 4096, "ControlSet001\\Enum\\SCSI"), "damaged")],
            "could not be read",
            id="damage in the tree",
        ),
        pytest.param(
            [*PLAIN, MountedVolume(HERE, "\\DosDevices\\C:", "mbr:87654321:1048576")],
            "under no name",
            id="a copied disk",
        ),
        pytest.param(
            [disk(), volume(start=4096), controller(), ROOT],
            "no disk of the registry",
            id="no volume in this place",
        ),
    ],
)
def test_doubt(evidence: list[Evidence], doubt: str) -> None:
    more: list[Evidence] = [OTHER, DeviceUse(HERE, "acmechip", "PCI\\CHIP\\1", CHIPSET.upper())]
    path = boot_path([*evidence, *more], on())
    assert doubt in path.doubt
    guessed = {node.service: node for node in path.nodes if node.known is Known.GUESS}
    assert {"otherraid", "acmechip"} <= set(guessed)
    assert "perhaps" in guessed["otherraid"].role


@pytest.mark.parametrize("name", ["ROOT\\ACPI_HAL\\0000", "ROOT\\VMBUS\\0000"])
def test_firmware_on_the_root_is_no_virtual_disk(name: str) -> None:
    top = replace(ROOT, device=name)
    assert boot_path([disk(parent=name), volume(), top], on()).doubt == ""


def test_the_root_itself_needs_no_node() -> None:
    top = replace(ROOT, device="ACPI_HAL\\PNP0C08\\0", parent="HTREE\\ROOT\\0", known=Known.PARENT)
    assert boot_path([disk(parent=top.device), volume(), top], on()).doubt == ""


def test_other_volumes_names_and_gaps_raise_no_doubt() -> None:
    more: list[Evidence] = [
        MountedVolume(HERE, "\\DosDevices\\C:", MBR),
        MountedVolume(HERE, "\\DosDevices\\D:", "gpt:x"),
        Gap(Source(SYSTEM, key="ControlSet001\\Control\\Class"), "damaged"),
    ]
    assert boot_path([*PLAIN, *more], on()) == boot_path(PLAIN, on())


def test_a_guess_leaves_out_what_is_gone_or_no_storage() -> None:
    gone = replace(OTHER, removed=True)
    uses = [DeviceUse(HERE, "otherraid", OTHER.device, SCSI), DeviceUse(HERE, "net", "N", NETWORK)]
    assert services(boot_path([gone, *uses], on())) == []


def test_an_iscsi_disk_needs_the_network() -> None:
    top = replace(controller("ROOT\\ISCSIPRT\\0000", "iScsiPrt"), parent="", known=Known.TOP)
    card = DeviceUse(HERE, "acmenet", "PCI\\NET\\1", NETWORK)
    assert "acmenet" in services(boot_path([disk(parent=top.device), volume(), top, card], on()))
    assert "acmenet" not in services(boot_path([*PLAIN, card], on()))


# --- hostile ------------------------------------------------------------------------------


def test_a_thousand_parents_end() -> None:
    chain = [
        replace(ROOT, device=f"X\\{n}\\0", parent=f"X\\{n + 1}\\0", known=Known.PARENT)
        for n in range(1000)
    ]
    path = boot_path([disk(parent="X\\0\\0"), volume(), *chain], on())
    assert "do not end" in path.doubt
    assert 10 < sum(node.known is Known.PARENT for node in path.nodes) < 100


names = st.sampled_from([f"BUS\\DEV\\{n}" for n in range(6)] + ["ROOT\\a\\0", "HTREE\\ROOT\\0", ""])
nodes = st.builds(
    DeviceNode,
    st.just(HERE),
    names,
    st.sampled_from(NodeKind),
    st.sampled_from(["", "disk", "acme"]),
    st.sampled_from(["", SCSI, DISKS, VOLUMES]),
    names,
    st.sampled_from(Known),
    st.sampled_from(["", ONE]),
    st.none() | st.integers(0, 2) | st.just(SIZE),
    st.sampled_from([(), (MBR,)]),
    removed=st.booleans(),
)
identities = st.sampled_from(["", MBR, "gpt:x", "mbr:12345678:", "mbr:1:" + "9" * 5000, "mbr:1:٣"])


@given(st.lists(nodes, max_size=12), identities)
def test_any_tree_ends_and_doubts_what_it_cannot_follow(
    tree: list[DeviceNode], identity: str
) -> None:
    path = boot_path(tree, on(identity))
    assert set(path.disks) <= {node.device for node in tree if node.kind is NodeKind.DISK}
    drawn = [node.device for node in path.nodes]
    assert len(set(drawn)) == len(drawn)
    if not path.doubt:
        assert path.disks
        assert set(path.disks) <= set(drawn)


# --- real machines ------------------------------------------------------------------------


@pytest.mark.parametrize("name", boot_paths.MACHINES)
@pytest.mark.parametrize("told", [True, False], ids=["offset known", "offset not known"])
def test_real_machines(name: str, told: bool) -> None:
    machine = boot_paths.MACHINES[name]
    made = boot_paths.installed(machine if told else replace(machine, start=0))
    path = boot_path(boot_paths.evidence(name), made)
    above = [node for node in path.nodes if node.role != VOLUME]
    drawn = [(node.device.rpartition("\\")[0], node.service) for node in above]
    assert path.doubt == ""
    if told or name != "regipy_SYSTEM_B.xz":  # GPT, and too old to keep tables: any disk it has
        assert drawn == list(machine.path)
        assert {node.known for node in above} == {machine.known, Known.TOP}
    assert set(machine.path) <= set(drawn)


def test_real_filters() -> None:
    name = "regipy_SYSTEM_B.xz"
    path = boot_path(boot_paths.evidence(name), boot_paths.installed(boot_paths.MACHINES[name]))
    (own,) = [node for node in path.nodes if node.role == DISK]
    assert own.filters == ("partmgr", "EhStorClass", "stdcfltn")


def test_a_real_machine_whose_disk_was_copied() -> None:
    name = "dissect_SYSTEM.gz"
    machine = replace(boot_paths.MACHINES[name], identity="gpt:" + "0" * 36)
    path = boot_path(boot_paths.evidence(name), boot_paths.installed(machine))
    assert "under no name" in path.doubt
    assert {"stornvme", "storahci", "intelide"} <= set(services(path))
