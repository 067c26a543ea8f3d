"""docs/diagnosis.md, written from the rules and thresholds themselves so that it cannot rot.

`python -m recoverykit.diagnosis.document > docs/diagnosis.md`; a test compares the two.
"""

from __future__ import annotations

import sys
from textwrap import fill

from recoverykit.diagnosis import rules, verdict

_HEAD = """\
# How recoverykit decides

<!-- Written by `python -m recoverykit.diagnosis.document`. Do not edit: change the rules. -->

A diagnosis reads what the disk holds about its last boots: the driver services and filters of the
SYSTEM hive, `ntbtlog.txt`, `System.evtx`, the driver files themselves, and whether the file system
was left in use. What cannot be read is listed as a gap; it never counts as good news.

## The last good boot

Everything is judged against the last sign that the machine came up: a clean shutdown, a logon, a
sleep, or a session that went on for at least fifteen minutes. What happened before it was survived
and does not count, however bad it looks. Boots fail when, after it, a crash was recorded; or two
sessions just stopped; or a boot log ends early; or the last session ended cleanly and the file
system was nevertheless in use again.

## Who can be blamed

Third-party drivers whose service is enabled and whose file exists. Never: drivers that come with
Windows (by name, or by the company their file states), modules that other drivers run inside
(`ntoskrnl`, `ndis`, `storport`, `fltmgr`...), and disabled services, our own quarantine among them.

## Rules

"""


def text() -> str:
    """The whole document, ending in a newline."""
    parts = [_HEAD]
    for rule in rules.RULES:
        parts.append(f"### {rule.id}\n\nArgument: {rule.argument}. Weight: {rule.weight}.\n\n")
        parts.append(fill(rule.text, 100, break_on_hyphens=False) + "\n\n")
    return "".join(parts) + _verdict()


def _verdict() -> str:
    paragraphs = (
        (
            "Rules of one argument look at the same thing, so an argument counts once, at its "
            "heaviest. The weights of a driver's arguments are added up."
        ),
        (
            f"A driver is the *culprit* when it has a weight of at least {verdict.CULPRIT_WEIGHT} "
            f"from at least {verdict.CULPRIT_ARGUMENTS} arguments, when boots fail since the last "
            f"good one, when it leads the next driver by at least {verdict.CULPRIT_LEAD}, and "
            "when no stop code since then points to a disk, the registry, the hardware or user "
            "mode. Two drivers that are about equally suspect are both only suspects: nothing is "
            "done then."
        ),
        (
            f"From a weight of {verdict.SUSPECT_WEIGHT} a driver is a *suspect*: shown, never "
            "acted on unattended."
        ),
        (
            "The installation is *healthy* only on positive evidence: its newest session came up "
            "or ended cleanly, and nothing says that a boot failed since. Otherwise, without a "
            "culprit, the answer is *unknown*. A SYSTEM hive that cannot be used is the kind "
            "*hive*."
        ),
        (
            "A boot that dies before the event log service starts leaves no record there. After "
            "a clean shutdown such a machine looks healthy unless the boot log or the file system "
            "shows the attempt; drivers that changed in the last session are therefore named."
        ),
    )
    body = "\n\n".join(fill(part, 100, break_on_hyphens=False) for part in paragraphs)
    return f"## The verdict\n\n{body}\n"


if __name__ == "__main__":
    sys.stdout.write(text())
