"""What speaks against a candidate. Every reason is collected, not only the first.

Three kinds of clauses. A refusal: Windows would not load the file, or it is not the driver that is
looked for, or nobody vouches for it. A risk: it may well load, and a person should decide. A note:
what is worth knowing. Not asked: MajorOperatingSystemVersion (see formats.pe_target), and whether a
device of this machine is one that the driver knows.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from recoverykit.errors import FormatError
from recoverykit.evidence.reading import plain
from recoverykit.replacement import image
from recoverykit.replacement.candidate import Want
from recoverykit.replacement.image import Image
from recoverykit.replacement.target import Culprit, Target
from recoverykit.vouching import Judge
from signing.kernel import Kind

_STRANGERS = (Kind.SELF_SIGNED, Kind.UNTRUSTED, Kind.PUBLISHER, Kind.TEST_SIGNED)
_WINDOWS_8 = (6, 2)
_SHARED_BUILDS = (6, 0), (6, 1)  # service packs there left many drivers as they were
_SHOWN_IMPORTS = 3
_LEGAL_FORMS = frozenset(
    {
        *("ab", "ag", "as", "bv", "co", "company", "corp", "corporation", "gmbh", "inc"),
        *("incorporated", "kg", "limited", "llc", "ltd", "nv", "oy", "plc", "pty", "sa", "srl"),
    }
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked beyond what the target asks by itself."""

    want: Want
    judge: Judge  # of its signature, for the kernel of the target
    boot: bool = True  # it takes the place of a boot-start driver, or may


@dataclass(frozen=True, slots=True)
class Judgement:
    image: Image | None  # None: it is no executable
    refusals: tuple[str, ...]
    risks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def judge(
    target: Target, content: bytes, sha256: str, rules: Rules, component: str = ""
) -> Judgement:
    """`component`: version of the component that the file belongs to, "" outside of WinSxS."""
    same = _same_bytes(target.culprit, sha256)
    if kept := image.servicing(content):
        return Judgement(None, (*same, kept))
    try:
        found = image.read(content)
    except FormatError as exc:
        return Judgement(None, (*same, f"it is no driver: {exc.problem}"))
    refusals = (
        *same,
        *_form(target, found),
        *_build_refusals(target, found, component),
        *_imports(target, found),
        *_product(target.culprit, found),
        *_age(target.culprit, found, rules.want),
        *_signature(target, found, content, rules),
    )
    risks = (
        *_build_risks(target, found, component),
        *_same_version(target.culprit, found),
        *_unknowns(target, found),
    )
    return Judgement(found, refusals, risks, tuple(_notes(target, found, rules)))


def _signature(target: Target, found: Image, content: bytes, rules: Rules) -> Iterator[str]:
    """Of a file for other machines that is said already."""
    if found.machine == target.machine and (reason := acceptable(content, rules)):
        yield reason


def acceptable(content: bytes, rules: Rules) -> str:
    """Why a file's signature is not good enough, as a clause; "" where it is.

    Good enough is what the target's kernel loads and what no clock can take back, and what a person
    vouches for with a certificate. A driver that Windows refuses is worse than the one it replaces.
    """
    report = rules.judge.report(io.BytesIO(content))
    reason = report.why_no_replacement(boot=rules.boot)
    if not reason:
        return ""
    if report.kind in (Kind.TAMPERED, Kind.UNREADABLE) or report.denied or report.advised:
        return f"its signature is not good: {plain(reason)}"
    hint = "; name the certificate you trust with --trust" if report.kind in _STRANGERS else ""
    return f"its signature is not good enough: {plain(reason)}{hint}"


# --- the file by itself -------------------------------------------------------------------


def _same_bytes(culprit: Culprit | None, sha256: str) -> Iterator[str]:
    if culprit is not None and culprit.sha256 == sha256:
        yield "it is the faulty file itself, byte for byte"


def _form(target: Target, found: Image) -> Iterator[str]:
    if not target.machine:
        yield "for which kind of machine this Windows is cannot be told"
    elif found.machine != target.machine:
        yield f"it is made for {found.machine} machines, this Windows is {target.machine}"
    if found.subsystem != image.NATIVE:
        yield "it is a program, not a driver (its subsystem is not native)"
    if found.damage:
        yield found.damage
    if target.windows is None:
        yield "which version of Windows this is cannot be told"
    elif found.needs > target.windows:
        yield f"it asks for Windows {_dotted(found.needs)}, this is {_dotted(target.windows)}"


# --- against this Windows -----------------------------------------------------------------


def _builds(found: Image, component: str) -> list[tuple[int, ...]]:
    """The versions of Windows that a file of Windows names: its own, and its component's."""
    own = image.numbers(found.version.version)
    is_windows = found.version.company.lower().startswith("microsoft") and own[:1] in ((6,), (10,))
    known = (own if is_windows else (), image.numbers(component))
    return [version for version in known if version]


def _build_refusals(target: Target, found: Image, component: str) -> Iterator[str]:
    newer = [made for made in _builds(found, component) if made[:3] > target.kernel[:3]]
    if target.kernel and newer:
        yield (
            f"it belongs to Windows {_dotted(max(newer)[:3])}, newer than the kernel here "
            f"({_dotted(target.kernel)})"
        )


def _build_risks(target: Target, found: Image, component: str) -> Iterator[str]:
    builds = _builds(found, component)
    if not target.kernel or not builds:
        return
    oldest, newest = min(builds), max(builds)
    if oldest[:3] < target.kernel[:3] and not _shares(oldest, target.kernel):
        yield (
            f"it comes from Windows {_dotted(oldest[:3])}, and the kernel here is "
            f"{_dotted(target.kernel)}: drivers of Windows are made for the kernel they come with"
        )
    elif newest[:3] == target.kernel[:3] and newest > target.kernel:
        yield (
            f"it is newer ({_dotted(newest)}) than the kernel here ({_dotted(target.kernel)}): "
            "an update that was not finished may have left it"
        )


def _shares(made: tuple[int, ...], kernel: tuple[int, ...]) -> bool:
    return made[:2] == kernel[:2] and kernel[:2] in _SHARED_BUILDS


def _imports(target: Target, found: Image) -> Iterator[str]:
    if found.imports is None:
        yield "its table of imports cannot be read"
    elif missing := target.modules.unresolved(target.path, found.machine, found.imports):
        shown = ", ".join(plain(name, 80) for name in missing[:_SHOWN_IMPORTS])
        more = f" and {len(missing) - _SHOWN_IMPORTS} more" if len(missing) > _SHOWN_IMPORTS else ""
        yield f"it needs what no file of this Windows offers: {shown}{more}"


def _unknowns(target: Target, found: Image) -> Iterator[str]:
    if not target.kernel:
        yield (
            "the kernel of this Windows cannot be read, so neither builds nor imports were compared"
        )
    if not found.has_checksum and (target.windows or _WINDOWS_8) < _WINDOWS_8:
        yield "its header has no checksum, and this version of Windows may refuse it for that"


# --- against the faulty file --------------------------------------------------------------


def _product(culprit: Culprit | None, found: Image) -> Iterator[str]:
    """A file of the same name may be another product's; a damaged one does not say whose it is."""
    if culprit is None or found.damage:
        return
    for what in ("company", "product", "original_name", "internal_name"):
        there, here = getattr(culprit.version, what), getattr(found.version, what)
        if there and _words(there) != _words(here):
            called = what.replace("_", " ")
            shown = f"'{plain(here, 60)}'" if here else "none"
            yield f"it is another product: its {called} is {shown}, not '{plain(there, 60)}'"


def _words(text: str) -> list[str]:
    """What stays of a name without its legal form, versions and marks."""
    words = re.findall(r"[^\W\d_]+", text.casefold().removesuffix(".sys"))
    kept = [word for word in words if word not in _LEGAL_FORMS]
    return kept or [text.casefold().strip()]


def _age(culprit: Culprit | None, found: Image, want: Want) -> Iterator[str]:
    if want is Want.ANY:
        return
    order = None if culprit is None else _compared(found, culprit)
    if order is None:
        yield f"whether it is {want} than the faulty file cannot be told"
    elif (order < 0) is not (want is Want.OLDER) or order == 0:
        is_now = (
            "the same version as" if order == 0 else "older than" if order < 0 else "newer than"
        )
        yield f"it is {is_now} the faulty file, and {want} was asked for"


def _same_version(culprit: Culprit | None, found: Image) -> Iterator[str]:
    version = image.numbers(found.version.version)
    if culprit and culprit.whole and version == image.numbers(culprit.version.version) != ():
        yield (
            f"it is the faulty file's own version ({_dotted(version)}), and that file is not "
            "damaged: another copy may well fail as it does"
        )


def _compared(found: Image, culprit: Culprit) -> int | None:
    """Below 0: older than the culprit. By version; by the time they were built where that is the
    same; None where neither tells."""
    here, there = image.numbers(found.version.version), image.numbers(culprit.version.version)
    if here and there and here != there:
        return -1 if here < there else 1
    if found.built is not None and culprit.built is not None:
        return (found.built > culprit.built) - (found.built < culprit.built)
    return 0 if here and there else None


# --- worth knowing ------------------------------------------------------------------------


def _notes(target: Target, found: Image, rules: Rules) -> Iterator[str]:
    culprit = target.culprit
    if not rules.judge.lists.enforced and not rules.judge.lists.heeded:
        yield "no block list of vulnerable drivers was at hand"
    if culprit is not None and culprit.unread:
        yield f"the faulty file cannot be read, so nothing was compared with it: {culprit.unread}"
    elif culprit is not None and not culprit.version.company:
        yield "the faulty file does not say whose it is, so the product was not compared"
    name = found.version.original_name
    if culprit is None and name and name.casefold() != target.name:
        yield f"its original name is '{plain(name, 60)}'"
    if not found.imports and found.imports is not None:
        yield "it imports nothing, which no ordinary driver does"


def _dotted(version: Sequence[int]) -> str:
    return ".".join(str(number) for number in version)
