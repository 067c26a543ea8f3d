"""What would be done about one suspect, and why: decided from what was read, and nothing done.

The plan names the files it saw with their sha256 ("" where there was none): `transaction.apply`
refuses when one is no longer so. A guarded driver is not quarantined; it may be replaced.
"""

from __future__ import annotations

from collections.abc import Sequence

from recoverykit.errors import RecoveryKitError
from recoverykit.formats.hive import Hive
from recoverykit.model import (
    Decision,
    Evidence,
    FileState,
    InstallFile,
    Kind,
    Plan,
    QuarantineFile,
    Refusal,
    Service,
    Suspect,
    WindowsInstall,
)
from recoverykit.repair import guard, quarantine
from recoverykit.repair.edits import MARGIN
from recoverykit.repair.quarantine import refusal
from recoverykit.repair.state import can_be_put_back, file_state, is_linked


def make(
    install: WindowsInstall, suspect: Suspect, evidence: Sequence[Evidence], hive: Hive
) -> Plan | Refusal:
    """One plan over everything that names the suspect, or the reason for none.

    Reads the files involved to name their hashes; writes nothing. Raises OSError.
    """
    if suspect.kind is Kind.CONTENT:
        return _content(install, suspect)
    if suspect.kind is not Kind.DRIVER:
        return refusal(suspect, "disabling it would not mend what is wrong with it.")
    services = _services(suspect, evidence)
    if not services:
        return refusal(suspect, "no driver service of this Windows loads it any more.")
    for service in services:
        held = guard.refuse(service, evidence, install=install)
        if held is not None:
            return held
    try:
        return quarantine.make(install, suspect, services, evidence, hive)
    except RecoveryKitError as exc:
        return refusal(suspect, f"what names it in the registry cannot be changed: {exc}.")


def _content(install: WindowsInstall, suspect: Suspect) -> Plan | Refusal:
    """A data file is moved away; the driver that reads it stays, and starts without it."""
    path = suspect.path
    if path is None or not (install.mount / path).is_file():
        return refusal(suspect, "the file is not there any more.")
    if not can_be_put_back(install.mount / path):
        return refusal(suspect, "it has other hard links, so it could not be put back exactly.")
    state = file_state(install.mount, path)
    reason = "it is moved into the folder of this repair; its driver stays"
    return Plan(
        root=install.root,
        driver=suspect.driver,
        service=suspect.service,
        reason=" ".join(finding.reason for finding in suspect.findings),
        actions=(QuarantineFile(path, state.sha256, state.size),),
        preconditions=(state,),
        space_needed=2 * state.size + MARGIN,
        title=f"quarantine {suspect.driver} (data of service {suspect.service})",
        decisions=(Decision("content file", path, changed=True, reason=reason),),
    )


def _services(suspect: Suspect, evidence: Sequence[Evidence]) -> list[Service]:
    """The suspect's service first, then others that would miss the same file."""
    known = [item for item in evidence if isinstance(item, Service)]
    own = [item for item in known if item.name.casefold() == suspect.service.casefold()]
    if not own:
        return []
    path = own[0].path
    same = [
        item
        for item in known
        if item not in own and path and item.path and item.path.casefold() == path.casefold()
    ]
    return [own[0], *same]


def replacing(
    install: WindowsInstall,
    suspect: Suspect,
    path: str,
    new: FileState,
    origin: str,
) -> Plan:
    """Put a good file (`new`: its hash and size) in the place of the suspect's, or of a missing
    one, at `path`; no pending rename puts another one there. Raises OSError."""
    old = file_state(install.mount, path)
    linked = bool(old.sha256) and is_linked(install.mount / path)
    edited, states, space, decisions = quarantine.keep_renames_away(install, path)
    decisions.append(Decision("driver file", path, changed=True, reason=f"replaced by {origin}"))
    if linked:
        reason = "its other hard links (WinSxS, DriverStore) keep the old bytes"
        decisions.append(Decision("hard link", path, changed=False, reason=reason))
    verb = "replace" if old.sha256 else "put back"
    return Plan(
        root=install.root,
        driver=suspect.driver,
        service=suspect.service,
        reason=" ".join(finding.reason for finding in suspect.findings),
        actions=(*edited, InstallFile(path, old.sha256, new.sha256, new.size, origin)),
        preconditions=(*states, old),
        space_needed=space + 2 * (old.size + new.size) + MARGIN,
        title=f"{verb} {suspect.driver} (service {suspect.service}) from {origin}",
        decisions=tuple(decisions),
    )
