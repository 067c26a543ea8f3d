"""What an update leaves for a boot: its queue, logs, and marks in SOFTWARE and COMPONENTS.

pending.xml: libyal's NTFS documentation ("TxF Old Page Stream") and public version 3 files.
PFRO.log: lines quoted in public. CBS.log: Microsoft's support article on 0x800f0922 and the real
log of ../shared/data. Marks: Azure's win-fix-pending-servicing, Guy Leech "Reasons for Reboots".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from tests.builders import hive

IDENTIFIER = "916ae75edb30da0146730000dc1be027"
QUEUE_COMMAND = (
    "C:\\Windows\\System32\\poqexec.exe /display_progress \\SystemRoot\\WinSxS\\pending.xml"
)
CBS = ("Microsoft", "Windows", "CurrentVersion", "Component Based Servicing")


def queue(operations: Sequence[str]) -> bytes:
    """pending.xml with these primitive operations, UTF-8 with a mark."""
    version = 'Version="3.1" WcpVersion="10.0.22621.2567 (WinBuild.160101.0800)"'
    lines = [
        "<?xml version='1.0' encoding='utf-8'?>",
        f'<PendingTransaction {version} Identifier="{IDENTIFIER}">',
        "\t<Transactions>",
        '\t\t<Transaction TransactionId="TI1.5"><Install Application="acme" RefGuid="1"/>',
        "\t\t</Transaction>",
        "\t</Transactions>",
        "\t<ChangeList>",
        '\t\t<Change Family="acme" New="1"/>',
        "\t</ChangeList>",
        '\t<POQ postAction="reboot">',
        '\t\t<BeginTransaction id="TI1.5"/>',
        *(f"\t\t{operation}" for operation in operations),
        "\t</POQ>",
        "\t<POQ>",
        "\t</POQ>",
        '\t<InstallerQueue Length="0x00000001">',
        '\t\t<Action Installer="acme" Mode="install" Phase="1" Old="0" New="1"/>',
        "\t</InstallerQueue>",
        "</PendingTransaction>",
    ]
    return "\r\n".join(lines).encode("utf-8-sig")


def hardlink(source: str, destination: str) -> str:
    return f'<HardlinkFile source="{source}" destination="{destination}"/>'


def delete(path: str) -> str:
    return f'<DeleteFile path="{path}"/>'


def set_value(path: str, name: str) -> str:
    return f'<SetKeyValue path="{path}" name="{name}" type="0x1" encoding="base64" value="AAA="/>'


# --- PFRO.log -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Boot:
    """One boot that had renames to do."""

    when: datetime  # local time of the machine
    failures: tuple[tuple[str, str, int], ...]  # old, new ("" deletes), NTSTATUS
    done: int | None = 5  # None: the machine died before it could count


def pfro(boots: Iterable[Boot], encoding: str = "utf-16-le") -> bytes:
    lines: list[str] = []
    for boot in boots:
        t = boot.when
        stamp = f"{t.month}/{t.day}/{t.year} {t.hour}:{t.minute}:{t.second} - "
        for old, new, code in boot.failures:
            target = f"\\??\\{new}" if new else "|delete operation|"
            lines.append(f"{stamp}PFRO Error: \\??\\{old}, {target}, {code:#x}")
        if boot.done is not None:
            lines += [f"{stamp}{boot.done} Successful PFRO operations", ""]
    text = "".join(f"{line}\r\n" for line in lines)
    return (b"\xff\xfe" if encoding == "utf-16-le" else b"") + text.encode(encoding)


# --- CBS.log ------------------------------------------------------------------------------


def cbs_line(when: datetime, text: str, level: str = "Info", part: str = "CBS") -> str:
    return f"{when:%Y-%m-%d %H:%M:%S}, {level:<22}{part}    {text}\r\n"


def startup(when: datetime, *, failed: bool = False, complete: bool = False) -> str:
    """What servicing logs at a start at which it has work to do."""
    lines = cbs_line(when, "Startup: current ExecuteState is CbsExecuteStateResolvePending")
    if failed:
        lines += cbs_line(
            when,
            "Startup: Failed to process advanced operation queue, startupPhase: 0.  A rollback "
            "transaction will be created. [HRESULT = 0x800f0922 - CBS_E_INSTALLERS_FAILED]",
            "Error",
        )
    if complete:
        lines += cbs_line(when, "Startup: Processing complete. [HRESULT = 0x00000000 - S_OK]")
    return lines


# --- hives --------------------------------------------------------------------------------


def software(keys: Mapping[str, hive.Tree], *, queue_command: str = "") -> bytes:
    """A SOFTWARE hive with these keys below Component Based Servicing."""
    configuration: dict[str, hive.Raw] = {}
    if queue_command:
        configuration["PoqexecCmdline"] = hive.multi_sz(queue_command)
    version: hive.Tree = {
        "Component Based Servicing": dict(keys),
        "SideBySide": {"Configuration": configuration},
    }
    windows: hive.Tree = {"CurrentVersion": version}
    nt: hive.Tree = {
        "CurrentVersion": {
            "ProductName": hive.sz("Windows 10 Pro"),
            "CurrentBuild": hive.sz("19045"),
        }
    }
    tree: hive.Tree = {"Microsoft": {"Windows": windows, "Windows NT": nt}}
    return hive.build(tree, name="SOFTWARE")


def components(values: Mapping[str, hive.Raw]) -> bytes:
    return hive.build(dict(values), name="COMPONENTS")


def system(
    manager: Mapping[str, hive.Raw],
    *,
    setup: Mapping[str, hive.Raw] | None = None,
    bias: int = 0,
) -> bytes:
    """A SYSTEM hive with these values of the session manager. `bias`: minutes to UTC."""
    control: hive.Tree = {
        "Session Manager": dict(manager),
        "TimeZoneInformation": {"ActiveTimeBias": hive.dword(bias & 0xFFFF_FFFF)},
    }
    tree: hive.Tree = {
        "Select": {"Current": hive.dword(1)},
        "ControlSet001": {"Control": control, "Services": {}},
        "Setup": dict(setup or {}),
    }
    return hive.build(tree, name="SYSTEM")


def renames(*pairs: tuple[str, str]) -> hive.Raw:
    """PendingFileRenameOperations; an empty second name deletes."""
    text = "".join(f"{old}\0{new}\0" for old, new in pairs)
    return hive.Raw(7, f"{text}\0".encode("utf-16-le"))
