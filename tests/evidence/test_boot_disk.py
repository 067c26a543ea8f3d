"""Device nodes: kinds, parents by every way they are known, what is gone, damage, machines."""

from __future__ import annotations

import time
import uuid
from datetime import datetime, timedelta

import pytest

from recoverykit.evidence import boot_disk, devices
from recoverykit.formats.binary import to_filetime
from recoverykit.formats.hive import Hive
from recoverykit.model import DeviceNode, Gap, Known, MountedVolume, NodeKind
from tests.builders import drive_layout, hive
from tests.builders.hive import WHEN
from tests.evidence import boot_paths
from tests.evidence.registry_case import built, install, key_at, real_hive, survive, value_at
from tests.formats.hives import hive_bytes

MUTANTS = 100
DISKS = "{4d36e967-e325-11ce-bfc1-08002be10318}"
VOLUMES = "{71a27cdd-812a-11d0-bec7-08002be2092f}"
SCSI = "{4D36E97B-E325-11CE-BFC1-08002BE10318}"
RECORDS = "{83da6326-97a6-4088-9453-a1923f573b29}"
DISK_ID = "{5c3108ac-31c0-11e8-9b10-806e6f6e6963}"
FIRST = "SCSI\\Disk&Ven_A\\4&1&0&000000"
OWN = uuid.UUID(int=1 << 90)


def property_string(text: str) -> hive.Raw:
    """As kernel PnP writes DEVPROP_TYPE_STRING."""
    return hive.Raw(0xFFFF_0012, text.encode("utf-16-le") + b"\0\0")


def under(parent: str) -> dict[str, hive.Raw]:
    return {"000A": property_string(parent)}


def property_time(when: datetime) -> hive.Raw:
    return hive.Raw(0xFFFF_0010, to_filetime(when).to_bytes(8, "little"))


def device(
    guid: str = "",
    service: str = "",
    prefix: str = "",
    flags: int | None = None,
    records: dict[str, hive.Raw] | None = None,
    partmgr: dict[str, hive.Raw] | None = None,
) -> hive.Tree:
    values: dict[str, hive.Tree | hive.Node | hive.Raw] = {}
    texts = {"ClassGUID": guid, "Service": service, "ParentIdPrefix": prefix}
    values |= {name: hive.sz(text) for name, text in texts.items() if text}
    if flags is not None:
        values["ConfigFlags"] = hive.dword(flags)
    if records:
        tree = {number: {"": value} for number, value in records.items()}
        values["Properties"] = {RECORDS.upper(): tree}
    if partmgr:
        values["Device Parameters"] = {"Partmgr": partmgr}
    return values


def machine(instances: dict[str, hive.Tree], mounted: hive.Tree | None = None) -> Hive:
    enum: dict[str, dict[str, dict[str, hive.Tree]]] = {}
    for path, content in instances.items():
        bus, name, instance = path.split("\\")
        enum.setdefault(bus, {}).setdefault(name, {})[instance] = content
    return built({"Enum": enum}, MountedDevices=mounted or {})


def nodes(image: Hive) -> dict[str, DeviceNode]:
    found = list(boot_disk.collect(install(), image))
    assert [item for item in found if isinstance(item, Gap)] == []
    return {item.device: item for item in found if isinstance(item, DeviceNode)}


def disk(**more: hive.Raw) -> hive.Tree:
    return device(DISKS, "disk", records=more)


# --- nodes --------------------------------------------------------------------------------


def test_kinds_and_only_what_matters() -> None:
    found = nodes(
        machine(
            {
                FIRST: device(
                    DISKS.upper(), "disk", records={"000A": property_string("PCI\\A\\1")}
                ),
                f"STORAGE\\Volume\\{DISK_ID}#0000000000100000": device(VOLUMES, "volume"),
                "PCI\\A\\1": device("{other}", "acme"),
                "PCI\\B\\1": device(SCSI, "spare"),
                "PCI\\C\\1": device("{4d36e972-e325-11ce-bfc1-08002be10318}", "network"),
            }
        )
    )
    assert {name: node.kind for name, node in found.items()} == {
        FIRST: NodeKind.DISK,
        f"STORAGE\\Volume\\{DISK_ID}#0000000000100000": NodeKind.VOLUME,
        "PCI\\A\\1": NodeKind.OTHER,
        "PCI\\B\\1": NodeKind.CONTROLLER,
    }
    assert (found[FIRST].class_guid, found[FIRST].service) == (DISKS, "disk")


@pytest.mark.parametrize(
    ("instances", "parent", "known"),
    [
        pytest.param(
            {FIRST: disk(**{"000A": property_string("Pci\\A\\1")}), "PCI\\A\\1": {}},
            "Pci\\A\\1",
            Known.PARENT,
            id="recorded",
        ),
        pytest.param(
            {FIRST: disk(**{"000A": property_string("PCI\\A\\1\0rest")})},
            "PCI\\A\\1",
            Known.PARENT,
            id="recorded, not there",
        ),
        pytest.param(
            {FIRST: disk(**{"000A": hive.sz("PCI\\A\\1")})}, "", Known.GUESS, id="no property"
        ),
        pytest.param(
            {FIRST: disk(**{"000A": property_string(FIRST.upper())})},
            "",
            Known.GUESS,
            id="its own parent",
        ),
        pytest.param(
            {FIRST: disk(), "PCI\\A\\1": device(prefix="4&1&0")},
            "PCI\\A\\1",
            Known.PREFIX,
            id="by prefix",
        ),
        pytest.param(
            {
                FIRST: disk(),
                "PCI\\A\\1": device(prefix="4&1&0"),
                "PCI\\B\\1": device(prefix="4&1"),
                "PCI\\C\\1": device(prefix="4&1&0&0"),
            },
            "PCI\\A\\1",
            Known.PREFIX,
            id="whole parts only",
        ),
        pytest.param(
            {
                FIRST: disk(),
                "PCI\\A\\1": device(prefix="4&1&0"),
                "PCI\\B\\1": device(prefix="4&1&0"),
            },
            "",
            Known.GUESS,
            id="two it could be",
        ),
        pytest.param(
            {
                FIRST: disk(**{"000A": property_string("PCI\\B\\1")}),
                "PCI\\A\\1": device(prefix="4&1&0"),
            },
            "PCI\\B\\1",
            Known.PARENT,
            id="the record counts",
        ),
        pytest.param({FIRST: disk()}, "", Known.GUESS, id="nothing"),
    ],
)
def test_parents(instances: dict[str, hive.Tree], parent: str, known: Known) -> None:
    own = nodes(machine(instances))[FIRST]
    assert (own.parent, own.known) == (parent, known)


def test_a_usb_disk_of_windows_7_has_its_devices_serial_number() -> None:
    stick = "USBSTOR\\Disk&Ven_A\\AA95&0"
    found = nodes(machine({stick: disk(), "USB\\VID_1\\aa95": {}, "USB\\VID_2\\AA95&0": {}}))
    assert (found[stick].parent, found[stick].known) == ("USB\\VID_1\\aa95", Known.PREFIX)
    assert found["USB\\VID_1\\aa95"].known is Known.GUESS


@pytest.mark.parametrize("name", ["ROOT\\A\\0", "ACPI\\A\\0", "ACPI_HAL\\A\\0", "HTREE\\ROOT\\0"])
def test_nothing_matters_above_firmware_and_root(name: str) -> None:
    found = nodes(machine({FIRST: disk(**{"000A": property_string(name)}), name: {}}))
    assert (found[name].parent, found[name].known) == ("", Known.TOP)


@pytest.mark.parametrize(
    ("flags", "records", "removed"),
    [
        pytest.param(None, {}, False, id="nothing told"),
        pytest.param(2, {}, True, id="CONFIGFLAG_REMOVED"),
        pytest.param(1, {}, False, id="only disabled"),
        pytest.param(0, {"0066": 1, "0067": 2}, True, id="left after it came"),
        pytest.param(0, {"0066": 2, "0067": 1}, False, id="came back"),
        pytest.param(0, {"0066": 2, "0067": 2}, False, id="its driver was changed"),
        pytest.param(0, {"0067": 2}, False, id="never came"),
        pytest.param(0, {"0066": 2}, False, id="never left"),
    ],
)
def test_what_is_gone(flags: int | None, records: dict[str, int], removed: bool) -> None:
    times = {name: property_time(WHEN + timedelta(days=day)) for name, day in records.items()}
    own = nodes(machine({FIRST: device(DISKS, flags=flags, records=times)}))[FIRST]
    assert own.removed is removed
    assert own.problem == (flags or 0)


@pytest.mark.parametrize(
    ("values", "guid", "partitions"),
    [
        ({}, "", ()),
        ({"DiskId": hive.sz(DISK_ID.upper())}, DISK_ID, ()),
        ({"PartitionTableCache": hive.binary(drive_layout.gpt(OWN))}, "", (f"gpt:{OWN}",)),
        (
            {"DiskId": hive.sz(DISK_ID), "PartitionTableCache": hive.binary(b"not a table")},
            DISK_ID,
            (),
        ),
    ],
)
def test_disks(values: dict[str, hive.Raw], guid: str, partitions: tuple[str, ...]) -> None:
    own = nodes(machine({FIRST: device(DISKS, partmgr=values)}))[FIRST]
    assert (own.disk, own.partitions, own.start) == (guid, partitions, None)


@pytest.mark.parametrize(
    ("instance", "guid", "start"),
    [
        (f"{DISK_ID}#0000000026700000", DISK_ID, 0x26700000),
        ("_??_USBSTOR#Disk#1#{53f56307-b6bf-11d0-94f2-00a0c91efb8b}", "", None),
    ],
)
def test_volumes(instance: str, guid: str, start: int | None) -> None:
    name = f"STORAGE\\Volume\\{instance}"
    own = nodes(machine({name: device(VOLUMES)}))[name]
    assert (own.disk, own.start) == (guid, start)


def test_mounted_volumes() -> None:
    image = machine(
        {},
        {
            "\\DosDevices\\C:": hive.binary(b"DMIO:ID:" + OWN.bytes_le),
            "\\DosDevices\\D:": hive.binary("\\??\\SCSI#CdRom".encode("utf-16-le")),
            "\\??\\Volume{1}": hive.binary(bytes.fromhex("67cfced10000f01500000000")),
        },
    )
    found = [
        item for item in boot_disk.collect(install(), image) if isinstance(item, MountedVolume)
    ]
    assert {item.name: item.identity for item in found} == {
        "\\DosDevices\\C:": f"gpt:{OWN}",
        "\\??\\Volume{1}": "mbr:d1cecf67:368050176",
    }


# --- damage and size ----------------------------------------------------------------------


def test_parents_in_a_circle_and_in_a_long_row_end() -> None:
    row = {
        f"X\\{n}\\0": device(records={"000A": property_string(f"X\\{(n + 1) % 1000}\\0")})
        for n in range(1000)
    }
    image = machine({FIRST: disk(**{"000A": property_string("X\\0\\0")}), **row})
    assert len(nodes(image)) == 1001


def test_more_than_anybody_has_is_a_gap() -> None:
    image = machine({f"SCSI\\Disk\\{n}": device(DISKS) for n in range(boot_disk.MAX_NODES + 10)})
    began = time.process_time()
    found = list(boot_disk.collect(install(), image))
    assert time.process_time() - began < 5
    (gap,) = [item for item in found if isinstance(item, Gap)]
    assert "the rest was not followed" in gap.reason
    assert len(found) == boot_disk.MAX_NODES + 1


def test_one_gap_for_one_damaged_key() -> None:
    data = hive.build(
        {
            "ControlSet001": {
                "Control": {"Class": {}},
                "Enum": {"SCSI": {"Disk": {f"{n}": device(DISKS, "disk") for n in range(3)}}},
            }
        }
    )
    key = Hive(data).find("ControlSet001\\Enum\\SCSI\\Disk\\1")
    assert key is not None
    at = key.offset + 4 + 40
    damaged = Hive(data[:at] + b"\xf0\xff\xff\x7f" + data[at + 4 :])
    found = list(devices.collect(install(), damaged))
    assert sum(isinstance(item, DeviceNode) for item in found) == 2
    (gap,) = [item for item in found if isinstance(item, Gap)]
    assert key_at(data, gap.source) == "1"


def test_no_tree_is_a_gap() -> None:
    found = list(boot_disk.collect(install(), built({"Control": {}})))
    (gap,) = found
    assert isinstance(gap, Gap)
    assert gap.source.key == "ControlSet001\\Enum"


def test_damage_never_raises() -> None:
    records = {"000A": property_string("PCI\\A\\1"), "0066": property_time(WHEN)}
    table = {"DiskId": hive.sz(DISK_ID), "PartitionTableCache": hive.binary(drive_layout.gpt(OWN))}
    disks = {f"4&1&0&{n}": device(DISKS, "disk", records=records, partmgr=table) for n in range(4)}
    own = device(SCSI, "acme", "4&1&0")
    image = hive.build(
        {
            "ControlSet001": {"Enum": {"SCSI": {"Disk": disks}, "PCI": {"A": {"1": own}}}},
            "MountedDevices": {"\\DosDevices\\C:": hive.binary(b"DMIO:ID:" + OWN.bytes_le)},
        }
    )
    opened, gaps = survive(image, boot_disk.collect, "boot disk", MUTANTS)
    assert opened > MUTANTS // 2
    assert gaps


# --- real machines ------------------------------------------------------------------------


@pytest.mark.parametrize("name", boot_paths.MACHINES)
def test_real_machines(name: str) -> None:
    machine = boot_paths.MACHINES[name]
    found = list(boot_disk.collect(install(), real_hive(name)))
    assert [item for item in found if isinstance(item, Gap)] == []
    assert machine.identity in {item.identity for item in found if isinstance(item, MountedVolume)}
    tree = [item for item in found if isinstance(item, DeviceNode)]
    disks = [node for node in tree if node.kind is NodeKind.DISK]
    own = [node for node in tree if node.kind is NodeKind.VOLUME and node.start == machine.start]
    assert {node.disk for node in own} <= {node.disk for node in disks}
    assert own
    # Windows 7 keeps no parents; all later ones do, of every device that is not the root's.
    parents = {node.known for node in disks}
    assert parents == {machine.known}


def test_what_is_gone_from_a_real_machine() -> None:
    found = boot_disk.collect(install(), real_hive("regipy_SYSTEM_WIN_10_1709.xz"))
    gone = {item.device for item in found if isinstance(item, DeviceNode) and item.removed}
    assert "SCSI\\Disk&Ven_SanDisk&Prod_Extreme_SSD\\000000" in gone
    assert not any("VMware" in name for name in gone)


def test_places_in_a_real_hive() -> None:
    image = hive_bytes("dissect_SYSTEM.gz")
    found = list(boot_disk.collect(install(), Hive(image)))
    for item in found:
        if isinstance(item, DeviceNode):
            assert key_at(image, item.source) == item.device.rpartition("\\")[2]
            assert item.source.key == f"ControlSet001\\Enum\\{item.device}"
        if isinstance(item, MountedVolume):
            assert value_at(image, item.source) == (item.name, 3)
    assert len(found) > 10
