"""The technician's screen: what was found, why, what will be done, yes or no.

Written for a tired person in front of a dead computer: plain words, one question at a time, and
no answer that changes anything except a typed "y". Input and output are two functions, so that
the same screens serve a terminal, the boot medium's consoles, and a test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from recoverykit import __version__, report
from recoverykit.model import InstallReport, Report, TransactionInfo
from recoverykit.settings import DEFAULTS, Settings

WIDTH = 79  # a text console has 80 columns, and some wrap at the last one
RULE = "=" * 72
Write = Callable[[str], None]
ReadLine = Callable[[], str | None]

YES = frozenset({"y", "yes", "j", "ja", "o", "oui", "s", "si"})
NO = frozenset({"n", "no", "nein", "non"})


@dataclass(frozen=True, slots=True)
class Screen:
    """Where to print and where to read; `read` returns None when nobody can answer any more."""

    write: Write
    read: ReadLine

    def say(self, text: str) -> None:
        self.write(text + "\n")

    def confirm(self, question: str) -> bool:
        """Only a typed yes is a yes: silence, noise and a dead console are a no."""
        for _ in range(5):
            self.write(f"{question} [y/n] ")
            answer = self.read()
            if answer is None or answer.lower() in NO:
                return False
            if answer.lower() in YES:
                return True
            self.say("Please type y (yes) or n (no) and press Enter.")
        return False

    def choose(self, prompt: str, choices: dict[str, str]) -> str | None:
        """One of `choices` (key -> meaning) by its key; None when nobody can answer any more."""
        while True:
            self.say(prompt)
            for key, meaning in choices.items():
                self.say(f"  {key}  {meaning}")
            self.write("> ")
            answer = self.read()
            if answer is None:
                return None
            if answer.lower() in choices:
                return answer.lower()
            self.say(f"'{answer}' is not one of {', '.join(choices)}.")


def banner(recipe: str, signer: str, *, development: bool, settings: Settings = DEFAULTS) -> str:
    """The first screen: whose medium this is, who made it, and what that is worth."""
    lines = [RULE, *settings.logo]
    lines += [text for text in (settings.organisation, settings.contact) if text]
    if len(lines) > 1:
        lines.append(RULE)
    lines += [
        f"recoverykit {__version__}    recipe id {recipe or 'unknown'}",
        f"signed by {signer}",
    ]
    if development:
        lines.append("DEVELOPMENT KEY: vouched for by nobody. Good for a trial, not for a fleet.")
    return "\n".join([*lines, RULE])


def overview(found: Report, *, details: bool = False) -> str:
    return f"{report.to_text(found, details=details, width=WIDTH)}{RULE}"


def actionable(found: Report) -> tuple[InstallReport, ...]:
    return tuple(entry for entry in found.installations if report.is_actionable(entry))


def menu(found: Report, undoable: tuple[TransactionInfo, ...]) -> dict[str, str]:
    """What can be done now; only what really can is offered."""
    choices = {}
    if actionable(found):
        choices["y"] = "repair: do what is listed above"
    choices["d"] = "show every detail and finding"
    if undoable:
        choices["u"] = f"undo the repair {max(info.id for info in undoable)}"
    return choices | {
        "a": "look at the disks again",
        "r": "restart this computer, change nothing more",
        "p": "power off, change nothing more",
    }
