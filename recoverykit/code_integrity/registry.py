"""What the hives say of a kernel's demands on drivers.

All of the control set that the next boot uses:

* `Control\\CI\\Policy`: Geoff Chappell, "Back Doors for Cross-Signed Drivers" (UpgradedSystem and
  BootUpgradedSystem by their mere presence, WhqlDeveloperTestMode, bits of WhqlSettings; seen in
  Windows 10 up to 1803); none of it before an upgrade has ended (`Setup`, Upgrade).
  SkuPolicyRequired 1 is S mode, VerifiedAndReputablePolicyState 1 is Smart App Control switched on.
* `Control\\CI\\Config`, VulnerableDriverBlocklistEnable, and when Microsoft's block list is in
  force without it: KB5020779 and Microsoft "Microsoft recommended driver block rules".
* `Control\\DeviceGuard` and the group policy of that name: Microsoft "Enable memory integrity" and
  "Policy CSP - VirtualizationBasedTechnology".

Settings tell what is asked for: whether this hardware can do memory integrity is not known here,
nor whether it is locked in a UEFI variable. What App Control policies switch on: `policies`.
"""

from __future__ import annotations

from dataclasses import dataclass

from recoverykit import installs
from recoverykit.code_integrity import Findings
from recoverykit.errors import FormatError, RecoveryKitError, why
from recoverykit.evidence.reading import plain
from recoverykit.formats.hive import Hive
from recoverykit.model import Source, WindowsInstall

_WINDOWS_10, _SERVER_2016, _1703, _1809, _11_22H2 = 10240, 14393, 15063, 17763, 22621
_VERSION = "Microsoft\\Windows NT\\CurrentVersion"
_POLICIES = "Policies\\Microsoft\\Windows\\DeviceGuard"
_HVCI = "HypervisorEnforcedCodeIntegrity"
_SE = "CloudEdition"  # Windows 11 SE
_STATES = (0, 1, 2)  # of memory integrity: off, on with a UEFI lock, on; `Enabled` has 0 and 1
# Bits of WhqlSettings.
_WHQL_OFF, _WHQL_ON, _BOOT_UPGRADED, _DEVELOPER, _UPGRADED = 1, 2, 1 << 29, 1 << 30, 1 << 31


@dataclass(frozen=True, slots=True)
class _Entry:
    """One value of a hive. `known` is False where it could not be looked up."""

    source: Source
    there: bool = False
    number: int | None = None  # where it is a DWORD
    text: str = ""  # where it is a string
    known: bool = True


class Registry:
    """Both hives; one that cannot be read is told once."""

    def __init__(self, install: WindowsInstall, found: Findings) -> None:
        self.install = install
        self.found = found
        self._system = self._load(install.system_hive, "SYSTEM")
        self._software = self._load(install.software_hive, "SOFTWARE")

    def control(self, path: str, name: str) -> _Entry:
        """A value below `Control` of the control set in use."""
        key = f"{self.install.control_set_key}\\Control\\{path}"
        return self._value(self._system, self.install.system_hive, key, name)

    def system(self, key: str, name: str) -> _Entry:
        return self._value(self._system, self.install.system_hive, key, name)

    def software(self, key: str, name: str) -> _Entry:
        return self._value(self._software, self.install.software_hive, key, name)

    def _load(self, path: str, name: str) -> Hive | None:
        try:
            return installs.read_hive(self.install, path)[0]
        except (RecoveryKitError, OSError) as exc:
            self.found.miss(Source(path), f"The {name} hive cannot be read: {why(exc)}.")
            return None

    def _value(self, hive: Hive | None, path: str, key: str, name: str) -> _Entry:
        source = Source(path, key=key)
        if hive is None:
            return _Entry(source, known=False)
        try:
            holder = hive.find(key)
            value = holder.value(name) if holder else None
            if value is None:
                return _Entry(source)
            where = Source(path, value.offset, key)
            return _Entry(where, there=True, number=value.dword, text=value.string or "")
        except FormatError as exc:
            self.found.miss(source, f"{name} cannot be read: {why(exc)}.")
            return _Entry(source, known=False)


def collect(registry: Registry) -> None:
    """Everything but memory integrity and the block list, which depend on the boot entry, too."""
    _version(registry)
    _kind(registry)
    _cross_signed(registry)
    _exceptions(registry)


# --- which Windows ------------------------------------------------------------------------


def _version(registry: Registry) -> None:
    """What was read when the installation was found."""
    install, found = registry.install, registry.found
    source = Source(install.software_hive, key=_VERSION)
    build, _, revision = install.build.partition(".")
    if build.isdecimal():
        found.say("build", source, value=int(build))
    if revision.isdecimal():
        found.say("revision", source, value=int(revision))
    if install.architecture:
        entry = registry.control("Session Manager\\Environment", "PROCESSOR_ARCHITECTURE")
        found.say("architecture", entry.source, value=install.architecture)


def _kind(registry: Registry) -> None:
    found = registry.found
    product = registry.control("ProductOptions", "ProductType")
    other = registry.software(_VERSION, "InstallationType")
    if product.text:
        is_server = product.text.lower() != "winnt"
        text = f"ProductType is {plain(product.text, 20)}"
        found.say("server", product.source, text, value=is_server)
    elif other.text:
        is_server = other.text.lower().startswith("server")
        text = f"InstallationType is {plain(other.text, 20)}"
        found.say("server", other.source, text, value=is_server)
    else:
        found.miss(product.source, "Whether this is a Windows Server cannot be told.")


# --- cross-signed drivers -----------------------------------------------------------------


def _cross_signed(registry: Registry) -> None:
    """Whether a signature of Microsoft's own is asked for, with Secure Boot and without."""
    upgraded, developer, settings, boot, upgrade = (
        registry.control("CI\\Policy", "UpgradedSystem"),
        registry.control("CI\\Policy", "WhqlDeveloperTestMode"),
        registry.control("CI\\Policy", "WhqlSettings"),
        registry.control("CI\\Policy", "BootUpgradedSystem"),
        registry.system("Setup", "Upgrade"),
    )
    found = registry.found
    if not all(each.known for each in (upgraded, developer, settings, boot, upgrade)):
        return
    if upgrade.number == 1:
        found.miss(upgrade.source, "An upgrade of Windows has not ended; until then it asks less.")
        return
    bits = settings.number or 0
    is_asked = bool(bits & _WHQL_ON)
    _whql(found, settings, is_asked=is_asked)
    if is_asked and not (found.number("build") == _SERVER_2016 and developer.number == 1):
        text = "WhqlSettings overrides it"
        found.say("upgraded", settings.source, text, value=False)
        found.say("boot_upgraded", settings.source, text, value=False)
        return
    if upgraded.there:
        found.say("upgraded", upgraded.source, "UpgradedSystem is there", value=True)
    elif developer.number == 1:
        text = "WhqlDeveloperTestMode does the same"
        found.say("upgraded", developer.source, text, value=True)
    elif bits & (_WHQL_OFF | _DEVELOPER | _UPGRADED):
        found.say("upgraded", settings.source, "WhqlSettings does the same", value=True)
    else:
        found.say("upgraded", upgraded.source, "there is no UpgradedSystem", value=False)
    if boot.there:
        found.say("boot_upgraded", boot.source, "BootUpgradedSystem is there", value=True)
    elif bits & _BOOT_UPGRADED:
        found.say("boot_upgraded", settings.source, "WhqlSettings does the same", value=True)
    else:
        found.say("boot_upgraded", boot.source, "there is no BootUpgradedSystem", value=False)


def _whql(found: Findings, settings: _Entry, *, is_asked: bool) -> None:
    """Without Secure Boot too; in 1607 that bit only overrides the others."""
    name = "whql_required"
    if not is_asked:
        found.say(name, settings.source, "WhqlSettings does not demand it", value=False)
    elif found.before(_1703):
        text = "before 1703 WhqlSettings does not demand it"
        found.say(name, settings.source, text, value=False)
    elif "build" in found.facts:
        found.say(name, settings.source, "WhqlSettings demands it", value=True)


def _exceptions(registry: Registry) -> None:
    """What else widens or narrows what may be loaded, told where it is there."""
    found = registry.found
    for name, entry, text in (
        ("s_mode", registry.control("CI\\Policy", "SkuPolicyRequired"), "SkuPolicyRequired is 1"),
        ("custom_signers", registry.control("CI\\Protected", "Licensed"), "Licensed is 1"),
        ("upgrade_running", registry.system("Setup", "Upgrade"), "an upgrade has not ended"),
    ):
        if entry.number == 1:
            found.say(name, entry.source, text, value=True)
    edition = registry.software(_VERSION, "EditionID")
    if edition.text.startswith(_SE):
        text = f"EditionID is {plain(edition.text, 20)}"
        found.say("windows_se", edition.source, text, value=True)
    smart = registry.control("CI\\Policy", "VerifiedAndReputablePolicyState")
    if smart.number in (1, 2):
        text = "Smart App Control is on" if smart.number == 1 else "it is evaluated"
        found.say("smart_app_control", smart.source, text, value=smart.number == 1)


# --- memory integrity ---------------------------------------------------------------------


def memory_integrity(registry: Registry, by_policy: tuple[bool | None, Source | None]) -> None:
    """Whether memory integrity (HVCI) is asked for; after the boot entry was looked at.

    `by_policy`: whether an App Control policy in force switches it on (None: not known), and which.
    """
    found = registry.found
    for name, has_none in (
        ("build", found.before(_WINDOWS_10)),
        ("architecture", found.text("architecture") == "x86"),
    ):
        if has_none:
            found.say("hvci", found.facts[name].source, "this Windows has none", value=False)
            return
    chosen = _asked(registry)
    is_on = bool(chosen.number)
    policy, where = by_policy
    if policy is not False and where is not None and not is_on:
        if policy and not (doubt := _doubt(registry, is_on=True)):
            found.say("hvci", where, "an App Control policy switches it on", value=True)
        else:
            reason = "Whether this App Control policy switches memory integrity on cannot be told."
            found.miss(where, doubt if policy else reason)
        return
    if not chosen.known or chosen.number not in (None, *_STATES):
        found.miss(chosen.source, "Whether memory integrity is on cannot be told.")
    elif doubt := _doubt(registry, is_on=is_on):
        found.miss(chosen.source, doubt)
    else:
        text = "it is switched on" if is_on else "nothing switches it on"
        found.say("hvci", chosen.source, text, value=is_on)


def _asked(registry: Registry) -> _Entry:
    """The setting that counts, the policy's first; the first that is not known ends the search."""
    scenario = registry.control(f"DeviceGuard\\Scenarios\\{_HVCI}", "Enabled")
    settings = (
        registry.software(_POLICIES, _HVCI),  # 3: not configured
        scenario,
        registry.control("DeviceGuard", _HVCI),  # up to Windows 10 1607
    )
    decided = (one for one in settings if not one.known or one.number in _STATES)
    return next(decided, scenario)


def _doubt(registry: Registry, *, is_on: bool) -> str:
    """Why a setting for memory integrity may not be what happens; "" where nothing says so."""
    found = registry.found
    if not is_on:
        asked = found.number("boot_hvci")
        return "The boot entry asks for memory integrity, the registry does not." if asked else ""
    off = [name for name in ("hypervisor_launch", "vsm_launch") if found.number(name) == 0]
    if off:
        return "Memory integrity is switched on, but the boot entry switches off what it needs."
    if registry.software(_POLICIES, "EnableVirtualizationBasedSecurity").number == 0:
        return "Memory integrity is switched on, but a policy switches off what it needs."
    return ""


# --- the block list -----------------------------------------------------------------------


def block_list(registry: Registry) -> None:
    """Whether Microsoft's list of vulnerable drivers is in force; after memory integrity."""
    found = registry.found
    build, hvci = found.facts.get("build"), found.flag("hvci")
    if build is None:
        return
    if found.before(_1809):
        has_none = found.before(_WINDOWS_10) or build.value == _SERVER_2016 or hvci is False
        if has_none:
            found.say("block_list", build.source, "this Windows has none", value=False)
        return
    switch = registry.control("CI\\Config", "VulnerableDriverBlocklistEnable")
    for name in ("hvci", "s_mode", "smart_app_control"):
        if found.flag(name):
            text = f"{_BRINGS[name]} brings it"
            found.say("block_list", found.facts[name].source, text, value=True)
            return
    if switch.number:
        found.say("block_list", switch.source, "it is switched on", value=True)
    elif switch.known and hvci is False:
        _by_default(found, switch)


def _by_default(found: Findings, switch: _Entry) -> None:
    if switch.number == 0:
        found.say("block_list", switch.source, "it is switched off", value=False)
    elif found.before(_11_22H2):
        found.say("block_list", switch.source, "nothing switches it on", value=False)
    elif found.flag("server") is False:
        found.say("block_list", switch.source, "it is on since Windows 11 22H2", value=True)
    else:
        found.miss(switch.source, "Whether the block list is on by default here is not known.")


_BRINGS = {
    "hvci": "memory integrity",
    "s_mode": "S mode",
    "smart_app_control": "Smart App Control",
}
