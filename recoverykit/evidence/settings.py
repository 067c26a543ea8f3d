"""Registry settings that change what a boot does, or what a crash leaves behind.

Told is what differs from a plain Windows; where dumps go is told always. Meanings: Microsoft Learn,
"Driver Verifier" (VerifyDrivers, VerifyDriverLevel), "System failure and recovery options"
(CrashControl), "ELAM driver requirements" (BackupPath); windows-boot-facts.md, sections 2, 7 and 9.
Select: libyal winreg-kb, "System keys".

DriverLoadPolicy is 1 good and unknown, 3 those and bad ones that the boot needs, 7 all, 8 good
only, and a group policy writes it below `Policies` (security baselines name both key and numbers).
BootExecute: chkdsk and chkntfs leave entries of `autocheck autochk` with switches there, which are
Windows' own (technet cc963230 and the pages on chkntfs).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from recoverykit.errors import FormatError
from recoverykit.formats.hive import Hive, Key, Value
from recoverykit.model import Evidence, Gap, Setting, SettingName, Source, WindowsInstall

_SESSION = "Control\\Session Manager"
_PLAIN_POLICY = 3  # what Windows does without a DriverLoadPolicy
_AUTOCHECK = re.compile(r"(autocheck\s+)?autochk(\.exe)?(\s|$)", re.IGNORECASE)
_WINDOWS_8 = 9200  # the first build that keeps no other control set as LastKnownGood
_BACKUP = "\\elambkup"

Read = Callable[[WindowsInstall, Key], Iterator[Setting]]


def collect(install: WindowsInstall, hive: Hive) -> Iterator[Evidence]:
    """Every setting; a damaged key is a Gap and the rest goes on."""
    current = install.control_set_key
    for path, read in _KEYS:
        where = path if path in ("Select", "Setup") else f"{current}\\{path}"
        try:
            key = hive.find(where)
            if key is not None:
                yield from read(install, key)
        except FormatError as exc:
            yield Gap(Source(install.system_hive, key=where), str(exc))


def _setting(
    install: WindowsInstall,
    key: Key,
    value: Value,
    name: SettingName,
    text: str,
    number: int | None = None,
) -> Setting:
    source = Source(install.system_hive, value.offset, key.path)
    return Setting(source, name, text, number)


def _memory(install: WindowsInstall, key: Key) -> Iterator[Setting]:
    drivers, level = key.value("VerifyDrivers"), key.value("VerifyDriverLevel")
    names = (drivers.string if drivers else None) or ""
    if drivers is not None and names.strip():
        number = level.dword if level else None
        text = names.strip() + (f", level {number:#x}" if number is not None else "")
        yield _setting(install, key, drivers, SettingName.VERIFIER, text, number)


def _crash(install: WindowsInstall, key: Key) -> Iterator[Setting]:
    kind = key.value("CrashDumpEnabled")
    if kind is not None and kind.dword is not None:
        yield _setting(install, key, kind, SettingName.CRASH_DUMP, str(kind.dword), kind.dword)
    for name, setting in (
        ("DumpFile", SettingName.DUMP_FILE),
        ("MinidumpDir", SettingName.MINIDUMP_FOLDER),
        ("DedicatedDumpFile", SettingName.DEDICATED_DUMP),
    ):
        value = key.value(name)
        if value is not None and value.string:
            yield _setting(install, key, value, setting, value.string)


def _select(install: WindowsInstall, key: Key) -> Iterator[Setting]:
    numbers = {name: key.value(name) for name in ("Current", "LastKnownGood", "Failed")}
    found = {name: value.dword for name, value in numbers.items() if value is not None}
    good, failed = numbers["LastKnownGood"], numbers["Failed"]
    number = found.get("LastKnownGood")
    is_other = number is not None and number != found.get("Current")
    if good is not None and is_other and _is_since_8(install):
        yield _setting(install, key, good, SettingName.LAST_KNOWN_GOOD, str(number), number)
    number = found.get("Failed")
    if failed is not None and number:
        yield _setting(install, key, failed, SettingName.FAILED_CONTROL_SET, str(number), number)


def _is_since_8(install: WindowsInstall) -> bool:
    """Windows 7 and older copy every good control set: there, a number of its own is plain."""
    build = install.build.split(".")[0]
    return build.isdecimal() and int(build) >= _WINDOWS_8


def _early(install: WindowsInstall, key: Key) -> Iterator[Setting]:
    policy, backup = key.value("DriverLoadPolicy"), key.value("BackupPath")
    number = policy.dword if policy else None
    if policy is not None and number is not None and number != _PLAIN_POLICY:
        yield _setting(install, key, policy, SettingName.ELAM_POLICY, str(number), number)
    folder = (backup.string if backup else None) or ""
    if backup is not None and folder and not folder.lower().rstrip("\\").endswith(_BACKUP):
        yield _setting(install, key, backup, SettingName.ELAM_BACKUP, folder)


def _execute(install: WindowsInstall, key: Key) -> Iterator[Setting]:
    value = key.value("BootExecute")
    written = (value.strings or (value.string or "",)) if value else ()
    entries = [entry.strip() for entry in written]
    more = [entry for entry in entries if entry and not _AUTOCHECK.match(entry)]
    if value is not None and more:
        yield _setting(install, key, value, SettingName.BOOT_EXECUTE, "; ".join(more))


def _setup(install: WindowsInstall, key: Key) -> Iterator[Setting]:
    """SetupType alone is enough for Windows to run CmdLine in place of a logon."""
    command = key.value("CmdLine")
    text = ((command.string if command else None) or "").strip()
    for name in ("SystemSetupInProgress", "SetupType"):
        running = key.value(name)
        number = running.dword if running else None
        if running is not None and number and (text or name != "SetupType"):
            told = text or "no command"
            yield _setting(install, key, running, SettingName.SETUP_IN_PROGRESS, told, number)
            return


_KEYS: tuple[tuple[str, Read], ...] = (
    (f"{_SESSION}\\Memory Management", _memory),
    (_SESSION, _execute),
    ("Control\\CrashControl", _crash),
    ("Control\\EarlyLaunch", _early),
    ("Policies\\EarlyLaunch", _early),
    ("Select", _select),
    ("Setup", _setup),
)
