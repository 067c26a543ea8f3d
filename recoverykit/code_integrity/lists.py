"""Block lists: those that a Windows enforces, and those that we heed beside them.

A policy of the target counts as enforced where `policies` says that it is in force. Where that is
not known, it is heeded like ours: a file it names replaces nothing, and nobody says that the kernel
refuses it.

A policy in force may let only load what it names. What such a policy does not certainly let load,
by its rules as `signing.allow_list` reads them, is not known to load: `unsure`. Parts of Windows
are named by the purpose "Windows" in such policies (Microsoft's DefaultWindows example), and so are
mostly certain. The policy that ends the trust in cross-signed drivers (2026) is one of that shape,
but only those are asked whether it names them: `excepted`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from recoverykit.code_integrity import Findings
from recoverykit.code_integrity.kernel import TargetKernel
from recoverykit.code_integrity.places import PolicyRole
from recoverykit.code_integrity.policies import REQUIRED_EV, Condition, Placed
from recoverykit.errors import UsageError, why
from recoverykit.model import Gap
from signing import manifest
from signing.errors import SigningError

if TYPE_CHECKING:
    from signing.block_list import Denied, Identity
    from signing.ci_rules import Policy
    from signing.hash_list import HashList

LARGEST = 64 << 20
CARRIED = Path("/") / manifest.PAYLOAD_BLOCK_LISTS  # of the medium


@dataclass(frozen=True, slots=True)
class Lists:
    """Policies and lists of hashes, and what is to be said of them."""

    enforced: tuple[Policy, ...] = ()
    heeded: tuple[Policy | HashList, ...] = ()
    gaps: tuple[Gap, ...] = ()
    sole: tuple[Policy, ...] = ()  # of the enforced ones, those that let only load what they name
    supplements: tuple[Policy, ...] = ()
    driver_policy: Policy | None = None
    ev_signers: str = ""  # name of a policy that asks for them
    unread: str = ""  # file of a policy that cannot be read

    @property
    def is_restrictive(self) -> bool:
        """Whether `unsure` may have something to say."""
        return bool(self.sole or self.ev_signers or self.unread)

    def denied(self, identity: Identity) -> Denied | None:
        """What the kernel's lists say of a file."""
        from signing import block_list

        found = (block_list.denied(each, identity) for each in self.enforced)
        return next((each for each in found if each), None)

    def advised(self, identity: Identity) -> Denied | None:
        """What the others say: those in audit mode are meant all the same."""
        from signing import block_list

        found = (block_list.denied(each, identity, heed_audit=False) for each in self.heeded)
        return next((each for each in found if each), None)

    def unsure(self, identity: Identity) -> str:
        """Why it is not known that the policies in force let a driver load; "" where they do."""
        from signing import allow_list, block_list

        for policy in self.sole:
            allowed = allow_list.allows(policy, identity, self.supplements)
            if allowed is not True:
                name = block_list.list_name(policy)
                what = "whether it names this one cannot be told" if allowed is None else _UNNAMED
                return f"{name} lets only load what it names, and {what}"
        if self.ev_signers and not any(_is_ev(each.purposes) for each in identity.signers):
            return (
                f"{self.ev_signers} asks for drivers of makers with EV certificates, and whether"
                " Windows heeds that no document says"
            )
        if self.unread:
            return f"the policy {self.unread} cannot be read, so what it lets load is not known"
        return ""

    def excepted(self, identity: Identity) -> bool | None:
        """Whether the policy of 2026 goes on to allow a cross-signed driver; None: not known."""
        from signing import allow_list

        if self.driver_policy is None:
            return None
        return allow_list.allows(self.driver_policy, identity)


_UNNAMED = "it does not name this one"
_EV_PURPOSES = {  # Windows, early launch, EV (wincrypt.h: szOID_EV_WHQL_CRYPTO)
    "1.3.6.1.4.1.311.10.3.6",
    "1.3.6.1.4.1.311.61.4.1",
    "1.3.6.1.4.1.311.10.3.39",
}


def _is_ev(purposes: frozenset[str]) -> bool:
    return not purposes.isdisjoint(_EV_PURPOSES)


def of_target(target: TargetKernel, own: Sequence[Policy | HashList] = ()) -> Lists:
    """The lists that lie on a target, with some of ours."""
    facts = Findings({fact.name: fact for fact in target.facts})
    made = Lists(heeded=tuple(own))
    for placed in target.policies.placed:
        force = placed.in_force(facts)
        if force is not False:
            made = _with(made, placed, enforced=bool(force))
    return made


def _with(made: Lists, placed: Placed, *, enforced: bool) -> Lists:
    from signing import block_list

    policy, condition, source = placed.policy, placed.condition, placed.place.source
    if policy is None:
        gap = Gap(source, f"This policy cannot be read: {placed.problem}.")
        unread = placed.place.name if placed.is_own else made.unread
        return replace(made, gaps=(*made.gaps, gap), unread=unread)
    gaps = [
        Gap(source, f"{block_list.list_name(policy)}: {remark}.")
        for remark in block_list.remarks(policy)
    ]
    if enforced:
        made = replace(made, enforced=(*made.enforced, policy), gaps=(*made.gaps, *gaps))
    else:
        made = replace(made, heeded=(*made.heeded, policy), gaps=(*made.gaps, *gaps))
    if policy.supplemental:
        return replace(made, supplements=(*made.supplements, policy))
    if condition is Condition.DRIVER_POLICY:
        return replace(made, driver_policy=policy)
    if policy.audit or condition is Condition.NOTHING_FOR_DRIVERS or not enforced:
        return made
    if REQUIRED_EV in policy.options:
        made = replace(made, ev_signers=block_list.list_name(policy))
    if placed.place.role is PolicyRole.BLOCK_LIST or block_list.lets_others_load(policy):
        return made
    return replace(made, sole=(*made.sole, policy))


def from_files(paths: Sequence[Path]) -> tuple[Policy | HashList, ...]:
    """Lists that a person named, or that lie on the medium: policies in XML or binary form, or one
    SHA-256 a line. Raises UsageError for one that cannot be read."""
    return tuple(_read(path) for path in paths)


@cache
def carried() -> tuple[Policy | HashList, ...]:
    """The lists of the medium that we run from; none elsewhere.

    Its builder has read each of them and its signature covers them, so one that cannot be read is
    not told here: the medium's own check has refused it.
    """
    return tuple(found for path in in_folder(CARRIED) if (found := _readable(path)) is not None)


def _readable(path: Path) -> Policy | HashList | None:
    try:
        return _read(path)
    except UsageError:
        return None


def in_folder(folder: Path) -> Iterator[Path]:
    """The lists in a folder, by name; nothing where there is no such folder."""
    try:
        found = sorted(folder.iterdir())
    except OSError:
        return
    from signing.block_list import ENDINGS  # where there is none, nobody waits for it

    yield from (each for each in found if each.suffix.lower() in ENDINGS)


def _read(path: Path) -> Policy | HashList:
    from signing import block_list

    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise UsageError(f"{path} has more than {LARGEST >> 20} MiB, which no block list has.")
        return block_list.read(data, path.name)
    except OSError as exc:
        raise UsageError(f"the block list {path} cannot be read: {why(exc)}") from exc
    except SigningError as exc:
        raise UsageError(
            f"{path} is no block list: {exc}",
            hint="a policy of App Control in XML or binary form, or lines of SHA-256",
        ) from exc


def described(policy: Policy | HashList) -> str:
    """What a list is called."""
    from signing import block_list
    from signing.hash_list import HashList as Hashes

    return policy.name if isinstance(policy, Hashes) else block_list.list_name(policy)
