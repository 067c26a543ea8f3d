"""A pack, and what it came to, for people and as JSON (recoverykit.pack/1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recoverykit.model import RegistryData, Source
from recoverykit.packs.data import TYPES
from recoverykit.packs.detection import Detection, Seen
from recoverykit.packs.pack import (
    STARTED,
    Act,
    Condition,
    Disabled,
    DriverCondition,
    FileCondition,
    FileTest,
    Gone,
    Only,
    Pack,
    PackageCondition,
    Present,
    Proof,
    Quarantine,
    Replace,
    SetValue,
    Span,
)

SCHEMA = "recoverykit.pack/1"

_ANSWERS = {True: "yes", False: "no", None: "cannot be told"}


# --- a pack -------------------------------------------------------------------------------


def described(pack: Pack) -> Iterator[str]:
    """What a pack looks for and does, line by line."""
    yield f"{pack.id}: {pack.title}"
    yield f"  signed by   {pack.signer or 'nobody that was asked for'}"
    yield f"  SHA-256     {pack.sha256}"
    yield from (f"  read on     {address}" for address in pack.more)
    only = list(_only(pack.only))
    if only:
        yield f"  only for    {'; '.join(only)}"
    yield "  looks for"
    yield from (f"    {item.name}: {_condition(item)}" for item in pack.conditions)
    yield f"  applies if  {_when(pack)}"
    yield "  then"
    yield from (f"    {_act(act, pack)}" for act in pack.acts)
    yield "  and makes sure that"
    yield from (f"    {_proof(proof)}" for proof in pack.proofs)


def _only(only: Only) -> Iterator[str]:
    if only.product:
        yield only.product
    yield from _span("build", only.build)
    if only.architectures:
        yield " or ".join(sorted(only.architectures))


def _span(what: str, span: Span) -> Iterator[str]:
    if span.start is not None:
        yield f"{what} {_dotted(span.start)} or later"
    if span.before is not None:
        yield f"{what} before {_dotted(span.before)}"


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _condition(condition: Condition) -> str:
    if isinstance(condition, FileCondition):
        what = f"at most {condition.most} files {condition.pattern.text}"
        return ", ".join([what, *_test(condition.test)])
    if isinstance(condition, DriverCondition):
        what = f"services that load {condition.driver}"
        if condition.service:
            what = f"the service {condition.service}"
        starts = sorted(condition.starts) if condition.starts != STARTED else ()
        start = [f"start {' or '.join(starts)}"] if starts else []
        return ", ".join([what, *start, *_test(condition.test)])
    if isinstance(condition, PackageCondition):
        maker = [f"of {condition.provider}"] if condition.provider else []
        span = _span("version", condition.version)
        return ", ".join([f"the driver package {condition.original}", *maker, *span])
    name = condition.value or "(default)"
    holds = "is there" if condition.data is None else f"is {_data(condition.data)}"
    return f"{name} of {condition.key.text} {holds}"


def _test(test: FileTest) -> Iterator[str]:
    if test.size is not None:
        yield f"{test.size} bytes"
    if test.header:
        yield f"beginning with {test.header.hex(' ')}"
    if test.since is not None:
        yield f"written {test.since:%Y-%m-%d %H:%M:%S} UTC or later"
    if test.before is not None:
        yield f"written before {test.before:%Y-%m-%d %H:%M:%S} UTC"
    yield from _span("version", test.version)
    if test.sha256:
        yield f"SHA-256 {' or '.join(test.sha256)}"


def _when(pack: Pack) -> str:
    parts = [" and ".join(pack.when.all)] if pack.when.all else []
    if pack.when.any:
        parts.append(f"one of {', '.join(pack.when.any)}")
    if pack.when.none:
        parts.append(f"not {', not '.join(pack.when.none)}")
    return ", and ".join(parts)


def _act(act: Act, pack: Pack) -> str:
    if isinstance(act, Quarantine):
        is_driver = isinstance(pack.condition(act.condition), DriverCondition)
        verb = "disable and move away the driver" if is_driver else "move away the files"
        return f"{verb} that {act.condition} finds (undo brings it back)"
    if isinstance(act, Replace):
        return f"replace what {act.condition} finds by {act.file}, SHA-256 {act.sha256}"
    shown = f"{act.value or '(default)'} of {act.key.text}"
    return f"set {shown} to {_data(act.data)}" if isinstance(act, SetValue) else f"delete {shown}"


def _proof(proof: Proof) -> str:
    if isinstance(proof, Gone):
        return f"nothing is left that {proof.condition} would find"
    if isinstance(proof, Present):
        return f"there is what {proof.condition} looks for"
    if isinstance(proof, Disabled):
        return f"the service {proof.service} does not start"
    shown = f"{proof.value or '(default)'} of {proof.key.text}"
    return f"{shown} is gone" if proof.data is None else f"{shown} is {_data(proof.data)}"


def _data(data: RegistryData) -> str:
    name = next((name for name, (number, *_) in TYPES.items() if number == data.type), "")
    if name in ("dword", "qword"):
        return f"{name} {int.from_bytes(data.data, 'little')}"
    if name == "binary":
        return f"binary {data.data.hex(' ')}"
    texts = data.data.decode("utf-16-le", "replace").rstrip("\0").split("\0")
    return f"{name} {', '.join(map(repr, texts))}"


def summary(pack: Pack) -> dict[str, Any]:
    """What identifies a pack, for JSON."""
    return {
        "id": pack.id,
        "title": pack.title,
        "sha256": pack.sha256,
        "signer": pack.signer or None,
        "more": list(pack.more),
    }


# --- what it came to ----------------------------------------------------------------------


def told(detection: Detection) -> Iterator[str]:
    """Whether it applies, and what was seen, line by line."""
    yield f"  {detection.text}"
    for seen in detection.seen:
        yield f"    {_ANSWERS[seen.holds]:<15}{seen.text}"


def fields(detection: Detection) -> dict[str, Any]:
    """The same for JSON."""
    return {
        "applies": detection.applies,
        "text": detection.text,
        "conditions": [_seen(seen) for seen in detection.seen],
    }


def _seen(seen: Seen) -> dict[str, Any]:
    return {
        "name": seen.condition,
        "holds": seen.holds,
        "text": seen.text,
        "files": list(seen.paths),
        "services": [service.name for service in seen.services],
        "sources": [_source(source) for source in seen.sources],
    }


def _source(source: Source) -> dict[str, Any]:
    return {"path": source.path, "offset": source.offset, "key": source.key or None}
