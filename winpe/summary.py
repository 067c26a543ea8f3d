"""What was built, for a person and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from signing import keys
from winpe.linux_media import Built, Made
from winpe.verify import ImageState

_MB = 1_000_000


def as_text(built: Built, seconds: float) -> str:
    """The summary at the end of a build."""
    system, base = built.system, built.system.base
    certificate = built.signer.certificate
    unpacked = ", ".join(
        f"{name} {size / _MB:.1f}" for name, size in system.breakdown if size >= _MB / 20
    )
    rows = []
    for made in built.made:
        rows += [
            (str(made.output), f"{made.path}  ({made.size / _MB:.1f} MB)"),
            ("sha256", made.sha256),
            ("made of", _parts(made)),
        ]
    rows += [
        ("recipe id", system.image_id),
        ("starts on", f"{_machines(built)} with {system.memory} MB of memory, from CD or stick"),
        ("inside", f"Linux {base.kernel_version}, {base.modules} kernel modules, {_python(built)}"),
        ("unpacked, MB", unpacked),
        ("signed by", f"{_signer(built)}"),
        ("fingerprint", keys.grouped(keys.fingerprint(certificate))),
        ("built in", f"{seconds:.1f} s"),
    ]
    text = "\n".join(f"{name:>13}  {value}" for name, value in rows)
    if keys.is_development(certificate):
        text += (
            "\n\nThis image is signed with a development key: good for trying it out. For your"
            "\nfleet make a key once (build_media.py keys new DIR) and build with --keys DIR."
        )
    return text


def as_json(built: Built, seconds: float) -> str:
    """The same for scripts: schema recoverykit.media/2."""
    system, base = built.system, built.system.base
    certificate = built.signer.certificate
    document: dict[str, Any] = {
        "schema": "recoverykit.media/2",
        "images": [
            {
                "output": made.output,
                "path": str(made.path),
                "size": made.size,
                "sha256": made.sha256,
                "bytes": dict(made.parts),
            }
            for made in built.made
        ],
        "recipe_id": system.image_id,
        "made": system.made.isoformat(),
        "architecture": base.architecture.name,
        "kernel": base.kernel_version,
        "modules": base.modules,
        "python": _python(built).removeprefix("Python "),
        "memory_mb": system.memory,
        "unpacked": dict(system.breakdown),
        "signer": {
            "organisation": keys.organisation(certificate),
            "fingerprint": keys.fingerprint(certificate),
            "development": keys.is_development(certificate),
        },
        "seconds": round(seconds, 1),
    }
    return json.dumps(document, indent=2)


def verified_text(image: Path, state: ImageState) -> str:
    """The answer of `verify` to an image that is as it was signed."""
    return (
        f"OK: {image} is exactly what was signed ({state.files} files, {state.size / _MB:.1f} MB)\n"
        f"    recipe id {state.image_id}, made {state.made:%Y-%m-%d %H:%M} UTC\n"
        f"    {state.signer}"
    )


def verified_json(state: ImageState) -> str:
    """The same for scripts: schema recoverykit.verify/1."""
    values = {**asdict(state), "made": state.made.isoformat()}
    return json.dumps({"schema": "recoverykit.verify/1", **values}, indent=2)


def _python(built: Built) -> str:
    return f"Python {built.system.base.python_version}"


def _signer(built: Built) -> str:
    certificate = built.signer.certificate
    kind = " (DEVELOPMENT key)" if keys.is_development(certificate) else ""
    return f"{keys.organisation(certificate) or 'an unnamed organisation'}{kind}"


def _machines(built: Built) -> str:
    if built.system.base.architecture.has_bios:
        return "BIOS and UEFI PCs"
    return f"UEFI machines ({built.system.base.architecture.name})"


def _parts(made: Made) -> str:
    rest = made.size - sum(made.parts.values())
    parts = (*made.parts.items(), ("the rest", rest))
    return ", ".join(f"{name} {size / _MB:.1f} MB" for name, size in parts if size)
