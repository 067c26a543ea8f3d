"""The App Control policies that lie on a target, read once, and which of them are in force.

Microsoft, "Inbox App Control policies" (learn.microsoft.com): what lies on every Windows, and what
makes it count. Of two more of Microsoft's, which are enforced on Windows 11 by default (a public
listing of `citool -lp`), only this is known: drivers load as ever beside them. All others are an
organisation's own and in force where they lie in their places, supposed that Windows takes their
signatures, which is not judged.

Places that cannot be listed are Gaps, and supposed to be empty. Policies that cannot be read are
kept with their problem: whether that matters is known once it is known what is in force.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from recoverykit.code_integrity import Findings, places
from recoverykit.code_integrity.places import PolicyPlace, PolicyRole
from recoverykit.errors import RecoveryKitError
from recoverykit.model import Gap, Volume, WindowsInstall
from signing.errors import SigningError

if TYPE_CHECKING:
    from signing.ci_rules import Policy

DRIVER_POLICY = "{8F9CB695-5D48-48D6-A329-7202B44607E3}"  # the end of cross-signed trust
DRIVER_POLICY_EVALUATED = "{784C4414-79F4-4C32-A6A5-F0FB42A51D0D}"
REQUIRED_WHQL, REQUIRED_EV = "Required:WHQL", "Required:EV Signers"
_HVCI_ENABLED = 1  # Set-HVCIOptions has more of them: strict (2), debug mode


class Condition(StrEnum):
    """When one of Microsoft's own policies counts."""

    S_MODE = "s_mode"
    SE = "windows_se"
    SMART_APP_CONTROL = "smart_app_control"
    NEVER = "evaluated only"
    DRIVER_POLICY = "cross_signed_ended"
    NOTHING_FOR_DRIVERS = "always"


_INBOX = {
    "{5951A96A-E0B5-4D3D-8FB8-3E5B61030784}": Condition.S_MODE,
    "{82443E1E-8A39-4B4A-96A8-F40DDC00B9F3}": Condition.SE,
    "{5DAC656C-21AD-4A02-AB49-649917162E70}": Condition.SE,
    "{CDD5CB55-DB68-4D71-AA38-3DF2B6473A52}": Condition.SE,
    "{0283AC0F-FFF1-49AE-ADA1-8A933130CAD6}": Condition.SMART_APP_CONTROL,
    "{1678656C-05EF-481F-BC5B-EBD8C991502D}": Condition.SMART_APP_CONTROL,
    "{0939ED82-BFD5-4D32-B58E-D31D3C49715A}": Condition.SMART_APP_CONTROL,
    "{1283AC0F-FFF1-49AE-ADA1-8A933130CAD6}": Condition.NEVER,
    "{2678656C-05EF-481F-BC5B-EBD8C991502D}": Condition.NEVER,
    "{1939ED82-BFD5-4D32-B58E-D31D3C49715A}": Condition.NEVER,
    DRIVER_POLICY_EVALUATED: Condition.NEVER,
    DRIVER_POLICY: Condition.DRIVER_POLICY,
    "{A072029F-588B-4B5E-B7F9-05AAD67DF687}": Condition.NOTHING_FOR_DRIVERS,  # VBS
    "{60FD87F8-4593-44A0-91B0-2E0DA022F248}": Condition.NOTHING_FOR_DRIVERS,  # endpoint security
}


@dataclass(frozen=True, slots=True)
class Placed:
    """A policy file. `policy` is None where it cannot be read, for a `problem`."""

    place: PolicyPlace
    policy: Policy | None
    problem: str = ""

    @property
    def id(self) -> str:
        """As in Microsoft's lists: by what the policy says, else by its name."""
        if self.policy is not None:
            return self.policy.policy_id.upper()
        return self.place.name.rsplit(".", 1)[0].upper()

    @property
    def condition(self) -> Condition | None:
        """None: an organisation's own, or one that its role tells."""
        return _INBOX.get(self.id)

    @property
    def is_own(self) -> bool:
        """An organisation's, as far as can be told."""
        roles = (PolicyRole.SINGLE, PolicyRole.ACTIVE)
        return self.place.role in roles and self.condition is None

    def in_force(self, facts: Findings) -> bool | None:
        """None: not known. Facts are those of `kernel`, which come by and by."""
        if self.place.role is PolicyRole.BLOCK_LIST:
            return facts.flag("block_list")
        if self.place.role is PolicyRole.S_MODE:
            return bool(facts.flag("s_mode"))
        if self.place.role not in (PolicyRole.SINGLE, PolicyRole.ACTIVE):
            return False
        match self.condition:
            case None | Condition.NOTHING_FOR_DRIVERS:
                return True
            case Condition.NEVER:
                return False
            case Condition.DRIVER_POLICY:
                return facts.flag(Condition.DRIVER_POLICY.value)
            case Condition.S_MODE | Condition.SE | Condition.SMART_APP_CONTROL as condition:
                return bool(facts.flag(condition.value))


@dataclass(frozen=True, slots=True)
class Policies:
    """All that were found. `whole`: every place was looked at, as far as it is there."""

    placed: tuple[Placed, ...] = ()
    gaps: tuple[Gap, ...] = ()
    whole: bool = True

    def demand(self, facts: Findings, option: str) -> tuple[bool | None, Placed | None]:
        """Whether a policy in force that is not in audit mode has an option, and which."""
        doubtful = None
        for each in self.placed:
            force = each.in_force(facts)
            if force is False or each.condition is Condition.DRIVER_POLICY:
                continue
            if each.policy is None:
                doubtful = each if each.is_own else doubtful
            elif option in each.policy.options and not each.policy.audit:
                if force:
                    return True, each
                doubtful = each
        return (None if doubtful else False), doubtful

    def whql(self, facts: Findings) -> tuple[bool | None, Placed | None]:
        """Whether one demands signatures of Microsoft's own, and which.

        Required:EV Signers does by Geoff Chappell's account, and is "not currently supported" by
        Microsoft's: not known.
        """
        found, which = self.demand(facts, REQUIRED_WHQL)
        if found is not False:
            return found, which
        found, which = self.demand(facts, REQUIRED_EV)
        return (None if found else found), which

    def hvci(self, facts: Findings) -> tuple[bool | None, Placed | None]:
        """Whether one switches memory integrity on (Microsoft, "Enable memory integrity": 1).

        What other numbers do alone, and a policy in audit mode, no document says.
        """
        doubtful = None
        for each in self.placed:
            if each.place.role is PolicyRole.BLOCK_LIST or each.in_force(facts) is False:
                continue
            if each.policy is None or each.policy.supplemental or not each.policy.hvci:
                continue
            if each.in_force(facts) and each.policy.hvci & _HVCI_ENABLED and not each.policy.audit:
                return True, each
            doubtful = each
        return (None if doubtful else False), doubtful


def read(install: WindowsInstall, boot_volumes: Sequence[tuple[Volume, Path]]) -> Policies:
    """The policies of a target. Never raises on bad input."""
    placed, gaps = [], []
    seen = (install.mount / install.folder, *(mount for _, mount in boot_volumes))
    whole = all(folder.is_dir() for folder in seen)
    for place in places.policies_of(install, boot_volumes):
        if isinstance(place, Gap):
            gaps.append(place)
            whole = False
            continue
        placed.append(_read(install, place))
    return Policies(tuple(placed), tuple(gaps), whole)


def _read(install: WindowsInstall, place: PolicyPlace) -> Placed:
    try:
        return Placed(place, _parsed(places.read_policy(install, place)))
    except (SigningError, RecoveryKitError, OSError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        return Placed(place, None, reason.rstrip("."))


@lru_cache(maxsize=64)
def _parsed(data: bytes) -> Policy:
    """The same policy often lies in two places."""
    from signing import ci_policy

    return ci_policy.parse(data)
