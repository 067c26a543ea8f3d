"""Report.wer of a kernel crash: UTF-16LE with a mark, one key=value a line.

Keys and their order: real Report.wer files that are public (DebugPrivilege/InsightEngineering,
Microsoft Learn); signature of a blue screen: [MS-CER2] section 4.3. No real report of a blue
screen is at hand, see docs/unverified.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from recoverykit.formats.binary import to_filetime

WHEN = datetime(2024, 7, 19, 6, 30, tzinfo=UTC)
NAMES = ("Code", "Parameter 1", "Parameter 2", "Parameter 3", "Parameter 4")


def build(
    code: int = 0x50,
    parameters: Sequence[int] = (0xFFFF9C8E_0000_009C, 0, 0xFFFFF801_4C8D_335A, 2),
    bucket: str = "AV_csagent!unknown_function",
    *,
    event: str = "BlueScreen",
    when: datetime | None = WHEN,
    names: Sequence[str] = NAMES,
) -> bytes:
    """The whole file. `names` are what Windows shows, translated."""
    lines = ["Version=1", f"EventType={event}"]
    if when is not None:
        lines.append(f"EventTime={to_filetime(when)}")
    lines += ["ReportType=4", "Consent=1", "ReportIdentifier=7d91bb3f-9f5d-4e9f-88c3-846cfa983079"]
    if bucket:
        lines += [f"Response.BucketId={bucket}", "Response.BucketTable=5"]
    lines.append("Response.type=4")
    for number, (name, value) in enumerate(zip(names, (code, *parameters), strict=True)):
        lines += [f"Sig[{number}].Name={name}", f"Sig[{number}].Value={value:x}"]
    lines += [
        "Sig[5].Name=OS version",
        "Sig[5].Value=10_0_19045",
        "DynamicSig[1].Name=OS Version",
        "DynamicSig[1].Value=10.0.19045.2.0.0.256.48",
        "State[0].Key=Transport.DoneStage1",
        "State[0].Value=1",
        "FriendlyEventName=Shut down unexpectedly",
        "AppName=Windows",
        "AppPath=C:\\Windows\\System32\\WerFault.exe",
    ]
    return b"\xff\xfe" + "".join(f"{line}\r\n" for line in lines).encode("utf-16-le")
