"""What the format allows and Windows rarely writes: lists, sizes, names, and how little is read."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats.hive import Hive, Key, Value
from tests.builders.hive import Raw, Tree, binary, build, dword, sz
from tests.formats.hives import hive_bytes

MANY: Tree = {"many": {f"k{number:04}": {"n": dword(number)} for number in range(1_100)}}


def one(image: bytes, name: str) -> Value:
    value = Hive(image).root.value(name)
    assert value is not None
    return value


def many(image: bytes) -> Key:
    key = Hive(image).find("many")
    assert key is not None
    return key


def walked(image: bytes, name: str) -> tuple[int, bytes]:
    (key,) = Hive(image).walk()
    return next((kind, data) for label, kind, data in key.values if label == name)


# --- lists of subkeys ---------------------------------------------------------------------


def listed_as(signature: bytes) -> bytes:
    """MANY with every leaf of its index root turned into one of another kind."""
    image = bytearray(build(MANY))
    (root,) = struct.unpack_from("<I", image, many(bytes(image)).offset + 32)
    assert image[4096 + root + 4 : 4096 + root + 6] == b"ri"
    (count,) = struct.unpack_from("<H", image, 4096 + root + 6)
    for leaf in struct.unpack_from(f"<{count}I", image, 4096 + root + 8):
        at = 4096 + leaf + 4
        (number,) = struct.unpack_from("<H", image, at + 2)
        offsets = struct.unpack_from(f"<{2 * number}I", image, at + 4)[::2]
        image[at : at + 2] = signature
        if signature == b"li":
            struct.pack_into(f"<{number}I", image, at + 4, *offsets)
        if signature == b"lf":
            for index, offset in enumerate(offsets):
                image[at + 8 + 8 * index : at + 12 + 8 * index] = image[4176 + offset :][:4]
    return bytes(image)


@pytest.mark.parametrize("signature", [b"lh", b"lf", b"li"])
def test_an_index_root_leads_to_leaves_of_every_kind(signature: bytes) -> None:
    image = listed_as(signature)
    names = [f"k{number:04}" for number in range(1_100)]
    assert [key.name for key in many(image).subkeys()] == names
    assert [key.name for key in many(image).walk()] == ["many", *names]
    found = many(image).subkey("K0777")
    assert found is not None
    assert found.name == "k0777"
    assert many(image).subkey("k1100") is None


def test_leaves_of_different_kinds_may_share_a_root() -> None:
    image, lists = bytearray(build(MANY)), listed_as(b"li")
    (root,) = struct.unpack_from("<I", image, many(bytes(image)).offset + 32)
    (second,) = struct.unpack_from("<I", image, 4096 + root + 12)
    size = -struct.unpack_from("<i", image, 4096 + second)[0]
    image[4096 + second : 4096 + second + size] = lists[4096 + second : 4096 + second + size]
    assert len(list(many(bytes(image)).subkeys())) == 1_100
    assert len(list(many(bytes(image)).walk())) == 1_101


# --- data of every size and type ----------------------------------------------------------


@pytest.mark.parametrize("kind", [0, 1, 3, 4, 11, 12, 0x0020_0003, 0xFFFF_0012, 0xFFFF_FFFF])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5])
def test_up_to_four_bytes_lie_in_the_value_itself(size: int, kind: int) -> None:
    data = b"\xff\0\x80\x7f\x01"[:size]
    image = build({"v": Raw(kind, data), "other": dword(7)})
    value = one(image, "V")
    (stored,) = struct.unpack_from("<I", image, value.offset + 8)
    assert bool(stored & 0x8000_0000) == (size <= 4)
    assert (value.type, value.data) == walked(image, "v") == (kind, data)
    assert value.dword == (struct.unpack("<I", data)[0] if (kind, size) == (4, 4) else None)


@pytest.mark.parametrize("where", [0, 0x20, 0xFFFF_FFFF])
def test_a_size_of_nothing_is_no_data_wherever_it_points(where: int) -> None:
    image = bytearray(build({"v": binary(b"12345")}))
    struct.pack_into("<II", image, one(bytes(image), "v").offset + 8, 0, where)
    assert one(bytes(image), "v").data == walked(bytes(image), "v")[1] == b""


@pytest.mark.parametrize("minor", [3, 4, 5, 6])
@pytest.mark.parametrize(
    ("size", "segments"),
    [(16_343, 0), (16_344, 0), (16_345, 2), (32_687, 2), (32_688, 2), (32_689, 3), (50_001, 4)],
)
def test_big_data_of_odd_sizes(size: int, segments: int, minor: int) -> None:
    data = bytes(number * 7 % 251 for number in range(size))
    image = build({"v": binary(data)}, minor=minor)
    value = one(image, "v")
    assert value.data == walked(image, "v")[1] == data
    assert len(value.extents) == (segments if minor > 3 and segments else 1)
    assert sum(length for _, length in value.extents) == size


def test_a_record_of_big_data_that_is_short_is_plain_data() -> None:
    """Data of a usual size that happens to begin like a record of big data."""
    image = build({"v": binary(b"db\x02\x00" + bytes(100))})
    assert one(image, "v").data == walked(image, "v")[1] == b"db\x02\x00" + bytes(100)


@pytest.mark.parametrize("name", ["dissect_SYSTEM.gz", "regipy_SYSTEM_WIN_10_1709.xz"])
def test_device_properties_have_types_of_their_own(name: str) -> None:
    kinds = [kind for key in Hive(hive_bytes(name)).walk() for _, kind, _ in key.values]
    assert sum(kind >> 16 == 0xFFFF for kind in kinds) > 1_000


# --- names --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "compressed"),
    [("plain", True), ("Größe", True), ("ключ", False), ("\ud801", False), ("😀", False)],
)
def test_names_are_latin_1_or_utf_16(name: str, compressed: bool) -> None:
    image = build({name: {name: dword(1)}}, minor=3)  # its lists hold no hashes
    (key,) = Hive(image).root.subkeys()
    (value,) = key.values()
    assert key.name == value.name == name
    assert bool(key.flags & 0x20) == compressed
    assert [k.name for k in Hive(image).walk()] == ["ROOT", name]
    assert [k.values for k in Hive(image).walk()] == [[], [(name, 4, b"\1\0\0\0")]]


def test_half_a_character_at_the_end_of_a_name_is_dropped() -> None:
    image = bytearray(build({"ключ": {"имя": dword(1)}}))
    key = Hive(bytes(image)).find("ключ")
    assert key is not None
    (value,) = key.values()
    struct.pack_into("<H", image, key.offset + 76, 7)
    struct.pack_into("<H", image, value.offset + 6, 5)
    assert [(k.name, k.values) for k in Hive(bytes(image)).walk()][1:] == [
        ("клю", [("им", 4, b"\1\0\0\0")])
    ]


# --- a few of many values -----------------------------------------------------------------

SERVICE: Tree = {
    "": sz("default"),
    "Start": dword(3),
    "ImagePath": sz("a.sys"),
    "Größe": dword(1),
    "ключ": dword(2),
    "\u017ftart": dword(4),  # long s: its capital is S to Unicode, not to Windows
}


@pytest.mark.parametrize(
    "names",
    [
        ("Start",),
        ("START", "imagepath", "missing"),
        ("", "start"),
        ("GRÖßE", "КЛЮЧ", "ſTART"),
        ("start", "Start", "start"),
        (),
    ],
    ids=str,
)
@pytest.mark.parametrize("minor", [3, 5])
def test_values_of_finds_what_value_finds(names: tuple[str, ...], minor: int) -> None:
    root = Hive(build(SERVICE, minor=minor)).root
    expected = [root.value(name) for name in names]
    found = root.values_of(*names)
    assert [v and (v.name, v.offset, v.data) for v in found] == [
        v and (v.name, v.offset, v.data) for v in expected
    ]


def test_of_two_values_with_one_name_the_first_is_found() -> None:
    image = bytearray(build({"aa": dword(1), "ab": dword(2)}))
    second = image.rindex(b"ab")
    image[second : second + 2] = b"AA"
    (found,) = Hive(bytes(image)).root.values_of("aa")
    assert found is not None
    assert found.dword == 1


@pytest.mark.parametrize("damage", [(4, b"kv"), (0, b"\0\0\0\0"), (6, b"\xff\xff")])
def test_a_damaged_value_is_not_passed_over(damage: tuple[int, bytes]) -> None:
    """It may be the one that was asked for."""
    image = bytearray(build(SERVICE))
    at = one(bytes(image), "ImagePath").offset + damage[0]
    image[at : at + len(damage[1])] = damage[1]
    with pytest.raises(FormatError, match="registry value"):
        Hive(bytes(image)).root.values_of("Start")


def test_real_services_have_the_same_values_either_way() -> None:
    hive = Hive(hive_bytes("dissect_SYSTEM.gz"))
    services = hive.find("ControlSet001\\Services")
    assert services is not None
    names = ("Start", "type", "ERRORCONTROL", "ImagePath", "Group", "Tag", "")
    keys = list(services.subkeys())
    assert len(keys) > 500
    for key in keys:
        found = [value and (value.offset, value.data) for value in key.values_of(*names)]
        each = [key.value(name) for name in names]
        assert found == [value and (value.offset, value.data) for value in each]


# --- damage stays where it is -------------------------------------------------------------


def test_one_size_that_lies_does_not_use_up_what_others_may_claim() -> None:
    image = bytearray(build({"a": binary(bytes(2_000)), "b": binary(bytes(3_000))}))
    struct.pack_into("<I", image, one(bytes(image), "a").offset + 8, 0x7FFF_0000)
    root = Hive(bytes(image)).root
    first, second = root.values()
    for _ in range(2):
        with pytest.raises(FormatError, match="claims bytes that belong to other cells"):
            first.data  # noqa: B018 - read for its error
    assert second.data == bytes(3_000)


# --- lazy ---------------------------------------------------------------------------------


def build_number(hive: Hive) -> str | None:
    key = hive.find("Microsoft\\Windows NT\\CurrentVersion")
    value = key.value("CurrentBuildNumber") if key is not None else None
    return value.string if value is not None else None


def test_reading_one_key_of_a_large_hive_needs_little_of_it(tmp_path: Path) -> None:
    """Everything but the bins that were looked at may be garbage, and 98 % of 36 MB is."""
    data, path = hive_bytes("plaso_win7_SOFTWARE.xz"), tmp_path / "SOFTWARE"
    hive = Hive(data)
    assert build_number(hive) == "7601"
    kept = bytearray(data[:4096]).ljust(len(data), b"\xaa")
    for page, end in hive.cells.pages.items():
        kept[page << 12 : end] = data[page << 12 : end]
    assert kept.count(b"\xaa\xaa\xaa\xaa") * 4 > 0.98 * len(data)
    path.write_bytes(kept)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
        assert build_number(Hive(image)) == "7601"
        with pytest.raises(FormatError):
            sum(1 for _ in Hive(image).walk())
