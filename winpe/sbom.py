"""The bill of materials of a medium: CycloneDX 1.6 as JSON (ECMA-424), and plain package lists.

Written by hand, without cyclonedx-python-lib: that brings six packages to every build host for one
document of a fixed shape; the tests hold ours against the JSON schema which it ships. Package URLs
are those of the purl specification, with Syft's qualifiers `distro` and `upstream`. One image id
gives one byte sequence: its UUID is made of the id, its time is the image's, all lists are sorted.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from winpe.contents import Contents, DebianPackage, File, Own
from winpe.copyright_file import Licence
from winpe.wheel_facts import Crate, WheelFacts

NAME = "sbom.cdx.json"
PACKAGES_SCHEMA = "recoverykit.packages/1"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_SPACE = uuid.UUID("6f0a44c4-2d0e-5b7c-9a55-7f1a0b2f6f0e")  # ours alone: names below it are ids


def document(contents: Contents) -> bytes:
    """The whole CycloneDX document."""
    components = sorted(_components(contents), key=lambda each: str(each["bom-ref"]))
    medium = f"medium:{contents.image_id}"
    parts = [each["bom-ref"] for each in components if each["type"] != "operating-system"]
    return _encoded(
        {
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": f"urn:uuid:{uuid.uuid5(_SPACE, contents.image_id)}",
            "version": 1,
            "metadata": {
                "timestamp": contents.made.strftime(_TIME),
                "tools": {"components": [{"type": "application", "name": "recoverykit-media"}]},
                "component": {
                    "type": "firmware" if contents.base == "winpe" else "operating-system",
                    "bom-ref": medium,
                    "name": f"recoverykit medium ({contents.base}, {contents.architecture})",
                    "version": contents.image_id,
                },
            },
            "components": components,
            "dependencies": [{"ref": medium, "dependsOn": parts}],
        }
    )


def packages(contents: Contents) -> bytes:
    """The list to look vulnerabilities up by: Debian tracks them by source package."""
    debian = [
        {
            "name": each.name,
            "version": each.version,
            "architecture": each.architecture,
            "sources": [{"name": name, "version": version} for name, version in each.sources],
            "origin": "Debian",
            "suite": contents.suite,
        }
        for each in contents.debian
    ]
    wheels = [
        {
            "name": each.name,
            "version": each.version,
            "origin": "PyPI",
            "compiled_in": [crate.purl for crate in each.crates],
        }
        for each in contents.wheels
    ]
    values = {"schema": PACKAGES_SCHEMA, "image": contents.image_id}
    return _encoded({**values, "debian": debian, "wheels": wheels})


def dpkg_status(contents: Contents) -> bytes:
    """The Debian packages as dpkg's own database has them, for tools that read only that."""
    return "\n".join(_stanza(each) for each in contents.debian).encode()


def _stanza(package: DebianPackage) -> str:
    source = f"{package.source} ({package.source_version})"
    rows = (
        ("Package", package.name),
        ("Status", "install ok installed"),
        ("Architecture", package.architecture),
        ("Source", source),
        ("Version", package.version),
    )
    return "".join(f"{name}: {value}\n" for name, value in rows)


def _components(contents: Contents) -> Iterator[dict[str, Any]]:
    if contents.suite:
        yield _release(contents)
    for package in contents.debian:
        yield _debian(package, contents)
    for wheel in contents.wheels:
        yield _wheel(wheel)
    for own in contents.own:
        yield _own(own)
    for file in contents.files:
        yield _file(file)


def _release(contents: Contents) -> dict[str, Any]:
    """Scanners choose their data by this one."""
    return {
        "type": "operating-system",
        "bom-ref": f"os:debian@{contents.release}",
        "name": "debian",
        "version": contents.release,
        "description": f"Debian {contents.release} ({contents.suite})",
    }


def purl(package: DebianPackage, release: str) -> str:
    """The package URL; `upstream` is the source package that security trackers know."""
    source, version = package.built_using[0] if package.built_using else package.sources[0]
    upstream = "" if source == package.name else source
    if upstream and version != package.version:
        upstream += f"@{version}"
    words = [f"arch={package.architecture}", f"distro=debian-{release}"]
    words += [f"upstream={quote(upstream, safe='')}"] if upstream else []
    return (
        f"pkg:deb/debian/{quote(package.name)}@{quote(package.version, safe='')}?{'&'.join(words)}"
    )


def _debian(package: DebianPackage, contents: Contents) -> dict[str, Any]:
    reference = purl(package, contents.release)
    sources = [f"{name}={version}" for name, version in package.sources]
    licences = [_licence(each) for each in package.licences]
    return {
        "type": "library",
        "bom-ref": reference,
        "name": package.name,
        "version": package.version,
        "purl": reference,
        "hashes": [_sha256(package.sha256)],
        "supplier": {"name": "Debian"},
        **({"licenses": licences} if licences else {}),
        "properties": [
            *({"name": "recoverykit:source", "value": each} for each in sources),
            {"name": "recoverykit:files", "value": str(len(package.files))},
            {"name": "recoverykit:first-file", "value": package.files[0]},
        ],
    }


def _licence(licence: Licence) -> dict[str, Any]:
    return {"license": {"id" if licence.spdx else "name": licence.name}}


def _wheel(wheel: WheelFacts) -> dict[str, Any]:
    reference = f"pkg:pypi/{wheel.name.lower().replace('_', '-')}@{wheel.version}"
    crates = [_crate(each, reference) for each in wheel.crates]
    return {
        "type": "library",
        "bom-ref": reference,
        "name": wheel.name,
        "version": wheel.version,
        "purl": reference,
        "hashes": [_sha256(wheel.sha256)],
        **_stated(wheel.licence, is_expression=wheel.is_expression),
        **({"components": crates} if crates else {}),
    }


def _crate(crate: Crate, wheel: str) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": f"{wheel}#{crate.purl}",
        "name": crate.name,
        "version": crate.version,
        "purl": crate.purl,
        **({"hashes": [_sha256(crate.sha256)]} if crate.sha256 else {}),
        **_stated(crate.licence, is_expression=True),
    }


def _stated(licence: str, *, is_expression: bool) -> dict[str, Any]:
    if not licence:
        return {}
    if is_expression:
        return {"licenses": [{"expression": licence}]}
    return {"licenses": [{"license": {"name": licence}}]}


def _own(own: Own) -> dict[str, Any]:
    return {
        "type": "application",
        "bom-ref": f"recoverykit:{own.name}@{own.version}",
        "name": own.name,
        "version": own.version,
        "hashes": [_sha256(own.sha256)],
        "licenses": [{"license": {"id": "Apache-2.0"}}],
        "description": "hash: of the sha256sum listing of its source files, sorted by path",
    }


def _file(file: File) -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": f"file:{file.path}",
        "name": file.path,
        **({"version": file.version} if file.version else {}),
        "description": file.kind,
        "hashes": [_sha256(file.sha256)],
        "properties": [{"name": "recoverykit:size", "value": str(file.size)}],
    }


def _sha256(value: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": value}


def _encoded(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()
