"""Instances of minifilters: where the keys lie, what is in both, damage, real machines."""

from __future__ import annotations

import pytest

from recoverykit.evidence import minifilters, services
from recoverykit.formats.hive import Hive
from recoverykit.model import Evidence, Gap, MinifilterInstance, Service
from tests.builders import hive
from tests.evidence.registry_case import MACHINES, built, install, key_at, real_hive, survive
from tests.formats.hives import hive_bytes

MUTANTS = 100


def instance(altitude: str) -> hive.Tree:
    return {"Altitude": hive.sz(altitude), "Flags": hive.dword(0)}


def told(found: list[Evidence]) -> list[tuple[str, str, str]]:
    assert all(isinstance(item, MinifilterInstance) for item in found)
    return [
        (item.service, item.instance, item.altitude)
        for item in found
        if isinstance(item, MinifilterInstance)
    ]


ACME: hive.Tree = {"DefaultInstance": hive.sz("Acme"), "Acme": instance("321410.5")}
OTHER: hive.Tree = {"acme": instance("321410.5"), "Acme Top": instance("385000")}


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ({"Instances": ACME}, [("Acme", "321410.5")]),
        ({"Parameters": {"Instances": ACME}}, [("Acme", "321410.5")]),
        (
            # for Windows 11 24H2 and for older ones: the same instance is told once
            {"Instances": ACME, "Parameters": {"Instances": OTHER}},
            [("Acme", "321410.5"), ("Acme Top", "385000")],
        ),
        (
            {"Instances": ACME, "Parameters": {"Instances": {"Acme": instance("1")}}},
            [("Acme", "321410.5"), ("Acme", "1")],
        ),
        ({"Instances": {"Acme": {}}}, [("Acme", "")]),
        ({"Instances": {"Acme": {"Altitude": hive.dword(5)}}}, [("Acme", "")]),
        ({"Instances": {}}, []),
        ({}, []),
    ],
)
def test_where_instances_lie(service: hive.Tree, expected: list[tuple[str, str]]) -> None:
    image = built({"Services": {"acmeflt": service}})
    found = list(minifilters.collect(install(), image, ["acmeflt", "absent"]))
    assert told(found) == [("acmeflt", *each) for each in expected]


def test_services_in_the_order_they_are_asked_for() -> None:
    instances: hive.Tree = {"Acme Instance": {"Altitude": hive.sz("321410")}}
    isolated: hive.Tree = {"Other": {"Altitude": hive.sz("85000.5")}}
    image = built(
        {
            "Services": {
                "acme": {"Instances": instances},
                "other": {"Parameters": {"Instances": isolated}},
                "none": {},
            }
        }
    )
    found = list(minifilters.collect(install(), image, ["acme", "other", "none", "absent"]))
    assert told(found) == [("acme", "Acme Instance", "321410"), ("other", "Other", "85000.5")]
    assert len(found) == 2
    assert all(
        isinstance(item, MinifilterInstance) and item.source.key.endswith(item.instance)
        for item in found
    )


def test_too_many_instances() -> None:
    many = {f"i{number:03}": instance(str(number)) for number in range(80)}
    image = built({"Services": {"acmeflt": {"Instances": many}}})
    found = list(minifilters.collect(install(), image, ["acmeflt"]))
    assert len(told(found[:-1])) == 64
    assert isinstance(found[-1], Gap)


@pytest.mark.parametrize("name", MACHINES)
def test_filters_of_real_machines(name: str) -> None:
    image = real_hive(name)
    owners = [
        item.name
        for item in services.collect(install(), image)
        if isinstance(item, Service) and item.type == 2
    ]
    found = told(list(minifilters.collect(install(), image, owners)))
    assert {"FileInfo", "luafv", "WIMMount"} <= {service for service, _, _ in found}
    assert all(altitude.isdecimal() for _, _, altitude in found)
    assert ("luafv", "luafv", "135000") in found
    assert len(set(found)) == len(found)


def test_a_place_in_a_real_hive() -> None:
    image = hive_bytes("dissect_SYSTEM.gz")
    found = list(minifilters.collect(install(), Hive(image), ["wcifs", "WdFilter"]))
    assert len(found) == 3
    for item in found:
        assert isinstance(item, MinifilterInstance)
        assert key_at(image, item.source) == item.instance
        path = f"ControlSet001\\Services\\{item.service}\\Instances\\{item.instance}"
        assert item.source.key == path


def test_damage_never_raises() -> None:
    services_: dict[str, hive.Tree] = {
        f"flt{number}": {"Instances": ACME, "Parameters": {"Instances": OTHER}}
        for number in range(4)
    }
    image = hive.build({"ControlSet001": {"Services": services_}})
    opened, gaps = survive(
        image,
        lambda where, data: minifilters.collect(where, data, list(services_)),
        "minifilters",
        MUTANTS,
    )
    assert opened > MUTANTS // 2
    assert gaps
