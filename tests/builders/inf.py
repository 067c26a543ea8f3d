"""INF files as vendors write them, in the encodings they come in.

Syntax: Microsoft Learn, "General syntax rules for INF files" and the pages of each directive.
"""

from __future__ import annotations

from dataclasses import dataclass

NET = "{4d36e972-e325-11ce-bfc1-08002be10318}"


@dataclass(frozen=True, slots=True)
class Driver:
    """A package of one driver service."""

    service: str = "acme"
    provider: str = "Acme Corporation"
    dated: str = "07/19/2024"
    version: str = "7.11.0.1"
    class_guid: str = NET.upper()
    content: tuple[str, ...] = ()  # more files


def text(driver: Driver) -> str:
    """A package for one device on amd64 and arm64."""
    more = "".join(f"{name}\r\n" for name in driver.content)
    lines = f"""\
; Installs the {driver.service} driver; [Version] is below
[Version]
Signature   = "$WINDOWS NT$"
Class       = Net
ClassGuid   = {driver.class_guid}
Provider    = %ManufacturerName%
CatalogFile = {driver.service}.cat
DriverVer   = {driver.dated},{driver.version}
PnpLockdown = 1

[Manufacturer]
%ManufacturerName% = Models, NTamd64.10.0...16299, NTarm64

[Models.NTamd64.10.0...16299]
%DeviceName% = Install, PCI\\VEN_1234&DEV_5678

[Models.NTarm64]
%DeviceName% = Install, PCI\\VEN_1234&DEV_5678

[DestinationDirs]
DefaultDestDir = 13

[SourceDisksNames]
1 = %DiskName%,"",,

[SourceDisksFiles]
{driver.service}.sys = 1,,

[Install.NT]
CopyFiles = Copied.Drivers

[Copied.Drivers]
{driver.service}.sys,,,0x00004000 ; COPYFLG_IN_USE_TRY_RENAME
{more}
[Install.NT.Services]
AddService = %ServiceName%, 0x00000002, Service.Install, Event.Log ; for the device

[Service.Install]
DisplayName    = %ServiceText%
ServiceType    = 1
StartType      = 3
ErrorControl   = 1
ServiceBinary  = %13%\\{driver.service}.sys

[Event.Log]
HKR,,EventMessageFile,0x00020000,"%%SystemRoot%%\\System32\\{driver.service}.dll"

[Strings]
ManufacturerName = "{driver.provider}"
ServiceName      = "{driver.service}"
ServiceText      = "The ""{driver.service}"" service; see the manual"
DeviceName       = "Acme Adapter"
DiskName         = "Disk 1"
"""
    return lines.replace("\r\n", "\n").replace("\n", "\r\n")


def build(driver: Driver, encoding: str = "utf-8") -> bytes:
    """The whole file."""
    return text(driver).encode(encoding)
