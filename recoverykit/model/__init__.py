"""Every value that flows through recoverykit. Frozen, without behaviour.

Paths inside a Windows volume are strings with forward slashes, relative to the volume's root,
in the spelling found on disk ("Windows/System32/drivers/acme.sys"). Times are aware UTC datetimes.
"""

from __future__ import annotations

from recoverykit.model.changes import (
    Action,
    Decision,
    EditHive,
    FileState,
    InstallFile,
    KeyChange,
    Outcome,
    Plan,
    QuarantineFile,
    Refusal,
    RegistryChange,
    RegistryData,
    RegistryKey,
    TransactionInfo,
    ValueChange,
)
from recoverykit.model.machine import (
    BootFault,
    BootLoader,
    BootPath,
    BootProblem,
    BootStore,
    ContentFile,
    DeviceNode,
    DeviceUse,
    DriverFile,
    DriverPackage,
    FilterUse,
    HiveHealth,
    HiveState,
    Known,
    MinifilterInstance,
    MountedVolume,
    NodeKind,
    PathNode,
    Service,
    Setting,
    SettingName,
    StartType,
    Vouching,
)
from recoverykit.model.past import (
    LASTED,
    BootEvent,
    BootEventKind,
    BootLogBlock,
    BootLogLine,
    BootManagerEvent,
    BootStatus,
    Crash,
    CrashDump,
    DiskTrouble,
    DriverFailed,
    DriverInstall,
    DriverRefused,
    HardwareError,
    KernelBoot,
    Module,
    PendingRename,
    PendingServicing,
    RenameFailed,
    ServiceChanged,
    ServiceInstalled,
    StackHit,
    StartupRepair,
    UpdateEvent,
    WerReport,
)
from recoverykit.model.places import (
    Disk,
    FileSystem,
    Gap,
    LogPolicy,
    NtfsState,
    Source,
    Survey,
    Volume,
    WindowsInstall,
)
from recoverykit.model.reports import (
    CheckLine,
    InstallReport,
    Report,
)
from recoverykit.model.verdicts import (
    Aftermath,
    Diagnosis,
    Finding,
    Kind,
    Moment,
    Since,
    Suspect,
    Verdict,
)

Evidence = (
    BootProblem
    | BootStore
    | ContentFile
    | DeviceNode
    | DeviceUse
    | DriverFile
    | DriverPackage
    | FilterUse
    | HiveState
    | MinifilterInstance
    | MountedVolume
    | Service
    | Setting
    | BootEvent
    | BootLogBlock
    | BootManagerEvent
    | BootStatus
    | Crash
    | CrashDump
    | DiskTrouble
    | DriverFailed
    | DriverInstall
    | DriverRefused
    | HardwareError
    | KernelBoot
    | PendingRename
    | PendingServicing
    | RenameFailed
    | ServiceChanged
    | ServiceInstalled
    | StartupRepair
    | UpdateEvent
    | WerReport
    | Gap
    | NtfsState
)

__all__ = [
    "LASTED",
    "Action",
    "Aftermath",
    "BootEvent",
    "BootEventKind",
    "BootFault",
    "BootLoader",
    "BootLogBlock",
    "BootLogLine",
    "BootManagerEvent",
    "BootPath",
    "BootProblem",
    "BootStatus",
    "BootStore",
    "CheckLine",
    "ContentFile",
    "Crash",
    "CrashDump",
    "Decision",
    "DeviceNode",
    "DeviceUse",
    "Diagnosis",
    "Disk",
    "DiskTrouble",
    "DriverFailed",
    "DriverFile",
    "DriverInstall",
    "DriverPackage",
    "DriverRefused",
    "EditHive",
    "Evidence",
    "FileState",
    "FileSystem",
    "FilterUse",
    "Finding",
    "Gap",
    "HardwareError",
    "HiveHealth",
    "HiveState",
    "InstallFile",
    "InstallReport",
    "KernelBoot",
    "KeyChange",
    "Kind",
    "Known",
    "LogPolicy",
    "MinifilterInstance",
    "Module",
    "Moment",
    "MountedVolume",
    "NodeKind",
    "NtfsState",
    "Outcome",
    "PathNode",
    "PendingRename",
    "PendingServicing",
    "Plan",
    "QuarantineFile",
    "Refusal",
    "RegistryChange",
    "RegistryData",
    "RegistryKey",
    "RenameFailed",
    "Report",
    "Service",
    "ServiceChanged",
    "ServiceInstalled",
    "Setting",
    "SettingName",
    "Since",
    "Source",
    "StackHit",
    "StartType",
    "StartupRepair",
    "Survey",
    "Suspect",
    "TransactionInfo",
    "UpdateEvent",
    "ValueChange",
    "Verdict",
    "Volume",
    "Vouching",
    "WerReport",
    "WindowsInstall",
]
