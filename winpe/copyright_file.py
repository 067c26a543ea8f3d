"""Which licences a Debian package is under, by its copyright file.

Machine-readable ones (Debian "copyright-format/1.0", DEP-5): the short names of every License
field, those of SPDX where they mean the same. Others are prose: which of Debian's common licences
they point to is all that is read there. Whether a licence binds what is on a medium is not judged:
a package's file names the licences of all its sources, those of its tests and build scripts too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORMAT = re.compile(r"^Format(?:-Specification)?:", re.IGNORECASE)
_LICENCE = re.compile(r"^License:[ \t]*(?P<names>[^\n]*)", re.IGNORECASE | re.MULTILINE)
_COMMON = re.compile(r"/usr/share/common-licenses/(?P<name>[A-Za-z]+(?:-[0-9.]*[0-9])?)")
_WORD = re.compile(r"\s+(?:and/or|and|or)\s+|[,|]\s*(?:and\s+|or\s+)?", re.IGNORECASE)
_LONGEST = 200  # letters of a name; some files have sentences there
_OR_LATER = re.compile(r"(?P<name>[AL]?GPL|GFDL)-(?P<version>\d(?:\.\d)?)(?:\.0)?(?P<later>\+?)")
_GNU_VERSIONS = {
    "GPL": ("1.0", "2.0", "3.0"),
    "LGPL": ("2.0", "2.1", "3.0"),
    "AGPL": ("3.0",),
    "GFDL": ("1.1", "1.2", "1.3"),
}
# Debian's short names (copyright-format 1.0, 7.1 "Short name") that SPDX spells otherwise.
_SPDX = {
    "expat": "MIT",
    "mit": "MIT",
    "mit-0": "MIT-0",
    "x11": "X11",
    "isc": "ISC",
    "zlib": "Zlib",
    "apache-2": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "artistic": "Artistic-1.0",
    "artistic-2.0": "Artistic-2.0",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-4-clause": "BSD-4-Clause",
    "bsd-4-clause-uc": "BSD-4-Clause-UC",
    "bsl-1.0": "BSL-1.0",
    "cc0": "CC0-1.0",
    "cc0-1.0": "CC0-1.0",
    "cc-by-3.0": "CC-BY-3.0",
    "cc-by-4.0": "CC-BY-4.0",
    "cc-by-sa-3.0": "CC-BY-SA-3.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0",
    "cddl-1.0": "CDDL-1.0",
    "fsfap": "FSFAP",
    "fsful": "FSFUL",
    "fsfullr": "FSFULLR",
    "mpl-1.1": "MPL-1.1",
    "mpl-2.0": "MPL-2.0",
    "openssl": "OpenSSL",
    "python-2.0": "Python-2.0",
    "psf-2": "PSF-2.0",
    "unicode": "Unicode-DFS-2016",
    "unlicense": "Unlicense",
    "w3c": "W3C",
    "zpl-2.1": "ZPL-2.1",
}


@dataclass(frozen=True, slots=True)
class Licence:
    """One licence: its SPDX id, or the name that the copyright file gives it."""

    name: str
    spdx: bool


def licences(text: str) -> tuple[Licence, ...]:
    """Every licence that a copyright file names, each once, sorted; () where it names none."""
    names = _stated(text) if _FORMAT.match(text.lstrip("\ufeff\n ")) else _pointed_at(text)
    return tuple(sorted({licence(name) for name in names}, key=lambda each: each.name))


def licence(name: str) -> Licence:
    """The SPDX id of a Debian short name, or the name itself."""
    bare = " ".join(name.split())[:_LONGEST]
    if gnu := _OR_LATER.fullmatch(re.sub(r"(?i)^(.*[0-9])\.0+(\+?)$", r"\1\2", bare)):
        version = gnu["version"] if "." in gnu["version"] else f"{gnu['version']}.0"
        if version in _GNU_VERSIONS[gnu["name"]]:
            ending = "or-later" if gnu["later"] else "only"
            return Licence(f"{gnu['name']}-{version}-{ending}", spdx=True)
    if known := _SPDX.get(bare.lower()):
        return Licence(known, spdx=True)
    return Licence(bare, spdx=False)


def common(text: str) -> set[str]:
    """Names of Debian's common licence texts that a copyright file points to."""
    return {found["name"] for found in _COMMON.finditer(text)}


def _stated(text: str) -> set[str]:
    words = (
        word.strip(" ()")
        for found in _LICENCE.finditer(text)
        for word in _WORD.split(found["names"])
    )
    return {word for word in words if word}


def _pointed_at(text: str) -> set[str]:
    """A file in prose: "-only" or "-or-later" is not said by the name of a text, so no SPDX id."""
    return {f"see common-licenses/{name}" for name in common(text)}
