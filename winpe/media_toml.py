"""media.toml: from its text to a `Media`, or to all its mistakes at once.

What it names must be there, and be what it is taken for: those who will use it are asked here.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from winpe import block_lists, media, packs, settings, toml_lines
from winpe.errors import MediaUsageError
from winpe.media import OUTPUTS, Base, Carry, ExtraFile, Media, Output, SecureBoot, Wifi
from winpe.media_fields import Document, Mistake, Table, choice

LARGEST = 256 << 10  # bytes of a recipe
LOGO_LINES, LOGO_WIDTH = 12, 72
ARCHITECTURES = ("x64", "arm64")
_LARGEST_BUDGET = 1 << 40
_UNITS = {"MB": 10**6, "MiB": 1 << 20, "GB": 10**9, "GiB": 1 << 30}
_SIZE = re.compile(r"(\d{1,6}) ?(MB|MiB|GB|GiB)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_WORD = re.compile(r"[A-Za-z0-9_.,:=/@%+-]+")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|\d{3}))?")
_KEYBOARD = re.compile(r"[a-z][a-z0-9-]{1,15}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_AT = re.compile(r"\(at (?:line (\d+), column (\d+)|end of document)\)$")
_OUR_WORDS = ("rk.mode", "rk.end", "rk.ntfs_log", "rk.image", "rk.keymap")


class RecipeError(MediaUsageError):
    """A recipe has mistakes; the message lists them all with their lines."""

    code = "recipe"

    def __init__(self, path: Path, mistakes: list[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes))
        rows = "".join(f"\n  {said(path, mistake)}" for mistake in self.mistakes)
        count = len(self.mistakes)
        super().__init__(
            f"{path} has {count} {'mistake' if count == 1 else 'mistakes'}:{rows}",
            hint="docs/recipe.md says what each key means; build_media.py recipe new makes a start",
        )


def said(path: Path, mistake: Mistake) -> str:
    """`media.toml:12: outputs: it must be ...`, as compilers say it."""
    where = f"{path.name}:{mistake.line}" if mistake.line else path.name
    return ": ".join(part for part in (where, mistake.key, mistake.problem) if part)


def load(path: Path) -> Media:
    """The recipe in that file. Raises RecipeError, MediaUsageError where it cannot be read."""
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as exc:
        raise MediaUsageError(
            f"{path} cannot be read: {exc.strerror or exc}",
            hint="build_media.py recipe new media.toml makes one",
        ) from exc
    return parse(content, path)


def parse(content: bytes, path: Path) -> Media:
    """Raises RecipeError."""
    document = _document(content, path)
    made = _media(document.top())
    if document.mistakes:
        raise RecipeError(path, document.mistakes)
    return made


def _document(content: bytes, path: Path) -> Document:
    if len(content) > LARGEST:
        raise RecipeError(path, [Mistake(0, "", f"it is larger than {LARGEST:,} bytes")])
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
        data = tomllib.loads(text)
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise RecipeError(path, [Mistake(line, "", "it must be text in UTF-8")]) from exc
    except tomllib.TOMLDecodeError as exc:
        raise RecipeError(path, [_syntax(str(exc), text)]) from exc
    except RecursionError as exc:
        raise RecipeError(path, [Mistake(0, "", "its brackets are nested too deeply")]) from exc
    return Document(data, toml_lines.lines(text), path.absolute().parent)


def _syntax(problem: str, text: str) -> Mistake:
    found = _AT.search(problem)
    line = int(found[1]) if found and found[1] else text.count("\n") + 1
    column = f", column {found[2]}" if found and found[2] else ""
    return Mistake(line, "", f"this is no TOML: {_AT.sub('', problem).strip()}{column}")


def _media(top: Table) -> Media:
    base = Base(top.word("base", [*Base], Base.LINUX))
    made = Media(
        name=top.parsed("name", _matching(_NAME, "a file's name without its ending"), "recovery"),
        base=base,
        architecture=top.word("architecture", ARCHITECTURES, "x64"),
        outputs=_outputs(top, base),
        secure_boot=SecureBoot(top.word("secure_boot", [*SecureBoot], SecureBoot.STOCK)),
        release=top.word("compression", ("fast", "best"), "fast") == "best",
        size_budget=top.parsed("size_budget", _size, 0),
        kernel_arguments=_kernel_arguments(top),
        organisation=_organisation(top.table("organisation")),
        locale=_locale(top.table("locale"), base),
        unattended=_unattended(top.table("unattended")),
        carry=_carry(top.table("carry"), base),
        network=_network(top.table("network")),
        windows=_windows(top.table("winpe"), base),
    )
    _together(top, made)
    _not_yet(top, made)
    top.close()
    return made


def _outputs(top: Table, base: Base) -> tuple[Output, ...]:
    allowed = OUTPUTS[base]
    words = top.texts("outputs") or ("iso",)
    for word in words:
        if word not in allowed:
            top.wrong("outputs", f"the {base} base makes {choice(allowed)}, not {word!r}")
    return tuple(dict.fromkeys(Output(word) for word in words if word in allowed))


def _kernel_arguments(top: Table) -> tuple[str, ...]:
    words = top.texts("kernel_arguments")
    for word in words:
        if not _WORD.fullmatch(word):
            top.wrong("kernel_arguments", f"{word!r} holds a character that boot loaders interpret")
        elif word.partition("=")[0] in _OUR_WORDS:
            top.wrong("kernel_arguments", f"{word!r}: the recipe has a key of its own for this")
    return words


def _organisation(table: Table) -> media.Organisation:
    lines = table.rows("logo")
    if len(lines) > LOGO_LINES or any(len(line) > LOGO_WIDTH for line in lines):
        table.wrong("logo", f"it must have at most {LOGO_LINES} lines of {LOGO_WIDTH} characters")
    if not all(line.isascii() and (line.isprintable() or not line) for line in lines):
        # The boot consoles show what their font has; ASCII is what all of them have.
        table.wrong("logo", "it must be plain ASCII text")
    made = media.Organisation(table.text("name", most=64), table.text("contact", most=72), lines)
    table.close()
    return made


def _locale(table: Table, base: Base) -> media.Locale:
    keyboard = table.parsed("keyboard", _matching(_KEYBOARD, 'a layout such as "de"'), "us")
    language = table.parsed("language", _matching(_LANGUAGE, 'a tag such as "de-DE"'), "en-US")
    if base is Base.LINUX and not language.startswith("en"):
        table.wrong("language", "the Linux base speaks English only; the WinPE flavour has others")
    table.close()
    return media.Locale(keyboard, language)


def _unattended(table: Table) -> media.Unattended:
    made = media.Unattended(
        mode=table.word("mode", ("ask", "repair", "diagnose"), "ask"),
        end=_optional(table, "end", ("reboot", "poweroff")),
        ntfs_log=_optional(table, "ntfs_log", ("replay", "refuse")),
    )
    table.close()
    return made


def _optional(table: Table, key: str, words: tuple[str, ...]) -> str:
    return table.word(key, words, words[0]) if table.has(key) else table.text(key)


def _carry(table: Table, base: Base) -> Carry:
    made = Carry(
        packs=table.paths("packs", packs.check),
        block_lists=table.paths("block_lists", block_lists.check),
        replacements=table.paths("replacements"),
        trust=table.paths("trust", settings.certificate),
        drivers=table.paths("drivers"),
        firmware=table.paths("firmware"),
        files=_files(table),
    )
    if made.drivers and base is Base.LINUX:
        table.wrong("drivers", "drivers of Windows do not run in the Linux base")
    if made.firmware and base is Base.WINPE:
        table.wrong("firmware", "vendor firmware is for the Linux base; drivers of Windows hold it")
    table.close()
    return made


def _files(table: Table) -> tuple[ExtraFile, ...]:
    found = []
    for entry in table.tables("files"):
        source = entry.path("from")
        name = entry.parsed("to", _relative, "")
        if not entry.has("from"):
            entry.wrong("", 'it lacks from = "the file"')
        if source is not None and not source.is_file():
            entry.wrong("from", f"{source} is not a file")
        elif source is not None:
            found.append(ExtraFile(source, name or source.name))
        entry.close()
    names = [each.name.casefold() for each in found]
    for name in sorted({name for name in names if names.count(name) > 1}):
        table.wrong("files", f"two files are called {name}")
    return tuple(found)


def _network(table: Table) -> media.Network:
    stations = table.texts("stations")
    for address in stations:
        if not _is_station(address):
            table.wrong("stations", f"{address!r} must be an https address without login or query")
    made = media.Network(stations, tuple(_wifi(entry) for entry in table.tables("wifi")))
    table.close()
    return made


def _is_station(address: str) -> bool:
    try:
        parts = urlsplit(address)
        plain = parts.username is None and not parts.query and not parts.fragment
        return parts.scheme == "https" and bool(parts.hostname) and plain and parts.port != 0
    except ValueError:
        return False


def _wifi(entry: Table) -> Wifi:
    ssid, passphrase = entry.text("ssid", most=32), entry.text("passphrase", most=64)
    if not entry.has("ssid"):
        entry.wrong("", 'it lacks ssid = "the name of the network"')
    # IEEE 802.11: an SSID has up to 32 bytes, a WPA passphrase 8 to 63 characters.
    if len(ssid.encode()) > 32:
        entry.wrong("ssid", "it must have at most 32 bytes")
    if entry.has("passphrase") and not 8 <= len(passphrase) <= 63:
        entry.wrong("passphrase", "it must have 8 to 63 characters")
    entry.close()
    return Wifi(ssid, passphrase)


def _windows(table: Table, base: Base) -> media.Windows:
    made = media.Windows(
        source=table.path("source"),
        python=table.path("python"),
        python_sha256=table.parsed("python_sha256", _matching(_SHA256, "64 digits"), ""),
        boot_manager=table.word("boot_manager", ("auto", "2011", "2023"), "auto"),
    )
    if base is Base.WINPE:
        for key, what in (("source", "your winpe.wim"), ("python", "CPython for Windows")):
            if not table.has(key):
                table.wrong(key, f"the WinPE flavour needs {what}")
    elif table.data:
        table.wrong("", 'it says nothing unless base = "winpe"')
    table.close()
    return made


def _together(top: Table, made: Media) -> None:
    """What is good by itself and makes no sense together."""
    if made.base is Base.WINPE:
        for key in ("secure_boot", "kernel_arguments"):
            if top.has(key):
                top.wrong(key, "it is for the Linux base; Windows' own boot manager starts WinPE")
    elif Output.UKI in made.outputs and made.secure_boot is not SecureBoot.ORGANISATION:
        top.wrong("outputs", 'a uki is signed with your keys: secure_boot = "organisation"')


def _not_yet(top: Table, made: Media) -> None:
    """What the format has and this version does not make: refused, never passed over."""
    for wanted, key, what in (
        (made.base is Base.WINPE, "base", "the WinPE flavour"),
        (made.secure_boot is SecureBoot.ORGANISATION, "secure_boot", "media for your own keys"),
        (made.carry.firmware, "carry", "media with vendor firmware"),
        (made.locale.keyboard != "us", "locale", "media with other keyboards than the US one"),
    ):
        if wanted:
            top.wrong(key, f"this version does not make {what} yet")


def _matching(form: re.Pattern[str], what: str) -> Callable[[str], str]:
    def parse_text(text: str) -> str:
        if not form.fullmatch(text):
            raise ValueError(what)
        return text

    return parse_text


def _size(text: str) -> int:
    found = _SIZE.fullmatch(text)
    size = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < size <= _LARGEST_BUDGET:
        raise ValueError('a size such as "64 MB"')
    return size


def _relative(text: str) -> str:
    path = PurePosixPath(text)
    parts = text.split("/")
    if path.is_absolute() or any(part in ("", ".", "..") for part in parts) or "\\" in text:
        raise ValueError('a relative path such as "docs/help.txt"')
    return text
