"""Boot stores: every element of every real one, and stores that are damaged or hostile."""

from __future__ import annotations

import random
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recoverykit.errors import FormatError
from recoverykit.formats import bcd, bcd_names, bcd_text
from recoverykit.formats.bcd import Element, Format, Raw, Stray, Value, decode, encode, parse
from recoverykit.formats.bcd_device import Device, Opaque, Ramdisk, parts
from recoverykit.formats.hive import REG_BINARY, REG_DWORD, REG_MULTI_SZ, REG_SZ, Hive
from recoverykit.model import RegistryData
from tests.builders.hive import Tree, binary, build, dword, sz
from tests.formats.bcd_samples import STORES, real_store
from tests.formats.hives import hive_bytes

# --- real stores --------------------------------------------------------------------------


@pytest.mark.parametrize("name", STORES)
def test_every_element_of_every_real_store(name: str) -> None:
    store = real_store(name)
    assert store.gaps == ()
    assert all(item.strays == () for item in store.objects)
    found = [element for item in store.objects for element in item.elements]
    assert (len(store.objects), len(found)) == STORES[name]
    for element in found:
        value = element.value
        assert not isinstance(value, Raw), element
        if isinstance(value, Device):
            assert not any(isinstance(part, Opaque) for part in parts(value.where)), element
        assert encode(element.type, value, width=len(element.stored.data)) == element.stored


@pytest.mark.parametrize("name", STORES)
def test_every_real_object_is_of_a_known_type(name: str) -> None:
    known = {kind.value for kind in bcd_names.ObjectType}
    assert {item.type for item in real_store(name).objects} <= known


def test_typed_values_of_a_real_store() -> None:
    store = real_store("bcd_asus/Boot_BCD")
    loader = store.find("{E018A2D0-B134-11EA-95B2-81F0AC71B75B}")
    assert loader is not None
    expected: dict[int, Value] = {
        0x1200_0002: "\\WINDOWS\\system32\\winload.efi",
        0x1400_0008: ("{e018a2d1-b134-11ea-95b2-81f0ac71b75b}",),
        0x1600_0009: True,
        0x1700_0077: (0x1500_0075,),
        0x2300_0003: "{e018a2cf-b134-11ea-95b2-81f0ac71b75b}",
        0x2500_00C2: 1,
    }
    assert {number: loader.value(number) for number in expected} == expected
    assert loader.type == bcd_names.ObjectType.OS_LOADER
    recovery = store.find("{e018a2d1-b134-11ea-95b2-81f0ac71b75b}")
    image = recovery.value(0x1100_0001) if recovery else None
    assert isinstance(image, Device)
    assert isinstance(image.where, Ramdisk)
    assert image.where.path == "\\Recovery\\WindowsRE\\Winre.wim"
    assert image.options == "{e018a2d2-b134-11ea-95b2-81f0ac71b75b}"


def test_old_media_have_short_integers() -> None:
    """Windows media have them since Vista: 1, 2 or 3 bytes where 8 are usual."""
    debugger = real_store("bcd_win10iso_bios").find(bcd_names.DEBUGGER_SETTINGS)
    assert debugger is not None
    stored = {own.type: (own.value, len(own.stored.data)) for own in debugger.elements}
    assert stored == {0x1500_0011: (0, 1), 0x1500_0013: (1, 1), 0x1500_0014: (115_200, 3)}


def test_what_is_not_there_is_none() -> None:
    store = real_store("bcd_windeploy_efi")
    assert store.find(bcd_names.MEMDIAG) is None
    manager = store.find(bcd_names.BOOTMGR)
    assert manager is not None
    assert manager.value(0x2400_0002) is None  # bootsequence


# --- values -------------------------------------------------------------------------------

GUID = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}"
TEXT = "Windows 11".encode("utf-16-le")
GUIDS = GUID.encode("utf-16-le")

CANONICAL: list[tuple[int, Value, RegistryData]] = [
    (0x1200_0004, "Windows 11", RegistryData(REG_SZ, TEXT + b"\0\0")),
    (0x1200_0004, "", RegistryData(REG_SZ, b"\0\0")),
    (0x2300_0003, GUID, RegistryData(REG_SZ, GUIDS + b"\0\0")),
    (0x2400_0001, (GUID,), RegistryData(REG_MULTI_SZ, GUIDS + b"\0\0\0\0")),
    (0x2400_0001, (GUID, GUID), RegistryData(REG_MULTI_SZ, (GUIDS + b"\0\0") * 2 + b"\0\0")),
    (0x2400_0001, (), RegistryData(REG_MULTI_SZ, b"\0\0")),
    (0x2500_0004, 30, RegistryData(REG_BINARY, b"\x1e" + bytes(7))),
    (0x1600_0009, True, RegistryData(REG_BINARY, b"\1")),
    (0x1600_0009, False, RegistryData(REG_BINARY, b"\0")),
    (0x1700_0077, (1, 2), RegistryData(REG_BINARY, struct.pack("<QQ", 1, 2))),
    (0x1700_0077, (), RegistryData(REG_BINARY, b"")),
    (0x2800_0001, b"\1\2\3", RegistryData(REG_BINARY, b"\1\2\3")),
]


@pytest.mark.parametrize(("element", "value", "stored"), CANONICAL)
def test_values_as_windows_stores_them(element: int, value: Value, stored: RegistryData) -> None:
    assert encode(element, value) == stored
    found = decode(element, stored)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("element", "stored", "value"),
    [
        (0x1200_0002, RegistryData(REG_SZ, TEXT + bytes(6)), "Windows 11"),
        (0x1200_0002, RegistryData(REG_SZ, TEXT), "Windows 11"),
        (0x1200_0002, RegistryData(REG_SZ, TEXT + bytes(3)), "Windows 11"),
        (0x2400_0001, RegistryData(REG_MULTI_SZ, GUIDS + b"\0\0"), (GUID,)),
        (0x2400_0001, RegistryData(REG_MULTI_SZ, GUIDS + bytes(8)), (GUID,)),
        (0x2500_0004, RegistryData(REG_BINARY, b"\x1e"), 30),
    ],
)
def test_other_widths_are_kept(element: int, stored: RegistryData, value: Value) -> None:
    assert decode(element, stored) == value
    assert encode(element, value, width=len(stored.data)) == stored


@pytest.mark.parametrize(
    ("element", "stored"),
    [
        (0x1200_0002, RegistryData(REG_BINARY, TEXT)),  # another type of value
        (0x1200_0002, RegistryData(REG_SZ, TEXT + b"\0\0x\0")),  # something behind the NUL
        (0x1200_0002, RegistryData(REG_SZ, b"\0\xdc\0\0" + b"x")),
        (0x2300_0003, RegistryData(REG_SZ, TEXT)),  # no GUID
        (0x2400_0001, RegistryData(REG_MULTI_SZ, TEXT)),
        (0x2400_0001, RegistryData(REG_MULTI_SZ, GUIDS + b"\0\0\0\0" + GUIDS)),
        (0x2500_0004, RegistryData(REG_BINARY, b"")),
        (0x2500_0004, RegistryData(REG_BINARY, bytes(9))),
        (0x2500_0004, RegistryData(REG_DWORD, bytes(4))),
        (0x1600_0009, RegistryData(REG_BINARY, b"\2")),
        (0x1600_0009, RegistryData(REG_BINARY, b"\1\0")),
        (0x1700_0077, RegistryData(REG_BINARY, bytes(7))),
        (0x1100_0001, RegistryData(REG_BINARY, bytes(31))),
        (0x1100_0001, RegistryData(REG_SZ, bytes(88))),
        (0x1F00_0001, RegistryData(REG_BINARY, b"\1")),  # no such format
    ],
)
def test_what_does_not_follow_its_format_is_raw(element: int, stored: RegistryData) -> None:
    found = decode(element, stored)
    assert found == Raw(stored)
    assert encode(element, found) == stored


@pytest.mark.parametrize(
    ("element", "value"),
    [
        (0x1200_0004, 5),
        (0x2500_0004, "30"),
        (0x2500_0004, True),
        (0x2500_0004, -1),
        (0x2500_0004, 1 << 64),
        (0x1600_0009, 1),
        (0x2300_0003, "{bootmgr}"),
        (0x2400_0001, ("no",)),
        (0x2400_0001, (5,)),
        (0x1700_0077, ("x",)),
        (0x1100_0001, "boot"),
    ],
)
def test_values_of_the_wrong_kind_are_refused(element: int, value: Value) -> None:
    with pytest.raises(ValueError, match=r"cannot hold|fit|no GUID"):
        encode(element, value)


def test_formats_are_those_of_the_type_word() -> None:
    assert [Format(0x1700_0077 >> 24 & 0xF), Format(0x2400_0001 >> 24 & 0xF)] == [
        Format.INTEGER_LIST,
        Format.OBJECT_LIST,
    ]


@given(
    st.integers(0, 0xFFFF_FFFF),
    st.sampled_from([REG_SZ, REG_BINARY, REG_DWORD, REG_MULTI_SZ]),
    st.one_of(
        st.binary(max_size=60),
        st.text(max_size=20).map(lambda text: text.encode("utf-16-le", "surrogatepass")),
        st.lists(st.sampled_from([GUIDS, b"\0\0", b"\0"]), max_size=6).map(b"".join),
    ),
)
@settings(max_examples=500, deadline=None)
def test_whatever_is_stored_comes_back(element: int, kind: int, data: bytes) -> None:
    stored = RegistryData(kind, data)
    assert encode(element, decode(element, stored), width=len(data)) == stored


# --- damage -------------------------------------------------------------------------------

LOADER = bcd_names.SETUP_ENTRY
SOUND: Tree = {
    "Description": {"Type": dword(0x1020_0003)},
    "Elements": {"12000004": {"Element": sz("Windows")}, "26000022": {"Element": binary(b"\1")}},
}


def stored(objects: Tree) -> bcd.Store:
    return parse(Hive(build({"Description": {"KeyName": sz("BCD00000000")}, "Objects": objects})))


def test_a_hive_that_is_no_store() -> None:
    with pytest.raises(FormatError, match="no BCD"):
        parse(Hive(build({"Select": {"Current": dword(1)}})))


def test_a_damaged_element_does_not_hide_the_rest() -> None:
    odd: Tree = {
        "Description": {"Type": dword(0x1020_0003)},
        "Elements": {
            "12000002": {"Other": sz("x")},
            "nonsense": {"Element": sz("y"), "below": {"deep": {}}},
            "12000004": {"element": sz("Windows"), "Extra": dword(1)},
        },
        "Junk": {"value": dword(2)},
    }
    store = stored({LOADER: odd, "no guid": {"x": dword(1)}, GUID: SOUND})
    item = store.find(LOADER)
    assert item is not None
    assert [own.type for own in item.elements] == [0x1200_0004]
    assert item.value(0x1200_0004) == "Windows"
    assert set(item.strays) == {
        Stray("Elements\\12000002", None, None),
        Stray("Elements\\12000002", "Other", RegistryData(1, b"x\0\0\0")),
        Stray("Elements\\nonsense", None, None),
        Stray("Elements\\nonsense", "Element", RegistryData(1, b"y\0\0\0")),
        Stray("Elements\\nonsense\\below", None, None),
        Stray("Elements\\nonsense\\below\\deep", None, None),
        Stray("Elements\\12000004", "Extra", RegistryData(4, b"\1\0\0\0")),
        Stray("Junk", None, None),
        Stray("Junk", "value", RegistryData(4, b"\2\0\0\0")),
    }
    reasons = sorted(gap.reason for gap in store.gaps)
    assert len(reasons) == 3
    assert sum("no element" in reason for reason in reasons) == 2
    assert sum("no object" in reason for reason in reasons) == 1
    assert all(gap.source.key for gap in store.gaps)


@pytest.mark.parametrize("description", [{}, {"Type": sz("x")}, {"Type": binary(b"\1")}])
def test_an_object_without_a_type(description: Tree) -> None:
    store = stored({LOADER: {**SOUND, "Description": description}})
    item = store.find(LOADER)
    assert item is not None
    assert item.type == 0
    assert item.value(0x1200_0004) == "Windows"
    assert next(bcd_text.lines(store)) == "Unknown (00000000)"


def test_too_many_of_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bcd, "MAX_OBJECTS", 2)
    monkeypatch.setattr(bcd, "MAX_ELEMENTS", 1)
    store = stored({LOADER: SOUND, GUID: SOUND, bcd_names.MEMDIAG: SOUND})
    assert len(store.objects) == 2
    assert all(len(item.elements) == 1 for item in store.objects)
    assert sum("rest was left" in gap.reason for gap in store.gaps) == 3


def test_an_element_is_hashable_and_frozen() -> None:
    element = Element(0x1200_0004, RegistryData(REG_SZ, TEXT))
    assert {element: 1}[Element(0x1200_0004, RegistryData(REG_SZ, TEXT))] == 1


def mutated(data: bytes, rng: random.Random) -> bytes:
    image = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(4096, len(image) - 4)
        if rng.random() < 0.5:
            image[at] = rng.randrange(256)
        else:
            number = rng.choice([0, 1, 8, 0xFFFF_FFFF, 0x8000_0004, rng.randrange(len(image))])
            struct.pack_into("<I", image, at & ~3, number)
    return bytes(image)


@pytest.mark.parametrize(
    "name", ["bcd_windeploy_efi", "bcd_win10iso_efi", "bcd_arm64_phone", "regipy_BCD.xz"]
)
def test_mutants_are_read_or_refused(name: str) -> None:
    original = hive_bytes(name)
    rng = random.Random(f"bcd {name}")
    read = damaged = 0
    for _ in range(150):
        image = mutated(original, rng)
        begun = time.process_time()
        try:
            store = parse(Hive(image))
        except FormatError:
            continue
        finally:
            assert time.process_time() - begun < 2
        read += 1
        damaged += bool(store.gaps)
        text = "\n".join(bcd_text.lines(store))
        assert len(text) < 10 * len(original)
        for item in store.objects:
            for own in item.elements:
                assert encode(own.type, own.value, width=len(own.stored.data)) == own.stored
    assert read > 50
    assert damaged > 0
