"""What block lists and policies say of a file, and what that makes of a kernel's word for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from signing import kernel_policy, memory_integrity
from signing.block_list import Denied, Identity
from signing.image import NATIVE, Image
from signing.kernel import Answer, Kernel, Kind, Verdict
from signing.report import Voucher

Blocks = Callable[[Identity], Denied | None]  # what lists say of a file
Unsure = Callable[[Identity], str]  # why it is not known that policies let it load; or ""
Excepted = Callable[[Identity], bool | None]  # the driver policy of 2026 goes on to allow it


@dataclass(frozen=True, slots=True)
class Listed:
    """`denied`: by the kernel's lists; `advised`: by ours; the others as in the callables."""

    denied: Denied | None = None
    advised: Denied | None = None
    unsure: str = ""
    excepted: bool | None = None
    unfit: str = ""  # why no kernel of that machine loads it, as a clause

    def beside(self, image: Image, kernel: Kernel) -> Listed:
        """The same with what the form of a driver adds."""
        unsure = self.unsure or memory_integrity.doubt(image, kernel)
        return replace(self, unsure=unsure, unfit=_unfit(image, kernel))

    def heard(self, voucher: Voucher, kernel: Kernel) -> Voucher:
        """A voucher, and what a kernel says to it now that the policies were asked."""
        verdict = voucher.verdict
        if self.excepted is not None and voucher.kind in (Kind.CROSS_SIGNED, Kind.MICROSOFT):
            verdict = kernel_policy.would_load(
                voucher.signature, voucher.kind, voucher.way, kernel, excepted=self.excepted
            )
        return replace(voucher, verdict=self.restricted(verdict))

    def restricted(self, verdict: Verdict) -> Verdict:
        """What a kernel takes otherwise, a policy in force may refuse."""
        if self.unfit:
            return Verdict(Answer.NO, Answer.NO, self.unfit)
        return kernel_policy.doubted(verdict, self.unsure) if self.unsure else verdict


def _unfit(image: Image, kernel: Kernel) -> str:
    if image.subsystem != NATIVE or kernel.architecture in ("", image.machine):
        return ""
    return f"it is made for {image.machine} machines, and that Windows is {kernel.architecture}"
