"""What three independent verifiers say of signed files: osslsigncode, signify and LIEF.

Each is a process of its own, given the same roots. Their answers in one form, so that they can be
laid beside ours: certificates by serial number, because each writes names in a way of its own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY

OSSLSIGNCODE, SIGNIFY, LIEF = "osslsigncode", "signify", "LIEF"
PEERS = (OSSLSIGNCODE, SIGNIFY, LIEF)
_HEADING = re.compile(r"^(?:Signature Index: .*|Checking .* catalog file)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature as a peer sees it. "" and () where it does not say."""

    algorithm: str = ""  # "sha256"
    digest: str = ""  # hex, that the signature names
    computed: str = ""  # hex, that the peer computed
    serial: str = ""  # hex without leading zeros, of the signer's certificate
    chain: tuple[str, ...] = ()  # serial numbers, signer first, where it leads to a root
    kind: str = ""  # of its timestamp: "pkcs9" "rfc3161"
    time: str = ""  # 2023-07-22T11:40:01Z
    ok: bool = False
    reason: str = ""  # in the peer's words, where it is not ok


@dataclass(frozen=True, slots=True)
class View:
    """All signatures of a file, each followed by those nested in it."""

    signatures: tuple[Signature, ...]
    error: str = ""  # in the peer's words, where it read none

    @property
    def ok(self) -> bool:
        """Nothing that is there was refused."""
        return bool(self.signatures) and all(one.ok for one in self.signatures)


# --- osslsigncode -------------------------------------------------------------------------


def osslsigncode(file: Path, roots: Path, *options: str) -> View:
    """`options`: `-catalog FILE`, where the signature is that of a catalog."""
    given = ("-CAfile", str(roots), "-TSA-CAfile", str(roots), "-ignore-cdp", "-ignore-crl")
    done = subprocess.run(
        ["osslsigncode", "verify", *given, *options, "-in", str(file)],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
    )
    # What comes before the first heading is about the file; of a catalog there is no heading.
    _, *parts = re.split(_HEADING, done.stdout)
    found = tuple(_of_text(part, done.stderr) for part in parts if "digest algorithm" in part)
    return View(found, "" if found else done.stdout.strip().splitlines()[0] if done.stdout else "?")


def _of_text(text: str, errors: str) -> Signature:
    head, _, chain = text.partition("Signing certificate chain verified using:")
    counter = _field(r"Countersignatures:\s+Timestamp time: (.*)", head)
    # That of PKCS#9 has no serial number; where it could not be verified, none is told.
    kind = "rfc3161" if "Timestamp serial number:" in head else ""
    is_ok = "Signature verification: ok" in text.replace("Server Signature verification", "")
    stamp_failed = "Timestamp Server Signature verification: failed" in text
    return Signature(
        algorithm=_field(r"Message digest algorithm  : (\w+)", head).lower(),
        digest=_field(r"Current message digest    : (\w+)", head).lower(),
        computed=_field(r"Calculated message digest : (\w+)", head).lower(),
        serial=_serial(_field(r"Signer #0:.*?Serial : (-?\w+)", head)),
        chain=_chain(chain) if is_ok else (),
        kind=kind,
        time=_time(counter) if counter else "",
        ok=is_ok and not stamp_failed and "MISMATCH" not in text,
        reason="" if is_ok and not stamp_failed else _reason(text, errors),
    )


def _field(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.DOTALL if ".*?" in pattern else 0)
    return found[1].strip() if found else ""


def _serial(text: str) -> str:
    """Its bytes: some that issue certificates forgot that these may be a negative number."""
    if not text:
        return ""
    number = int(text, 16)
    if number < 0:
        number += 1 << 8 * ((-number - 1).bit_length() // 8 + 1)
    return f"{number:x}"


def _chain(text: str) -> tuple[str, ...]:
    before, _, _ = text.partition("Failed")
    found = [_serial(one) for one in re.findall(r"Serial : (-?\w+)", before)]
    return tuple(dict.fromkeys(reversed(found)))  # it prints some roots twice, with a warning


def _time(text: str) -> str:
    when = datetime.strptime(text.removesuffix(" GMT"), "%b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def _reason(text: str, errors: str) -> str:
    """The words of its errors, without what differs from run to run."""
    told = re.findall(r"^\s*Error: (.*)$", text, re.MULTILINE)
    told += [line.split(":")[5] for line in errors.splitlines() if line.count(":") > 6]
    told += re.findall(r"Verify error: (.*)$", errors, re.MULTILINE)
    told += ["digest mismatch"] if "MISMATCH" in text else []
    return "; ".join(dict.fromkeys(told))


# --- signify and LIEF ---------------------------------------------------------------------


def signify(files: Sequence[Path], roots: Path) -> dict[Path, View]:
    return _views("signify_dump", [str(roots)], files)


def lief(files: Sequence[Path]) -> dict[Path, View]:
    return _views("lief_dump", [], files)


def listed_by_signify(
    pairs: Sequence[tuple[Path, Path]], roots: Path
) -> dict[tuple[Path, Path], tuple[bool, bool]]:
    """(whether a catalog, the first of each pair, lists a file; whether it vouches for it)."""
    flat = [str(path) for pair in pairs for path in pair]
    answers = _run("signify_dump", ["--listed", str(roots), *flat])
    return {
        (Path(one["catalog"]), Path(one["path"])): (one["listed"], one["vouched"])
        for one in answers
    }


def _views(module: str, options: Sequence[str], files: Sequence[Path]) -> dict[Path, View]:
    answers = _run(module, [*options, *map(str, files)])
    return {Path(one["path"]): _view(one) for one in answers}


def _run(module: str, arguments: Sequence[str]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [python(), "-m", f"tests.independent.{module}", *arguments],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def python() -> str:
    """Where signify and LIEF are."""
    return sys.executable


def _view(answer: Mapping[str, Any]) -> View:
    signatures = tuple(
        Signature(
            **{name: one[name] for name in ("algorithm", "digest", "computed", "kind", "time")},
            serial=_serial(one["serial"]),
            chain=tuple(map(_serial, one["chain"])),
            ok=one["verdict"] == "ok",
            reason=one["reason"] if one["verdict"] != "ok" else "",
        )
        for one in answer.get("signatures", ())
    )
    return View(signatures, answer.get("error", ""))
