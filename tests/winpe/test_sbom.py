from __future__ import annotations

import io
import json
import subprocess
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import need
from winpe import contents, copyright_file, debian_files, licences, provenance, sbom, wheel_facts
from winpe.errors import ContentError

LIBRARY = contents.DebianPackage(
    name="libfuse3-3",
    version="3.14.0-4",
    architecture="amd64",
    source="fuse3",
    source_version="3.14.0-4",
    built_using=(),
    sha256="1" * 64,
    licences=copyright_file.licences("Format: x\n\nFiles: *\nLicense: LGPL-2.1+ or odd\n"),
    copyright="Format: x\n/usr/share/common-licenses/LGPL-2.1\n",
    files=("usr/lib/libfuse3.so.3",),
)
SIGNED = replace(
    LIBRARY,
    name="grub-efi-amd64-signed",
    version="1+2.06+13+deb12u2",
    source="grub-efi-amd64-signed",
    source_version="1+2.06+13+deb12u2",
    built_using=(("grub2", "2.06-13+deb12u2"),),
)
WHEEL = wheel_facts.WheelFacts(
    name="evtx",
    version="0.14.0",
    file="evtx-0.14.0-cp310-abi3-manylinux.whl",
    sha256="2" * 64,
    licence="MIT",
    is_expression=True,
    files=("evtx/__init__.py",),
    crates=(wheel_facts.Crate("ahash", "0.8.12", "pkg:cargo/ahash@0.8.12", "3" * 64, "MIT"),),
)
MEDIUM = contents.Contents(
    image_id="0123456789abcdef",
    made=datetime(2026, 11, 24, tzinfo=UTC),
    base="linux",
    architecture="x64",
    suite="bookworm",
    debian=(SIGNED, LIBRARY),
    wheels=(WHEEL,),
    own=(contents.Own("recoverykit", "0.1.0", "4" * 64),),
    files=(contents.of_file("files/a.txt", "file of the recipe", b"a"),),
)


@pytest.mark.parametrize(
    ("name", "spdx"),
    [
        ("GPL-2", "GPL-2.0-only"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPL-2.0+", "GPL-2.0-or-later"),
        ("LGPL-2.1", "LGPL-2.1-only"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("Expat", "MIT"),
        ("BSD-3-clause", "BSD-3-Clause"),
        ("GPL-9", ""),
        ("public-domain", ""),
    ],
)
def test_short_names(name: str, spdx: str) -> None:
    assert copyright_file.licence(name) == copyright_file.Licence(spdx or name, bool(spdx))


def test_prose_is_no_spdx_id() -> None:
    found = copyright_file.licences("see /usr/share/common-licenses/LGPL-2.1.\n")
    assert found == (copyright_file.Licence("see common-licenses/LGPL-2.1", spdx=False),)


def test_the_official_schema_takes_it() -> None:
    for needed in ("jsonschema", "referencing", "fqdn"):  # cyclonedx-python-lib[json-validation]
        pytest.importorskip(needed)
    schema = pytest.importorskip("cyclonedx.schema")
    validator = pytest.importorskip("cyclonedx.validation.json")
    strict = validator.JsonStrictValidator(schema.SchemaVersion.V1_6)
    assert strict.validate_str(sbom.document(MEDIUM).decode()) is None


def test_one_medium_one_document() -> None:
    assert sbom.document(MEDIUM) == sbom.document(replace(MEDIUM))
    other = json.loads(sbom.document(replace(MEDIUM, image_id="f" * 16)))
    assert other["serialNumber"] != json.loads(sbom.document(MEDIUM))["serialNumber"]


def test_signed_packages_point_at_the_source_that_trackers_know() -> None:
    assert sbom.purl(SIGNED, "12").endswith("upstream=grub2%402.06-13%2Bdeb12u2")
    assert sbom.purl(LIBRARY, "12").endswith("distro=debian-12&upstream=fuse3")


def test_the_package_list_has_sources_and_crates() -> None:
    found = json.loads(sbom.packages(MEDIUM))
    assert [each["name"] for each in found["debian"][0]["sources"]] == [SIGNED.source, "grub2"]
    assert found["wheels"][0]["compiled_in"] == ["pkg:cargo/ahash@0.8.12"]


def test_the_statement_names_every_dependency_and_no_host() -> None:
    build = provenance.Build(commit="a" * 40 + "-dirty", signer="5" * 64)
    content = provenance.statement(MEDIUM, [provenance.Subject("x.iso", "6" * 64)], build)
    document = json.loads(content)
    definition = document["predicate"]["buildDefinition"]
    digests = {each["digest"].get("sha256", "git") for each in definition["resolvedDependencies"]}
    assert digests == {"1" * 64, "2" * 64, "4" * 64, MEDIUM.files[0].sha256, "git"}
    assert document["subject"] == [{"name": "x.iso", "digest": {"sha256": "6" * 64}}]
    assert definition["resolvedDependencies"][-1]["annotations"] == {"dirty": True}


def test_a_statement_has_a_subject() -> None:
    with pytest.raises(ValueError, match="nothing"):
        provenance.statement(MEDIUM, [], provenance.Build())


def test_licences_name_sources_and_hold_each_text_once() -> None:
    assert "fuse3=3.14.0-4" in licences.sources(MEDIUM)
    assert "grub2=2.06-13+deb12u2" in licences.text(MEDIUM).decode()
    packed = licences.archive(MEDIUM, {"LGPL-2.1": b"text", "GPL-1": b"unasked"})
    assert packed == licences.archive(MEDIUM, {"LGPL-2.1": b"text", "GPL-1": b"unasked"})
    assert zipfile.ZipFile(io.BytesIO(packed)).namelist() == [
        "INDEX.txt",
        "common-licenses/LGPL-2.1.txt",
        "copyright/grub-efi-amd64-signed.txt",
    ]


@need("dpkg-deb")
def test_a_real_archive(tmp_path: Path) -> None:
    root = tmp_path / "p"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        "Package: libx\nVersion: 1-1\nArchitecture: all\nSource: x (1-0)\nMaintainer: a <a@b>\n"
        "Built-Using: yy (= 2),\n zz (= 3-1)\nDescription: x\n"
    )
    (root / "DEBIAN/md5sums").write_text(f"{'0' * 32}  lib/x.so.1\n{'0' * 32}  usr/share/y\n")
    subprocess.run(["dpkg-deb", "-b", root, tmp_path / "x.deb"], check=True, capture_output=True)
    found = debian_files.read_archive(tmp_path / "x.deb")
    assert (found.source, found.source_version) == ("x", "1-0")
    assert found.built_using == (("yy", "2"), ("zz", "3-1"))
    assert found.files == ("usr/lib/x.so.1", "usr/share/y")


def test_no_wheel(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(b"PK no")
    with pytest.raises(ContentError, match=r"a\.whl is no wheel"):
        wheel_facts.read(tmp_path / "a.whl")
