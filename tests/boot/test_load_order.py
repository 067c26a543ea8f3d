"""The order drivers are started in: groups, tags, and lists that are damaged."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoverykit.boot import load_order
from recoverykit.boot.load_order import LoadOrder
from recoverykit.formats.hive import Hive
from recoverykit.model import Service, Source, StartType
from tests.builders import history, registry
from tests.conftest import read_real, real

ORDER = LoadOrder(("WDFLOADGROUP", "CORE", "BASE"), {"CORE": (2, 1), "BASE": (9,)})
_ANY = Service(Source("x"), "x", StartType.BOOT, 1, 1, "x.sys", None, "")


def service(name: str, group: str = "", tag: int | None = None) -> Service:
    return replace(_ANY, name=name, group=group, tag=tag)


def names(found: tuple[Service, ...]) -> list[str]:
    return [one.name for one in found]


def test_kinds_groups_and_tags() -> None:
    boot = [
        service("none"),
        service("unranked", "Nobody's"),
        service("third", "Base", 7),
        service("second", "BASE", 9),
        service("one", "Core", 1),
        service("two", "Core", 2),
        service("untagged", "Core"),
        service("first", "WdfLoadGroup"),
    ]
    system = [service("late", "WdfLoadGroup")]
    pairs = [(one, StartType.SYSTEM) for one in system] + [(one, StartType.BOOT) for one in boot]
    found = load_order.sort(pairs, ORDER)
    assert names(found) == [
        *("first", "two", "one", "untagged", "second", "third"),
        *("none", "unranked", "late"),
    ]


def test_what_is_not_started_early_is_left_out() -> None:
    starts = (StartType.AUTO, StartType.DEMAND, StartType.DISABLED)
    assert load_order.sort([(_ANY, one) for one in starts], ORDER) == ()


@pytest.mark.parametrize(
    ("data", "tags"),
    [
        (b"", ()),
        (b"\x01\0\0", ()),
        (struct.pack("<3I", 2, 7, 5), (7, 5)),
        (struct.pack("<3I", 9, 7, 5), (7, 5)),  # a count of more than there is
        (struct.pack("<3I", 1, 7, 5), (7,)),
        (struct.pack("<I", 0xFFFF_FFFF), ()),
    ],
)
def test_tags_of_a_group(data: bytes, tags: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "SYSTEM"
    changes = [
        registry.change("ControlSet001\\Control\\ServiceGroupOrder", {"List": ["Core", "BASE"]}),
        registry.change("ControlSet001\\Control\\GroupOrderList", {"Core": data}),
    ]
    registry.write(path, changes, history.INSTALLED)
    found = load_order.read(Hive(path.read_bytes()), "ControlSet001")
    assert found == LoadOrder(("CORE", "BASE"), {"CORE": tags})


def test_a_hive_without_either(tmp_path: Path) -> None:
    found = load_order.read(Hive(registry.empty(history.INSTALLED)), "ControlSet001")
    assert found == LoadOrder()


@given(
    st.lists(st.tuples(st.sampled_from(["Core", "Base", "", "x"]), st.none() | st.integers(0, 12)))
)
def test_every_driver_comes_once(found: list[tuple[str, int | None]]) -> None:
    services = [service(str(number), *one) for number, one in enumerate(found)]
    ordered = load_order.sort([(one, StartType.BOOT) for one in services], ORDER)
    assert sorted(names(ordered)) == sorted(names(tuple(services)))
    ranks = [ORDER.rank(one) for one in ordered]
    assert ranks == sorted(ranks)


@pytest.mark.parametrize("sample", real("hives/dissect_SYSTEM.gz"))
def test_a_real_order(sample: Path) -> None:
    """Windows 10: its first groups, and tags as many as the group has."""
    order = load_order.read(Hive(read_real(sample)), "ControlSet001")
    assert order.groups[:3] == ("SYSTEM RESERVED", "EMS", "WDFLOADGROUP")
    assert len(order.groups) == 70
    assert len(order.tags) == 50
    assert len(set(order.tags["SCSI MINIPORT"])) == len(order.tags["SCSI MINIPORT"])
