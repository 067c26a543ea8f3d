"""The sections [[detect]] of a pack: what it looks for. Pure.

Each names one subject (a file, driver, service, package or registry value), which decides what else
it may say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from recoverykit.errors import UsageError
from recoverykit.model import StartType
from recoverykit.packs import keys, patterns
from recoverykit.packs.data import encoded
from recoverykit.packs.fields import Table
from recoverykit.packs.pack import (
    STARTED,
    Condition,
    DriverCondition,
    FileCondition,
    FileTest,
    PackageCondition,
    Span,
    ValueCondition,
)

MOST = 32  # conditions
MOST_FILES = 256  # one condition may find
_USUALLY = 16  # the same, where the pack does not say
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_DRIVER = re.compile(r"[^\\/:*?\"<>|%]{1,60}\.sys", re.IGNORECASE)
_INF = re.compile(r"[^\\/:*?\"<>|%]{1,60}\.inf", re.IGNORECASE)
_SERVICE = re.compile(r"[^\\/]{1,255}")

_Made = TypeVar("_Made")
Reader = Callable[[Table, str], _Made]


def conditions(top: Table) -> tuple[Condition, ...]:
    names: dict[str, int] = {}
    found: list[Condition] = []
    for number, table in enumerate(top.tables("detect", MOST), start=1):
        name = table.parsed("name", condition_name, required=True) or ""
        if name in names:
            table.wrong("name", f"detect[{names[name]}] has this name already")
        names.setdefault(name, number)
        made: Condition | None = chosen(table, _SUBJECTS, "subject", name)
        table.close()
        if made is not None:
            found.append(made)
    return tuple(found)


def condition_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise UsageError("it must be 1 to 40 small letters, digits, - and _")
    return text


def chosen(
    table: Table, kinds: Mapping[str, Reader[_Made]], what: str, name: str = ""
) -> _Made | None:
    """The one key that says what a section is about decides how the rest is read."""
    given = [key for key in kinds if table.has(key)]
    if len(given) == 1:
        return kinds[given[0]](table, name)
    for key in given:
        table.raw(key)
    problem = f"has {len(given)} at once" if given else f"has no {what} that is known"
    table.wrong("", f"the section {problem}: give one of {', '.join(kinds)}")
    return None


def _file(table: Table, name: str) -> FileCondition | None:
    pattern = table.parsed("file", patterns.parse)
    most = table.number("most", 1, MOST_FILES)
    test = _file_test(table)
    return None if pattern is None else FileCondition(name, pattern, test, most or _USUALLY)


def _driver(table: Table, name: str) -> DriverCondition:
    driver = table.parsed("driver", _matching(_DRIVER, 'the name of a file, such as "acme.sys"'))
    return DriverCondition(name, (driver or "").lower(), "", _starts(table), _file_test(table))


def _service(table: Table, name: str) -> DriverCondition:
    service = table.parsed("service", service_name)
    return DriverCondition(name, "", service or "", _starts(table), _file_test(table))


def _starts(table: Table) -> frozenset[StartType]:
    words = table.choices("start", tuple(StartType))
    return frozenset(StartType(word) for word in words) or STARTED


def _package(table: Table, name: str) -> PackageCondition:
    original = table.parsed("package", _matching(_INF, 'the name of an INF, such as "acme.inf"'))
    span = Span(table.version("version-from"), table.version("version-before"))
    require_order(table, "version", span)
    return PackageCondition(name, (original or "").lower(), table.text("provider"), span)


def _value(table: Table, name: str) -> ValueCondition | None:
    key, value = key_and_value(table, "value")
    data = encoded(table, required=False)
    return None if key is None else ValueCondition(name, key, value, data)


_SUBJECTS: Mapping[str, Reader[Condition | None]] = {
    "file": _file,
    "driver": _driver,
    "service": _service,
    "package": _package,
    "value": _value,
}


def _matching(form: re.Pattern[str], what: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not form.fullmatch(text) or not text.isprintable():
            raise UsageError(f"it must be {what}")
        return text

    return parse


def service_name(text: str) -> str:
    if not _SERVICE.fullmatch(text) or not text.isprintable():
        raise UsageError("it must be the name of a service")
    return text


def _file_test(table: Table) -> FileTest:
    made = FileTest(
        sha256=table.hashes("sha256"),
        size=table.number("size", 0, 1 << 40),
        header=table.header("header"),
        since=table.moment("modified-from"),
        before=table.moment("modified-before"),
        version=Span(table.version("version-from"), table.version("version-before")),
    )
    require_order(table, "version", made.version)
    if made.since and made.before and made.since >= made.before:
        table.wrong("modified-before", "it lies before modified-from, so nothing can fit")
    return made


def key_and_value(table: Table, value_key: str) -> tuple[keys.KeyName | None, str]:
    key = table.parsed("key", keys.parse, required=True)
    name = table.raw(value_key)
    if not isinstance(name, str):
        table.wrong(value_key, "it must be the name of a value in quotes")
        return None, ""
    try:
        keys.require_value_name(name)
    except UsageError as exc:
        table.wrong(value_key, str(exc))
        return None, ""
    return key, name


def require_order(table: Table, what: str, span: Span) -> None:
    if span.start and span.before and not span.holds(span.start):
        table.wrong(f"{what}-before", f"it lies before {what}-from, so nothing can fit")
