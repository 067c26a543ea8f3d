from __future__ import annotations

import json
import os
import random
import socket
import string
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from signing import manifest, tree
from signing.errors import SigningError, TamperedError
from signing.manifest import Entry, Manifest
from tests.conftest import need
from tests.signing.makers import refused

MADE = datetime(2026, 11, 22, 17, 30, 5, tzinfo=UTC)
HASH = sha256(b"x").hexdigest()
SMALL = Manifest(
    "rk-1", MADE, (Entry("a", 1, HASH), Entry("b/c", 1, HASH, link=True)), {"kernel": "6.12"}
)
GOOD = manifest.to_bytes(SMALL)


# --- one encoding -----------------------------------------------------------------------------


def test_the_bytes_are_promised() -> None:
    """Other tools read this: the encoding of version 1 never changes."""
    expected = (
        f'{{"entries":[{{"path":"a","sha256":"{HASH}","size":1}},'
        f'{{"link":true,"path":"b/c","sha256":"{HASH}","size":1}}],'
        '"facts":{"kernel":"6.12"},"format":"recoverykit.manifest/1",'
        '"image":"rk-1","made":"2026-11-22T17:30:05Z"}\n'
    )
    assert expected.encode() == GOOD


def test_round_trip() -> None:
    assert manifest.from_bytes(GOOD) == SMALL
    names = Manifest("rk", MADE, (Entry("f\u00fcr \u65e5\u672c.txt", 0, HASH),))
    assert manifest.from_bytes(manifest.to_bytes(names)) == names


def document(change: Callable[[dict[str, Any]], object]) -> bytes:
    fields = json.loads(GOOD)
    change(fields)
    text = json.dumps(fields, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode(errors="surrogatepass") + b"\n"


def entry(**changes: object) -> bytes:
    return document(lambda fields: fields["entries"][0].update(changes))


def facts(value: object) -> bytes:
    return document(lambda fields: fields.update(facts=value))


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "..",
        "../up",
        "a/../../up",
        ".",
        "./a",
        "a//b",
        "a/",
        "a\\b",
        "C:\\boot",
        "a\nb",
        "a\x00",
        "a\x1b[2J",
        "a\x7f",
        "a\x85",
        "a\u202e txt.exe",
        "a\u2028b",
        "\ud800",
        "x" * 5000,
        5,
        None,
        ["a"],
    ],
    ids=repr,
)
def test_paths_that_no_manifest_may_hold(path: object) -> None:
    assert not manifest.is_safe_path(path)
    with refused(SigningError):
        manifest.from_bytes(entry(path=path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(b"\xff\xfe{}", "not JSON", id="not UTF-8"),
        pytest.param(GOOD[:-30], "not JSON", id="cut off"),
        pytest.param(b"[" * 200_000, "not JSON", id="nested without end"),
        pytest.param(b"null\n", "exactly the fields", id="null"),
        pytest.param(b"[]\n", "exactly the fields", id="list"),
        pytest.param(GOOD[:-1], "canonical", id="no newline"),
        pytest.param(GOOD + b"\n", "canonical", id="two newlines"),
        pytest.param(b" " + GOOD, "canonical", id="space"),
        pytest.param(GOOD.replace(b'"a"', b'"\\u0061"'), "canonical", id="escaped letter"),
        pytest.param(
            GOOD.replace(b'"image":', b'"image":"evil","image":'), "canonical", id="key twice"
        ),
        pytest.param(entry(size=True), "number of bytes", id="size true"),
        pytest.param(entry(size=-1), "number of bytes", id="size negative"),
        pytest.param(entry(size=1.0), "number of bytes", id="size float"),
        pytest.param(entry(size=float("nan")), "number of bytes", id="size NaN"),
        pytest.param(entry(size="1"), "number of bytes", id="size text"),
        pytest.param(entry(size=1 << 70), "number of bytes", id="size huge"),
        pytest.param(
            GOOD.replace(b'"size":1', b'"size":' + b"9" * 9000, 1), "not JSON", id="size endless"
        ),
        pytest.param(entry(sha256=HASH.upper()), "SHA-256", id="hash upper case"),
        pytest.param(entry(sha256=HASH[:-1]), "SHA-256", id="hash short"),
        pytest.param(entry(sha256=HASH + "\n"), "SHA-256", id="hash newline"),
        pytest.param(entry(sha256=None), "SHA-256", id="hash null"),
        pytest.param(entry(link=False), "canonical", id="link false written"),
        pytest.param(entry(link="yes"), "neither link nor file", id="link text"),
        pytest.param(entry(mode=420), "exactly the fields", id="unknown field of an entry"),
        pytest.param(entry(path="b/c"), "twice or out of order", id="path twice"),
        pytest.param(entry(path="z"), "twice or out of order", id="out of order"),
        pytest.param(document(lambda d: d.update(entries=[])), "is empty", id="no entries"),
        pytest.param(document(lambda d: d.update(entries={})), "wrong type", id="entries object"),
        pytest.param(document(lambda d: d.update(entries=[7])), "exactly the", id="entry number"),
        pytest.param(document(lambda d: d.update(new=1)), "exactly the fields", id="new field"),
        pytest.param(document(lambda d: d.pop("made")), "exactly the fields", id="field missing"),
        pytest.param(document(lambda d: d.update(made=5)), "when it was made", id="made number"),
        pytest.param(document(lambda d: d.update(made="now")), "when it was", id="made word"),
        pytest.param(
            document(lambda d: d.update(made="2026-1-22T17:30:05Z")), "canonical", id="made short"
        ),
        pytest.param(document(lambda d: d.update(image="")), "image id", id="no image id"),
        pytest.param(document(lambda d: d.update(image="a b")), "image id", id="image id space"),
        pytest.param(document(lambda d: d.update(image=[])), "image id", id="image id list"),
        pytest.param(
            document(lambda d: d.update(format="recoverykit.manifest/2")), "format", id="format 2"
        ),
        pytest.param(document(lambda d: d.update(format={})), "format", id="format object"),
        pytest.param(facts([]), "wrong type", id="facts list"),
        pytest.param(facts({"a": 1}), "plain text", id="fact number"),
        pytest.param(facts({"a": "\x1b[2J"}), "plain text", id="fact escape"),
        pytest.param(facts({"": "a"}), "plain text", id="fact without name"),
        pytest.param(b" " * (manifest.LARGEST + 1), "over", id="too large"),
    ],
)
def test_not_a_manifest(content: bytes, words: str) -> None:
    with refused(SigningError, words):
        manifest.from_bytes(content)


def test_nothing_is_written_that_could_not_be_read() -> None:
    with refused(SigningError, "empty"):
        manifest.to_bytes(replace(SMALL, entries=()))
    with refused(SigningError, "out of order"):
        manifest.to_bytes(replace(SMALL, entries=SMALL.entries[::-1]))


def test_mutations_never_become_another_manifest() -> None:
    """Unsigned, a manifest may say anything; but only in its one encoding, or with one error."""
    rng = random.Random(20261122)
    letters = (string.printable + '{}[]",:\\').encode()
    valid = 0
    for _ in range(4_000):
        bad = bytearray(GOOD)
        for _ in range(rng.randrange(1, 4)):
            where = rng.randrange(len(bad))
            size = rng.randrange(3)
            new = bytes(rng.choices(letters, k=rng.randrange(3)))
            bad[where : where + size] = new if rng.random() < 0.9 else rng.randbytes(2)
        try:
            read = manifest.from_bytes(bytes(bad))
        except SigningError:
            continue
        assert manifest.to_bytes(read) == bytes(bad)
        valid += 1
    assert valid < 3_000


# --- a folder ---------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name, content in {
        "boot/grub.cfg": b"menu",
        "boot/vmlinuz": bytes(range(256)) * 9000,  # more than two blocks
        "boot-images": b"sorts before boot/: '-' is less than '/'",
        "empty": b"",
        "recoverykit/signing.crt": b"pem",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "link").symlink_to("boot/grub.cfg")
    (root / "dangling").symlink_to("../../nowhere")
    (root / "no files").mkdir()
    return root


def signed(root: Path) -> Manifest:
    return tree.manifest_of(root, "rk-1", MADE)


def test_every_file_and_link_is_listed_in_order(root: Path) -> None:
    entries = {entry.path: entry for entry in signed(root).entries}
    assert list(entries) == [
        "boot-images",
        "boot/grub.cfg",
        "boot/vmlinuz",
        "dangling",
        "empty",
        "link",
        "recoverykit/signing.crt",
    ]
    assert entries["boot/grub.cfg"] == Entry("boot/grub.cfg", 4, sha256(b"menu").hexdigest())
    assert entries["link"].sha256 == sha256(b"boot/grub.cfg").hexdigest()
    assert entries["link"].link


@need("sha256sum")
def test_the_hashes_are_what_sha256sum_says(root: Path) -> None:
    """The check by hand that docs/signing.md shows."""
    lines = [f"{e.sha256}  {e.path}" for e in signed(root).entries if not e.link]
    run = subprocess.run(
        ["sha256sum", "--check", "--quiet", "-"],
        input="\n".join(lines) + "\n",
        cwd=root,
        text=True,
        check=False,
    )
    assert run.returncode == 0


def test_the_same_folder_holds(root: Path) -> None:
    heard: list[tuple[int, int]] = []
    manifest.check(signed(root), tree.Tree(root), lambda *at: heard.append(at))
    total = sum(entry.size for entry in signed(root).entries)
    assert heard[-1] == (total, total)
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert len(heard) > 5  # the large file is told in more than one step


def add(root: Path) -> None:
    (root / "boot/extra.mod").write_bytes(b"")


def add_link(root: Path) -> None:
    (root / "boot/extra").symlink_to("/etc")


def remove(root: Path) -> None:
    (root / "empty").unlink()


def flip(root: Path) -> None:
    with (root / "boot/vmlinuz").open("r+b") as stream:
        stream.seek(2_000_001)
        stream.write(b"\xff")


def shorten(root: Path) -> None:
    os.truncate(root / "boot/grub.cfg", 3)


def lengthen(root: Path) -> None:
    os.truncate(root / "boot/vmlinuz", 9_000_000)


def turn_link(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("boot/vmlinuz")


def link_to_file(root: Path) -> None:
    """A file that reads just as the link did."""
    (root / "link").unlink()
    (root / "link").write_bytes(b"boot/grub.cfg")


def file_to_link(root: Path) -> None:
    (root / "boot/grub.cfg").rename(root.parent / "elsewhere")
    (root / "boot/grub.cfg").symlink_to("../../elsewhere")


def folder_to_link(root: Path) -> None:
    (root / "boot").rename(root.parent / "boot")
    (root / "boot").symlink_to("../boot")


def file_to_folder(root: Path) -> None:
    (root / "empty").unlink()
    (root / "empty").mkdir()


def pipe(root: Path) -> None:
    os.mkfifo(root / "boot/pipe")


def listener(root: Path) -> None:
    here = Path.cwd()
    os.chdir(root)  # a socket's path has 107 bytes at most
    try:
        socket.socket(socket.AF_UNIX).bind("listener")
    finally:
        os.chdir(here)


def two_changes(root: Path) -> None:
    (root / "recoverykit/signing.crt").write_bytes(b"PEM")
    (root / "boot/grub.cfg").write_bytes(b"MENU")


def undecodable(root: Path) -> None:
    Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe")).write_bytes(b"")


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        pytest.param(add, "boot/extra.mod", "not in the manifest", id="extra file"),
        pytest.param(add_link, "boot/extra", "not in the manifest", id="extra link"),
        pytest.param(remove, "empty", "is missing", id="missing"),
        pytest.param(flip, "boot/vmlinuz", "has changed", id="one byte"),
        pytest.param(shorten, "boot/grub.cfg", "has 3 bytes; 4 were signed", id="shorter"),
        pytest.param(lengthen, "boot/vmlinuz", "has more bytes; 2,304,000", id="longer"),
        pytest.param(turn_link, "link", "bytes", id="link elsewhere"),
        pytest.param(link_to_file, "link", "is a file, but a symbolic", id="link made a file"),
        pytest.param(file_to_link, "boot/grub.cfg", "is a symbolic link", id="file made a link"),
        pytest.param(folder_to_link, "boot", "not in the manifest", id="folder made a link"),
        pytest.param(file_to_folder, "empty", "is missing", id="file made a folder"),
        pytest.param(pipe, "boot/pipe", "neither a file nor", id="pipe"),
        pytest.param(listener, "listener", "neither a file nor", id="socket"),
        pytest.param(two_changes, "boot/grub.cfg", "has changed", id="the first of two"),
        pytest.param(undecodable, "\udcff\udcfe", "not in the manifest", id="name not UTF-8"),
    ],
)
def test_the_first_difference_is_named(
    root: Path, change: Callable[[Path], None], path: str, words: str
) -> None:
    expected = signed(root)
    change(root)
    with pytest.raises(TamperedError, match=words) as caught:
        manifest.check(expected, tree.Tree(root))
    assert caught.value.path == path
    assert str(caught.value).isprintable()


def test_what_is_skipped_is_not_read(root: Path) -> None:
    expected = tree.manifest_of(root, "rk-1", MADE, skip=("boot", "empty"))
    assert [entry.path for entry in expected.entries][:2] == ["boot-images", "dangling"]
    add(root)
    manifest.check(expected, tree.Tree(root, ("boot", "empty")))
    with refused(TamperedError, "boot/extra.mod"):
        manifest.check(expected, tree.Tree(root))


def test_a_folder_with_a_name_that_cannot_be_signed(root: Path) -> None:
    (root / "two\nlines").write_bytes(b"")
    with refused(SigningError, "not a safe relative path"):
        signed(root)


def test_an_empty_folder_is_not_signed(tmp_path: Path) -> None:
    with refused(SigningError, "vouches for nothing"):
        signed(tmp_path)


def test_a_folder_that_is_gone(root: Path) -> None:
    expected = signed(root)
    with refused(SigningError, "cannot be listed"):
        manifest.check(expected, tree.Tree(root.parent / "gone"))


class Failing:
    """A worn disk: names can be listed, contents not."""

    def names(self) -> Iterable[str]:
        return ["a"]

    def is_link(self, path: str) -> bool:
        return path == "link"

    def open(self, path: str) -> manifest.Stream:
        raise OSError(5, "Input/output error", path)


class Doubled(Failing):
    def names(self) -> Iterable[str]:
        return ["a", "b", "b"]


@pytest.mark.parametrize(
    ("files", "words"),
    [(Failing(), "a: cannot be read: Input/output error"), (Doubled(), "b: is there twice")],
    ids=["read error", "name twice"],
)
def test_worn_and_twisted_media(files: manifest.Files, words: str) -> None:
    expected = Manifest("rk", MADE, (Entry("a", 1, HASH), Entry("b", 1, HASH)))
    with refused(TamperedError, words):
        manifest.check(expected, files)
