"""Events by which disks, ports, file systems and the hardware complain in the System log.

Meanings: iologmsg.h and ntiologc.h (disk and port events, whose first string is the device), the
messages of ntfs.sys as libyal/winevt-kb lists them, the manifests of Microsoft-Windows-Ntfs and
WHEA-Logger, and Microsoft's "Understanding Storage Timeouts and Event 129 Errors".

Severe is what a healthy machine does not log: a block that cannot be read, a disk that foretells
its end, a damaged file system. A retry, a reset, a stick pulled out is not. Not read: chkdsk's
own report (it is in the Application log), volsnap (shadow copies only), ReFS.
"""

from __future__ import annotations

from collections.abc import Iterator

from recoverykit.evidence.event_meaning import number
from recoverykit.formats import evtx
from recoverykit.model import DiskTrouble, Evidence, HardwareError, Source

# Event ids of each source; True: severe.
_DISK = {
    7: True,  # bad block
    11: False,  # controller error: cables and USB sticks as well
    15: False,  # not ready
    51: False,  # error during a paging operation, retried
    52: True,  # S.M.A.R.T.: the disk predicts that it will fail
    153: False,  # retried
    154: True,  # failed by a hardware error
    157: False,  # surprise removal: a log on the system disk could not tell of its own
}
_PORT = {5: False, 7: True, 9: False, 11: False, 15: False, 129: False}
_NTFS = {
    41: True,  # Windows 7 and before: corrupt and unusable
    55: True,  # corruption
    57: False,  # could not flush its log: what a pulled stick logs
    130: False,  # was repaired
    131: True,  # cannot be repaired
    134: False,  # 134 to 138: transactions (TxF), of shadow copies as well
    135: False,
    137: False,
    138: False,
}
_VOLUMES = {98: False, 140: False, 150: True}  # 98 by its state; 150: cluster relocated
_CONFIRMED = 2  # of 98: to be fixed on the spot; 3: by chkdsk. 1 is a mere suspicion, 0 healthy
_DUMPS = {45: False, 46: False, 49: False, 161: False, 162: False}  # no dump can be, or was, made
_SOURCES = {"disk": _DISK, "ntfs": _NTFS, "microsoft-windows-ntfs": _VOLUMES, "volmgr": _DUMPS}
_PORT_DEVICES = ("\\device\\raidport", "\\device\\scsi\\", "\\device\\ide\\", "\\device\\harddisk")

_WHEA = "microsoft-windows-whea-logger"
_FATAL = frozenset({1, 4, 6, 8, 10, 12, 13, 14, 15, 16, 18, 20, 22, 24, 26, 29, 30, 40, 42, 44, 46})
_CORRECTED = frozenset({2, 5, 7, 9, 11, 17, 19, 21, 23, 25, 27, 28, 41, 43, 45, 47})


def wanted(provider: str, event: int) -> bool:
    """Whether `read` may make something of it; any driver of a port may log port events."""
    if provider == _WHEA:
        return event in _FATAL or event in _CORRECTED
    if provider in _SOURCES:
        return event in _SOURCES[provider]
    return event in _PORT and not provider.startswith(("microsoft-", "cdrom"))


def read(record: evtx.Record, source: Source) -> Iterator[Evidence]:
    provider = record.provider.lower()
    if provider == _WHEA:
        yield HardwareError(source, record.when, record.event, record.event in _FATAL)
        return
    text = _device(record)
    severe = _SOURCES.get(provider, _PORT)[record.event]
    if provider not in _SOURCES and not text.lower().startswith(_PORT_DEVICES):
        return
    if (provider, record.event) == ("microsoft-windows-ntfs", 98):
        state = number(record.fields.get("CorruptionActionState", ""))
        if not state:
            return  # logged at every mount
        severe = state >= _CONFIRMED
    yield DiskTrouble(source, record.when, record.event, record.provider, text, severe)


def _device(record: evtx.Record) -> str:
    """The drive letter or volume, and the device; of classic events the first string."""
    names = ("DriveName", "VolumeId", "VolumeName", "DeviceName")
    named = [record.fields[name] for name in names if record.fields.get(name)]
    texts = named or [text for text in record.strings if text]
    return " ".join(named) if named else "".join(texts[:1])
