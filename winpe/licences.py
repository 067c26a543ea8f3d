"""What whoever hands a medium out owes: the licences of its parts, and where their sources are.

GPL-2.0 section 3, GPL-3.0 section 6 and LGPL-2.1 sections 4 and 6 tie handing out binaries to
offering the corresponding source; which way fits is the reader's to decide, this names the sources
exactly. The copyright files are Debian's own words. No legal advice, and no judgement here.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from winpe import copyright_file
from winpe.contents import Contents, DebianPackage

TEXT, ARCHIVE = "licences.txt", "licences.zip"
COMMON = "usr/share/common-licenses"  # in the sysroot, from Debian's base-files
_TIME = (1980, 1, 1, 0, 0, 0)  # the oldest that ZIP can state
_HEAD = """\
What is on this medium (image {image_id}), whose work it is, and where its source code is

Handing this medium to people outside of your organisation is distributing the programs on it. Many
are under the GNU GPL or LGPL. Their conditions for binaries, in short: give the licence along (it
is in {archive} beside this file), and offer the exact source code. The list below names it. To
have it ready, on any Debian machine with "deb-src" entries for {suite} in its apt sources:

    apt-get source --download-only NAME=VERSION

Debian keeps older versions at its snapshot service. Keep the sources, or a written offer good for
three years, for as long as you hand the medium out. Ask a lawyer where it matters.

Source packages of Debian
"""


def text(contents: Contents) -> bytes:
    """What to do, every source package with its version, every wheel with its licence."""
    archive = ARCHIVE
    lines = [
        _HEAD.format(image_id=contents.image_id, archive=archive, suite=contents.suite or "it")
    ]
    lines += [f"    {each}" for each in sources(contents)]
    lines += [
        "",
        "Debian packages, their sources and licences as their copyright files name them",
        "",
    ]
    lines += [_package(each) for each in contents.debian]
    lines += ["", "Python packages (their licence texts lie in the running system)", ""]
    lines += [
        f"    {each.name} {each.version}: {each.licence or 'no licence is stated in the wheel'}"
        for each in contents.wheels
    ]
    lines += ["", "Compiled into Python packages, as their own bills of materials say", ""]
    lines += [
        f"    {each.name} {crate.name} {crate.version}: {crate.licence or 'not stated'}"
        for each in contents.wheels
        for crate in each.crates
    ]
    names = ", ".join(each.name for each in contents.own)
    lines += ["", f"Of this project, under the Apache License 2.0: {names}", ""]
    return "\n".join(lines).encode()


def sources(contents: Contents) -> tuple[str, ...]:
    """NAME=VERSION of every source package, as apt-get source takes it."""
    return tuple(
        sorted({f"{name}={version}" for each in contents.debian for name, version in each.sources})
    )


def archive(contents: Contents, common: Mapping[str, bytes]) -> bytes:
    """A ZIP of the copyright files and of the common texts they point to; equal files once."""
    texts: dict[str, list[str]] = {}
    for each in contents.debian:
        if each.copyright:
            texts.setdefault(each.copyright, []).append(each.name)
    asked = {name for content in texts for name in copyright_file.common(content)}
    named = {f"copyright/{names[0]}.txt": content.encode() for content, names in texts.items()}
    named |= {f"common-licenses/{name}.txt": common[name] for name in asked & set(common)}
    same = [f"{', '.join(names)}: copyright/{names[0]}.txt" for names in texts.values()]
    named["INDEX.txt"] = ("\n".join(sorted(same)) + "\n").encode()
    return _zip(named)


def common_texts(sysroot: Path) -> dict[str, bytes]:
    """Debian's common licences by every name they have."""
    root = sysroot.resolve()
    found = {path.name: path.resolve() for path in sorted((root / COMMON).glob("*"))}
    return {
        name: path.read_bytes()
        for name, path in found.items()
        if path.is_relative_to(root) and path.is_file()
    }


def _package(package: DebianPackage) -> str:
    named = ", ".join(each.name for each in package.licences) or "see its copyright file"
    origin = ", ".join(f"{name}={version}" for name, version in package.sources)
    return f"    {package.name} {package.version} (source {origin}): {named}"


def _zip(named: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for name in sorted(named):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16  # whatever the host is
            entry.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(entry, named[name])
    return target.getvalue()
