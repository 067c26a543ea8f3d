"""setupapi.dev.log as Windows 10 and 11 write it: one byte a letter, sections one after another.

Frame: Microsoft Learn, "Format of a Text Log Section"; the lines of a section are in kind and
proportion those of ../shared/data/bootlogs (Windows 10 1507, 10.0.19043 and 11).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

STORE = "C:\\Windows\\System32\\DriverStore"
HEAD = (
    "[Device Install Log]\n     OS Version = 10.0.19045\n     Service Pack = 0.0\n"
    "     Suite = 0x0100\n     ProductType = 1\n     Architecture = amd64\n\n[BeginLog]\n\n"
)


@dataclass(frozen=True, slots=True)
class Package:
    """A driver package as a log names it."""

    published: str = "oem7.inf"
    original: str = "acme.inf"
    service: str = "acme"
    digest: str = "5e38a278d114b813"

    @property
    def folder(self) -> str:
        return f"{self.original}_amd64_{self.digest}"

    @property
    def stored(self) -> str:
        return f"{STORE}\\FileRepository\\{self.folder}\\{self.original}"

    @property
    def driver(self) -> str:
        return f"{self.service}.sys"


def stamp(when: datetime) -> str:
    return f"{when:%Y/%m/%d} {_clock(when)}"


def _clock(when: datetime) -> str:
    return f"{when:%H:%M:%S}.{when.microsecond // 1000:03}"


def entry(category: str, depth: int, text: str, prefix: str = "") -> str:
    """One line of a section's body."""
    return f"{prefix:<5}{category}: {' ' * 5 * depth}{text}"


def section(
    title: str,
    when: datetime,
    body: Iterable[str] = (),
    status: str | None = "SUCCESS",
) -> str:
    """A section; `status` None: the machine died before it ended."""
    lines = [f">>>  [{title}]", f">>>  Section start {stamp(when)}", *body]
    if status is not None:
        lines += [
            f"<<<  Section end {stamp(when + timedelta(seconds=1))}",
            f"<<<  [Exit status: {status}]",
            "",
            "",
        ]
    return "\n".join(lines) + "\n"


def boot(when: datetime) -> str:
    return f"[Boot Session: {stamp(when)}]\n\n"


def imported(package: Package, when: datetime, status: str = "SUCCESS") -> str:
    """SetupCopyOEMInf: a package comes into the Driver Store and is published."""
    source = "C:\\Program Files\\Common Files\\Acme\\Drivers"
    temporary = f"{STORE}\\Temp\\{{c78b8017-69c7-eb42-bb38-718854db7cd9}}"
    clock = _clock(when)
    stem = package.original.rsplit(".", 1)[0]
    copies = [
        entry("flq", 2, f"Copying '{source}\\{name}' to '{temporary}\\{name}'.")
        for name in (f"{stem}.cat", package.original, package.driver)
    ]
    body = [
        "      cmd: C:\\Windows\\System32\\MsiExec.exe -Embedding 3385AC78 E Global\\MSI0000",
        entry("inf", 0, "Copy style: 0x00000000"),
        entry("sto", 0, f"{{Setup Import Driver Package: {source}\\{package.original}}} {clock}"),
        entry("inf", 1, "Provider: Acme Corporation"),
        entry("inf", 1, "Class GUID: {4d36e97d-e325-11ce-bfc1-08002be10318}"),
        entry("inf", 1, "Driver Version: 07/19/2024,7.11.0.1"),
        entry("inf", 1, f"Catalog File: {stem}.cat"),
        entry("pol", 1, f"{{Driver package policy check}} {clock}"),
        entry("pol", 1, f"{{Driver package policy check - exit(0x00000000)}} {clock}"),
        entry("flq", 1, f"{{FILE_QUEUE_COMMIT}} {clock}"),
        *copies,
        entry("flq", 1, f"{{FILE_QUEUE_COMMIT - exit(0x00000000)}} {clock}"),
        entry("sig", 2, f"Key      = {package.original}"),
        entry("sig", 2, f"FilePath = {temporary}\\{package.original}"),
        entry("sig", 2, "Success: File is signed in catalog."),
        entry("sto", 2, f"{{Core Driver Package Import: {package.folder}}} {clock}"),
        entry("cpy", 3, f"Target Path = {STORE}\\FileRepository\\{package.folder}"),
        entry("idb", 3, f"{{Register Driver Package: {package.stored}}} {clock}"),
        entry(
            "idb",
            4,
            f"Created driver INF file object '{package.published}' in SYSTEM database node.",
        ),
        entry(
            "idb", 4, f"Registered driver package '{package.folder}' with '{package.published}'."
        ),
        entry("idb", 3, f"{{Register Driver Package: exit(0x00000000)}} {clock}"),
        entry(
            "cpy",
            4,
            f"Published '{package.folder}\\{package.original}' to '{package.published}'.",
        ),
        entry("idb", 4, f"Indexed 2 device IDs for '{package.folder}'."),
        entry("sto", 0, f"{{Setup Import Driver Package - exit (0x00000000)}} {clock}"),
        entry("inf", 0, f"Driver Store Path: {package.stored}"),
        entry("inf", 0, f"Published Inf Path: C:\\Windows\\INF\\{package.published}"),
    ]
    return section(f"SetupCopyOEMInf - {source}\\{package.original}", when, body, status)


def installed(
    package: Package,
    when: datetime,
    device: str = "PCI\\VEN_1234&DEV_5678",
    status: str = "SUCCESS",
) -> str:
    """A device gets the package's driver."""
    clock = _clock(when)
    body = [
        entry("dvi", 0, f"{{Build Driver List}} {clock}"),
        entry("dvi", 1, "Searching for hardware ID(s):"),
        entry("dvi", 2, device.lower()),
        entry("dvi", 1, "Created Driver Node:"),
        entry("dvi", 2, f"HardwareID   - {device}"),
        entry("dvi", 2, f"InfName      - {package.stored}"),
        entry("dvi", 2, "DevDesc      - Acme Device"),
        entry("dvi", 2, "Rank         - 0x00ff0000"),
        entry("dvi", 0, f"{{Build Driver List - exit(0x00000000)}} {clock}"),
        entry("ndv", 0, f"{{Core Device Install}} {clock}"),
        entry("dvi", 2, f"Driver INF     - {package.published} ({package.stored})"),
        entry("sto", 2, f"{{Configure Driver Package: {package.stored}}}"),
        entry("inf", 3, f"{{Add Service: {package.service}}}"),
        entry("inf", 4, "Start Type    = 0"),
        entry("inf", 4, "Service Type  = 1"),
        entry("inf", 4, "Error Control = 1"),
        entry("inf", 4, f"Image Path    = \\SystemRoot\\System32\\drivers\\{package.driver}"),
        entry("inf", 4, f"Created new service '{package.service}'."),
        entry("inf", 3, "{Add Service: exit(0x00000000)}"),
        entry("inf", 3, f"Service Name  = {package.service}"),
        entry("dvi", 2, f"Configuration: {package.published}:{device},*"),
        entry("dvi", 2, f"Install Device: Restarting device completed. {clock}"),
        entry("ndv", 0, f"{{Core Device Install - exit(0x00000000)}} {clock}"),
    ]
    return section(f"Device Install (Hardware initiated) - {device}", when, body, status)


def serviced(packages: Sequence[Package], when: datetime) -> str:
    """Stage Driver Updates: what a cumulative update does to the packages of Windows itself."""
    clock = _clock(when)
    body = []
    for package in packages:
        source = f"C:\\Windows\\WinSxS\\amd64_{package.folder}_31bf3856ad364e35_10.0.19041.1"
        body += [
            entry("sto", 0, f"{{Stage Driver Package: {source}\\{package.original}}} {clock}"),
            entry("inf", 1, f"{{Query Configurability: {source}\\{package.original}}} {clock}"),
            entry("inf", 2, f"Driver package '{package.original}' is configurable."),
            entry("inf", 1, f"{{Query Configurability: exit(0x00000000)}} {clock}"),
            entry("inf", 1, "Class Options  = Configurable BootCritical"),
            entry("flq", 1, f"{{FILE_QUEUE_COMMIT}} {clock}"),
            entry(
                "flq",
                2,
                f"Hardlinking '{source}\\{package.driver}' to "
                f"'{STORE}\\FileRepository\\{package.folder}\\{package.driver}'.",
            ),
            entry("flq", 1, f"{{FILE_QUEUE_COMMIT - exit(0x00000000)}} {clock}"),
            entry("sto", 1, f"{{DRIVERSTORE IMPORT BEGIN}} {clock}"),
            entry("sto", 1, f"{{DRIVERSTORE IMPORT BEGIN: exit(0x00000000)}} {clock}"),
            entry("idb", 1, f"{{Register Driver Package: {package.stored}}} {clock}"),
            entry("idb", 2, f"Created driver package object '{package.folder}' in SYSTEM node."),
            entry("idb", 1, f"{{Register Driver Package: exit(0x00000000)}} {clock}"),
            entry("sto", 0, f"{{Stage Driver Package: exit(0x00000000)}} {clock}"),
            entry("sto", 0, f"{{Publish Driver Package: {package.stored}}} {clock}"),
            entry("idb", 1, f"{{Publish Driver Package: {package.stored}}} {clock}"),
            entry("idb", 2, f"Activating driver package '{package.folder}'."),
            entry("idb", 2, f"Indexed 4 device IDs for '{package.folder}'."),
            entry("idb", 1, f"{{Publish Driver Package: exit(0x00000000)}} {clock}"),
            entry("sto", 0, f"{{Publish Driver Package: exit(0x00000000)}} {clock}"),
        ]
    return section("Stage Driver Updates", when, body)


def build(sections: Iterable[str]) -> bytes:
    """The whole file."""
    return (HEAD + "".join(sections)).encode()
