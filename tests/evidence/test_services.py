"""Driver services: tag, boot flags, what they depend on; places, damage, real machines."""

from __future__ import annotations

import pytest

from recoverykit.evidence import services
from recoverykit.formats.hive import Hive
from recoverykit.model import Gap, Service
from tests.builders import hive
from tests.evidence.registry_case import MACHINES, built, install, key_at, real_hive, survive
from tests.formats.hives import hive_bytes

MUTANTS = 100
DRIVER = {"Type": hive.dword(1), "Start": hive.dword(0)}


def one(**values: hive.Raw) -> Service:
    (found,) = services.collect(install(), built({"Services": {"acme": {**DRIVER, **values}}}))
    assert isinstance(found, Service)
    return found


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ()),
        ({"DependOnService": hive.multi_sz("FltMgr", "disk")}, ("FltMgr", "disk")),
        ({"DependOnService": hive.sz("FltMgr")}, ("FltMgr",)),
        ({"DependOnService": hive.sz("")}, ()),
        ({"DependOnService": hive.multi_sz()}, ()),
        ({"DependOnService": hive.multi_sz("FltMgr", "", "never read")}, ("FltMgr",)),
        ({"DependOnService": hive.dword(1)}, ()),
        ({"DependOnGroup": hive.multi_sz("SCSI CDROM Class")}, ("+SCSI CDROM Class",)),
        (
            {"DependOnGroup": hive.sz("TDI"), "DependOnService": hive.multi_sz("Tcpip")},
            ("Tcpip", "+TDI"),
        ),
    ],
)
def test_what_it_depends_on(values: dict[str, hive.Raw], expected: tuple[str, ...]) -> None:
    assert one(**values).depends_on == expected


@pytest.mark.parametrize(
    ("values", "tag", "flags"),
    [
        ({}, None, 0),
        ({"Tag": hive.dword(0), "BootFlags": hive.dword(0x14)}, 0, 0x14),
        ({"Tag": hive.dword(0x21), "BootFlags": hive.sz("1")}, 0x21, 0),
        ({"Tag": hive.binary(b"\1")}, None, 0),
    ],
)
def test_tag_and_boot_flags(values: dict[str, hive.Raw], tag: int | None, flags: int) -> None:
    found = one(**values)
    assert (found.tag, found.boot_flags) == (tag, flags)


def test_everything_at_once() -> None:
    found = one(
        Start=hive.dword(3),
        Tag=hive.dword(7),
        BootFlags=hive.dword(4),
        DependOnService=hive.multi_sz("FltMgr", "disk"),
        DependOnGroup=hive.sz("SCSI miniport"),
    )
    assert (found.tag, found.boot_flags) == (7, 4)
    assert found.depends_on == ("FltMgr", "disk", "+SCSI miniport")


@pytest.mark.parametrize("name", MACHINES)
def test_what_drivers_of_real_machines_depend_on(name: str) -> None:
    found = list(services.collect(install(), real_hive(name)))
    named = {item.name.lower(): item for item in found if isinstance(item, Service)}
    assert len(named) == len(found)
    assert named["cdfs"].depends_on == ("+SCSI CDROM Class",)
    assert [each.lower() for each in named["luafv"].depends_on] == ["fltmgr"]
    assert named["tcpip"].boot_flags == 1  # network boot
    assert named["usbstor"].boot_flags & 4  # from a USB disk
    tagged = [item for item in named.values() if item.tag is not None]
    assert len(tagged) > 20
    known = {item.name.lower() for item in tagged}
    assert {"acpi", "pci", "volmgr"} <= known


def test_a_place_in_a_real_hive() -> None:
    image = hive_bytes("dissect_SYSTEM.gz")
    found = [i for i in services.collect(install(), Hive(image)) if isinstance(i, Service)]
    for item in found[::40]:
        assert key_at(image, item.source) == item.name
        assert item.source.key == f"ControlSet001\\Services\\{item.name}"


def test_a_damaged_service_is_a_gap_and_the_rest_goes_on() -> None:
    """The list of one service's values points nowhere."""
    image = hive.build({"ControlSet001": {"Services": dict.fromkeys(("a", "b", "c"), DRIVER)}})
    key = Hive(image).find("ControlSet001\\Services\\b")
    assert key is not None
    at = key.offset + 4 + 40
    damaged = image[:at] + b"\xf0\xff\xff\x7f" + image[at + 4 :]
    found = list(services.collect(install(), Hive(damaged)))
    assert [type(item) for item in found] == [Service, Gap, Service]
    assert isinstance(found[1], Gap)
    assert found[1].source.key == "ControlSet001\\Services\\b"


def test_damage_never_raises() -> None:
    tree: hive.Tree = {
        f"drv{number}": {
            **DRIVER,
            "DependOnService": hive.multi_sz("FltMgr", "disk"),
            "StartOverride": {"0": hive.dword(3)},
        }
        for number in range(6)
    }
    image = hive.build({"ControlSet001": {"Services": tree}})
    opened, gaps = survive(image, services.collect, "services", MUTANTS)
    assert opened > MUTANTS // 2
    assert gaps
