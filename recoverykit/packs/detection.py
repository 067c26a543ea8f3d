"""Does a pack apply to this Windows? Every condition is looked at, and what was seen is told.

Three answers: yes, no, and that it cannot be told, because something could not be read or more
was found than the pack foresaw. Reads only. Services and packages come from the evidence, files and
registry values from the disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from recoverykit import installs
from recoverykit.errors import FormatError, RecoveryKitError, why
from recoverykit.formats.hive import Hive, fold
from recoverykit.model import (
    DriverPackage,
    Evidence,
    RegistryData,
    Service,
    Source,
    StartType,
    WindowsInstall,
)
from recoverykit.packs import keys, patterns, search
from recoverykit.packs.examiner import Examiner, numbers
from recoverykit.packs.pack import (
    ANY,
    Condition,
    DriverCondition,
    FileCondition,
    FileTest,
    Only,
    Pack,
    PackageCondition,
    Span,
    ValueCondition,
    When,
)

_MOST_NAMED = 5  # in one sentence
_PROGRAM = 0x30  # SERVICE_WIN32: in a process of its own, or shared
_STARTS = tuple(StartType)  # in the order of their numbers, 0 to 4


@dataclass(frozen=True, slots=True)
class Seen:
    """What one condition came to."""

    condition: str
    holds: bool | None  # None: that cannot be told
    text: str  # one sentence
    sources: tuple[Source, ...] = ()
    paths: tuple[str, ...] = ()  # of files, relative to the volume
    services: tuple[Service, ...] = ()


@dataclass(frozen=True, slots=True)
class Detection:
    """Whether a pack applies to an installation."""

    pack: str
    applies: bool | None
    text: str  # one sentence
    seen: tuple[Seen, ...] = ()

    def of(self, condition: str) -> Seen:
        return next(item for item in self.seen if item.condition == condition)


def detect(pack: Pack, install: WindowsInstall, evidence: Sequence[Evidence]) -> Detection:
    """Never raises for what is on the disk: what cannot be read is an answer of its own."""
    meant, reason = _is_for(pack.only, install)
    if meant is not True:
        text = f"{reason}; the pack is for others." if meant is False else f"{reason}."
        return Detection(pack.id, meant, text)
    looking = _Looking(install, evidence)
    seen = tuple(looking.at(condition) for condition in pack.conditions)
    applies = _combined(pack.when, {item.condition: item.holds for item in seen})
    return Detection(pack.id, applies, _summary(applies, seen), seen)


def _summary(applies: bool | None, seen: tuple[Seen, ...]) -> str:
    if applies is None:
        unknown = [item.text for item in seen if item.holds is None]
        return f"Whether it applies here cannot be told: {' '.join(unknown)}"
    return "It applies here." if applies else "It does not apply here."


# --- which Windows ------------------------------------------------------------------------


def _is_for(only: Only, install: WindowsInstall) -> tuple[bool | None, str]:
    answers = (_build(only.build, install), _architecture(only, install), _product(only, install))
    for wanted in (False, None):
        for holds, text in answers:
            if holds is wanted:
                return holds, text
    return True, ""


def _build(span: Span, install: WindowsInstall) -> tuple[bool | None, str]:
    if span == ANY:
        return True, ""
    build = numbers(install.build)
    if build is None:
        return None, "Which build of Windows this is cannot be read"
    return span.holds(build), f"This is build {install.build}"


def _architecture(only: Only, install: WindowsInstall) -> tuple[bool | None, str]:
    if not only.architectures:
        return True, ""
    if not install.architecture:
        return None, "Which kind of processor this Windows is for cannot be read"
    return install.architecture in only.architectures, f"This is Windows for {install.architecture}"


def _product(only: Only, install: WindowsInstall) -> tuple[bool | None, str]:
    if not only.product:
        return True, ""
    if not install.product:
        return None, "Which edition of Windows this is cannot be read"
    return patterns.fits(install.product, only.product), f"This is {install.product}"


# --- conditions ---------------------------------------------------------------------------


def _combined(when: When, holds: dict[str, bool | None]) -> bool | None:
    parts = [*(holds[name] for name in when.all), *(_not(holds[name]) for name in when.none)]
    if when.any:
        parts.append(_not(_every(_not(holds[name]) for name in when.any)))
    return _every(parts)


def _every(parts: Iterable[bool | None]) -> bool | None:
    known = list(parts)
    if False in known:
        return False
    return None if None in known else True


def _not(holds: bool | None) -> bool | None:
    return None if holds is None else not holds


class _Looking:
    """Looks for what conditions name."""

    def __init__(self, install: WindowsInstall, evidence: Sequence[Evidence]) -> None:
        self._install = install
        self._services = [item for item in evidence if isinstance(item, Service)]
        self._packages = [item for item in evidence if isinstance(item, DriverPackage)]
        self._examiner = Examiner(install)
        self._hives: dict[str, Hive] = {}

    def at(self, condition: Condition) -> Seen:
        try:
            return self._at(condition)
        except (OSError, RecoveryKitError) as exc:
            return Seen(condition.name, None, f"{condition.name}: {why(exc)}.")

    def _at(self, condition: Condition) -> Seen:
        if isinstance(condition, FileCondition):
            return self._files(condition)
        if isinstance(condition, DriverCondition):
            return self._drivers(condition)
        if isinstance(condition, PackageCondition):
            return self._package(condition)
        return self._value(condition)

    def _files(self, condition: FileCondition) -> Seen:
        passed: list[str] = []
        for path in search.find(self._install, condition.pattern):
            if self._examiner.passes(path, condition.test):
                passed.append(path)
            if len(passed) > condition.most:
                text = (
                    f"{condition.name}: more than {condition.most} files fit "
                    f"{condition.pattern.text}, which the pack does not foresee."
                )
                return Seen(condition.name, None, text, _sources(passed))
        return Seen(
            condition.name,
            bool(passed),
            f"{condition.name}: {_named(passed)} fit{'s' if len(passed) == 1 else ''} "
            f"{condition.pattern.text}.",
            _sources(passed),
            tuple(passed),
        )

    def _drivers(self, condition: DriverCondition) -> Seen:
        self._require_services()
        wanted = condition.driver or condition.service
        found = [item for item in self._services if _is_meant(condition, item)]
        if not found and condition.service:
            return self._program(condition)
        started = [item for item in found if item.start in condition.starts]
        passed = [item for item in started if self._file_passes(item, condition.test)]
        names = ", ".join(f"{item.name} ({item.start.value})" for item in passed or found)
        if passed:
            text = f"{wanted} is loaded by {names}"
        elif found:
            text = f"{wanted} is there, but is not what is looked for ({names})"
        else:
            text = f"no driver service of this Windows is {wanted}"
        paths = dict.fromkeys(item.path for item in passed if item.path is not None)
        return Seen(
            condition.name,
            bool(passed),
            f"{condition.name}: {text}.",
            tuple(item.source for item in passed or found),
            tuple(paths),
            tuple(passed),
        )

    def _program(self, condition: DriverCondition) -> Seen:
        """A service that is no driver: its Start is all that is looked at."""
        name, shown = condition.name, condition.service
        key = f"{self._install.control_set_key}\\Services\\{shown}"
        found = self._hive(self._install.system_hive).find(key)
        values = found.values_of("Type", "Start") if found is not None else (None, None)
        kind, start = (None if value is None else value.dword for value in values)
        if kind is None or start is None or not kind & _PROGRAM or start >= len(_STARTS):
            return Seen(name, holds=False, text=f"{name}: there is no service {shown}.")
        if condition.test != FileTest():
            text = f"{name}: {shown} is a program; what is asked of its file is not looked at."
            return Seen(name, None, text)
        source = (Source(self._install.system_hive, key=key),)
        holds = _STARTS[start] in condition.starts
        return Seen(name, holds, f"{name}: {shown} starts: {_STARTS[start].value}.", source)

    def _file_passes(self, service: Service, test: FileTest) -> bool:
        """A file that is missing passes no test that asks for something."""
        if service.path is None:
            return test == FileTest()
        return self._examiner.passes(service.path, test)

    def _require_services(self) -> None:
        if self._install.control_set == installs.NO_CONTROL_SET:
            raise FormatError("SYSTEM hive", 0, "it cannot be read, so no service is known")

    def _package(self, condition: PackageCondition) -> Seen:
        found = [item for item in self._packages if _is_package(condition, item)]
        shown = ", ".join(f"{item.published or item.original} {item.version}" for item in found)
        text = f"{condition.original} is installed ({shown})" if found else "no such package"
        sources = tuple(item.source for item in found)
        return Seen(condition.name, bool(found), f"{condition.name}: {text}.", sources)

    def _value(self, condition: ValueCondition) -> Seen:
        hive, key = keys.located(condition.key, self._install)
        data = value_of(self._hive(hive), key, condition.value)
        shown = f"{condition.value or '(default)'} of {condition.key.text}"
        holds = data is not None and condition.data in (None, data)
        text = "is not there" if data is None else "is that" if holds else "is another"
        source = Source(hive, key=key)
        return Seen(condition.name, holds, f"{condition.name}: {shown} {text}.", (source,))

    def _hive(self, path: str) -> Hive:
        if fold(path) not in self._hives:
            self._hives[fold(path)] = installs.read_hive(self._install, path)[0]
        return self._hives[fold(path)]


def value_of(hive: Hive, key: str, name: str) -> RegistryData | None:
    """What a value holds; None where it, or its key, is not there. Raises FormatError."""
    found = hive.find(key)
    value = found.value(name) if found is not None else None
    return None if value is None else RegistryData(value.type, bytes(value.data))


def _is_meant(condition: DriverCondition, service: Service) -> bool:
    if condition.driver:
        return fold(service.driver) == fold(condition.driver)
    return fold(service.name) == fold(condition.service)


def _is_package(condition: PackageCondition, package: DriverPackage) -> bool:
    if fold(package.original) != fold(condition.original):
        return False
    if condition.provider and fold(package.provider) != fold(condition.provider):
        return False
    version = numbers(package.version)
    return condition.version == ANY or (version is not None and condition.version.holds(version))


def _sources(paths: Iterable[str]) -> tuple[Source, ...]:
    return tuple(Source(path) for path in paths)


def _named(paths: list[str]) -> str:
    if not paths:
        return "nothing"
    more = f" and {len(paths) - _MOST_NAMED} more" if len(paths) > _MOST_NAMED else ""
    return ", ".join(paths[:_MOST_NAMED]) + more
