"""One Windows machine as its disk would hold it: what is installed, and what has happened to it.

A Machine collects facts (drivers, registry keys, log entries, files) while a scenario tells its
story; `write` lays them down. Times are UTC; logs in local time get the machine's bias.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

from tests.builders import bootlog, events, evtx, hive, setupapi
from tests.scenarios import files, inbox, profiles, vendors
from tests.scenarios.inbox import PRESENT, Inbox, always
from tests.scenarios.profiles import Profile
from tests.scenarios.vendors import Vendor

# Where drivers of such a kind stand in the way of a disk: class, and whether as upper filters.
_FILTERS = {
    "backup": ("volume", True),
    "volfilter": ("volume", False),
    "encrypt": ("volume", False),
    "dlp": ("disk", True),
}
CONTROLLERS = ("storahci", "stornvme", "stornvme")


@dataclass(slots=True)
class Driver:
    """A third-party driver that is, or was, on the machine."""

    vendor: Vendor
    version: str
    image: bytes
    installed: datetime
    changed: datetime  # its file and its key were last written
    published: str = ""  # "oem12.inf"
    folder: str = "System32/drivers"  # below the Windows folder
    start: int = 3
    error_control: int = 1
    present: bool = True  # the file is there
    registered: bool = True  # the service's key is there
    loaded: bool = True  # its device is there: it is in the boot log
    digest: str = ""
    values: dict[str, hive.Raw] = field(default_factory=dict)  # more of its key
    subkeys: dict[str, hive.Tree] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.vendor.name

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.vendor.file}"

    @property
    def image_path(self) -> str:
        below = self.path.replace("/", "\\")
        return below if self.start == 0 else f"\\SystemRoot\\{below}"

    @property
    def logged(self) -> str:
        below = self.path.replace("/", "\\")
        return f"\\SystemRoot\\{below}"

    @property
    def package(self) -> setupapi.Package:
        vendor = self.vendor
        return setupapi.Package(self.published, vendor.inf, vendor.service, self.digest)


@dataclass(slots=True)
class File:
    """A file to write below the Windows volume."""

    content: bytes
    when: datetime


class Machine:
    """Everything the scenario has said so far."""

    def __init__(
        self,
        rng: Random,
        folder: Path,
        profile: Profile,
        now: datetime,
        *,
        uefi: bool | None = None,
        controller: str = "",
    ) -> None:
        self.rng, self.folder, self.profile = rng, folder, profile
        self.root = folder / "windows"
        self.now = now  # when the disk was taken out
        self.installed = now - timedelta(days=rng.randint(150, 1100), seconds=rng.randint(0, 80000))
        self.serviced = now - timedelta(days=rng.randint(9, 55), seconds=rng.randint(0, 80000))
        self.zone = rng.choice(profiles.ZONES)
        self.computer = f"{'SRV' if profile.server else 'DESKTOP'}-{rng.randrange(36**7):07X}"[:15]
        old = profile.generation == "7"
        self.uefi = (rng.random() > 0.2 and not old) if uefi is None else uefi
        self.controller = controller or ("msahci" if old else rng.choice(CONTROLLERS))
        self.windows = "Windows"
        self.drivers: dict[str, Driver] = {}
        self.inbox = {s.name.lower(): s for s in inbox.services(profile.generation, profile.suffix)}
        self.starts: dict[str, int] = {}  # changed Start of inbox services
        self.key_times: dict[str, datetime] = {}  # of service keys, where not the usual
        self.extra_values: dict[str, dict[str, hive.Raw]] = {}  # service -> more values
        self.extra_subkeys: dict[str, dict[str, hive.Tree]] = {}
        self.extra_services: dict[str, hive.Node] = {}
        self.missing: set[str] = set()  # inbox files that are gone
        self.class_filters: dict[str, dict[str, list[str]]] = {}
        self.devices: dict[str, dict[str, hive.Raw]] = {}  # Enum path -> values
        self.disk_values: dict[str, hive.Raw] = {}  # more of the boot disk's Enum key
        self.session_manager: dict[str, hive.Raw] = {}
        self.memory_management: dict[str, hive.Raw] = {}
        self.crash_control: dict[str, hive.Raw] = {}
        self.setup: dict[str, hive.Raw] = {}
        self.select = {"Current": 1, "Default": 1, "Failed": 0, "LastKnownGood": 1}
        self.software: dict[str, hive.Tree] = {}  # below Microsoft\Windows\CurrentVersion
        self.components: dict[str, hive.Raw] = {}
        self.logs: dict[str, list[tuple[datetime, evtx.Event]]] = {"System": []}
        self.boots: list[bootlog.Block] = []
        self.sections: list[tuple[datetime, str]] = []
        self.files: dict[str, File] = {}
        self.pagefile: bytes | None = None
        self.oem = rng.randint(4, 30)
        self.hive_when = now
        self.log_start = now - timedelta(days=rng.randint(25, 45))  # older events are gone
        self.faults: set[str] = set()  # of boot files: see esp
        self.boot_entries: dict[str, bytes | str] = {}
        for extra in ("fvevol", "iorate", "rdyboost"):
            if extra in self.inbox:
                self.filter("volume", extra, upper=False)
        self.filter("volume", "volsnap")
        self.filter("disk", "partmgr")
        if "ehstorclass" in self.inbox:
            self.filter("disk", "EhStorClass", upper=False)
        self.filter("keyboard", "kbdclass")
        self.filter("mouse", "mouclass")

    # --- small facts ----------------------------------------------------------------------

    @property
    def bias(self) -> timedelta:
        """UTC = local time + bias."""
        return timedelta(minutes=self.zone[1])

    def local(self, when: datetime) -> datetime:
        return when - self.bias

    @property
    def version_text(self) -> str:
        p = self.profile
        major = {"7": "6.1", "8": "6.3"}.get(p.generation, "10.0")
        return f"{major}.{p.build}.{p.revision}"

    def log(self, event: evtx.Event, at: datetime | None = None) -> None:
        """An event; `at` is the true time where the machine's clock is wrong."""
        event = replace(event, computer=self.computer)
        self.logs.setdefault(event.channel, []).append((at or event.when, event))

    def inbox_image(self, name: str) -> bytes:
        """The stub of a driver that came with Windows."""
        low = name.lower()
        size = 1_200_000 if low == "ntoskrnl.exe" else 1500 + zlib.crc32(low.encode()) % 9000
        serviced = zlib.crc32(low.encode()) % 3 == 0
        built = self.serviced - timedelta(days=12) if serviced else self.profile.released
        company = inbox.VENDORS.get(low, "")
        version = self.version_text
        return files.inbox(
            name, company, version, self.profile.machine, int(built.timestamp()), size
        )

    def boot_application(self, name: str, subsystem: int) -> bytes:
        """bootmgfw.efi, winload.efi: as old as the last update."""
        built = int(self.serviced.timestamp()) - 90000
        machine = self.profile.machine
        return files.application(name, self.version_text, machine, built, subsystem)

    def inbox_time(self, name: str) -> datetime:
        serviced = zlib.crc32(name.lower().encode()) % 3 == 0
        return self.serviced if serviced else self.profile.released

    def put(self, path: str, content: bytes, when: datetime) -> None:
        """A file below the Windows folder ("../x": beside it)."""
        self.files[path] = File(content, when)

    def filter(self, kind: str, service: str, *, upper: bool = True) -> None:
        lists = self.class_filters.setdefault(vendors.CLASSES[kind], {})
        names = lists.setdefault("UpperFilters" if upper else "LowerFilters", [])
        if service not in names:
            names.append(service)

    def section(self, text: str, when: datetime) -> None:
        self.sections.append((when, text))

    # --- drivers --------------------------------------------------------------------------

    def install(
        self,
        vendor: Vendor,
        when: datetime,
        *,
        start: int | None = None,
        version: str = "",
        store: bool | None = None,
        built: datetime | None = None,
        quiet: bool = False,
    ) -> Driver:
        """A driver comes onto the machine, or a newer version of it.

        `quiet`: copied by an installer that calls neither SetupAPI nor the service manager.
        """
        rng = self.rng
        known = self.drivers.get(vendor.name)
        version = version or (_next(vendor.version, rng) if known else vendor.version)
        built = built or files.built_before(when, rng.uniform(6, 90))
        image = files.third_party(
            *(vendor.file, vendor.company, vendor.product, version, self.profile.machine),
            *(built, rng.randrange(24_000, 60_000)),
        )
        start = vendor.start if start is None else start
        in_store = bool(vendor.inf) and bool(vendor.kind) and start == 3
        store = (in_store and rng.random() < 0.6) if store is None else store
        made = Driver(vendor, version, image, known.installed if known else when, when, start=start)
        if vendor.inf:
            made.published = self._publish()
            made.digest = f"{rng.getrandbits(64):016x}"
        if store:
            made.folder = self.package_folder(made)
        self.drivers[vendor.name] = made
        if vendor.altitude:
            made.subkeys["Instances"] = instances(vendor.service, vendor.altitude)
        if vendor.role in _FILTERS and vendor.type == 1 and start == 0:
            kind, upper = _FILTERS[vendor.role]
            self.filter(kind, vendor.service, upper=upper)
        if vendor.kind and vendor.hardware:
            self._device(made)
        if not quiet:
            self._tell_install(made, when, first=known is None)
        return made

    def _publish(self) -> str:
        self.oem += 1
        return f"oem{self.oem}.inf"

    def package_name(self, driver: Driver) -> str:
        return f"{driver.vendor.inf}_{self.profile.suffix}_{driver.digest}"

    def package_folder(self, driver: Driver) -> str:
        """In the driver store, below the Windows folder."""
        return f"System32/DriverStore/FileRepository/{self.package_name(driver)}"

    def _device(self, driver: Driver) -> None:
        vendor, rng = driver.vendor, self.rng
        existing = [path for path in self.devices if path.startswith(vendor.hardware)]
        path = existing[0] if existing else _instance_path(vendor.hardware, rng)
        kind = vendors.CLASSES[vendor.kind]
        self.devices[path] = {
            "DeviceDesc": hive.sz(f"@{driver.published},%dev%;{vendor.product}"),
            "HardwareID": hive.multi_sz(vendor.hardware),
            "ClassGUID": hive.sz(kind),
            "Service": hive.sz(vendor.service),
            "Driver": hive.sz(f"{kind}\\{rng.randint(1, 9):04}"),
            "Mfg": hive.sz(f"@{driver.published},%mfg%;{vendor.company}"),
            "ConfigFlags": hive.dword(0),
        }

    def _tell_install(self, driver: Driver, when: datetime, *, first: bool) -> None:
        vendor = driver.vendor
        if vendor.inf:
            local = self.local(when)
            text = _rewritten(setupapi.imported(driver.package, local), driver, self.profile)
            self.section(text, when)
            if vendor.hardware:
                text = setupapi.installed(
                    driver.package, local + timedelta(seconds=4), f"{vendor.hardware}\\0"
                )
                self.section(_rewritten(text, driver, self.profile), when + timedelta(seconds=4))
        if first or self.rng.random() < 0.3:
            start = ("boot start", "system start", "auto start", "demand start")[driver.start]
            path = (
                f"C:\\Windows\\{driver.path}".replace("/", "\\")
                if not vendor.inf and self.rng.random() < 0.5
                else driver.image_path
            )
            self.log(
                events.service_installed(
                    when + timedelta(seconds=2), vendor.service, path, start=start
                )
            )

    # --- what a boot loads ----------------------------------------------------------------

    def present_inbox(self) -> list[Inbox]:
        """Inbox services whose hardware this machine has, in the order they load."""
        names = PRESENT | {self.controller.lower()}
        found = [s for s in self.inbox.values() if s.name.lower() in names]
        found += [
            s
            for s in self.inbox.values()
            if s.name.lower() not in names and s.start in (0, 1) and always(s)
        ]
        return sorted(found, key=self._rank)

    def _rank(self, service: Inbox) -> tuple[int, int]:
        return (self.starts.get(service.name.lower(), service.start), _group(service.group))

    def load_order(self) -> list[str]:
        """Paths as a good boot's log has them."""
        first = [f"\\SystemRoot\\system32\\{name}" for name in inbox.KERNEL]
        ranked = [
            (self._rank(service), service.logged)
            for service in self.present_inbox()
            if self.starts.get(service.name.lower(), service.start) < 4
        ]
        ranked += [
            ((driver.start, _group(driver.vendor.group)), driver.logged)
            for driver in self.drivers.values()
            if driver.present and driver.registered and driver.loaded and driver.start < 4
        ]
        ranked.sort(key=lambda item: item[0])
        libraries = [f"\\SystemRoot\\System32\\drivers\\{n}" for n in inbox.LIBRARIES[:8]]
        paths = [path for _rank, path in ranked]
        return [*first, *libraries[:4], *paths[:6], *libraries[4:], *paths[6:]]

    # --- to disk --------------------------------------------------------------------------

    def path(self, name: str) -> Path:
        return self.root / self.windows / name

    def write_file(self, name: str, content: bytes, when: datetime) -> Path:
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (when.timestamp(), when.timestamp()))
        return path

    def twin(self, path: Path) -> None:
        """The hard link that an inbox file has in WinSxS."""
        number = zlib.crc32(path.name.encode())
        store = (
            f"{self.profile.suffix}_{path.stem.lower()}_31bf3856ad364e35_"
            f"{self.version_text}_none_{number:016x}"
        )
        other = self.path(f"WinSxS/{store}/{path.name}")
        other.parent.mkdir(parents=True, exist_ok=True)
        other.hardlink_to(path)


_ORDER = {name.lower(): at for at, name in enumerate(inbox.GROUPS)}


def _group(name: str) -> int:
    return _ORDER.get(name.lower(), len(_ORDER))


def instances(service: str, altitude: str) -> hive.Tree:
    """The Instances key of a minifilter."""
    instance = f"{service} Instance"
    return {
        "DefaultInstance": hive.sz(instance),
        instance: {"Altitude": hive.sz(altitude), "Flags": hive.dword(0)},
    }


def _instance_path(hardware: str, rng: Random) -> str:
    if hardware.startswith(("root", "ROOT")):
        return f"ROOT\\{hardware.split(chr(92))[1].upper()}\\0000"
    tail = f"{rng.randint(3, 7)}&{rng.getrandbits(32):x}&0&{rng.randint(0, 255):02X}"
    if hardware.startswith("PCI"):
        return f"{hardware}&SUBSYS_{rng.getrandbits(32):08X}&REV_{rng.randint(0, 32):02X}\\{tail}"
    return f"{hardware}\\{tail}"


def _next(version: str, rng: Random) -> str:
    parts = [int(part) for part in version.split(".")]
    parts[-2] += rng.randint(1, 9)
    parts[-1] += rng.randint(1, 40)
    return ".".join(map(str, parts))


def _rewritten(text: str, driver: Driver, profile: Profile) -> str:
    """The builder's made-up names of vendor and version, as this package has them."""
    vendor = driver.vendor
    return (
        text.replace("Acme Corporation", vendor.company)
        .replace("07/19/2024,7.11.0.1", f"{driver.changed:%m/%d/%Y},{driver.version}")
        .replace("Common Files\\Acme", vendor.company.split(",")[0])
        .replace("Acme Device", vendor.product)
        .replace("Start Type    = 0", f"Start Type    = {driver.start}")
        .replace("_amd64_", f"_{profile.suffix}_")
    )
