"""Report.wer of Windows Error Reporting: a kernel crash, as its report says it.

Key=value lines in UTF-16LE. Keys as real reports have them (DebugPrivilege/InsightEngineering,
Microsoft Learn "Troubleshoot a failover cluster using WER"); for a kernel crash the signature is
stop code and parameters in hexadecimal (MS-CER2 section 4.3; event 1001 of issues on GitHub). The
names beside them are translated, so they are taken by number. A bucket is what !analyze calls
FAILURE_BUCKET_ID: reasons, then the module, in one string without a grammar (examples of
https://learn.microsoft.com/troubleshoot and of driver projects' issues).

Not handled: attached files, live kernel reports (the machine went on), WERInternalMetadata.xml,
which repeats the signature.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from recoverykit.errors import FormatError
from recoverykit.formats.binary import from_filetime

MAX_BYTES = 1 << 20  # a kernel report has some 10 KiB
BLUE_SCREEN = "BlueScreen"

_REPORT = "WER report"
_PARAMETERS = 4
_MAX_BUCKET = 512
_HEX = re.compile(r"(?:0x)?([0-9a-f]{1,16})", re.IGNORECASE)
_HASH = re.compile(r"[0-9]+|\{?[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\}?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Report:
    event: str  # "BlueScreen", "LiveKernelEvent", "APPCRASH", ...
    when: datetime | None  # of the report: in the boot after the crash
    code: int  # stop code; 0 when not told
    parameters: tuple[int, ...]
    bucket: str  # "" when Microsoft has not answered, or with a number only


def parse(data: bytes) -> Report:
    """Raises FormatError where no line says which kind of event this is."""
    fields = _fields(data)
    event = fields.get("eventtype", "")
    if not event:
        raise FormatError(_REPORT, 0, "it names no EventType")
    code, *parameters = (
        _number(fields.get(f"sig[{number}].value", "")) for number in range(1 + _PARAMETERS)
    )
    bucket = fields.get("response.bucketid", "")
    return Report(
        event=event,
        when=_time(fields.get("eventtime", "")),
        code=code or 0,
        parameters=tuple(number for number in parameters if number is not None),
        bucket="" if _HASH.fullmatch(bucket) or len(bucket) > _MAX_BUCKET else bucket,
    )


def _fields(data: bytes) -> dict[str, str]:
    """Keys in lower case; the first of its kind counts."""
    data = data[:MAX_BYTES]
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = data.decode("utf-16", "replace")
    elif data[1:2] == b"\0":
        text = data.decode("utf-16-le", "replace")
    else:
        text = data.decode("utf-8-sig", "replace")
    fields: dict[str, str] = {}
    for line in text.replace("\r", "\n").split("\n"):
        key, equals, value = line.partition("=")
        if equals:
            fields.setdefault(key.strip().lower(), value.strip())
    return fields


def _number(text: str) -> int | None:
    match = _HEX.fullmatch(text)
    return int(match.group(1), 16) if match else None


def _time(ticks: str) -> datetime | None:
    return from_filetime(int(ticks)) if re.fullmatch(r"[0-9]{1,19}", ticks) else None


# --- the module a bucket names ------------------------------------------------------------

# Words that stand before a module and say why; they matter where its name is in capitals too.
_REASONS = frozenset(
    (
        *("AV", "VRF", "XDV", "CODE", "PAGED", "NONPAGED", "IP", "R", "W", "X64", "X86", "ARM64"),
        *("OLD", "IMAGE", "BUGCHECK", "STACKPTR", "ERROR", "INVALID", "NULL", "DEREF", "BAD"),
        *("CALLER", "ISR", "DPC", "POWER", "DOWN", "UP", "IRP", "WRONG", "SYMBOLS", "CORRUPT"),
        *("CORRUPTION", "POOL", "LIST", "ENTRY", "READ", "WRITE", "EXECUTE", "STACK", "OVERFLOW"),
        *("DOUBLE", "FREE", "MISSING", "GUARD", "CFG", "COOKIE", "EQUAL", "MISALIGNED"),
    )
)
# Names that !analyze gives where it found no module.
_NOBODY = frozenset(
    (
        *("unknown", "unknown_module", "unknown_image", "unknown_function", "hardware"),
        *("memory_corruption", "analysis_inconclusive", "zeroed_stack", "hardware_ram"),
        *("genuineintel", "authenticamd", "large", "one_bit", "stride", "none"),
    )
)
_KERNEL = frozenset(
    ("nt", "ntkrnlmp", "ntkrnlpa", "ntkrpamp", "ntoskrnl", "ntoskrnl.wrong.symbols")
)
_LIBRARIES = frozenset(("hal", "ci", "kdcom", "kd", "bootvid", "pshed", "mcupdate_genuineintel"))
# Drivers of buses: in 0x9F they wait for the driver of a device, which the bucket names first.
_BUSES = frozenset({"pci.sys", "acpi.sys", "usbhub.sys", "usbhub3.sys", "ucx01000.sys"})

_MODULE = r"[A-Za-z0-9_.$@~-]{1,128}?"
_IMAGE = re.compile(rf"^(.*?)_?IMAGE_({_MODULE}\.(?:sys|exe|dll))", re.IGNORECASE)
_SYMBOL = re.compile(r"^([A-Za-z0-9_.$@~-]{1,200})(?:!|\+[0-9a-f]+$)", re.IGNORECASE)
_FILE = re.compile(rf"^({_MODULE})\.sys(?![A-Za-z0-9])", re.IGNORECASE)
_CODE = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8,16}|[0-9][0-9a-f]{0,4}|[0-9a-f]", re.IGNORECASE)


def module(bucket: str) -> str:
    """File name of the driver a bucket names, lower case; "" when it names none.

    Where reasons and names cannot be told apart the longest name is given: "AV_my_driver!x" is
    about my_driver.sys.
    """
    image = _IMAGE.match(bucket)
    if image is not None:
        name = _file_name(image.group(2))
        waiting = _after_reasons(image.group(1))
        return waiting if name in _BUSES and waiting and waiting not in _BUSES else name
    for pattern in (_SYMBOL, _FILE):
        found = pattern.match(bucket)
        if found is not None:
            return _after_reasons(found.group(1))
    return ""


def _after_reasons(text: str) -> str:
    """The file name of what follows the last reason; words are taken from the right."""
    *words, last = text.split("_")
    kept = [last]
    for word in reversed(words):
        if _is_reason(word, "".join(kept)):
            break
        kept.insert(0, word)
    return "" if len(kept) == 1 and _CODE.fullmatch(last) else _file_name("_".join(kept))


def _is_reason(word: str, name: str) -> bool:
    """Reasons are numbers or in capitals; a name in capitals goes on up to a known one."""
    if not word or _CODE.fullmatch(word):
        return True
    return word.isupper() and (word in _REASONS or not name.isupper())


def _file_name(name: str) -> str:
    stem = name.lower()
    bare = re.sub(r"\.(?:exe|sys|dll)$", "", stem)
    if not bare or bare in _NOBODY:
        return ""
    if bare in _KERNEL:
        return "ntoskrnl.exe"
    if bare in _LIBRARIES:
        return f"{bare}.dll"
    if stem.endswith(".exe"):
        return ""
    return stem if bare != stem else f"{stem}.sys"
