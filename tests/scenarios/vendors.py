"""Third-party drivers: who makes them, what they are for, how they are registered."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

_TABLE = Path(__file__).with_name("vendors.txt")

CLASSES = {
    "net": "{4d36e972-e325-11ce-bfc1-08002be10318}",
    "display": "{4d36e968-e325-11ce-bfc1-08002be10318}",
    "media": "{4d36e96c-e325-11ce-bfc1-08002be10318}",
    "mouse": "{4d36e96f-e325-11ce-bfc1-08002be10318}",
    "keyboard": "{4d36e96b-e325-11ce-bfc1-08002be10318}",
    "hid": "{745a17a0-74d3-11d0-b6fe-00a0c90f57da}",
    "system": "{4d36e97d-e325-11ce-bfc1-08002be10318}",
    "bluetooth": "{e0cbf06c-cd8b-4647-bb8a-263b43f0f974}",
    "usb": "{36fc9e60-c465-11cf-8056-444553540000}",
    "hdc": "{4d36e96a-e325-11ce-bfc1-08002be10318}",
    "scsi": "{4d36e97b-e325-11ce-bfc1-08002be10318}",
    "disk": "{4d36e967-e325-11ce-bfc1-08002be10318}",
    "volume": "{71a27cdd-812a-11d0-bec7-08002be2092f}",
    "printer": "{4d36e979-e325-11ce-bfc1-08002be10318}",
    "image": "{6bdd1fc6-810f-11d0-bec7-08002be2092f}",
    "cdrom": "{4d36e965-e325-11ce-bfc1-08002be10318}",
}


@dataclass(frozen=True, slots=True)
class Vendor:
    """A driver somebody may have installed."""

    file: str  # spelled as its maker does
    role: str
    type: int
    start: int
    group: str
    altitude: str  # of a minifilter
    kind: str  # key of CLASSES, "" where no device goes with it
    hardware: str  # "PCI\\VEN_10DE&DEV_2504", "" where no device goes with it
    inf: str  # "" where it comes without one
    version: str
    company: str
    product: str

    @property
    def service(self) -> str:
        return self.file.rsplit(".", 1)[0]

    @property
    def name(self) -> str:
        """As evidence names it."""
        return self.file.lower()


@cache
def everyone() -> tuple[Vendor, ...]:
    found = []
    for line in _TABLE.read_text("utf-8").splitlines():
        if not line.startswith("#"):
            file, role, kind, start, *rest = line.split("|")
            found.append(Vendor(file, role, int(kind), int(start), *rest))
    return tuple(found)


def of(*roles: str) -> tuple[Vendor, ...]:
    """All whose role is one of these."""
    return tuple(vendor for vendor in everyone() if vendor.role in roles)


def named(file: str) -> Vendor:
    return next(vendor for vendor in everyone() if vendor.file == file)
