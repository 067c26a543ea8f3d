"""Block lists: those that a Windows enforces, and those that we heed beside them.

A policy of the target counts as enforced where nothing says that it is not: Microsoft's list of
vulnerable drivers where the kernel is set to it, an organisation's own policies where they lie in
their places. Whether one of these lets only load what it names is not judged, and told. Where it
is not known whether a list is in force, it is heeded like ours: a file it names replaces nothing,
and nobody says that the kernel refuses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from recoverykit.code_integrity import places
from recoverykit.code_integrity.kernel import TargetKernel
from recoverykit.code_integrity.places import PolicyPlace, PolicyRole
from recoverykit.errors import RecoveryKitError, UsageError, why
from recoverykit.model import Gap, Volume, WindowsInstall
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


@dataclass(slots=True)
class _Sorted:
    enforced: list[Policy] = field(default_factory=list)
    heeded: list[Policy | HashList] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)


def of_target(
    install: WindowsInstall,
    boot_volumes: Sequence[tuple[Volume, Path]],
    target: TargetKernel,
    own: Sequence[Policy | HashList] = (),
) -> Lists:
    """The lists that lie on a target, with some of ours. Never raises on bad input."""
    found = _Sorted(heeded=[*own])
    for place in places.policies_of(install, boot_volumes):
        if isinstance(place, Gap):
            found.gaps.append(place)
            continue
        force = _force(place, target)
        if force is not False:
            _add(install, place, found, enforced=bool(force))
    return Lists(tuple(found.enforced), tuple(found.heeded), tuple(found.gaps))


def _force(place: PolicyPlace, target: TargetKernel) -> bool | None:
    """Whether a policy is in force; None: not known."""
    if place.role is PolicyRole.BLOCK_LIST:
        return target.kernel.block_list
    if place.role in (PolicyRole.SINGLE, PolicyRole.ACTIVE):
        return True
    if place.role is PolicyRole.S_MODE:
        fact = target.fact("s_mode")
        return bool(fact.value) if fact else False
    return False


def _add(install: WindowsInstall, place: PolicyPlace, found: _Sorted, *, enforced: bool) -> None:
    from signing import block_list, ci_policy

    try:
        policy = ci_policy.parse(places.read_policy(install, place))
    except (SigningError, RecoveryKitError, OSError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        found.gaps.append(Gap(place.source, f"This policy cannot be read: {reason}."))
        return
    (found.enforced if enforced else found.heeded).append(policy)
    for remark in block_list.remarks(policy):
        found.gaps.append(Gap(place.source, f"{block_list.list_name(policy)}: {remark}."))


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
    kinds = (".xml", ".p7b", ".cip", ".bin", ".sha256", ".txt")
    try:
        yield from sorted(each for each in folder.iterdir() if each.suffix.lower() in kinds)
    except OSError:
        return


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
