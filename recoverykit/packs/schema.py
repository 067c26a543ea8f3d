"""From the tables of a TOML document to a Pack, or to a list of all that is wrong with it. Pure.

What is not known is refused, never skipped: a pack from tomorrow that says more than this program
understands would otherwise be done by half. docs/packs.md is this module in words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from recoverykit.errors import UsageError
from recoverykit.packs import keys
from recoverykit.packs.data import encoded
from recoverykit.packs.fields import Table, is_https
from recoverykit.packs.pack import (
    FORMAT,
    Act,
    Condition,
    DeleteValue,
    Disabled,
    DriverCondition,
    FileCondition,
    Gone,
    Holds,
    Only,
    Pack,
    Present,
    Proof,
    Quarantine,
    Replace,
    SetValue,
    Span,
    When,
)
from recoverykit.packs.schema_detect import (
    MOST,
    Reader,
    chosen,
    condition_name,
    conditions,
    key_and_value,
    require_order,
    service_name,
)

_ID = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
_ARCHITECTURES = ("x64", "x86", "arm64")

_Made = TypeVar("_Made")


class SchemaError(UsageError):
    """A pack that is TOML, but not a pack. `mistakes`: every one, in the order of the file."""

    def __init__(self, mistakes: list[str]) -> None:
        first = "; ".join(mistakes[:3])
        count = len(mistakes)
        more = f"; and {count - 3} more" if count > 3 else ""
        super().__init__(
            f"the remediation pack has {count} mistake{'s' if count > 1 else ''}: {first}{more}",
            hint="docs/packs.md says how a pack is written",
        )
        self.mistakes = tuple(mistakes)


def pack(document: Mapping[str, Any], sha256: str = "") -> Pack:
    """The pack a document is; `sha256` of its file. Raises SchemaError with all mistakes."""
    mistakes: list[str] = []
    top = Table(document, "", mistakes)
    if type(top.raw("format")) is not int or top.raw("format") != FORMAT:
        # Nothing else means anything then.
        raise SchemaError([f"format: it must be {FORMAT}, the only one that is known here"])
    made = Pack(
        id=top.parsed("id", _id, required=True) or "",
        title=top.text("title", required=True),
        more=_addresses(top),
        only=_only(top),
        conditions=conditions(top),
        when=When(),
        acts=_sections(top, "act", _ACTS, "verb"),
        proofs=_sections(top, "verify", _PROOFS, "check"),
        sha256=sha256,
    )
    when = _when(top, made.conditions)
    top.close()
    _check_references(made, when, mistakes)
    if mistakes:
        raise SchemaError(mistakes)
    return replace(made, when=when)


def _id(text: str) -> str:
    if not _ID.fullmatch(text):
        raise UsageError("it must be 1 to 64 small letters, digits, dots and hyphens")
    return text


def _addresses(top: Table) -> tuple[str, ...]:
    found = top.texts("more")
    if not all(is_https(each) for each in found):
        top.wrong("more", "each must be an https address")
        return ()
    return found


def _only(top: Table) -> Only:
    table = top.table("only")
    if table is None:
        return Only()
    made = Only(
        build=Span(table.version("build-from"), table.version("build-before")),
        architectures=table.choices("architecture", _ARCHITECTURES),
        product=table.text("product"),
    )
    require_order(table, "build", made.build)
    table.close()
    if made == Only():
        table.wrong("", "it is empty, so it limits nothing")
    return made


# --- combined ---------------------------------------------------------------------------


def _when(top: Table, conditions: tuple[Condition, ...]) -> When:
    """Without [when], every condition must hold."""
    table = top.table("when")
    if table is None:
        return When(all=tuple(item.name for item in conditions))
    made = When(table.texts("all"), table.texts("any"), table.texts("none"))
    table.close()
    if not made.all and not made.any:
        table.wrong("", "it names nothing that must hold: give all or any")
    known = {item.name for item in conditions}
    for key, names in (("all", made.all), ("any", made.any), ("none", made.none)):
        for name in names:
            if name not in known:
                table.wrong(key, f"there is no section [[detect]] named {name}")
    return made


# --- act ----------------------------------------------------------------------------------


def _sections(
    top: Table, key: str, kinds: Mapping[str, Reader[_Made | None]], what: str
) -> tuple[_Made, ...]:
    found = []
    for table in top.tables(key, MOST):
        made = chosen(table, kinds, what)
        table.close()
        if made is not None:
            found.append(made)
    return tuple(found)


def _quarantine(table: Table, _: str) -> Quarantine:
    verb = "delete" if table.has("delete") else "quarantine"
    return Quarantine(table.parsed(verb, condition_name) or "")


def _replace(table: Table, _: str) -> Replace:
    return Replace(
        condition=table.parsed("replace", condition_name) or "",
        file=table.file_name("with", required=True),
        sha256=table.sha256("sha256", required=True),
        url=table.url("url"),
    )


def _set_value(table: Table, _: str) -> SetValue | None:
    key, value = _changeable(table, "set-value")
    data = encoded(table, required=True)
    create = table.flag("create")
    return None if key is None or data is None else SetValue(key, value, data, create)


def _delete_value(table: Table, _: str) -> DeleteValue | None:
    key, value = _changeable(table, "delete-value")
    return None if key is None else DeleteValue(key, value)


_ACTS: Mapping[str, Reader[Act | None]] = {
    "quarantine": _quarantine,
    "delete": _quarantine,
    "replace": _replace,
    "set-value": _set_value,
    "delete-value": _delete_value,
}


def _changeable(table: Table, verb: str) -> tuple[keys.KeyName | None, str]:
    key, value = key_and_value(table, verb)
    if key is not None:
        try:
            keys.require_changeable(key, value)
        except UsageError as exc:
            table.wrong("key", str(exc))
            return None, ""
    return key, value


# --- verify -------------------------------------------------------------------------------


def _gone(table: Table, _: str) -> Gone:
    return Gone(table.parsed("gone", condition_name) or "")


def _present(table: Table, _: str) -> Present:
    return Present(table.parsed("present", condition_name) or "")


def _disabled(table: Table, _: str) -> Disabled:
    return Disabled(table.parsed("disabled", service_name) or "")


def _holds(table: Table, _: str) -> Holds | None:
    key, value = key_and_value(table, "value")
    absent = table.flag("absent")
    if absent and any(table.has(word) for word in ("type", "data")):
        table.wrong("absent", "a value that is absent has neither type nor data")
    data = encoded(table, required=not absent)
    return None if key is None else Holds(key, value, None if absent else data)


_PROOFS: Mapping[str, Reader[Proof | None]] = {
    "gone": _gone,
    "present": _present,
    "disabled": _disabled,
    "value": _holds,
}


# --- what belongs together ----------------------------------------------------------------


def _check_references(made: Pack, when: When, mistakes: list[str]) -> None:
    """Every name is one of a condition of the right kind, and none stands there for nothing."""
    kinds = {item.name: type(item) for item in made.conditions}
    uses: list[tuple[str, str, tuple[type, ...]]] = []
    movable, files = (FileCondition, DriverCondition), (FileCondition,)
    for number, act in enumerate(made.acts, start=1):
        if isinstance(act, Quarantine | Replace):
            uses.append((f"act[{number}]", act.condition, movable))
    for number, proof in enumerate(made.proofs, start=1):
        if isinstance(proof, Gone | Present):
            uses.append((f"verify[{number}]", proof.condition, files))
    for where, name, allowed in uses:
        if name and name not in kinds:
            mistakes.append(f"{where}: there is no section [[detect]] named {name}")
        elif name and kinds[name] not in allowed:
            mistakes.append(f"{where}: what {name} finds cannot be meant here")
    for where, name, _ in uses:
        if name in when.none and where.startswith("act"):
            mistakes.append(f"{where}: [when] says that {name} finds nothing where this is done")
    named = {*when.all, *when.any, *when.none, *(name for _, name, _ in uses)}
    mistakes += [f"detect: nothing uses {name}" for name in kinds if name not in named]
    mistakes += _said_twice(made)


def _said_twice(made: Pack) -> list[str]:
    found: list[str] = []
    seen: dict[object, int] = {}
    for number, act in enumerate(made.acts, start=1):
        about: object = (
            act.condition
            if isinstance(act, Quarantine | Replace)
            else (act.key.text.casefold(), act.value.casefold())
        )
        first = seen.setdefault(about, number)
        if about and first != number:
            found.append(f"act[{number}]: act[{first}] is about the same")
    return found
