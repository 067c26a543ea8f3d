"""Catalogs: built ones of both versions, and every real one with the files that lie beside it."""

from __future__ import annotations

import hashlib
import io
import random
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest

from signing import catalog, image, signed_data
from signing.catalog import Catalog
from signing.errors import MalformedError, SigningError
from tests.builders import catalogs, der
from tests.builders.catalogs import Details, Member
from tests.conftest import REAL_DATA, need, real
from tests.signing.makers import Shape, certified

MUTANTS = 1_500  # a campaign raises it

SIGNED = REAL_DATA / "signed"
KEY = certified(Shape())
SHA1, SHA256 = hashlib.sha1(b"one").digest(), hashlib.sha256(b"one").digest()  # noqa: S324
PACKAGE = [
    *catalogs.file_members("disk.sys", SHA1, SHA256),
    Member(hashlib.sha256(b"two").digest(), "disk.inf", image=False, system="2:6.1,2:10.0"),
]


PLAIN = Details()


def built(members: list[Member], version: int = 2, details: Details = PLAIN) -> Catalog:
    return catalog.read(catalog.inside(catalogs.catalog(members, KEY, version, details)))


def text_tag(digest: bytes) -> bytes:
    return (digest.hex().upper() + "\0").encode("utf-16-le")


# --- built --------------------------------------------------------------------------------


def test_what_a_catalog_says() -> None:
    found = built(PACKAGE)
    assert found.version == 2
    assert found.identifier == bytes(range(16))
    assert found.when == datetime(2024, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert found.attributes() == (("OS", "_v100_X64"),)
    assert len(found.starts) == 3
    by_sha1, by_sha256 = found.find(SHA1), found.find(SHA256)
    assert by_sha1 is not None
    assert by_sha256 is not None
    assert by_sha1.digests == {"sha1": SHA1}
    assert by_sha256.digests == {"sha256": SHA256}
    assert {by_sha1.name, by_sha256.name} == {"disk.sys"}
    assert by_sha256.kind == "image"
    assert by_sha256.systems == {(10, 0)}
    assert found.find(bytes(32)) is None
    assert found.find(b"") is None


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(("is_image", "kind"), [(True, "image"), (False, "flat")])
def test_kinds_in_both_versions(version: int, is_image: bool, kind: str) -> None:
    digest = SHA1 if version == 1 else SHA256
    found = built([Member(digest, "x", image=is_image)], version).find(digest)
    assert found is not None
    assert (found.kind, found.name, found.problem) == (kind, "x", "")


def test_the_list_is_the_content_of_the_message() -> None:
    encoded = catalogs.catalog(PACKAGE, KEY)
    message = signed_data.read(encoded)
    assert message.content_type == catalog.TRUST_LIST
    assert catalog.inside(encoded) == message.content


def test_version_1_may_hold_a_second_digest_beside_its_tag() -> None:
    found = built([Member(SHA256, "x", tag=text_tag(SHA1))], version=1)
    for digest in (SHA1, SHA256):
        member = found.find(digest)
        assert member is not None
        assert member.digests == {"sha1": SHA1, "sha256": SHA256}
    assert catalog.digests(found.content) == [SHA1, SHA256]


def test_a_tag_of_version_1_may_be_of_sha256_and_in_small_letters() -> None:
    tag = (SHA256.hex() + "\0").encode("utf-16-le")
    assert built([Member(SHA256, tag=tag)], version=1).find(SHA256) is not None


NOTHING = [
    pytest.param(1, "disk.sys\0".encode("utf-16-le"), SHA1, "not a digest", id="a-name"),
    pytest.param(1, SHA1, SHA1, "not a digest", id="bytes-in-version-1"),
    pytest.param(1, text_tag(SHA1)[:-2], SHA1, "not a digest", id="without-its-end"),
    pytest.param(1, text_tag(SHA1)[:-2] + b"A\0", SHA1, "not a digest", id="with-another-end"),
    pytest.param(
        1,
        text_tag(SHA1)[:-2].replace(b"\0", b"\1") + b"\0\0",
        SHA1,
        "not a digest",
        id="other-script",
    ),
    pytest.param(1, text_tag(b"x" * 16), SHA1, "not a digest", id="of-another-size"),
    pytest.param(
        1, text_tag(SHA1).replace(b"A", b"g"), SHA1, "not a digest", id="of-other-letters"
    ),
    pytest.param(1, text_tag(SHA1[::-1]), SHA1, "differ", id="another-sha1"),
    pytest.param(2, SHA256[::-1], SHA256, "differ", id="another-sha256"),
    pytest.param(2, text_tag(SHA1), SHA1, "not a digest", id="text-in-version-2"),
    pytest.param(2, b"", SHA256, "not a digest", id="empty"),
]


@pytest.mark.parametrize(("version", "tag", "digest", "problem"), NOTHING)
def test_a_member_that_vouches_for_nothing(
    version: int, tag: bytes, digest: bytes, problem: str
) -> None:
    found = built([Member(digest, "x", tag=tag)], version)
    assert found.find(digest) is None
    assert found.find(tag) is None
    (member,) = found.members()
    assert not member.digests
    assert problem in member.problem


def test_what_the_index_is_not_told() -> None:
    digest = catalogs.catalog([Member(SHA1, tag=SHA1)], KEY, 1)
    assert catalog.digests(catalog.inside(digest)) == []
    cut = bytes.fromhex("060960864801650304020105000420") + SHA256[:31]
    entry = der.sequence(der.octets(SHA1), der.set_of([der.octets(cut)]))
    assert catalog.digests(_content(entry, der.sequence(der.octets(SHA256)))) == [SHA1, SHA256]


def test_the_first_of_two_members_counts() -> None:
    found = built([Member(SHA256, "first"), Member(SHA256, "second")])
    member = found.find(SHA256)
    assert member is not None
    assert member.name == "first"


def test_a_member_of_many_pages() -> None:
    """The largest drivers have more than 64 KiB of page hashes."""
    table = bytes(36 * 3000)
    found = built([Member(SHA256, pages=table), Member(SHA256[::-1])])
    member = found.find(SHA256)
    assert member is not None
    assert member.pages[0].table == table
    assert set(catalog.digests(found.content)) == {SHA256, SHA256[::-1]}


def test_a_length_that_looks_like_a_tag() -> None:
    """04 14 in the length of a large member could be taken for the digest's header."""
    entry = der.sequence(der.octets(SHA256), der.tagged(0x31, bytes(0x41400 - 34 - 5)))
    assert entry[:5] == b"\x30\x83\x04\x14\x00"
    assert catalog.digests(_content(entry)) == [SHA256]


def test_a_hint_in_other_bytes_of_a_member_is_not_believed() -> None:
    """The quick way sees a digest in a file's name; the member that is read then has none."""
    other = hashlib.sha256(b"other").digest()
    planted = bytes.fromhex("060960864801650304020105000420") + other
    raw = catalogs.catalog([Member(SHA1, "P" * 24, indirect=False)], KEY)
    marked = raw.replace("P".encode("utf-16-le") * 24, planted.ljust(48, b"\0"))
    assert marked != raw
    content = catalog.inside(marked)
    assert other in catalog.digests(content)
    assert catalog.read(content).find(other) is None
    assert catalog.read(content).find(SHA1) is not None


def test_a_kind_with_rules_of_its_own_is_told_so() -> None:
    cab = der.set_of([der.tagged(0x81, b"")])
    image_info = der.set_of([der.tagged(0x80, b"")])
    raw = catalogs.catalog([Member(SHA256)], KEY).replace(image_info, cab)
    member = catalog.read(catalog.inside(raw)).find(SHA256)
    assert member is not None
    assert member.kind == "other"


def test_page_hashes_of_a_member() -> None:
    table = bytes(4) + bytes(32) + b"\0\x10\0\0" + bytes(32)
    member = built([Member(SHA256, pages=table), Member(SHA256[::-1])]).find(SHA256)
    assert member is not None
    assert [(each.algorithm, each.table) for each in member.pages] == [("sha256", table)]


SYSTEMS: list[tuple[str, set[tuple[int, int]]]] = [
    ("2:10.0", {(10, 0)}),
    ("2:6.1,2:10.0", {(6, 1), (10, 0)}),
    (" 2:6.1 , 2:6.3", {(6, 1), (6, 3)}),
    ("2:5.00,2:5.1", {(5, 0), (5, 1)}),
    ("1:4.0", set()),  # Windows 95
    ("2:6.1,6.2,10.0", {(6, 1)}),
    ("2:6", set()),
    ("2:6.", set()),
    ("2:.1", set()),
    ("2:x.1", set()),
    ("2:6.1.7601", set()),
    ("2:²6.1", set()),
    ("2:" + "9" * 5000 + ".0", set()),
    ("", set()),
    ("," * 1000, set()),
]


@pytest.mark.parametrize(("text", "expected"), SYSTEMS)
def test_systems(text: str, expected: set[tuple[int, int]]) -> None:
    assert catalog.systems(text) == expected


def test_whether_a_member_was_meant_for_a_windows() -> None:
    whole = Details(attributes=(("OSAttr", "2:6.1"),))
    members = [Member(SHA256), Member(SHA1, system="", indirect=False)]
    found = built(members, details=whole)
    own, inherited = found.find(SHA256), found.find(SHA1)
    assert own is not None
    assert inherited is not None
    assert found.is_for(own, (10, 0)) is True
    assert found.is_for(own, (6, 1)) is False
    assert found.is_for(inherited, (6, 1)) is True
    silent = built(members)
    member = silent.find(SHA1)
    assert member is not None
    assert silent.is_for(member, (6, 1)) is None


def test_names_fit_a_screen() -> None:
    member = built([Member(SHA256, "a\x1b[2Jb\n.sys")]).find(SHA256)
    assert member is not None
    assert member.name == "a?[2Jb?.sys"


def _name_value(flags: int, value: bytes) -> bytes:
    pair = der.sequence(der.bmp_string("File"), der.integer(flags), der.octets(value))
    return der.sequence(der.oid("1.3.6.1.4.1.311.12.2.1"), der.set_of([pair]))


@pytest.mark.parametrize(
    ("flags", "value", "shown"),
    [
        (0x1001_0001, "a.sys\0".encode("utf-16-le"), "a.sys"),
        (0x0001_0001, "a.sys".encode("utf-16-le"), "a.sys"),
        (0x1001_0001, b"\0\xd8a", "\N{REPLACEMENT CHARACTER}"),  # half a pair, half a letter
        (0x1002_0001, b"a.sys", "a.sys"),
        (0x1002_0001, b"\0\1\xff", "0001ff"),
        (0x1002_0001, b"", ""),
    ],
)
def test_values_of_attributes(flags: int, value: bytes, shown: str) -> None:
    entry = der.sequence(der.octets(SHA256), der.set_of([INFO, _name_value(flags, value)]))
    (member,) = catalog.read(_content(entry)).members()
    assert member.attributes == (("File", shown),)


def test_what_a_list_may_have_and_may_lack() -> None:
    """[MS-CAESO] has fields that catalogs leave out."""
    when = datetime(2024, 1, 1, tzinfo=UTC)
    usage = der.sequence(der.oid("1.3.6.1.4.1.311.12.1.1"))
    format_2 = der.sequence(der.oid("1.3.6.1.4.1.311.12.1.3"), der.NULL)
    full = [
        der.integer(0), usage, der.octets(b"id"), der.integer(7),
        der.utc_time(when), der.utc_time(when), format_2, der.sequence(_entry(INFO)),
    ]  # fmt: skip
    assert catalog.read(b"".join(full)).find(SHA256) is not None
    bare = catalog.read(b"".join([usage, der.utc_time(when), format_2]))
    assert (bare.identifier, bare.starts, bare.attributes()) == (b"", (), ())
    assert catalog.digests(bare.content) == []


def test_attributes_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_MOST_LIST_ATTRIBUTES", 2)
    pairs = tuple((f"HWID{number}", "x") for number in range(3))
    assert len(built(PACKAGE, details=Details(attributes=pairs[:2])).attributes()) == 2
    with pytest.raises(MalformedError, match="more than 2 attributes"):
        built(PACKAGE, details=Details(attributes=pairs)).attributes()


def test_long_names_are_cut() -> None:
    member = built([Member(SHA256, "x" * 100_000)]).find(SHA256)
    assert member is not None
    assert member.name == "x" * 4096


def test_an_empty_list_vouches_for_nothing() -> None:
    found = built([])
    assert found.starts == ()
    assert found.find(SHA256) is None


# --- refused ------------------------------------------------------------------------------


def _swapped(old: str, new: str) -> bytes:
    return catalogs.catalog(PACKAGE, KEY).replace(der.oid(old), der.oid(new), 1)


WHOLE = catalogs.catalog(PACKAGE, KEY)
REFUSED = [
    pytest.param(b"", "early|expected", id="empty"),
    pytest.param(WHOLE[:-1], "are left", id="cut"),
    pytest.param(WHOLE + b"\0", "too many", id="longer"),
    pytest.param(
        _swapped("1.2.840.113549.1.7.2", "1.2.840.113549.1.7.3"), "another kind", id="enveloped"
    ),
    pytest.param(_swapped("1.3.6.1.4.1.311.10.1", "1.3.6.1.4.1.311.10.2"), "no list", id="no-list"),
    pytest.param(
        _swapped("1.3.6.1.4.1.311.12.1.1", "1.3.6.1.4.1.311.10.3.9"[:22]),
        "something else|expected",
        id="roots",
    ),
    pytest.param(
        _swapped("1.3.6.1.4.1.311.12.1.3", "1.3.6.1.4.1.311.12.1.4"), "not known", id="version"
    ),
]


@pytest.mark.parametrize(("raw", "problem"), REFUSED)
def test_what_is_no_catalog(raw: bytes, problem: str) -> None:
    with pytest.raises(MalformedError, match=problem):
        catalog.read(catalog.inside(raw))
    with pytest.raises(MalformedError, match=problem):
        catalog.digests(catalog.inside(raw))


def _content(*members: bytes) -> bytes:
    """A list of version 2 with those members, written by hand."""
    head = [
        der.sequence(der.oid("1.3.6.1.4.1.311.12.1.1")),
        der.octets(bytes(16)),
        der.utc_time(datetime(2024, 1, 1, tzinfo=UTC)),
        der.sequence(der.oid("1.3.6.1.4.1.311.12.1.3"), der.NULL),
    ]
    return b"".join([*head, der.sequence(*members)])


def _entry(*attributes: bytes) -> bytes:
    return der.sequence(der.octets(SHA256), der.set_of(attributes))


INFO = der.sequence(der.oid("1.3.6.1.4.1.311.12.2.3"), der.set_of([der.tagged(0x80, b"")]))
TWICE = der.sequence(der.oid("1.3.6.1.4.1.311.2.1.4"), der.set_of([der.sequence()]))
BROKEN = [
    pytest.param(_entry(INFO, INFO), "too many", id="information-twice"),
    pytest.param(_entry(TWICE), "expected", id="empty-indirect-data"),
    pytest.param(
        _entry(*(der.sequence(der.oid(f"1.3.6.{n}"), der.set_of([])) for n in range(65))),
        "too many",
        id="65-attributes",
    ),
    pytest.param(der.sequence(der.octets(SHA256)), "expected", id="no-attributes"),
    pytest.param(
        der.sequence(der.octets(SHA256), der.set_of([]), der.NULL), "too many", id="a-third-field"
    ),
]


@pytest.mark.parametrize(("entry", "problem"), BROKEN)
def test_a_broken_member_is_refused_when_it_is_asked_for(entry: bytes, problem: str) -> None:
    found = catalog.read(_content(entry))
    with pytest.raises(MalformedError, match=problem):
        found.find(SHA256)
    with pytest.raises(MalformedError, match=problem):
        list(found.members())


@pytest.mark.parametrize(
    "entry",
    [b"\x30\x7f\x04\x20", b"\x30\x05\x04\x20abc", b"\x31\x02\x04\x00", b"\x30\x80\x04\x00\0\0",
     b"\x30", b"\x30\x82\x01", b"\x30\x02\x05\x00", b"\x30\x03\x04\x81\x00", b"\x30\x00"],
)  # fmt: skip
def test_a_member_that_does_not_end_where_it_says(entry: bytes) -> None:
    with pytest.raises(MalformedError):
        catalog.read(_content(entry))
    with pytest.raises(MalformedError):
        catalog.digests(_content(entry))


def test_a_member_that_goes_on_behind_the_list() -> None:
    """Its own end is inside the bytes, but not inside the list."""
    entry = der.sequence(der.octets(SHA256), der.set_of([INFO]))
    whole = _content(entry)
    cut = whole[: -len(entry) - 2] + bytes((der.sequence()[0], len(entry) - 1)) + entry
    assert len(cut) == len(whole)
    with pytest.raises(MalformedError, match="are left"):
        catalog.read(cut)
    with pytest.raises(MalformedError, match="are left"):
        catalog.digests(cut)


def test_members_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "MOST_MEMBERS", 3)
    content = _content(*[_entry(INFO)] * 3)
    assert len(catalog.read(content).starts) == 3
    with pytest.raises(MalformedError, match="more than 3 members"):
        catalog.read(_content(*[_entry(INFO)] * 4))


# --- real ---------------------------------------------------------------------------------

CATALOGS = sorted(str(path.relative_to(REAL_DATA)) for path in SIGNED.rglob("*.cat"))


def opened(path: Path) -> Catalog:
    return catalog.read(catalog.inside(path.read_bytes()))


@need("openssl")
@pytest.mark.parametrize("path", real(*CATALOGS))
def test_real_every_member_is_seen(path: Path) -> None:
    """OpenSSL counts as many pieces of member information as there are members."""
    dumped = subprocess.run(
        ["openssl", "asn1parse", "-inform", "DER", "-in", str(path)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = opened(path)
    count = sum(dumped.count(f":1.3.6.1.4.1.311.12.2.{kind}\n") for kind in (2, 3))
    members = list(found.members())
    assert len(members) == count > 0
    assert not [each.problem for each in members if each.problem]
    # The quick way of the index names the same digests as the members themselves do.
    named = [digest for each in members for digest in each.digests.values()]
    assert sorted(catalog.digests(found.content)) == sorted(named)
    assert found.content == signed_data.read(path.read_bytes()).content


def _beside() -> list[str]:
    """Each file that lies beside a catalog of its own name."""
    return [
        str(path.relative_to(REAL_DATA))
        for path in sorted(SIGNED.rglob("*"))
        if path.suffix in (".sys", ".inf") and _its_catalog(path)
    ]


def _its_catalog(path: Path) -> Path | None:
    for each in sorted(path.parent.glob("*.cat")):
        if each.stem.lower() == path.stem.lower():
            return each
    return None


def _digests_of(path: Path, raw: bytes) -> list[bytes]:
    if path.suffix == ".inf":
        return [hashlib.new(name, raw, usedforsecurity=False).digest() for name in DIGESTS]
    stream = io.BytesIO(raw)
    return list(image.digests(stream, image.read(stream), DIGESTS).values())


DIGESTS = ("sha1", "sha256")
# Kept with the line ends of the repository they came from, not with those that were signed.
OTHER_LINE_ENDS = {
    "surfacecharger.inf_arm64_9602ef08674535d7__SurfaceCharger.inf",
    *(
        f"{system}_{machine}_{name}.inf"
        for system, machine, name in product(
            ("Win8", "Win8.1"), ("amd64", "x86"), ("balloon", "pvpanic")
        )
    ),
}


def _line_ends(raw: bytes) -> Iterator[bytes]:
    """With the line ends of Windows; lines of a lone ";" may have kept theirs."""
    lines = raw.split(b"\n")
    lone = [at for at, line in enumerate(lines) if line == b";" and not lines[at + 1]]
    for kept in product((False, True), repeat=len(lone)):
        plain = {at for at, is_kept in zip(lone, kept, strict=True) if is_kept}
        yield (
            b"".join(
                line + (b"\n" if at in plain else b"\r\n") for at, line in enumerate(lines[:-1])
            )
            + lines[-1]
        )


@pytest.mark.parametrize("path", real(*_beside()))
def test_real_a_file_is_in_the_catalog_beside_it(path: Path) -> None:
    beside = _its_catalog(path)
    assert beside is not None
    found, raw = opened(beside), path.read_bytes()
    hits = [found.find(digest) for digest in _digests_of(path, raw)]
    if path.name in OTHER_LINE_ENDS:
        assert hits == [None, None]
        hits = [found.find(d) for each in _line_ends(raw) for d in _digests_of(path, each)]
    members = [each for each in hits if each is not None]
    assert len(members) == found.version  # SHA-1; and SHA-256 in version 2
    for member in members:
        assert member.kind == ("flat" if path.suffix == ".inf" else "image")
        assert path.name.lower().endswith(member.name.lower())


@need("osslsigncode")
@pytest.mark.parametrize("path", real(*(each for each in _beside() if each.endswith(".sys"))))
def test_real_osslsigncode_finds_the_same(path: Path) -> None:
    """It compares the digest before it looks at signatures, and says so."""
    beside = _its_catalog(path)
    other = SIGNED / "ralphje_115fe8649854ad531fb7ecd1318fbee6b33c9cbd78f02ed582092a96d5eb5899.cat"
    assert beside is not None
    for each, expected in ((beside, True), (other, False)):
        shown = subprocess.run(
            ["osslsigncode", "verify", "-ignore-cdp", "-catalog", str(each), "-in", str(path)],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        ).stdout
        digests = _digests_of(path, path.read_bytes())
        ours = any(opened(each).find(digest) for digest in digests)
        assert ours is expected
        assert ("File is signed in catalog" in shown) is expected, shown


@pytest.mark.parametrize("path", real("signed/ralphje_DXCore.dll"))
def test_real_a_file_of_windows_itself(path: Path) -> None:
    found = opened(next(SIGNED.glob("ralphje_115fe*.cat")))
    assert dict(found.attributes())["PackageName"] == "Microsoft-OneCore-Graphics-Required-Package"
    digests = _digests_of(path, path.read_bytes())
    by_sha1, by_sha256 = (found.find(digest) for digest in digests)
    assert by_sha1 is not None
    assert by_sha256 is not None
    assert "dxcore.dll" in by_sha256.value("Hint")
    assert found.is_for(by_sha256, (10, 0)) is True
    assert (10, 0) in found.systems()


@pytest.mark.parametrize("path", real("signed/mtrojnar_unsigned.cat"))
def test_real_kinds_and_page_hashes_and_no_signer(path: Path) -> None:
    found = opened(path)
    kinds = {each.name: each.kind for each in found.members() if each.name}
    assert kinds["unsigned.msi"] == "flat"  # its name is not marked as text
    assert kinds["unsigned.exe"] == "image"
    assert kinds["unsigned.ex_"] == "other"  # a cabinet
    assert kinds["unsigned.ps1"] == "flat"
    (pages,) = [each.pages for each in found.members() if each.name == "unsigned.exe"]
    assert [each.algorithm for each in pages] == ["sha256"]
    assert len(pages[0].table) % 36 == 0
    assert signed_data.read(path.read_bytes()).signers == ()


# --- hostile ------------------------------------------------------------------------------


def _mutant(raw: bytes, rng: random.Random) -> bytes:
    """Damage of the kinds that a reader of DER believes: lengths, tags, cuts, doubled pieces."""
    data = bytearray(raw)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data))
        match rng.randrange(6):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at] = rng.choice((0, 0x30, 0x31, 0x04, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xFF))
            case 2:
                del data[at : at + rng.randint(1, 40)]
            case 3:
                data[at:at] = data[at : at + rng.randint(1, 200)]
            case 4:
                del data[max(at, 1) :]
            case _:
                data[at : at + 4] = rng.randbytes(4)
        if not data:
            break
    return bytes(data)


def _samples() -> list[bytes]:
    plain = [
        WHOLE,
        catalogs.catalog([Member(SHA1, "a.sys"), Member(SHA256, tag=text_tag(SHA1))], KEY, 1),
        catalogs.catalog([Member(SHA256, pages=bytes(72))], KEY),
    ]
    return plain + [path.read_bytes() for path in sorted(SIGNED.glob("*.cat"))[:4]]


def test_damaged_catalogs_are_read_or_refused() -> None:
    rng = random.Random(20_260)
    samples = [(raw, catalog.inside(raw)) for raw in _samples()]
    refused = 0
    for number in range(MUTANTS):
        raw, content = samples[number % len(samples)]
        try:
            # The message around the list is a small part of it: most damage goes to the list.
            inner = _mutant(content, rng) if number % 3 else catalog.inside(_mutant(raw, rng))
            found = catalog.read(inner)
            listed = set(catalog.digests(inner))
            for member in found.members():
                assert bool(member.problem) != bool(member.digests)
                assert len(member.name) <= len(inner)
            found.attributes()
            for digest in listed:
                hit = found.find(digest)
                assert hit is None or digest in hit.digests.values()
        except SigningError:
            refused += 1
    assert 0 < refused < MUTANTS
