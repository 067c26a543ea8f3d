"""docs/diagnosis.md, written from the rules and thresholds themselves so that it cannot rot.

`python -m recoverykit.diagnosis.document > docs/diagnosis.md`; a test compares the two.
"""

from __future__ import annotations

import sys
from textwrap import fill

from recoverykit.diagnosis import rules, verdict
from recoverykit.diagnosis.rule import Rule
from recoverykit.model import Kind

_HEAD = """\
# How recoverykit decides

<!-- Written by `python -m recoverykit.diagnosis.document`. Do not edit: change the rules. -->

A diagnosis reads what the disk holds about its last boots: the driver services, devices, filters
and settings of the SYSTEM hive, the driver files and the data files beside them, driver packages,
the event logs, crash dumps (one still in the pagefile, too) and error reports, `ntbtlog.txt`,
`SrtTrail.txt`, `bootstat.dat`, `setupapi.dev.log`, what an update left pending, the state of the
hives, of the boot stores and of the file system. What cannot be read is listed as a gap; it never
counts as good news.

## The last good boot

Everything is judged against the last sign that the machine came up: a clean shutdown, or a session
that went on for at least fifteen minutes. A logon or a sleep is such a sign as well, except where
sessions since the last good one crashed right after theirs: some drivers wait for a logon. What
happened before that sign was survived and does not count, however bad it looks. Boots fail when,
after it, a crash hit a boot or a short session, or there were two crashes; or two sessions just
stopped; or three left no sign of coming up; or a boot log ends early; or Startup Repair ran; or the
loader's own status counts attempts without success; or the last session ended cleanly and the file
system was nevertheless in use again. One crash after hours of work is none of these.

## Who can be blamed

Third-party drivers whose service is enabled and whose file exists. Never: drivers that come with
Windows (by name, or by the company their file states), modules that other drivers run inside
(`ntoskrnl`, `ndis`, `storport`, `fltmgr`...: a crash in one of them is walked on to the next
module). A driver that was disabled or deleted since, by our own quarantine for example, can be
named by a crash or by Startup Repair, so that nobody who called it is; it is never the culprit.

"""

_TITLES = {
    Kind.DRIVER: "a driver",
    Kind.CONTENT: "a data file of a driver",
    Kind.LOCKED: "a Windows that we cannot work on",
    Kind.BCD: "boot store, boot manager, EFI system partition",
    Kind.HIVE: "the registry",
    Kind.STORAGE: "the storage stack",
    Kind.FILTER: "filters",
    Kind.SERVICING: "an unfinished update",
    Kind.DISK: "the disk or its file system",
    Kind.HARDWARE: "the hardware",
}


def text() -> str:
    """The whole document, ending in a newline."""
    parts = [_HEAD]
    for kind, title in _TITLES.items():
        parts.append(f"## Rules: {title} (`{kind}`)\n\n")
        parts += [_rule(rule) for rule in rules.RULES if rule.kind is kind]
    return "".join(parts) + _verdict()


def _rule(rule: Rule) -> str:
    head = f"### {rule.id}\n\nArgument: {rule.argument}. Weight: {rule.weight}.\n\n"
    return head + fill(rule.text, 100, break_on_hyphens=False) + "\n\n"


_CONDITIONS = (
    "Boots fail since the last good one.",
    (
        f"It has a weight of at least {verdict.CULPRIT_WEIGHT} from at least "
        f"{verdict.CULPRIT_ARGUMENTS} arguments."
    ),
    (
        f"It leads the next suspect by at least {verdict.CULPRIT_LEAD}, roles left aside: two that "
        "are about equally suspect are both only suspects. Where "
        f"{verdict.CERTAIN_STOPS} crashes or more, and most of them, name it directly, only those "
        "that crashes name as well are its rivals."
    ),
    "Where crashes name a driver directly, nobody they do not name is the culprit.",
    "Where a crash names somebody else, at least twice as many name it.",
    (
        f"Where crashes came with {verdict.SCATTERED_CODES} different codes or more within two "
        "weeks, or there were "
        f"{verdict.MANY_STOPS} or more and it did not change, half of them name it."
    ),
    (
        "Where no more than a change and a role speak against it, it is on the stack of a dump "
        "since the last good boot, if any has one; and no other failed boot in the boot log came "
        "well past it."
    ),
    (
        "No stop code since the last good boot points to a disk, the registry, the hardware or "
        "user mode; an exception whose status says that a page could not be read is the disk's."
    ),
    (
        f"No explanation without a driver weighs {verdict.RIVAL_KIND} or more, unless a crash "
        "names it."
    ),
    (
        "None of its data files changed in that time: then the newest of them is suspected before "
        "it, unless the driver crashed before the file was there."
    ),
)


def _verdict() -> str:
    order = ", ".join(f"*{kind}*" for kind in verdict.IN_BOOT_ORDER)
    paragraphs = (
        (
            "Rules of one argument look at the same thing, so an argument counts once, at its "
            "heaviest. The weights of a subject's arguments are added up."
        ),
        (
            f"1. A fault of state with a weight of at least {verdict.STATE_WEIGHT} is one that no "
            "Windows starts with: it is the answer whatever else was found. Where there are "
            f"several, the first in the order of a boot counts: {order}."
        ),
        (
            "2. Otherwise a driver, or a data file of one, is the *culprit* when all of this "
            "holds. "
            f"From a weight of {verdict.SUSPECT_WEIGHT} it is a *suspect*: shown, never acted on "
            "unattended."
        ),
        *(f"   - {condition}" for condition in _CONDITIONS),
        (
            "3. Otherwise, where boots fail, the other kind with the most weight is the answer, "
            f"from {verdict.KIND_WEIGHT} on and with a lead of {verdict.KIND_LEAD}."
        ),
        (
            "4. The installation is *healthy* only on positive evidence: its newest session came "
            "up or ended cleanly, and nothing says that a boot failed since. Otherwise the answer "
            "is *unknown*. A SYSTEM hive that cannot be used is the kind *hive*."
        ),
        (
            "A boot that dies before the event log service starts leaves no record there. After "
            "a clean shutdown such a machine looks healthy unless a dump, the boot log, Startup "
            "Repair, the loader's status or the file system shows the attempt; drivers that "
            "changed in the last session are therefore named."
        ),
    )
    body = "\n\n".join(
        fill(part, 100, break_on_hyphens=False, subsequent_indent=_indent(part))
        for part in paragraphs
    )
    return f"## The verdict\n\n{body}\n"


def _indent(part: str) -> str:
    if part.startswith("   - "):
        return "     "
    return "   " if part[0].isdigit() else ""


if __name__ == "__main__":
    sys.stdout.write(text())
