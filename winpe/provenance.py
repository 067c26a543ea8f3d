"""How an image came to be: an in-toto Statement v1 with a SLSA provenance v1 predicate.

Specifications: in-toto Attestation Framework, spec/v1; SLSA v1.0, provenance/v1. Signed as CMS
beside it, not as a DSSE envelope: our keys are X.509, and `openssl cms` is on every machine.
The build type is described in docs/build-trust.md. Nothing here names the host, the user or the
clock: two builds of one recipe with one lock state the same. So no SLSA level is claimed either:
who signs is who ran the build.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from signing import cms
from winpe import payload, tools
from winpe.contents import Contents, Own
from winpe.errors import MediaError
from winpe.sbom import purl
from winpe.signers import Signers

NAME = "build.json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:recoverykit:media-build:1"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_PACKAGES = ("recoverykit", "signing", "winpe")


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that was made."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Build:
    """What is known of the build beside what is on the medium. All of it may be empty."""

    recipe: Mapping[str, Any] = field(default_factory=dict)  # its values
    recipe_sha256: str = ""  # of the file
    lock_sha256: str = ""
    commit: str = ""  # of our sources, with "-dirty" where they were changed
    tools: Mapping[str, str] = field(default_factory=dict)  # program -> version
    signer: str = ""  # SHA-256 of the signer's certificate


def statement(contents: Contents, subjects: Sequence[Subject], build: Build) -> bytes:
    """The statement. An image cannot hold its own hash: inside it, the subjects are its parts."""
    if not subjects:
        raise ValueError("a statement about nothing")
    builder = (
        f"urn:recoverykit:build-host:{build.signer}"
        if build.signer
        else "urn:recoverykit:build-host"
    )
    document = {
        "_type": STATEMENT,
        "subject": [
            {"name": each.name, "digest": {"sha256": each.sha256}}
            for each in sorted(subjects, key=lambda each: each.name)
        ],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _parameters(build),
                "internalParameters": {
                    "base": contents.base,
                    "architecture": contents.architecture,
                    "image": contents.image_id,
                    "made": contents.made.strftime(_TIME),
                    "tools": dict(build.tools),
                },
                "resolvedDependencies": _dependencies(contents, build),
            },
            "runDetails": {
                "builder": {"id": builder, "version": _versions(contents.own)},
                "metadata": {"invocationId": contents.image_id},
            },
        },
    }
    return (json.dumps(document, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def sign(content: bytes, contents: Contents, signer: Signers) -> bytes:
    """The detached CMS signature of one of the papers beside an image. Raises SigningError."""
    stated = signer.signing_time(contents.made)
    return cms.sign_detached(content, *signer.all, signing_time=stated)


def commit(source: Path | None = None) -> str:
    """The git commit of our sources; "-dirty" where tracked files differ; "" outside of git."""
    home = source or payload.source_folder()
    # Whoever builds may not be who owns the checkout; nothing of it is run.
    git = ["git", "--no-optional-locks", "-c", "safe.directory=*", "-c", "core.fsmonitor=false"]
    try:
        head = tools.run([*git, "rev-parse", "HEAD"], cwd=home).decode().strip()
        status = ["status", "--porcelain", "--untracked-files=no", "--", *_PACKAGES]
        changed = tools.run([*git, *status], cwd=home)
    except MediaError:
        return ""
    return f"{head}-dirty" if changed.strip() else head


def _parameters(build: Build) -> dict[str, Any]:
    stated = {"recipe": build.recipe_sha256, "lock": build.lock_sha256}
    hashes = {name: {"sha256": digest} for name, digest in stated.items() if digest}
    return {"recipe": dict(build.recipe), "digests": hashes}


def _dependencies(contents: Contents, build: Build) -> list[dict[str, Any]]:
    found = [
        *((each.name, purl(each, contents.release), each.sha256) for each in contents.debian),
        *(
            (each.file, f"pkg:pypi/{each.name.lower()}@{each.version}", each.sha256)
            for each in contents.wheels
        ),
        *((each.path, f"file:{each.path}", each.sha256) for each in contents.files),
        *(
            (each.name, f"recoverykit:{each.name}@{each.version}", each.sha256)
            for each in contents.own
        ),
    ]
    listed: list[dict[str, Any]] = [
        {"name": name, "uri": uri, "digest": {"sha256": digest}}
        for name, uri, digest in sorted(found)
    ]
    if build.commit:
        head, _, dirty = build.commit.partition("-")
        note = {"annotations": {"dirty": True}} if dirty else {}
        source = {"name": "source", "uri": "git:recoverykit", "digest": {"gitCommit": head}}
        listed.append({**source, **note})
    return listed


def _versions(own: Sequence[Own]) -> dict[str, str]:
    return {each.name: each.version for each in own}
