from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recoverykit.errors import FormatError
from recoverykit.formats.hive import Hive, Key, Value, fold, read
from recoverykit.formats.upcase import name_hash
from tests.builders.hive import (
    WHEN,
    Node,
    Raw,
    Tree,
    binary,
    build,
    dword,
    expand_sz,
    multi_sz,
    qword,
    sealed,
    sz,
)
from tests.formats.hives import hive_bytes, logs_of, samples, walk

TREE: Tree = {
    "": sz("default"),
    "Select": {"Current": dword(1), "LastKnownGood": dword(2)},
    "ControlSet001": {
        "Services": {
            "acme": Node(
                {"Start": dword(0), "ImagePath": expand_sz("system32\\drivers\\acme.sys")},
                when=datetime(2024, 6, 7, 8, 9, 10, tzinfo=UTC),
                class_name="driver",
            ),
            "Ärger": {"Größe": qword(7)},
            "ключ": {"значение": multi_sz("один", "два")},
        }
    },
    "many": {f"sub{number:04}": {"n": dword(number)} for number in range(1100)},
    "big": {
        "one": binary(b"1" * 16344),
        "two": binary(b"2" * 16345),
        "three": binary(bytes(range(256)) * 200),
    },
}
IMAGE = build(TREE)


def key(image: bytes, path: str) -> Key:
    found = Hive(image).find(path)
    assert found is not None
    return found


def value(image: bytes, path: str, name: str) -> Value:
    found = key(image, path).value(name)
    assert found is not None
    return found


# --- every real hive ----------------------------------------------------------------------

OPENED = {  # keys, values, bytes of data of a whole walk
    "bcd_arm64_phone": (138, 105, 4372),
    "bcd_asus/Boot_BCD": (126, 98, 4709),
    "bcd_asus/Recovery_BCD": (64, 43, 1869),
    "bcd_usbpe_bios": (65, 45, 1776),
    "bcd_usbpe_efi": (65, 45, 1797),
    "bcd_win10iso_bios": (65, 45, 1776),
    "bcd_win10iso_efi": (66, 46, 1805),
    "bcd_win2go": (309, 244, 21834),
    "bcd_windeploy_bios": (78, 55, 2206),
    "bcd_windeploy_efi": (32, 27, 1231),
    "dissect_SYSTEM.gz": (33317, 74454, 3885336),
    "ezreg_BCD": (66, 46, 1805),
    "ezreg_SECURITYNoRoot": (8, 2, 78),
    "plaso_win7_SOFTWARE.xz": (117488, 193870, 11155714),
    "plaso_win7x86_SYSTEM.xz": (30756, 73455, 4633357),
    "regipy_BCD.xz": (132, 103, 5209),
    "regipy_SYSTEM.xz": (30756, 73456, 4633361),
    "regipy_SYSTEM_B.xz": (35595, 78901, 4409637),
    "yarp/BadBaseBlockHive__BadBaseBlockHive": (5003, 1, 20),
    "yarp/BigDataHive": (2, 2, 98070),
    "yarp/HealedHive": (4, 1, 10),
    "yarp/NewDirtyHive1__NewDirtyHive": (5, 1, 2882),
    "yarp/NewDirtyHive1__RecoveredHive_Windows10": (5, 1, 2882),
    "yarp/OffHive": (1, 0, 0),
    "yarp/OldDirtyHive__OldDirtyHive": (5003, 1, 20),
    "yarp/OldDirtyHive__RecoveredHive_Windows7": (5003, 1, 20),
    "yarp/System_Delta": (586, 820, 4678),
    "yarp/TruncatedPairHive": (4, 0, 0),
    "yarp/WrongOrderHive": (11, 0, 0),
}
REFUSED = {
    "dfwinreg_win81_SYSTEM.xz": "no usable log",
    "ezreg_NotAHive": "no regf signature",
    "regipy_SYSTEM_2.xz": "no usable log",
    "regipy_SYSTEM_WIN_10_1709.xz": "no usable log",
    "yarp/BadLogHive1__BadLogHive": "no usable log",
    "yarp/BadLogHive3__BadLogHive": "no usable log",
    "yarp/TruncatedDirtyHive": "no usable log",
    "yarp/TruncatedHive": "truncated: 12288 of 491520 bytes are there",
}
DAMAGED = {  # open, but not everything in them can be read
    "ezreg_SAMBadHBinHeader": "value list at 0x2918: not inside a sound hive bin",
    "regipy_corrupted_system_hive.xz": "value list at 0x136940: not inside a sound hive bin",
    "yarp/BadListHive": "registry key at 0x1470: has another parent",
    "yarp/BadSubkeyHive": "registry key at 0x1470: has another parent",
    "yarp/DeletedDataHiveTruncated": "value list at 0x101290: not inside a sound hive bin",
    "yarp/TruncatedNameHive": "registry key at 0x11b0: its name does not fit",
}


def whole(hive: Hive) -> tuple[int, int, int]:
    """Keys, values and bytes of data of a whole walk that reads all there is, class names too."""
    keys = values = size = 0
    for each in walk(hive):
        keys += 1
        assert each.class_name != ""
        for item in each.values():
            values += 1
            size += len(item.data)
    return keys, values, size


@pytest.mark.parametrize("name", OPENED)
def test_a_real_hive_is_read_whole(name: str) -> None:
    hive, _ = read(hive_bytes(name), logs_of(name))
    assert whole(hive) == OPENED[name]


@pytest.mark.parametrize(("name", "reason"), REFUSED.items())
def test_a_real_hive_that_cannot_be_trusted_is_refused(name: str, reason: str) -> None:
    with pytest.raises(FormatError) as caught:
        read(hive_bytes(name), logs_of(name))
    assert reason in str(caught.value)


@pytest.mark.parametrize(("name", "reason"), DAMAGED.items())
def test_damage_inside_a_real_hive_is_met_where_it_is_read(name: str, reason: str) -> None:
    hive, _ = read(hive_bytes(name), logs_of(name))
    assert hive.root.name
    with pytest.raises(FormatError) as caught:
        whole(hive)
    assert str(caught.value) == reason


def test_no_real_hive_is_forgotten() -> None:
    names = samples()
    if not names:
        pytest.skip("no real hives here")
    assert set(names) == {*OPENED, *REFUSED, *DAMAGED}


def test_what_a_damaged_hive_still_says_can_be_read() -> None:
    """An XP hive with 583 bins zeroed: the control set in use and 198 services are left."""
    hive = Hive(hive_bytes("regipy_corrupted_system_hive.xz"))
    select, services = hive.find("Select"), hive.find("ControlSet001\\Services")
    assert select is not None
    assert services is not None
    current, good = select.value("Current"), select.value("LastKnownGood")
    assert current is not None
    assert good is not None
    assert (current.dword, good.dword) == (1, 3)
    damaged: list[FormatError] = []
    assert len(list(services.subkeys(damaged))) == 198
    assert len(damaged) > 40
    with pytest.raises(FormatError):
        list(services.subkeys())


# --- keys ---------------------------------------------------------------------------------


@pytest.mark.parametrize("minor", [2, 3, 4, 5, 6])
def test_every_version_is_read(minor: int) -> None:
    hive = Hive(build(TREE, minor=minor))
    assert hive.base.minor == minor
    assert whole(hive)[0] == 1109
    assert value(build(TREE, minor=minor), "big", "three").data == bytes(range(256)) * 200


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ""),
        ("select", "Select"),
        ("\\CONTROLSET001\\services\\ACME\\", "ControlSet001\\Services\\acme"),
        ("controlset001\\services\\ÄRGER", "ControlSet001\\Services\\Ärger"),
        ("controlset001\\services\\КЛЮЧ", "ControlSet001\\Services\\ключ"),
        ("many\\SUB1099", "many\\sub1099"),
    ],
)
def test_keys_are_found_in_any_case(path: str, expected: str) -> None:
    assert key(IMAGE, path).path == expected


@pytest.mark.parametrize("path", ["nothing", "Select\\Current", "Select\\x\\y", "ControlSet00"])
def test_what_is_not_there_is_none(path: str) -> None:
    assert Hive(IMAGE).find(path) is None


def test_a_key_knows_its_time_class_and_place() -> None:
    acme = key(IMAGE, "ControlSet001\\Services\\acme")
    assert acme.last_written == datetime(2024, 6, 7, 8, 9, 10, tzinfo=UTC)
    assert acme.class_name == "driver"
    assert IMAGE[acme.offset + 4 : acme.offset + 6] == b"nk"
    assert acme.parent is not None
    assert acme.parent.last_written == WHEN
    assert acme.parent.class_name is None
    assert not acme.is_link
    assert not acme.is_volatile
    assert repr(acme) == "Key('ControlSet001\\\\Services\\\\acme')"


def test_links_and_volatile_keys_show_it() -> None:
    link = Raw(6, "\\Registry\\Machine\\System\\ControlSet001".encode("utf-16-le"))
    image = bytearray(build({"link": {"SymbolicLinkValue": link}, "odd": {}, "plain": TREE}))
    for name in ("link", "odd"):
        image[key(bytes(image), name).offset + 6] |= 0x11
    found = key(bytes(image), "link")
    assert found.is_link
    assert found.is_volatile
    assert found.flags == 0x31
    assert found.link_target == "\\Registry\\Machine\\System\\ControlSet001"
    assert key(bytes(image), "odd").is_link
    assert key(bytes(image), "odd").link_target is None
    assert key(bytes(image), "plain").link_target is None


def test_a_predefined_key_has_a_handle_and_no_values() -> None:
    image = bytearray(IMAGE)
    offset = key(IMAGE, "Select").offset
    image[offset + 6] |= 0x40
    struct.pack_into("<I", image, offset + 40, 0x8000_0002)
    found = key(bytes(image), "Select")
    assert found.predefined_handle == 0x8000_0002
    assert list(found.values()) == []
    assert found.value("Current") is None
    assert found.values_of("Current") == [None]
    assert key(IMAGE, "Select").predefined_handle is None


def test_the_order_of_keys_is_the_lists() -> None:
    names = [child.name for child in Hive(IMAGE).root.subkeys()]
    assert names == ["big", "ControlSet001", "many", "Select"]
    assert len(list(key(IMAGE, "many").subkeys())) == 1100


def test_a_wrong_name_hash_does_not_hide_a_key() -> None:
    image = bytearray(IMAGE)
    at = image.index(struct.pack("<I", name_hash("SELECT")))
    image[at] ^= 1
    assert key(bytes(image), "select").name == "Select"


def test_a_list_without_hashes_is_searched_by_name() -> None:
    image = bytearray(build({"only": {"Start": dword(3)}}))
    root = Hive(bytes(image)).root
    at = image.index(b"lh\x01\x00")
    image[at : at + 2] = b"li"
    assert value(bytes(image), "ONLY", "start").dword == 3
    assert root.name == "ROOT"


@pytest.mark.parametrize(
    ("name", "folded"),
    [("acme", "ACME"), ("straße", "STRAßE"), ("ключ", "КЛЮЧ"), ("ŉ", "ŉ"), ("\ud801x", "\ud801X")],
)
def test_names_fold_one_character_for_one(name: str, folded: str) -> None:
    assert fold(name) == folded


def test_a_lone_surrogate_is_a_name_like_any_other() -> None:
    hive = Hive(hive_bytes("yarp/TruncatedPairHive"))
    assert hive.find("\ud801") is not None


def test_a_hive_is_read_through_a_map_without_copying(tmp_path: Path) -> None:
    path = tmp_path / "SYSTEM"
    path.write_bytes(IMAGE)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        hive = Hive(mapped)
        assert hive.cells.image is mapped
        assert whole(hive) == whole(Hive(IMAGE)) == whole(Hive(memoryview(IMAGE)))


def test_reading_one_key_reads_no_other_bins() -> None:
    """All bins but those that the way to the key needs may be garbage."""
    acme = key(IMAGE, "ControlSet001\\Services\\acme")
    pages, step = {4096, acme.offset & ~0xFFF}, acme.parent
    while step is not None:
        pages.add(step.offset & ~0xFFF)
        step = step.parent
    for item in ["Start", "ImagePath"]:
        pages.add(value(IMAGE, acme.path, item).data_offset & ~0xFFF)
    image = bytearray(IMAGE)
    needed = acme.hive.cells.pages.keys() | {page >> 12 for page in pages}
    wiped = [page for page in range(1, len(IMAGE) >> 12) if page not in needed]
    for page in wiped:
        image[page << 12 : (page + 1) << 12] = b"\xaa" * 4096
    assert len(wiped) > len(needed)
    assert value(bytes(image), "ControlSet001\\Services\\acme", "Start").dword == 0


# --- values -------------------------------------------------------------------------------


def test_values_come_with_where_they_are() -> None:
    path = "ControlSet001\\Services\\acme"
    start, image_path = value(IMAGE, path, "START"), value(IMAGE, path, "imagepath")
    assert (start.name, start.type, start.dword) == ("Start", 4, 0)
    assert start.data_offset == start.offset + 12  # inside the value itself
    assert image_path.string == "system32\\drivers\\acme.sys"
    at = image_path.data_offset
    assert IMAGE[at : at + 16] == "system32".encode("utf-16-le")
    assert IMAGE[image_path.offset + 4 : image_path.offset + 6] == b"vk"
    assert repr(start) == "Value('Start', type=0x4)"


def test_the_default_value_has_no_name() -> None:
    assert value(IMAGE, "", "").string == "default"
    assert key(IMAGE, "Select").value("") is None


@pytest.mark.parametrize(("name", "pieces"), [("one", 1), ("two", 2), ("three", 4)])
def test_big_data_is_put_together(name: str, pieces: int) -> None:
    found = value(IMAGE, "big", name)
    content = TREE["big"]
    assert isinstance(content, dict)
    assert found.data == content[name].data
    assert len(found.extents) == pieces


def test_real_big_data() -> None:
    image = hive_bytes("yarp/BigDataHive")
    assert value(image, "key_with_bigdata", "").data == b"1" * 16345
    assert value(image, "key_with_bigdata", "v").data == b"2" * 81725


A, B = "a".encode("utf-16-le"), "b".encode("utf-16-le")
NUL = b"\0\0"


@pytest.mark.parametrize(
    ("raw", "attribute", "expected"),
    [
        (Raw(4, b"\1\2\3\4"), "dword", 0x04030201),
        (Raw(5, b"\1\2\3\4"), "dword", 0x01020304),
        (Raw(4, b"\1\2"), "dword", None),
        (Raw(3, b"\1\2\3\4"), "dword", None),
        (Raw(11, bytes(range(8))), "qword", 0x0706050403020100),
        (Raw(11, b"\1"), "qword", None),
        (Raw(3, bytes(8)), "qword", None),
        (sz("text"), "string", "text"),
        (expand_sz("%x%"), "string", "%x%"),
        (Raw(6, "\\Registry".encode("utf-16-le")), "string", "\\Registry"),
        (Raw(1, A + B), "string", "ab"),  # no NUL at the end
        (Raw(1, A + NUL + B), "string", "a"),  # garbage behind it
        (Raw(1, A + b"\x62"), "string", "a"),  # odd length
        (Raw(1, b"\0\xd8" + A), "string", "�a"),  # half a pair
        (Raw(1, b""), "string", ""),
        (Raw(3, A), "string", None),
        (multi_sz("a", "b"), "strings", ("a", "b")),
        (Raw(7, A + NUL + B), "strings", ("a", "b")),  # neither NUL at the end
        (Raw(7, A + NUL + NUL + B + NUL + NUL), "strings", ("a",)),
        (Raw(7, NUL), "strings", ()),
        (Raw(7, b""), "strings", ()),
        (Raw(1, A), "strings", None),
        (Raw(0xFFFF0012, A + NUL), "data", A + NUL),  # a device property: any type is a type
        (Raw(3, b"\1\2\3"), "data", b"\1\2\3"),
    ],
    ids=str,
)
def test_values_become_what_their_type_says(raw: Raw, attribute: str, expected: object) -> None:
    found = value(build({"v": raw}), "", "v")
    assert found.type == raw.type
    assert getattr(found, attribute) == expected


def test_of_two_values_with_one_name_the_first_counts() -> None:
    image = bytearray(build({"aa": dword(1), "ab": dword(2)}))
    image[image.index(b"ab", 4096)] = ord("a")
    second = image.rindex(b"ab")
    image[second : second + 2] = b"aa"
    assert value(bytes(image), "", "aa").dword == 1
    assert len(list(Hive(bytes(image)).root.values())) == 2


# --- damaged and hostile hives ------------------------------------------------------------

Change = Callable[[bytearray], None]


def put(path: str, at: int, number: int, form: str = "<I") -> Change:
    """Overwrite a field of a key's cell."""

    def change(image: bytearray) -> None:
        struct.pack_into(form, image, key(IMAGE, path).offset + at, number)

    return change


def put_value(path: str, name: str, at: int, number: int, form: str = "<I") -> Change:
    def change(image: bytearray) -> None:
        struct.pack_into(form, image, value(IMAGE, path, name).offset + at, number)

    return change


def put_list(path: str, at: int, number: int, form: str = "<I") -> Change:
    """Overwrite a field of a key's list of subkeys."""

    def change(image: bytearray) -> None:
        (where,) = struct.unpack_from("<I", IMAGE, key(IMAGE, path).offset + 32)
        struct.pack_into(form, image, 4096 + where + at, number)

    return change


ROOT_CELL = 0x20
ACME = "ControlSet001\\Services\\acme"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (put("Select", 4, 0x6B6B, "<H"), "no key here"),
        (put("Select", 0, 80, "<i"), "not an allocated cell"),
        (put("Select", 0, -0x7000, "<i"), "its size is wrong"),
        (put("Select", 76, 513, "<H"), "its name does not fit"),
        (put("Select", 20, 0x30), "has another parent"),
        (put("Select", 40, 0x7FFF_FFFF), "value list"),
        (put("Select", 44, 0x7FFF_FFF8), "not inside a sound hive bin"),
        (put("Select", 44, ROOT_CELL + 4), "not inside a sound hive bin"),
        (put("many", 24, 5), "more subkeys than it says"),
        (put("many", 32, ROOT_CELL), "unknown kind b'nk'"),
        (put_list("many", 6, 5000, "<H"), "more elements than it has room for"),
        (put_list("many", 0, 0), "not an allocated cell"),
        (put_list("", 8, ROOT_CELL), "has another parent"),
        (put_list("", 6, 9, "<H"), "more subkeys than it says|more elements"),
        (put_value("Select", "Current", 8, 0x8000_0005), "5 bytes inside an offset"),
        (put_value("Select", "Current", 8, 400), "not inside|size"),
        (put_value("Select", "Current", 4, 0x6B6B, "<H"), "no value here"),
        (put_value("Select", "Current", 6, 60000, "<H"), "its name does not fit"),
        (put_value(ACME, "ImagePath", 8, 4000), "do not fit in the cell"),
        (put_value(ACME, "ImagePath", 12, 0xFFFF_FFFF), "has a size but no data"),
        (put_value("big", "three", 8, 0x4000_0000), "claims bytes that belong to other cells"),
        (put_value("big", "three", 8, 90000), "4 segments for 90000 bytes"),
        (put(ACME, 52, 0x7FFF_FFF8), "class name"),
        (put(ACME, 78, 60000, "<H"), "class name"),
    ],
)
def test_damage_is_refused_with_its_place(change: Change, problem: str) -> None:
    image = bytearray(IMAGE)
    change(image)
    with pytest.raises(FormatError, match=problem) as caught:
        whole(Hive(bytes(image)))
    assert caught.value.offset >= 4096


@pytest.mark.parametrize(
    ("offset", "number", "problem"),
    [
        (20, 2, "version 2.5 is not known"),
        (24, 7, "version 1.7 is not known"),
        (24, 1, "version 1.1, of Windows NT 3.1, has cells of another layout"),
        (24, 0, "version 1.0, of Windows NT 3.1, has cells of another layout"),
        (28, 6, "transaction log, not a hive"),
        (36, 0x7FFF_FFF8, "not inside a sound hive bin"),
        (36, ROOT_CELL + 4, "not inside a sound hive bin"),
        (40, 0x0FFF_F000, "truncated"),
        (40, 0, "not inside a sound hive bin"),
    ],
)
def test_a_header_that_lies_is_refused(offset: int, number: int, problem: str) -> None:
    head = bytearray(IMAGE)
    struct.pack_into("<I", head, offset, number)
    with pytest.raises(FormatError, match=problem):
        Hive(bytes(sealed(head)))


def test_the_version_in_a_damaged_header_is_not_believed() -> None:
    """A real one says 1.1 and is 1.3: what its log restores. Its cells can be read as they are."""
    name = "yarp/BadBaseBlockHive__BadBaseBlockHive"
    hive = Hive(hive_bytes(name))
    assert (hive.base.minor, hive.base.checksum_ok) == (1, False)
    recovered, _ = read(hive_bytes(name), logs_of(name))
    assert recovered.base.minor == 3
    assert whole(hive)[0] == whole(recovered)[0] == 5003


def nested(levels: int) -> bytes:
    tree: Tree = {}
    for number in range(levels):
        tree = {f"l{levels - number}": tree}
    return build(tree)


def test_512_levels_are_read_and_no_more() -> None:
    assert max(each.depth for each in walk(Hive(nested(512)))) == 512
    with pytest.raises(FormatError, match="deeper than 512 levels"):
        whole(Hive(nested(513)))


def test_a_list_that_names_a_key_twice_is_refused() -> None:
    image = bytearray(IMAGE)
    (where,) = struct.unpack_from("<I", image, Hive(IMAGE).root.offset + 32)
    image[4096 + where + 16 : 4096 + where + 20] = image[4096 + where + 8 : 4096 + where + 12]
    with pytest.raises(FormatError, match="names one key twice"):
        whole(Hive(bytes(image)))


def test_an_index_root_below_an_index_root_is_refused() -> None:
    image = bytearray(IMAGE)
    (where,) = struct.unpack_from("<I", image, key(IMAGE, "many").offset + 32)
    assert image[4096 + where + 4 : 4096 + where + 6] == b"ri"
    struct.pack_into("<I", image, 4096 + where + 8, where)
    with pytest.raises(FormatError, match="unknown kind b'ri'"):
        whole(Hive(bytes(image)))


def test_lists_shared_by_many_keys_are_refused_before_they_cost_anything() -> None:
    """1,000 keys that all claim one list of 2,000 values: two million values from 200 KB."""
    tree: Tree = {f"k{n:04}": {"v": dword(n)} for n in range(1000)}
    shared: Tree = {"owner": {f"v{n:04}": dword(n) for n in range(2000)}}
    image = bytearray(build({"keys": tree, **shared}))
    count, where = struct.unpack_from("<II", image, key(bytes(image), "owner").offset + 40)
    for each in list(key(bytes(image), "keys").subkeys()):
        struct.pack_into("<II", image, each.offset + 40, count, where)
    hive = Hive(bytes(image))
    with pytest.raises(FormatError, match="claims bytes that belong to other cells"):
        whole(hive)
    assert hive.cells._spent < 2 * len(image)


def test_data_shared_by_many_values_is_refused() -> None:
    tree: Tree = {f"v{n}": binary(bytes([n % 256]) * 3000) for n in range(40)}
    image = bytearray(build(tree))
    values = list(Hive(bytes(image)).root.values())
    for each in values:  # all of them claim the space of many
        struct.pack_into("<I", image, each.offset + 8, 0x4000)
    with pytest.raises(FormatError):
        whole(Hive(bytes(image)))
