"""What is known of a kernel: registry, Secure Boot, the driver policy, and damage to each."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recoverykit.code_integrity import kernel as kernels
from recoverykit.evidence import code_integrity, secure_boot
from signing.kernel import Kernel
from tests.boot import bootable
from tests.boot.bootable import CONFIG, SYSTEM32, Bootable
from tests.boot.test_check_real import HIVES, RealHive, around, need
from tests.builders import evtx, measured_boot, pe, registry, whql_events
from tests.builders.ci_policy import compiled
from tests.builders.ci_policy_xml import Parts, policy
from tests.code_integrity.conftest import VERSION, asked, options, reasons, software, version

CI = "Control\\CI\\Policy"
HVCI = "HypervisorEnforcedCodeIntegrity"
SCENARIO = f"Control\\DeviceGuard\\Scenarios\\{HVCI}"
POLICIES = "Policies\\Microsoft\\Windows\\DeviceGuard"
WHEN = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
ENFORCED = "{8F9CB695-5D48-48D6-A329-7202B44607E3}.cip"
EVALUATED = "{784C4414-79F4-4C32-A6A5-F0FB42A51D0D}.cip"
ACTIVE = "CodeIntegrity/CiPolicies/Active"
EFI_ACTIVE = "EFI/Microsoft/Boot/CiPolicies/Active"

Change = Callable[[Bootable], None]


def value(found: kernels.TargetKernel, name: str) -> bool | int | str | None:
    fact = found.fact(name)
    return fact.value if fact else None


# --- which Windows ------------------------------------------------------------------------


def test_all_of_a_plain_windows(tree: Bootable) -> None:
    version(tree, 22631, revision=4037)
    assert asked(tree, secure_boot=True).kernel == Kernel(
        build=22631,
        revision=4037,
        architecture="x64",
        server=False,
        secure_boot=True,
        test_signing=False,
        no_integrity_checks=False,
        flight_signing=False,
        hvci=False,
        upgraded=False,
        boot_upgraded=False,
        whql_required=False,
        cross_signed_ended=False,
        block_list=True,
    )


def test_every_field_has_its_fact(tree: Bootable) -> None:
    version(tree, 22631)
    found = asked(tree, secure_boot=True)
    names = set(Kernel.__dataclass_fields__)
    assert names <= {fact.name for fact in found.facts}
    assert {fact.name for fact in found.facts} <= names | set(kernels.MORE)


@pytest.mark.parametrize(
    ("product", "expected"), [("WinNT", False), ("ServerNT", True), ("LanmanNT", True)]
)
def test_server(product: str, expected: bool, tree: Bootable) -> None:
    tree.edit("Control\\ProductOptions", {"ProductType": product})
    assert asked(tree).kernel.server is expected


def test_server_by_the_other_hive(tree: Bootable) -> None:
    assert asked(tree).kernel.server is None
    software(tree, {"InstallationType": "Server Core"})
    assert asked(tree).kernel.server is True


def test_the_kernels_file_tells_where_the_hive_does_not(tree: Bootable) -> None:
    tree.put(tree.root / CONFIG / "SOFTWARE", b"")
    strings = {"FileVersion": "10.0.19041.4291 (WinBuild.160101.0800)"}
    tree.put(tree.file("ntoskrnl.exe"), pe.driver(strings))
    found = asked(tree)
    assert (found.kernel.build, found.kernel.revision) == (19041, 4291)
    fact = found.fact("build")
    assert fact is not None
    assert fact.source.path == f"{SYSTEM32}/ntoskrnl.exe"
    assert found.kernel.architecture == "x64"


# --- cross-signed drivers -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "upgraded", "required", "boot"),
    [
        ({}, False, False, False),
        ({"UpgradedSystem": 1}, True, False, False),
        ({"UpgradedSystem": 0}, True, False, False),  # that it is there counts
        ({"WhqlDeveloperTestMode": 1}, True, False, False),
        ({"WhqlDeveloperTestMode": 0}, False, False, False),
        ({"WhqlSettings": 1}, True, False, False),
        ({"WhqlSettings": 0x8000_0000}, True, False, False),
        ({"WhqlSettings": 0x4000_0000}, True, False, False),
        ({"WhqlSettings": 0x2000_0000}, False, False, True),
        ({"BootUpgradedSystem": 0}, False, False, True),
        ({"WhqlSettings": 2}, False, True, False),
        ({"WhqlSettings": 3, "UpgradedSystem": 1}, False, True, False),
        ({"WhqlSettings": 2, "BootUpgradedSystem": 1}, False, True, False),
        ({"WhqlSettings": 2, "WhqlDeveloperTestMode": 1}, False, True, False),
        ({"WhqlSettings": 0}, False, False, False),
    ],
)
def test_upgraded(
    values: dict[str, registry.Entry],
    upgraded: bool,
    required: bool,
    boot: bool,
    tree: Bootable,
) -> None:
    tree.edit(CI, values)
    found = asked(tree)
    assert found.kernel.upgraded is upgraded
    assert (found.kernel.whql_required, found.kernel.boot_upgraded) == (required, boot)


def test_1607_takes_the_same_bit_for_less(tree: Bootable) -> None:
    version(tree, 14393)
    tree.edit(CI, {"WhqlSettings": 2, "UpgradedSystem": 1})
    found = asked(tree).kernel
    assert (found.whql_required, found.upgraded) == (False, False)
    tree.edit(CI, {"WhqlDeveloperTestMode": 1})
    assert asked(tree).kernel.upgraded is True


def test_before_windows_10_nobody_demands_whql(tree: Bootable) -> None:
    version(tree, 9600)
    tree.edit(CI, {"WhqlSettings": 2})
    put_own(tree, restricting("Required:WHQL"))
    assert asked(tree).kernel.whql_required is False


def test_an_upgrade_that_has_not_ended(tree: Bootable) -> None:
    tree.edit(CI, {"WhqlSettings": 2})
    tree.edits([registry.change("Setup", {"Upgrade": 1})])
    found = asked(tree)
    kernel = found.kernel
    assert (kernel.upgraded, kernel.boot_upgraded, kernel.whql_required) == (None, None, None)
    assert "An upgrade of Windows has not ended" in reasons(found)


# --- what App Control policies demand -----------------------------------------------------


def restricting(*options: str, hvci: int = 0, head: str = "") -> bytes:
    """A policy that lets everything load, with these options."""
    given = (*options, "Enabled:Unsigned System Integrity Policy")
    xml = policy(Parts(options=given, head="<VersionEx>1.0.0.0</VersionEx>" + head))
    number = f"<HvciOptions>{hvci}</HvciOptions>".encode()
    return compiled(xml.replace(b"<HvciOptions>0</HvciOptions>", number))


def put_own(tree: Bootable, content: bytes, *, efi: bool = False) -> None:
    folder = tree.scene.folder / "EFI/Microsoft/Boot" if efi else tree.root / SYSTEM32
    tree.put(folder / ("SiPolicy.p7b" if efi else "CodeIntegrity/SiPolicy.p7b"), content)


@pytest.mark.parametrize("efi", [False, True])
@pytest.mark.parametrize(
    ("content", "expected", "hvci"),
    [
        (restricting(), False, False),
        (restricting("Required:WHQL"), True, False),
        (restricting("Required:WHQL", "Enabled:Audit Mode"), False, False),
        (restricting("Required:EV Signers"), None, False),
        (restricting("Required:WHQL", "Required:EV Signers"), True, False),
        (restricting(hvci=1), False, True),
        (restricting(hvci=3), False, True),
        (restricting(hvci=2), False, None),
        (restricting("Enabled:Audit Mode", hvci=1), False, None),
        (b"damaged", None, False),
    ],
)
def test_a_policy(
    content: bytes, expected: bool | None, hvci: bool | None, efi: bool, tree: Bootable
) -> None:
    put_own(tree, content, efi=efi)
    found = asked(tree)
    assert (found.kernel.whql_required, found.kernel.hvci) == (expected, hvci)
    fact = found.fact("whql_required")
    assert (fact is None) is (expected is None)
    if expected:
        assert fact is not None
        assert fact.source.path.endswith("SiPolicy.p7b")


def test_the_registry_demands_whatever_a_policy_may(tree: Bootable) -> None:
    tree.edit(CI, {"WhqlSettings": 2})
    put_own(tree, restricting("Required:EV Signers"))
    assert asked(tree).kernel.whql_required is True


def test_a_policy_switches_memory_integrity_on_but_the_boot_entry_does_not(tree: Bootable) -> None:
    put_own(tree, restricting(hvci=1))
    options(tree, {0x25000142: 0})
    found = asked(tree)
    assert found.kernel.hvci is None
    assert "the boot entry switches off" in reasons(found)


def test_memory_integrity_of_a_policy_brings_the_block_list(tree: Bootable) -> None:
    assert asked(tree).kernel.block_list is False
    put_own(tree, restricting(hvci=1))
    assert asked(tree).kernel.block_list is True


SAC, SE = "{0283AC0F-FFF1-49AE-ADA1-8A933130CAD6}", "{82443E1E-8A39-4B4A-96A8-F40DDC00B9F3}"


@pytest.mark.parametrize(
    ("guid", "change"),
    [
        (SAC, lambda tree: tree.edit(CI, {"VerifiedAndReputablePolicyState": 1})),
        (SE, lambda tree: software(tree, {"EditionID": "CloudEdition"})),
        (
            "{5951A96A-E0B5-4D3D-8FB8-3E5B61030784}",
            lambda tree: tree.edit(CI, {"SkuPolicyRequired": 1}),
        ),
    ],
    ids=["Smart App Control", "Windows 11 SE", "S mode"],
)
def test_policies_that_lie_on_every_windows(guid: str, change: Change, tree: Bootable) -> None:
    ids = f"<PolicyID>{guid}</PolicyID><BasePolicyID>{guid}</BasePolicyID>"
    content = restricting("Required:WHQL", head=ids)
    tree.put(tree.root / SYSTEM32 / ACTIVE / f"{guid.lower()}.cip", content)
    assert asked(tree).kernel.whql_required is False
    change(tree)
    assert asked(tree).kernel.whql_required is True


def test_the_driver_policy_itself_demands_nothing(tree: Bootable) -> None:
    version(tree, 26100)
    guid = ENFORCED.removesuffix(".cip")
    ids = f"<PolicyID>{guid}</PolicyID><BasePolicyID>{guid}</BasePolicyID>"
    tree.put(tree.root / SYSTEM32 / ACTIVE / ENFORCED, restricting("Required:WHQL", head=ids))
    found = asked(tree).kernel
    assert (found.whql_required, found.cross_signed_ended) == (False, True)


def test_exceptions_are_told_where_they_are(tree: Bootable) -> None:
    tree.edit("Control\\CI\\Protected", {"Licensed": 1})
    tree.edit(CI, {"SkuPolicyRequired": 1})
    tree.edits([registry.change("Setup", {"Upgrade": 1})])
    found = asked(tree)
    for name in ("custom_signers", "s_mode", "upgrade_running"):
        assert value(found, name) is True
    tree.edit("Control\\CI\\Protected", {"Licensed": 0})
    tree.edits([registry.change("Setup", {"Upgrade": 0})])
    found = asked(tree)
    assert (value(found, "custom_signers"), value(found, "upgrade_running")) == (None, None)


# --- memory integrity ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scenario", "policy", "older", "expected"),
    [
        (None, None, None, False),
        (1, None, None, True),
        (0, None, None, False),
        (0, None, 1, False),
        (None, None, 1, True),
        (1, 0, None, False),
        (0, 1, None, True),
        (None, 2, None, True),
        (1, 3, None, True),  # the policy is not configured
        (0, 3, None, False),
        (9, None, None, None),  # which nobody describes
    ],
)
def test_memory_integrity(
    scenario: int | None,
    policy: int | None,
    older: int | None,
    expected: bool | None,
    tree: Bootable,
) -> None:
    if scenario is not None:
        tree.edit(SCENARIO, {"Enabled": scenario})
    if policy is not None:
        software(tree, {HVCI: policy}, POLICIES)
    if older is not None:
        tree.edit("Control\\DeviceGuard", {HVCI: older})
    assert asked(tree).kernel.hvci is expected


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda tree: options(tree, {0x25000142: 0}), "the boot entry switches off"),
        (lambda tree: options(tree, {0x250000F0: 0}), "the boot entry switches off"),
        (
            lambda tree: software(tree, {"EnableVirtualizationBasedSecurity": 0}, POLICIES),
            "a policy switches off",
        ),
    ],
)
def test_memory_integrity_without_what_it_needs(change: Change, text: str, tree: Bootable) -> None:
    tree.edit(SCENARIO, {"Enabled": 1})
    change(tree)
    found = asked(tree)
    assert found.kernel.hvci is None
    assert text in reasons(found)


def test_memory_integrity_by_the_boot_entry_alone(tree: Bootable) -> None:
    options(tree, {0x25000144: 1})
    found = asked(tree)
    assert found.kernel.hvci is None
    assert "the registry does not" in reasons(found)


def test_windows_without_memory_integrity(tree: Bootable) -> None:
    tree.edit(SCENARIO, {"Enabled": 1})
    version(tree, 9600)
    assert asked(tree).kernel.hvci is False


def test_x86_has_no_memory_integrity(tmp_path: Path) -> None:
    made = bootable.small(tmp_path, uefi=False, machine="x86")
    made.edit(SCENARIO, {"Enabled": 1})
    found = asked(made)
    assert (found.kernel.architecture, found.kernel.hvci) == ("x86", False)


# --- the block list -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "server", "switch", "expected"),
    [
        (7601, False, None, False),
        (9600, False, 1, False),
        (14393, True, 1, False),
        (16299, False, None, False),
        (19045, False, None, False),
        (19045, False, 1, True),
        (20348, True, None, False),
        (22000, False, None, False),
        (22621, False, None, True),
        (22621, False, 0, False),
        (26100, False, 1, True),
        (26100, True, None, None),
        (26100, True, 0, False),
    ],
)
def test_block_list(
    build: int, server: bool, switch: int | None, expected: bool | None, tree: Bootable
) -> None:
    version(tree, build, server=server)
    if switch is not None:
        tree.edit("Control\\CI\\Config", {"VulnerableDriverBlocklistEnable": switch})
    assert asked(tree).kernel.block_list is expected


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda tree: tree.edit(SCENARIO, {"Enabled": 1}), "memory integrity brings it"),
        (lambda tree: tree.edit(CI, {"SkuPolicyRequired": 1}), "S mode brings it"),
        (
            lambda tree: tree.edit(CI, {"VerifiedAndReputablePolicyState": 1}),
            "Smart App Control brings it",
        ),
    ],
)
def test_block_list_that_others_bring(change: Change, text: str, tree: Bootable) -> None:
    tree.edit("Control\\CI\\Config", {"VulnerableDriverBlocklistEnable": 0})
    change(tree)
    found = asked(tree)
    assert found.kernel.block_list is True
    fact = found.fact("block_list")
    assert fact is not None
    assert fact.text == text


def test_smart_app_control_on_trial(tree: Bootable) -> None:
    tree.edit(CI, {"VerifiedAndReputablePolicyState": 2})
    found = asked(tree)
    assert (found.kernel.block_list, value(found, "smart_app_control")) == (False, False)


def test_block_list_before_1809_with_memory_integrity(tree: Bootable) -> None:
    version(tree, 16299)
    tree.edit(SCENARIO, {"Enabled": 1})
    assert asked(tree).kernel.block_list is None


# --- Secure Boot --------------------------------------------------------------------------


def measured(tree: Bootable, state: bytes, when: datetime = WHEN) -> None:
    log = measured_boot.old((*measured_boot.FIRMWARE, measured_boot.secure_boot(state)))
    path = tree.root / "Windows" / secure_boot.MEASURED / f"{when:%j}-0.log"
    tree.put(path, log)
    os.utime(path, (when.timestamp(),) * 2)


def logged(tree: Bootable, event: int, settings: int = 0, when: datetime = WHEN) -> None:
    path = tree.root / "Windows" / code_integrity.LOG.replace("System32", "system32")
    tree.put(path, evtx.build([whql_events.enforcement(when, event, settings)]))


def test_nothing_tells(tree: Bootable) -> None:
    found = asked(tree)
    assert found.kernel.secure_boot is None
    assert "Whether Secure Boot is on cannot be told." in reasons(found)


@pytest.mark.parametrize("state", [True, False])
def test_firmware(state: bool, tree: Bootable) -> None:
    found = asked(tree, secure_boot=state)
    assert found.kernel.secure_boot is state
    assert found.gaps == asked(tree, secure_boot=not state).gaps


@pytest.mark.parametrize(("state", "expected"), [(b"\1", True), (b"\0", False)])
def test_measured(state: bytes, expected: bool, tree: Bootable) -> None:
    measured(tree, state)
    found = asked(tree)
    assert found.kernel.secure_boot is expected
    fact = found.fact("secure_boot")
    assert fact is not None
    assert fact.text == "so it was at the start of 2026-03-04 05:06 UTC"


def test_firmware_of_today_against_the_last_start(tree: Bootable) -> None:
    measured(tree, b"\1")
    found = asked(tree, secure_boot=False)
    assert found.kernel.secure_boot is False
    text = "Secure Boot is off now and was on when Windows was started last."
    assert text in reasons(found)


@pytest.mark.parametrize(
    ("event", "settings", "policy", "expected"),
    [
        (3084, 0, {}, True),
        (3084, 2, {}, None),
        (3085, 0, {}, False),
        (3085, 0x8000_0000, {"UpgradedSystem": 1}, None),
        (3085, 0, {"WhqlDeveloperTestMode": 1}, None),  # which no event tells
    ],
)
def test_code_integrity_told(
    event: int,
    settings: int,
    policy: dict[str, registry.Entry],
    expected: bool | None,
    tree: Bootable,
) -> None:
    logged(tree, event, settings)
    tree.edit(CI, policy)
    assert asked(tree).kernel.secure_boot is expected


def test_1511_asks_for_nothing_anyway(tree: Bootable) -> None:
    version(tree, 10586)
    logged(tree, 3085)
    assert asked(tree).kernel.secure_boot is None


def test_the_newer_one_counts(tree: Bootable) -> None:
    measured(tree, b"\1")
    logged(tree, 3085, when=WHEN + timedelta(days=1))
    assert asked(tree).kernel.secure_boot is False
    logged(tree, 3085, when=WHEN - timedelta(days=1))
    assert asked(tree).kernel.secure_boot is True


def test_a_bios_has_none(bios: Bootable, tmp_path: Path) -> None:
    tree = bios.copy(tmp_path)
    measured(tree, b"\1")
    found = asked(tree, secure_boot=True)
    assert found.kernel.secure_boot is False


def test_an_entry_for_a_bios_in_a_store_for_uefi(tree: Bootable) -> None:
    """A fault of the store, which the boot check tells; no firmware follows from it."""
    options(tree, {0x12000002: "\\Windows\\system32\\winload.exe"})
    assert asked(tree).kernel.secure_boot is None


def test_windows_7_has_none(tree: Bootable) -> None:
    version(tree, 7601)
    assert asked(tree, secure_boot=True).kernel.secure_boot is False


# --- the end of cross-signed trust --------------------------------------------------------


def put_policy(tree: Bootable, name: str, *, efi: bool) -> None:
    folder = tree.scene.folder / EFI_ACTIVE if efi else tree.root / SYSTEM32 / ACTIVE
    tree.put(folder / name, b"\7\0\0\0")


@pytest.mark.parametrize(
    ("build", "files", "expected"),
    [
        (26100, (), kernels.ABSENT),
        (26100, ((EVALUATED, False),), kernels.EVALUATED),
        (26100, ((EVALUATED, False), (ENFORCED, True)), kernels.ENFORCED),
        (26200, ((ENFORCED.lower(), False),), kernels.ENFORCED),
        (26100, (("{00000000-0000-0000-0000-000000000000}.cip", True),), kernels.ABSENT),
        (22631, ((ENFORCED, True),), kernels.ABSENT),
    ],
)
def test_driver_policy(
    build: int, files: tuple[tuple[str, bool], ...], expected: str, tree: Bootable
) -> None:
    version(tree, build)
    for name, efi in files:
        put_policy(tree, name, efi=efi)
    found = asked(tree)
    assert value(found, "driver_policy") == expected
    assert found.kernel.cross_signed_ended is (expected == kernels.ENFORCED)


def test_driver_policy_without_the_efi_system_partition(tree: Bootable) -> None:
    version(tree, 26100)
    put_policy(tree, EVALUATED, efi=False)
    found = kernels.kernel_of(tree.install)
    assert (value(found, "driver_policy"), found.kernel.cross_signed_ended) == (None, None)
    assert "the policies of the EFI system partition were not seen" in reasons(found)


# --- damage -------------------------------------------------------------------------------


def _gone(name: str) -> Change:
    return lambda tree: (tree.root / CONFIG / name).unlink()


def _broken(name: str) -> Change:
    def change(tree: Bootable) -> None:
        path = tree.root / CONFIG / name
        tree.put(path, path.read_bytes()[:4096] + bytes(8192))

    return change


@pytest.mark.parametrize("damage", [_gone("SYSTEM"), _broken("SYSTEM")], ids=["gone", "broken"])
def test_without_system(damage: Change, tree: Bootable) -> None:
    version(tree, 22631)
    damage(tree)
    found = asked(tree)
    kernel = found.kernel
    assert (kernel.build, kernel.architecture) == (22631, "x64")  # by the kernel's file
    assert (kernel.server, kernel.hvci, kernel.upgraded, kernel.block_list) == (None,) * 4
    assert kernel.test_signing is False
    assert reasons(found).count("The SYSTEM hive cannot be read") == 1


@pytest.mark.parametrize("damage", [_gone("SOFTWARE"), _broken("SOFTWARE")], ids=["gone", "broken"])
def test_without_software(damage: Change, tree: Bootable) -> None:
    version(tree, 22631)
    damage(tree)
    found = asked(tree)
    kernel = found.kernel
    assert (kernel.build, kernel.server, kernel.upgraded) == (None, False, False)
    assert (kernel.hvci, kernel.block_list) == (None, None)  # a policy may switch it on
    assert reasons(found).count("The SOFTWARE hive cannot be read") == 1
    assert "Which build of Windows this is cannot be told." in reasons(found)


def test_without_anything(tree: Bootable) -> None:
    install = tree.install
    for path in (tree.root / CONFIG).iterdir():
        path.unlink()
    tree.file("ntoskrnl.exe").unlink()
    tree.scene.store_path.unlink()
    found = kernels.kernel_of(install, tree.scene.boot_volumes)
    assert found.kernel.hvci is None
    assert found.kernel.test_signing is None
    assert "No boot entry of this Windows was read" in reasons(found)


def test_a_volume_that_is_gone(tree: Bootable, tmp_path: Path) -> None:
    install = replace(tree.install, mount=tmp_path / "gone", build="", architecture="")
    found = kernels.kernel_of(install, ((tree.scene.system, tmp_path / "gone too"),))
    assert found.kernel == Kernel()
    assert all(gap.reason.endswith(".") for gap in found.gaps)


@pytest.mark.parametrize("text", ["", "x", "19045.x", "\u0661\u0669"])
def test_odd_versions(text: str, tree: Bootable) -> None:
    software(tree, {"CurrentBuild": text}, VERSION)
    assert asked(tree).kernel.build in (None, 19045, 19)


# --- real hives ---------------------------------------------------------------------------


@pytest.mark.parametrize("hive", HIVES, ids=[one.name for one in HIVES])
def test_real_hives(hive: RealHive, tmp_path: Path) -> None:
    """None of them has the volatile State of Secure Boot, or any of the exceptions."""
    need(hive.name)
    tree = around(hive, tmp_path)
    found = asked(tree)
    kernel = found.kernel
    assert kernel.build == int(hive.build)
    assert (kernel.server, kernel.upgraded, kernel.hvci) == (False, False, False)
    assert (kernel.test_signing, kernel.block_list) == (False, False)
    is_bios = not tree.scene.uefi
    assert kernel.secure_boot is (False if is_bios or int(hive.build) < 9200 else None)
