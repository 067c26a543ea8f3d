"""A recipe is read whole, or all its mistakes are told with their lines."""

from __future__ import annotations

import random
import re
import shutil
from pathlib import Path

import pytest

from signing import keys
from tests.conftest import REPOSITORY
from tests.signing.organisations import organisation
from winpe import media_toml, recipe
from winpe.errors import MediaUsageError
from winpe.media import ExtraFile, Media, Output, SecureBoot, Wifi
from winpe.media_toml import RecipeError

MUTATIONS = 400
PACK = REPOSITORY / "docs/examples/crowdstrike-2024-07-19.toml"


def read(folder: Path, text: str) -> Media:
    return media_toml.parse(text.encode(), folder / "media.toml")


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(RecipeError) as refused:
        read(folder, text)
    return [f"{each.line}: {each.key}: {each.problem}" for each in refused.value.mistakes]


def test_an_empty_recipe_and_the_template_are_the_same_medium(tmp_path: Path) -> None:
    assert read(tmp_path, "") == read(tmp_path, recipe.text("media.toml")) == Media()


def test_every_key(tmp_path: Path) -> None:
    (tmp_path / "help.txt").write_text("x")
    (tmp_path / "list.sha256").write_text(f"{'0' * 64}\n")
    (tmp_path / "ca.crt").write_bytes(keys.certificate_pem(organisation("RSA 2048").certificate))
    shutil.copyfile(PACK, tmp_path / "fix.toml")
    for name in ("good", "firmware"):
        (tmp_path / name).mkdir()
    made = read(
        tmp_path,
        """
name = "fleet-2026"
architecture = "arm64"
outputs = ["iso"]
secure_boot = "stock"
compression = "best"
size_budget = "64 MB"
kernel_arguments = ["nomodeset"]
[organisation]
name = "Example Ltd"
contact = "extension 4711"
logo = '''
 E X
'''
[locale]
keyboard = "us"
[unattended]
mode = "repair"
end = "poweroff"
ntfs_log = "refuse"
[carry]
packs = ["fix.toml"]
block_lists = ["list.sha256"]
replacements = ["good"]
trust = ["ca.crt"]
files = [{ from = "help.txt", to = "help/us.txt" }, { from = "ca.crt" }]
[network]
stations = ["https://repair.example:8443/"]
wifi = [{ ssid = "Workshop", passphrase = "12345678" }, { ssid = "Open" }]
""",
    )
    assert (made.name, made.architecture, made.release) == ("fleet-2026", "arm64", True)
    assert (made.outputs, made.secure_boot) == ((Output.ISO,), SecureBoot.STOCK)
    assert (made.size_budget, made.kernel_arguments) == (64_000_000, ("nomodeset",))
    assert made.organisation.logo == (" E X",)
    assert (made.unattended.mode, made.unattended.end) == ("repair", "poweroff")
    assert made.carry.packs == (tmp_path / "fix.toml",)
    assert made.carry.files == (
        ExtraFile(tmp_path / "help.txt", "help/us.txt"),
        ExtraFile(tmp_path / "ca.crt", "ca.crt"),
    )
    assert made.network.wifi == (Wifi("Workshop", "12345678"), Wifi("Open"))


def test_what_this_version_does_not_make_is_refused_and_not_passed_over(tmp_path: Path) -> None:
    for name in ("winpe.wim", "python.zip"):
        (tmp_path / name).write_text("x")
    text = 'base = "winpe"\n[winpe]\nsource = "winpe.wim"\npython = "python.zip"\n'
    assert mistakes(tmp_path, text) == ["1: base: this version does not make the WinPE flavour yet"]
    text = 'outputs = ["iso", "uki"]\nsecure_boot = "organisation"\n[locale]\nkeyboard = "de"\n'
    text += '[carry]\nfirmware = ["."]\n'
    assert mistakes(tmp_path, text) == [
        "2: secure_boot: this version does not make media for your own keys yet",
        "3: locale: this version does not make media with other keyboards than the US one yet",
        "5: carry: this version does not make media with vendor firmware yet",
    ]


def test_all_mistakes_are_told_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    text = """\
name = "../x"
base = "lunix"
outputs = ["iso", "vhd"]
size_budgt = "64 MB"
[unattended]
mode = "yes"
[carry]
packs = ["nope.toml"]
files = [{ from = "/etc/passwd", to = "../x" }, { to = "y" }]
[[network.wifi]]
ssid = "a"
passphrase = "short"
"""
    assert mistakes(tmp_path, text) == [
        "1: name: it must be a file's name without its ending, not '../x'",
        '2: base: it must be "linux" or "winpe", not \'lunix\'',
        '3: outputs: the linux base makes "iso" or "uki", not \'vhd\'',
        "4: size_budgt: unknown key; size_budget is meant?",
        '6: unattended.mode: it must be "ask", "repair" or "diagnose", not \'yes\'',
        f"8: carry.packs: {tmp_path}/nope.toml does not exist, or may not be read",
        "9: carry.files[1].to: it must be a relative path such as \"docs/help.txt\", not '../x'",
        '9: carry.files[2]: it lacks from = "the file"',
        "12: network.wifi[1].passphrase: it must have 8 to 63 characters",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = 1", "1: name: it must be text in quotes"),
        ('name = ""', "1: name: it must have 1 to 200 printable characters"),
        ("[name]", "1: name: it must be text in quotes"),
        ('outputs = "iso"', "1: outputs: it must be a list of texts in quotes"),
        ('size_budget = "64"', "1: size_budget: it must be a size such as \"64 MB\", not '64'"),
        ('architecture = "x86"', '1: architecture: it must be "x64" or "arm64", not \'x86\''),
        ("organisation = 1", "1: organisation: it must be a table"),
        ('[carry]\nfiles = ["x"]', "2: carry.files: it must be a list of tables"),
        (
            'kernel_arguments = ["a b"]',
            "1: kernel_arguments: 'a b' holds a character that boot loaders interpret",
        ),
        (
            'kernel_arguments = ["rk.mode=repair"]',
            "1: kernel_arguments: 'rk.mode=repair': the recipe has a key of its own for this",
        ),
        (
            '[locale]\nlanguage = "de-DE"',
            "2: locale.language: the Linux base speaks English only; the WinPE flavour has others",
        ),
        (
            '[organisation]\nlogo = "ä"',
            "2: organisation.logo: it must be plain ASCII text",
        ),
        (
            'outputs = ["uki"]',
            '1: outputs: a uki is signed with your keys: secure_boot = "organisation"',
        ),
        (
            '[network]\nstations = ["http://x"]',
            "2: network.stations: 'http://x' must be an https address without login or query",
        ),
        (
            '[winpe]\nboot_manager = "2011"',
            '1: winpe: it says nothing unless base = "winpe"',
        ),
        ("a = \n", "1: : this is no TOML: Invalid value, column 5"),
        ("a = [1,", "1: : this is no TOML: Invalid value"),
    ],
)
def test_a_mistake(tmp_path: Path, text: str, expected: str) -> None:
    assert mistakes(tmp_path, text) == [expected]


def test_what_is_named_must_be_what_it_is_taken_for(tmp_path: Path) -> None:
    for name in ("fix.toml", "list.xml", "ca.crt"):
        (tmp_path / name).write_text("x = 1")
    text = '[carry]\npacks = ["fix.toml"]\nblock_lists = ["list.xml"]\ntrust = ["ca.crt"]'
    found = mistakes(tmp_path, text)
    assert [each.split(": ")[:2] for each in found] == [
        ["2", "carry.packs"],
        ["3", "carry.block_lists"],
        ["4", "carry.trust"],
    ]
    for name, each in zip(("fix.toml", "list.xml", "ca.crt"), found, strict=True):
        assert name in each


def test_what_the_other_base_has(tmp_path: Path) -> None:
    (tmp_path / "drivers").mkdir()
    wrong = mistakes(tmp_path, '[carry]\ndrivers = ["drivers"]')
    assert wrong == ["2: carry.drivers: drivers of Windows do not run in the Linux base"]
    wrong = mistakes(
        tmp_path, 'base = "winpe"\nsecure_boot = "stock"\n[carry]\nfirmware = ["drivers"]'
    )
    assert wrong == [
        "0: winpe.python: the WinPE flavour needs CPython for Windows",
        "0: winpe.source: the WinPE flavour needs your winpe.wim",
        "1: base: this version does not make the WinPE flavour yet",
        "2: secure_boot: it is for the Linux base; Windows' own boot manager starts WinPE",
        "3: carry: this version does not make media with vendor firmware yet",
        "4: carry.firmware: vendor firmware is for the Linux base; drivers of Windows hold it",
    ]


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"x" * (media_toml.LARGEST + 1), b"a = " + b"[" * 5000], ids=len
)
def test_what_is_no_recipe_at_all(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(RecipeError):
        media_toml.parse(content, tmp_path / "media.toml")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(MediaUsageError, match="cannot be read: No such file"):
        media_toml.load(tmp_path / "media.toml")


def test_every_key_of_the_template_is_documented() -> None:
    page = (REPOSITORY / "docs/recipe.md").read_text()
    keys = set(re.findall(r"^#? ?([a-z_0-9]+) = ", recipe.text("media.toml"), re.MULTILINE))
    assert len(keys) > 20
    assert [key for key in sorted(keys) if f"`{key}" not in page] == []


def test_whatever_is_written_there_is_a_recipe_or_a_list_of_mistakes(tmp_path: Path) -> None:
    chance = random.Random(7)
    text = bytearray(re.sub(r"(?m)^# (?=[a-z_]+ = )", "", recipe.text("media.toml")).encode())
    pieces = (b"", b'"', b"[", b"=", b"\n", b"\x00")
    refused = 0
    for _ in range(MUTATIONS):
        changed = bytearray(text)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(changed))
            changed[at : at + chance.randint(0, 3)] = chance.choice(pieces)
        try:
            media_toml.parse(bytes(changed), tmp_path / "media.toml")
        except RecipeError as exc:
            refused += bool(exc.mistakes)
    assert refused > MUTATIONS // 2
