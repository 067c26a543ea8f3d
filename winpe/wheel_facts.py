"""What a Python wheel is, what it was made of, and which of its files go onto a medium.

Read from the wheel's .dist-info: METADATA (core metadata 2.4: License-Expression of PEP 639, else
License, else the classifiers) and `sboms/` (PEP 770): there Rust extensions name the crates that
were compiled in. A bill of materials that cannot be read is none: it vouches for nothing here.
"""

from __future__ import annotations

import email.parser
import email.policy
import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from winpe import payload
from winpe.errors import ContentError

_LARGEST = 16 << 20  # bytes of one file of .dist-info
_CLASSIFIER = "License :: "


@dataclass(frozen=True, slots=True)
class Crate:
    """A component that was compiled into a wheel, as its own bill of materials names it."""

    name: str
    version: str
    purl: str
    sha256: str = ""
    licence: str = ""  # an SPDX expression


@dataclass(frozen=True, slots=True)
class WheelFacts:
    name: str
    version: str
    file: str  # the wheel's own name
    sha256: str
    licence: str  # an SPDX expression, or the words of METADATA; "" where nothing is said
    is_expression: bool
    files: tuple[str, ...]  # on the medium, below the site folder; .py although compiled there
    crates: tuple[Crate, ...]


def write(wheels: Iterable[Path], target: Path) -> None:
    """Keep the facts of these wheels. Raises ContentError."""
    target.write_text(json.dumps([asdict(read(wheel)) for wheel in wheels]))


def load(source: Path) -> tuple[WheelFacts, ...]:
    """What `write` kept."""
    return tuple(
        WheelFacts(
            **{
                **each,
                "files": tuple(each["files"]),
                "crates": tuple(Crate(**crate) for crate in each["crates"]),
            }
        )
        for each in json.loads(source.read_text())
    )


def read(wheel: Path) -> WheelFacts:
    """Raises ContentError for what is no wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            return _facts(wheel, archive)
    except (zipfile.BadZipFile, KeyError, OSError) as exc:
        raise ContentError(f"{wheel.name} is no wheel: {exc}") from exc


def _facts(wheel: Path, archive: zipfile.ZipFile) -> WheelFacts:
    inside = [item for item in archive.infolist() if not item.is_dir()]
    info = next(item for item in _dist_info(inside, "/METADATA"))
    parser = email.parser.BytesParser(policy=email.policy.compat32)
    metadata = parser.parsebytes(archive.read(info), headersonly=True)
    expression = str(metadata.get("License-Expression", "")).strip()
    boms = (archive.read(item) for item in _dist_info(inside, ".json", "/sboms/"))
    crates = {crate.purl: crate for content in boms for crate in _crates(content)}
    return WheelFacts(
        name=str(metadata["Name"]),
        version=str(metadata["Version"]),
        file=wheel.name,
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        licence=expression or _words(metadata),
        is_expression=bool(expression),
        files=tuple(sorted(item.filename for item in inside if payload.shipped(item.filename))),
        crates=tuple(crates[purl] for purl in sorted(crates)),
    )


def _dist_info(
    items: Iterable[zipfile.ZipInfo], ending: str, folder: str = "/"
) -> Iterator[zipfile.ZipInfo]:
    for item in items:
        own = item.filename.partition("/")[0].endswith(".dist-info")
        if own and item.filename.endswith(ending) and folder in item.filename:
            if item.file_size > _LARGEST:
                raise KeyError(f"{item.filename} is too large")
            yield item


def _words(metadata: Any) -> str:
    stated = str(metadata.get("License", "")).strip()
    if stated and "\n" not in stated and stated.upper() != "UNKNOWN":
        return stated
    classifiers = (str(each) for each in metadata.get_all("Classifier", []))
    named = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith(_CLASSIFIER)]
    return ", ".join(named)


def _crates(content: bytes) -> Iterator[Crate]:
    """The components of a CycloneDX document."""
    try:
        document = json.loads(content)
        components = document["components"]
        for each in components:
            purl = each.get("purl", "").partition("?")[0]
            if purl:
                yield Crate(each["name"], each["version"], purl, _hash(each), _expression(each))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return


def _hash(component: dict[str, Any]) -> str:
    hashes = component.get("hashes", [])
    return next((each["content"] for each in hashes if each["alg"] == "SHA-256"), "")


def _expression(component: dict[str, Any]) -> str:
    licences = component.get("licenses", [])
    return next((each["expression"] for each in licences if "expression" in each), "")
