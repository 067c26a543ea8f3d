"""Which Debian mirror this host uses, read from its own apt sources.

Both formats of sources.list(5): deb822 stanzas (*.sources) and one-line entries (*.list). The
media are always bookworm, whatever release the host runs, so an entry for any Debian suite will
do. No host name is written in this project: without such an entry --mirror must name one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from winpe.errors import MirrorError

_SUITES = (
    *("buster", "bullseye", "bookworm", "trixie", "forky", "duke", "sid"),
    *("oldoldstable", "oldstable", "stable", "testing", "unstable"),
)
_SUITE = re.compile(
    rf"(?:{'|'.join(_SUITES)})(?P<part>-updates|-backports|-security|/updates|-proposed-updates)?/?"
)
_SECURITY = ("-security", "/updates")
_ONE_LINE = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<uri>\S+)\s+(?P<rest>.+)")
_HINT = "name a Debian mirror with --mirror URL (and --security-mirror URL)"


@dataclass(frozen=True, slots=True)
class Entry:
    """One source of binary packages."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""


@dataclass(frozen=True, slots=True)
class Mirrors:
    """Where Debian's packages and its security updates come from."""

    main: str
    security: str


def choose(mirror: str = "", security: str = "", etc_apt: Path = Path("/etc/apt")) -> Mirrors:
    """The mirrors to use: those named, else those of the host. Raises MirrorError."""
    found = tuple(entries(etc_apt))
    main = mirror or _best(found, security=False)
    if not main:
        raise MirrorError(f"no Debian mirror in the apt sources of {etc_apt}", hint=_HINT)
    updates = security or ("" if mirror else _best(found, security=True)) or _beside(main)
    if not updates:
        hint = "name it with --security-mirror URL"
        raise MirrorError(f"no mirror of Debian's security updates beside {shown(main)}", hint=hint)
    return Mirrors(main.rstrip("/"), updates.rstrip("/"))


def shown(uri: str) -> str:
    """The address as it may be printed: without a name and password in it."""
    return re.sub(r"//[^/@]*@", "//", uri)


def entries(etc_apt: Path) -> Iterator[Entry]:
    """Every enabled binary source of the host, in the order apt reads them."""
    parts = etc_apt / "sources.list.d"
    for path in (etc_apt / "sources.list", *sorted(parts.glob("*.list"))):
        yield from one_line(_text(path))
    for path in (etc_apt / "debian.sources", *sorted(parts.glob("*.sources"))):
        yield from deb822(_text(path))


def one_line(text: str) -> Iterator[Entry]:
    """Entries of the form `deb [option=value] URI suite component...`."""
    for line in text.splitlines():
        if found := _ONE_LINE.fullmatch(line.partition("#")[0].strip()):
            suite, *components = found["rest"].split()
            options = dict(word.partition("=")[::2] for word in (found["options"] or "").split())
            yield Entry(found["uri"], suite, tuple(components), options.get("signed-by", ""))


def deb822(text: str) -> Iterator[Entry]:
    """Entries of stanzas with Types, URIs, Suites and Components."""
    kept = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n[ \t]*\n", kept):
        fields = _fields(stanza)
        enabled = fields.get("enabled", "yes").strip().lower() not in ("no", "false", "0", "off")
        if not enabled or "deb" not in fields.get("types", "").split():
            continue
        components = tuple(fields.get("components", "").split())
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Entry(uri, suite, components, fields.get("signed-by", "").strip())


def _fields(stanza: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line[:1] in (" ", "\t"):
            fields[name] = fields.get(name, "") + "\n" + line.strip()
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _best(found: Iterable[Entry], *, security: bool) -> str:
    """The entry most surely Debian's own: other vendors use its suite names too."""
    candidates: dict[str, int] = {}
    for entry in found:
        suite = _SUITE.fullmatch(entry.suite)
        if suite is None or "main" not in entry.components or entry.uri.startswith("cdrom:"):
            continue
        if (suite["part"] in _SECURITY) != security:
            continue
        marks = ("debian-archive" in entry.signed_by) + (suite["part"] == "-updates")
        marks += entry.uri.rstrip("/").endswith(("/debian", "/debian-security"))
        candidates[entry.uri] = max(candidates.get(entry.uri, 0), marks)
    return max(candidates, key=lambda uri: candidates[uri], default="")


def _beside(main: str) -> str:
    """Mirrors keep the security archive beside the main one."""
    bare = main.rstrip("/")
    return f"{bare}-security" if bare.endswith("/debian") else ""


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""  # absent, or not ours to read: another entry or --mirror must do
