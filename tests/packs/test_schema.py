"""What a pack may say: every word once, and every mistake that was thought of."""

from __future__ import annotations

import re

import pytest

from recoverykit import packs
from recoverykit.errors import FormatError
from recoverykit.model import RegistryData, StartType
from recoverykit.packs.pack import (
    DriverCondition,
    FileCondition,
    Holds,
    Quarantine,
    Replace,
    SetValue,
    ValueCondition,
)
from tests.packs import samples
from tests.packs.samples import ACT, DETECT, FULL, HASH, HEAD, SMALL, VERIFY


def test_every_word_is_read() -> None:
    pack = packs.check(FULL.encode())
    kinds = [type(item).__name__ for item in pack.conditions]
    assert kinds == [
        *("FileCondition", "DriverCondition", "DriverCondition", "PackageCondition"),
        *("ValueCondition", "ValueCondition"),
    ]
    rules, driver, helper, _, switch, exempt = pack.conditions
    assert isinstance(rules, FileCondition)
    assert (rules.most, rules.test.size, rules.test.header) == (3, 4096, b"\xaa\xaa\xaa\xaa\1")
    assert rules.test.before is not None
    assert rules.test.before.isoformat() == "2024-07-19T05:27:00+00:00"
    assert rules.test.sha256[1] == HASH.upper().replace("0", "1").lower()
    assert isinstance(driver, DriverCondition)
    assert (driver.driver, driver.test.version.start) == ("acme filter.sys", (7, 11))
    assert StartType.DISABLED not in driver.starts
    assert isinstance(helper, DriverCondition)
    assert helper.starts == {StartType.AUTO, StartType.DEMAND, StartType.DISABLED}
    assert isinstance(switch, ValueCondition)
    assert switch.data == RegistryData(4, b"\1\0\0\0")
    assert isinstance(exempt, ValueCondition)
    assert (exempt.value, exempt.data, exempt.key.service) == ("", None, "acme")
    assert pack.when.none == ("exempt",)
    assert pack.acts[:2] == (Quarantine("rules"), Quarantine("helper"))
    assert isinstance(pack.acts[2], Replace)
    assert isinstance(pack.acts[3], SetValue)
    assert pack.acts[3].data.data == "off\0until further notice\0\0".encode("utf-16-le")
    assert pack.proofs[-1] == Holds(pack.acts[4].key, "Trace", None)  # type: ignore[union-attr]
    assert pack.only.architectures == {"x64", "arm64"}
    assert pack.signer == ""


@pytest.mark.parametrize(
    "path", sorted(samples.EXAMPLES.glob("*.toml")), ids=lambda path: path.stem
)
def test_the_examples_are_packs(path: object) -> None:
    assert packs.check(path.read_bytes()).proofs  # type: ignore[attr-defined]


SET = '[[act]]\nset-value = "Mode"\nkey = \'HKLM\\SOFTWARE\\Acme\'\ntype = "dword"\ndata = 1\n'

MISTAKES = [
    # the head
    (SMALL.replace("format = 1", "format = 2"), "format: it must be 1"),
    (SMALL.replace("format = 1", "format = true"), "format: it must be 1"),
    (SMALL.replace("format = 1", ""), "format: it must be 1"),
    (SMALL.replace('id = "acme"', ""), "id: it is missing"),
    (SMALL.replace('id = "acme"', 'id = "Acme Ltd"'), "id: it must be 1 to 64 small letters"),
    (SMALL.replace('id = "acme"', 'id = ""'), "id: it must be 1 to 64 small letters"),
    (SMALL.replace('title = "Acme"', "title = 7"), "title: it must be text in quotes"),
    (SMALL.replace('title = "Acme"', r'title = "\u001b[2J"'), "title: it must have 1 to 200"),
    (SMALL.replace('title = "Acme"', f'title = "{"x" * 201}"'), "title: it must have 1 to 200"),
    (HEAD + 'more = ["http://x.org"]\n' + DETECT + ACT + VERIFY, "more: each must be an https"),
    (HEAD + 'more = ["https://u:p@x.org"]\n' + DETECT + ACT + VERIFY, "more: each must be an ht"),
    (HEAD + "more = []\n" + DETECT + ACT + VERIFY, "more: it must be a list of 1 to 64"),
    (HEAD + "run = 'x.exe'\n" + DETECT + ACT + VERIFY, "run: unknown key"),
    (SMALL + "[hooks]\nafter = 'x'\n", "hooks: unknown key"),
    # only
    (SMALL + "[only]\n", "only: it is empty"),
    (
        SMALL + '[only]\nbuild-from = "11"\nbuild-before = "10"\n',
        "only.build-before: it lies before",
    ),
    (SMALL + "[only]\nbuild-from = 19045\n", "only.build-from: it must be one to four numbers"),
    (SMALL + '[only]\narchitecture = ["ia64"]\n', "only.architecture: ia64 is none of x64"),
    (SMALL + '[only]\nlanguage = "en"\n', "only.language: unknown key"),
    (SMALL + "only = 1\n", "verify[1].only: unknown key"),
    # detect
    (HEAD + ACT + VERIFY, "detect: a pack has 1 to 32 sections [[detect]]"),
    (HEAD + "detect = []\n" + ACT + VERIFY, "detect: a pack has 1 to 32 sections"),
    (HEAD + "detect = [1]\n" + ACT + VERIFY, "detect[1]: it must be a section"),
    (HEAD + "[detect]\nname = 'it'\n" + ACT + VERIFY, "detect: a pack has 1 to 32 sections"),
    (SMALL + DETECT, "detect[2].name: detect[1] has this name already"),
    (SMALL.replace('name = "it"', 'name = "IT"'), "detect[1].name: it must be 1 to 40"),
    (SMALL.replace('name = "it"\n', ""), "detect[1].name: it is missing"),
    (HEAD + "[[detect]]\nname='it'\n" + ACT + VERIFY, "detect[1]: the section has no subject"),
    (SMALL.replace("[[act]]", 'service = "x"\n[[act]]'), "detect[1]: the section has 2 at once"),
    (SMALL.replace("[[act]]", 'sha256 = "12"\n[[act]]'), "detect[1].sha256: each must be a SHA"),
    (SMALL.replace("[[act]]", f'sha256 = ["{HASH}", "{HASH}"]\n[[act]]'), "sha256: it names some"),
    (SMALL.replace("[[act]]", "size = -1\n[[act]]"), "detect[1].size: it must be a number from"),
    (SMALL.replace("[[act]]", "size = 1.5\n[[act]]"), "detect[1].size: it must be a number from"),
    (SMALL.replace("[[act]]", 'header = "AA A"\n[[act]]'), "detect[1].header: it must be 1 to 64"),
    (SMALL.replace("[[act]]", 'header = ""\n[[act]]'), "detect[1].header: it must be 1 to 64"),
    (SMALL.replace("[[act]]", f'header = "{"A" * 130}"\n[[act]]'), "header: it must be 1 to 64"),
    (
        SMALL.replace("[[act]]", "modified-from = 2024-07-19\n[[act]]"),
        "modified-from: it must be a",
    ),
    (SMALL.replace("[[act]]", "modified-from = 2024-07-19T05:27:00\n[[act]]"), "with its offset"),
    (SMALL.replace("[[act]]", "modified-from = 0001-01-01T00:00:00+14:00\n[[act]]"), "its offset"),
    (
        SMALL.replace(
            "[[act]]",
            "modified-from = 2024-07-19T05:00:00Z\nmodified-before = 2024-07-19T05:00:00Z\n[[act]]",
        ),
        "detect[1].modified-before: it lies before modified-from",
    ),
    (SMALL.replace("[[act]]", 'version-from = "7.x"\n[[act]]'), "version-from: it must be one to"),
    (SMALL.replace("[[act]]", 'version-from = "٣"\n[[act]]'), "version-from: it must be one to"),
    (SMALL.replace("[[act]]", "most = 0\n[[act]]"), "detect[1].most: it must be a number from 1"),
    (SMALL.replace("[[act]]", "most = 257\n[[act]]"), "most: it must be a number from 1 to 256"),
    (SMALL.replace("[[act]]", "most = true\n[[act]]"), "most: it must be a number from 1 to 256"),
    (SMALL.replace("[[act]]", "recursive = true\n[[act]]"), "detect[1].recursive: unknown key"),
    (SMALL.replace("[[act]]", 'provider = "x"\n[[act]]'), "detect[1].provider: unknown key"),
    (HEAD + "[[detect]]\nname='it'\ndriver='a.exe'\n" + ACT + VERIFY, "detect[1].driver: it must"),
    (HEAD + "[[detect]]\nname='it'\ndriver='x\\a.sys'\n" + ACT + VERIFY, "detect[1].driver: it m"),
    (HEAD + "[[detect]]\nname='it'\nservice='a\\b'\n" + ACT + VERIFY, "detect[1].service: it mu"),
    (
        HEAD + "[[detect]]\nname='it'\nservice='a'\nstart=['never']\n" + ACT + VERIFY,
        "detect[1].start: never is none of boot",
    ),
    # when
    (SMALL + "[when]\n", "when: it names nothing that must hold"),
    (SMALL + "[when]\nnone = ['it']\n", "when: it names nothing that must hold"),
    (SMALL + "[when]\nall = ['that']\n", "when.all: there is no section [[detect]] named that"),
    (SMALL + "[when]\nall = ['it']\nunless = ['it']\n", "when.unless: unknown key"),
    (
        SMALL + DETECT.replace('"it"', '"two"') + "[when]\nall = ['it']\n",
        "detect: nothing uses two",
    ),
    (
        SMALL + DETECT.replace('"it"', '"two"') + "[when]\nall = ['two']\nnone = ['it']\n",
        "act[1]: [when] says that it finds nothing where this is done",
    ),
    # act
    (HEAD + DETECT + VERIFY, "act: a pack has 1 to 32 sections [[act]]"),
    (SMALL.replace("quarantine =", "obliterate ="), "act[1]: the section has no verb"),
    (SMALL.replace("quarantine =", "obliterate ="), "act[1].obliterate: unknown key"),
    (SMALL.replace(ACT, "[[act]]\n"), "act[1]: the section has no verb that is known"),
    (SMALL.replace(ACT, ACT + 'delete = "it"\n'), "act[1]: the section has 2 at once"),
    (SMALL.replace(ACT, ACT + "force = true\n"), "act[1].force: unknown key"),
    (
        SMALL.replace(ACT, '[[act]]\nquarantine = "that"\n'),
        "act[1]: there is no section [[detect]]",
    ),
    (SMALL.replace(ACT, ACT + ACT), "act[2]: act[1] is about the same"),
    (SMALL.replace(ACT, ACT + SET + SET), "act[3]: act[2] is about the same"),
    (
        SMALL.replace(ACT, f'[[act]]\nreplace = "it"\nwith = "..\\\\x.sys"\nsha256 = "{HASH}"\n'),
        "act[1].with: it must be the plain name",
    ),
    (SMALL.replace(ACT, '[[act]]\nreplace = "it"\nwith = "x.sys"\n'), "act[1].sha256: it is missi"),
    (
        SMALL.replace(
            ACT,
            f'[[act]]\nreplace = "it"\nwith = "x.sys"\nsha256 = "{HASH}"\nurl = "http://x.org/x"\n',
        ),
        "act[1].url: it must be an https address",
    ),
    (SMALL.replace(ACT, SET.replace("dword", "link")), "act[1].type: it must be one of dword"),
    (SMALL.replace(ACT, SET.replace("data = 1", "data = '1'")), "act[1].data: of dword it must be"),
    (SMALL.replace(ACT, SET.replace("data = 1", "data = true")), "act[1].data: of dword it must"),
    (SMALL.replace(ACT, SET.replace("data = 1", f"data = {1 << 32}")), "act[1].data: of dword"),
    (SMALL.replace(ACT, SET.replace("data = 1", "")), "act[1].data: of dword it must be"),
    (
        SMALL.replace(ACT, SET.replace("dword", "multi_sz").replace("data = 1", "data = ['']")),
        "act[1].data: of multi_sz it must be",
    ),
    (
        SMALL.replace(ACT, SET.replace("dword", "sz").replace("data = 1", f"data = '{'x' * 600}'")),
        "act[1].data: of sz it must be",
    ),
    (
        SMALL.replace(ACT, SET.replace("SOFTWARE\\Acme", "SAM\\SAM")),
        "act[1].key: it begins with ne",
    ),
    (SMALL.replace(ACT, SET.replace("'HKLM\\SOFTWARE\\Acme'", "1")), "act[1].key: it must be text"),
    (SMALL.replace(ACT, SET + "create = 1\n"), "act[1].create: it must be true or false"),
    # verify
    (HEAD + DETECT + ACT, "verify: a pack has 1 to 32 sections [[verify]]"),
    (HEAD + DETECT + ACT + "[[verify]]\n", "verify[1]: the section has no check that is known"),
    (SMALL.replace('gone = "it"', 'gone = "that"'), "verify[1]: there is no section [[detect]]"),
    (
        SMALL.replace("file = 'ProgramData\\Acme\\bad*.bin'", 'service = "acme"'),
        "verify[1]: what it finds cannot be meant here",
    ),
    (
        SMALL + "[[verify]]\nkey = 'SYSTEM\\Select'\nvalue = 'x'\nabsent = true\ntype = 'dword'\n",
        "verify[2].absent: a value that is absent has neither type nor data",
    ),
    (SMALL + "[[verify]]\nvalue = 'x'\nabsent = true\n", "verify[2].key: it is missing"),
    (SMALL + "[[verify]]\nkey = 'SYSTEM\\Select'\nvalue = 'x'\n", "verify[2].type: it must be one"),
]


@pytest.mark.parametrize(
    ("text", "mistake"), MISTAKES, ids=[f"{n}: {m[:40]}" for n, (_, m) in enumerate(MISTAKES)]
)
def test_each_mistake_is_one_sentence(text: str, mistake: str) -> None:
    with pytest.raises(packs.SchemaError) as caught:
        packs.check(text.encode())
    assert any(mistake in each for each in caught.value.mistakes), caught.value.mistakes
    for each in caught.value.mistakes:
        assert each.isprintable()
        assert len(each) < 300
        assert re.match(r"[a-z0-9.\[\]-]+: ", each), each


def test_the_small_pack_is_one() -> None:
    """Or the table above would prove nothing."""
    assert packs.check(SMALL.encode()).id == "acme"
    assert packs.check(SMALL.replace(ACT, SET).encode()).acts


def test_all_mistakes_are_told_at_once() -> None:
    text = SMALL.replace('title = "Acme"', "").replace("quarantine =", "burn =") + "[only]\n"
    with pytest.raises(packs.SchemaError) as caught:
        packs.check(text.encode())
    told = caught.value.mistakes
    assert [each.split(":")[0] for each in told] == ["title", "only", "act[1]", "act[1].burn"]
    assert "4 mistakes" in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"\xff\xfe", "0x0: it is not UTF-8", id="encoding"),
        pytest.param(b"a = 1\nb = \n", "it is not TOML: .*line 2", id="no TOML"),
        pytest.param(b"a = 1\na = 2\n", "it is not TOML", id="a key twice"),
        pytest.param(b"#" * 70_000, "it is larger than 64 KiB", id="size"),
        pytest.param(b"a" + b".a" * 1100 + b" = 1", "a line is longer than 2048", id="line"),
        pytest.param(b"a = " + b"[\n" * 9000, "it is nested too deeply", id="nesting"),
        pytest.param(b"a = " + b"1" * 2000 + b"\n" + b"b = " + b"[" * 2, "not TOML", id="digits"),
        pytest.param(b"\0", "it is not TOML", id="null"),
    ],
)
def test_what_is_no_toml(content: bytes, problem: str) -> None:
    with pytest.raises(FormatError, match=problem) as caught:
        packs.check(content)
    assert caught.value.exit_code == 10
    assert str(caught.value).isprintable()


def test_the_place_of_a_mistake_in_the_bytes() -> None:
    with pytest.raises(FormatError) as caught:
        packs.check("# ä\nb = 1\nc = !\n".encode())
    assert caught.value.offset == len("# ä\nb = 1\nc = ".encode())
