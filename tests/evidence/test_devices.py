"""Filters and device uses: which side, which class, which problem; places, damage, machines."""

from __future__ import annotations

import pytest

from recoverykit.evidence import devices
from recoverykit.formats.hive import Hive
from recoverykit.model import DeviceUse, FilterUse, Gap
from tests.builders import hive
from tests.builders.hive import WHEN, Node
from tests.evidence.registry_case import (
    MACHINES,
    built,
    install,
    key_at,
    real_hive,
    survive,
    value_at,
)
from tests.formats.hives import hive_bytes

MUTANTS = 100
DISK = "{4d36e967-e325-11ce-bfc1-08002be10318}"
INSTANCE = "SCSI\\Disk&Ven_Acme\\4&1&0"


def machine(device: hive.Tree, lists: hive.Tree | None = None) -> Hive:
    return built(
        {
            "Control": {"Class": {DISK.upper(): lists or {}}},
            "Enum": {"SCSI": {"Disk&Ven_Acme": {"4&1&0": Node(device, when=WHEN)}}},
        }
    )


def filters(image: Hive) -> list[tuple[str, str, str, bool, str]]:
    return [
        (item.service, item.scope, item.owner, item.upper, item.class_guid)
        for item in devices.collect(install(), image)
        if isinstance(item, FilterUse)
    ]


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (hive.multi_sz("one", "two"), ["one", "two"]),
        (hive.sz("one"), ["one"]),
        (hive.multi_sz(), []),
        (hive.sz(""), []),
        (hive.binary(b"one"), []),
    ],
)
def test_lists_of_filters(value: hive.Raw, names: list[str]) -> None:
    image = machine({}, {"UpperFilters": value, "LowerFilters": value})
    assert filters(image) == [
        (name, "class", DISK, upper, DISK) for upper in (True, False) for name in names
    ]


@pytest.mark.parametrize(("guid", "told"), [(DISK.upper(), DISK), ("", "")])
def test_filters_of_one_device(guid: str, told: str) -> None:
    own = {"ClassGUID": hive.sz(guid)} if guid else {}
    image = machine({"LowerFilters": hive.multi_sz("low"), **own})
    assert filters(image) == [("low", "device", INSTANCE, False, told)]
    (use,) = [i for i in devices.collect(install(), image) if isinstance(i, FilterUse)]
    assert use.written == WHEN


def test_filters_of_a_class_and_of_a_device_of_it() -> None:
    image = machine(
        {
            "Service": hive.sz("disk"),
            "ClassGUID": hive.sz(DISK.upper()),
            "ConfigFlags": hive.dword(1),
            "UpperFilters": hive.multi_sz("up"),
            "LowerFilters": hive.multi_sz("low"),
        },
        {"UpperFilters": hive.multi_sz("of class")},
    )
    found = list(devices.collect(install(), image))
    uses = [item for item in found if isinstance(item, FilterUse)]
    assert [(item.service, item.upper, item.class_guid) for item in uses] == [
        ("of class", True, DISK),
        ("up", True, DISK),
        ("low", False, DISK),
    ]
    assert all(item.written is not None for item in uses)
    (use,) = [item for item in found if isinstance(item, DeviceUse)]
    assert (use.problem, use.class_guid) == (1, DISK)


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (None, 0),
        (hive.dword(0), 0),
        (hive.dword(1), 1),
        (hive.dword(0x21), 0x21),
        (hive.sz("1"), 0),
    ],
)
def test_device_uses(flags: hive.Raw | None, problem: int) -> None:
    more = {"ConfigFlags": flags} if flags else {}
    image = machine({"Service": hive.sz("disk"), "ClassGUID": hive.sz(DISK.upper()), **more})
    (use,) = [i for i in devices.collect(install(), image) if isinstance(i, DeviceUse)]
    assert (use.service, use.device, use.class_guid, use.problem) == (
        "disk",
        INSTANCE,
        DISK,
        problem,
    )


@pytest.mark.parametrize("name", MACHINES)
def test_devices_of_real_machines(name: str) -> None:
    found = list(devices.collect(install(), real_hive(name)))
    assert [item for item in found if isinstance(item, Gap)] == []
    uses = [item for item in found if isinstance(item, DeviceUse)]
    disks = [use for use in uses if use.class_guid == DISK]
    assert disks
    assert {use.service.lower() for use in disks} == {"disk"}
    assert not any(use.problem & 1 for use in disks)
    volumes = [item for item in found if isinstance(item, FilterUse) and item.scope == "class"]
    assert {"volsnap", "partmgr"} & {use.service.lower() for use in volumes}
    assert all(use.class_guid == use.owner for use in volumes)
    assert all(use.written is not None for use in volumes)


def test_places_in_a_real_hive() -> None:
    image = hive_bytes("dissect_SYSTEM.gz")
    found = list(devices.collect(install(), Hive(image)))
    lists = [item for item in found if isinstance(item, FilterUse)]
    assert lists
    for item in lists:
        name = "UpperFilters" if item.upper else "LowerFilters"
        assert value_at(image, item.source) == (name, 7)
        assert item.source.key.endswith(f"\\{name}")
    uses = [item for item in found if isinstance(item, DeviceUse)]
    for use in uses[::20]:
        assert value_at(image, use.source) == ("Service", 1)
        assert use.source.key == f"ControlSet001\\Enum\\{use.device}"


def test_a_damaged_device_is_a_gap_and_the_rest_goes_on() -> None:
    instances = {f"{n}": {"Service": hive.sz("disk")} for n in range(3)}
    image = hive.build(
        {"ControlSet001": {"Control": {"Class": {}}, "Enum": {"SCSI": {"Disk": instances}}}}
    )
    key = Hive(image).find("ControlSet001\\Enum\\SCSI\\Disk\\1")
    assert key is not None
    at = key.offset + 4 + 40
    damaged = image[:at] + b"\xf0\xff\xff\x7f" + image[at + 4 :]
    found = list(devices.collect(install(), Hive(damaged)))
    assert [type(item) for item in found] == [DeviceUse, Gap, DeviceUse]
    (gap,) = [item for item in found if isinstance(item, Gap)]
    assert key_at(image, gap.source) == "1"


def test_damage_never_raises() -> None:
    instances = {
        f"{n}": {"Service": hive.sz("disk"), "UpperFilters": hive.multi_sz("a", "b")}
        for n in range(5)
    }
    lists = {"UpperFilters": hive.multi_sz("volsnap"), "LowerFilters": hive.multi_sz("x")}
    image = hive.build(
        {
            "ControlSet001": {
                "Control": {"Class": {DISK: lists}},
                "Enum": {"SCSI": {"Disk": instances}},
            }
        }
    )
    opened, gaps = survive(image, devices.collect, "devices", MUTANTS)
    assert opened > MUTANTS // 2
    assert gaps
