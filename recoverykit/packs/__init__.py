"""Remediation packs: a signed TOML file that says what is wrong with a Windows, and what to do.

    read(content, signature, anchors, at)         -> Pack; check(content) without a signature
    detect(pack, install, evidence)               -> Detection: yes, no, cannot be told; and why
    make(pack, install, evidence, hive, given)    -> Made (plan, supply), Refusal, or None
    verify(pack, install)                         -> what does not hold afterwards

A pack is done whole or not at all, through the planner, the guard and the transaction of every
other repair: it can do nothing that they would refuse. docs/packs.md says how to write one.
"""

from __future__ import annotations

from recoverykit.packs.acts import Made, make
from recoverykit.packs.detection import Detection, Seen, detect
from recoverykit.packs.pack import Pack
from recoverykit.packs.proofs import verify
from recoverykit.packs.reading import check, read
from recoverykit.packs.schema import SchemaError
from recoverykit.packs.supply import Given

__all__ = [
    "Detection",
    "Given",
    "Made",
    "Pack",
    "SchemaError",
    "Seen",
    "check",
    "detect",
    "make",
    "read",
    "verify",
]
