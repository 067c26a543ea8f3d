"""Whose word stands for a file of a Windows: the one place that asks the signatures.

`signing.verify` judges; here it is told what it cannot know: the kernel of the installation, its
catalogs, its block lists, and whom a person trusts beside Microsoft. All of that is looked up when
the first file needs it, once for an installation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from recoverykit.code_integrity import kernel as kernels
from recoverykit.code_integrity import lists
from recoverykit.code_integrity.catalogs import Shelf
from recoverykit.code_integrity.kernel import TargetKernel
from recoverykit.code_integrity.lists import Lists
from recoverykit.errors import FormatError
from recoverykit.formats import pe, pe_resources
from recoverykit.formats.pe import Stream
from recoverykit.model import Gap, Volume, WindowsInstall
from signing.kernel import Answer, Kind

if TYPE_CHECKING:
    from cryptography import x509

    from signing.ci_rules import Policy
    from signing.hash_list import HashList
    from signing.report import About, Report
    from signing.verify import Verifier

    Trust = Sequence[x509.Certificate]


class Standing(StrEnum):
    """What a file's signature is worth to the Windows it lies in."""

    VOUCHED = "vouched"  # that kernel loads it, or a trusted certificate stands behind it
    NOT_CHECKED = "not-checked"  # intact, and whether that kernel takes it cannot be told
    UNSIGNED = "unsigned"  # nothing embedded, and no catalog that could be read lists it
    REFUSED = "refused"  # that kernel does not load it
    TAMPERED = "tampered"  # it is not what was signed
    UNREADABLE = "unreadable"  # no executable, or a signature that cannot be read


@dataclass(slots=True)
class Judge:
    """Who vouches for the files of one Windows; or, without `install`, of none in particular.

    `trust`: certificates of signers, or of the CAs behind them. `at`: aware, the moment that counts
    where no timestamp does. `own`: block lists beside those of the target. `folders`: catalogs of
    this host. `progress` is told how many catalogs were read. Reads only, and never raises on what
    lies on the target.
    """

    install: WindowsInstall | None = None
    boot_volumes: Sequence[tuple[Volume, Path]] = ()
    trust: Trust = ()
    at: datetime | None = None
    own: Sequence[Policy | HashList] = ()
    folders: tuple[Path, ...] = ()
    progress: Callable[[int], object] | None = None
    _shelf: Shelf | None = field(default=None, repr=False)
    _target: TargetKernel | None = field(default=None, repr=False)
    _lists: Lists | None = field(default=None, repr=False)
    _verifier: Verifier | None = field(default=None, repr=False)

    @property
    def target(self) -> TargetKernel | None:
        """What is known of the kernel; None without an installation."""
        if self._target is None and self.install is not None:
            self._target = kernels.kernel_of(self.install, self.boot_volumes)
        return self._target

    @property
    def lists(self) -> Lists:
        if self._lists is None:
            if self.install is None or self.target is None:
                self._lists = Lists(heeded=tuple(self.own))
            else:
                self._lists = lists.of_target(self.target, self.own)
        return self._lists

    @property
    def shelf(self) -> Shelf:
        if self._shelf is None:
            self._shelf = Shelf(self.install, self.folders, self.progress)
        return self._shelf

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What could not be learned of this Windows, so far."""
        target = self.target.gaps if self.target else ()
        return (*target, *self.lists.gaps, *(self._shelf.gaps if self._shelf else ()))

    def report(self, stream: Stream) -> Report:
        """All that is known of a file. Raises OSError, and FormatError for a damaged packed one."""
        return self._made().verify(stream, self._about(stream))

    def standing(self, stream: Stream) -> tuple[Standing, str]:
        """How a file stands in a boot, and one clause that says why. Raises as `report`."""
        return standing(self.report(stream))

    def _made(self) -> Verifier:
        if self._verifier is None:
            from signing.kernel import Kernel
            from signing.path import Trust as Believed
            from signing.verify import Verifier  # here: cryptography takes 50 ms to load

            known = self.lists
            self._verifier = Verifier(
                trust=Believed(tuple(map(encoded, self.trust))),
                now=self.at or datetime.now(UTC),
                kernel=self.target.kernel if self.target else Kernel(),
                catalogs=self.shelf if self.install or self.folders else None,
                blocked=known.denied if known.enforced else None,
                advised=known.advised if known.heeded else None,
                unsure=known.unsure if known.is_restrictive else None,
                excepted=known.excepted if known.driver_policy else None,
            )
        return self._verifier

    def _about(self, stream: Stream) -> About | None:
        """What rules by name and version need; read only where there are lists."""
        if not (self.lists.enforced or self.lists.heeded or self.lists.is_restrictive):
            return None
        from signing.report import About

        try:
            found = pe_resources.version(stream, pe.headers(stream))
        except FormatError:
            return None
        numbers = tuple(int(part) for part in found.version.split(".") if part.isdecimal())
        return About(
            {
                "OriginalFilename": found.original_name,
                "InternalName": found.internal_name,
                "FileDescription": found.description,
                "ProductName": found.product,
            },
            (numbers[0], numbers[1], numbers[2], numbers[3]) if len(numbers) == 4 else None,
        )


def encoded(certificate: x509.Certificate) -> bytes:
    """DER."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)


def standing(report: Report) -> tuple[Standing, str]:
    """The same for a report: as a boot-start driver."""
    word = report.verdict.reason
    if report.kind is Kind.TAMPERED:
        return Standing.TAMPERED, word
    if report.kind is Kind.UNREADABLE:
        return Standing.UNREADABLE, word
    if report.kind is Kind.ORGANISATION and not report.denied:
        against = report.why_no_replacement(boot=True)
        return (
            (Standing.NOT_CHECKED, against) if against else (Standing.VOUCHED, _signed_by(report))
        )
    if report.verdict.boot is Answer.YES:
        return Standing.VOUCHED, word
    if report.verdict.boot is Answer.NO:
        return Standing.REFUSED, word
    if report.kind is Kind.UNSIGNED:
        return Standing.UNSIGNED, word
    return Standing.NOT_CHECKED, word


def _signed_by(report: Report) -> str:
    signer = report.best.signature.signer if report.best else None
    return f"signed by {signer.name}" if signer and signer.name else "signed by somebody trusted"
