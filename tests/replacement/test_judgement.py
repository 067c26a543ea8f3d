"""What speaks against a candidate: each reason by itself, all of them together, and none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from recoverykit.replacement import Want, best, image
from recoverykit.replacement.candidate import Candidate
from signing import hash_list
from tests.builders import pe
from tests.conftest import need, real
from tests.replacement.conftest import (
    ACME,
    AT,
    DRIVERS,
    KERNEL,
    PACKAGE,
    SUBSYSTEM,
    SUBSYSTEM_VERSION,
    SXS,
    Machine,
    Signer,
    acme,
    faulty,
    on_windows,
    patched,
    stub,
    windows_driver,
)

pytestmark = need("osslsigncode")
COMPONENT = f"{SXS}/amd64_acme_31bf3856ad364e35_{{}}_none_0123456789abcdef/acme.sys"
WEAK = "its signature is not good enough"
CUT = "its signature is not good: its signature cannot be read: executable at 0x900"


def judged(machine: Machine, data: bytes, *, signed: bool = True, **options: Any) -> Candidate:
    machine.put(f"{PACKAGE}/acme.sys", data, signed=signed)
    return machine.only(**options)


def test_a_good_one(machine: Machine) -> None:
    data = machine.maker.sign(stub(acme("3.1.8.0")))
    found = judged(machine, data, signed=False)
    assert (found.refusals, found.risks) == ((), ())
    assert found.notes == ("no block list of vulnerable drivers was at hand",)
    assert (found.version, found.size, found.content) == ("3.1.8.0", len(data), data)
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.described == f"DriverStore, {PACKAGE}/acme.sys"


# Each row is right in everything else: one reason, and no other.
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "x86": (
        lambda: stub(acme(), machine="x86"),
        "it is made for x86 machines, this Windows is x64",
    ),
    "arm64": (lambda: stub(acme(), machine="arm64"), "it is made for arm64 machines"),
    "program": (lambda: patched(stub(acme()), SUBSYSTEM, 3), "it is a program, not a driver"),
    "newer Windows": (
        lambda: patched(stub(acme()), SUBSYSTEM_VERSION, 11),
        "it asks for Windows 11.0, this is 10.0",
    ),
    "imports": (
        lambda: stub(acme(), imports={"ntoskrnl.exe": ["KeNew", "IoCreateDevice"]}),
        "it needs what no file of this Windows offers: ntoskrnl.exe!KeNew",
    ),
    "many imports": (
        lambda: stub(acme(), imports={"ntoskrnl.exe": [f"Ke{n}" for n in range(5)]}),
        "ntoskrnl.exe!Ke0, ntoskrnl.exe!Ke1, ntoskrnl.exe!Ke2 and 2 more",
    ),
    "no such module": (
        lambda: stub(acme(), imports={"acmelib.sys": ["AcmeOpen"]}),
        "it needs what no file of this Windows offers: acmelib.sys",
    ),
    "company": (
        lambda: stub(acme(CompanyName="Evil Corp.")),
        "it is another product: its company is 'Evil Corp.', not 'Acme Security GmbH'",
    ),
    "no company": (
        lambda: stub({key: text for key, text in acme().items() if key != "CompanyName"}),
        "it is another product: its company is none, not 'Acme Security GmbH'",
    ),
    "product": (lambda: stub(acme(ProductName="Acme Backup")), "its product is 'Acme Backup'"),
    "original name": (
        lambda: stub(acme(OriginalFilename="other.sys")),
        "its original name is 'other.sys', not 'acme.sys'",
    ),
    "internal name": (lambda: stub(acme(InternalName="x")), "its internal name is 'x'"),
    "control characters": (
        lambda: stub(acme(ProductName="Acme\x1b[2J\nShield!")),
        "its product is 'Acme [2J Shield!'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_for_one_reason(machine: Machine, case: str) -> None:
    make, reason = REFUSED[case]
    found = judged(machine, make())
    assert len(found.refusals) == 1, found.refusals
    assert reason in found.refusals[0]
    assert found.content == b""
    assert best([found], risky=True) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "it is no driver: 0 bytes are too few", id="empty"),
        pytest.param(b"MZ" + bytes(5000), "it is no driver: has no PE signature", id="no PE"),
        pytest.param(b"PA30" + bytes(90), "it is a delta that Windows servicing keeps", id="delta"),
        pytest.param(b"\1\2\3\4PA31" + bytes(90), "it is a delta", id="delta behind a checksum"),
        pytest.param(b"DCS\1" + bytes(90), "it is compressed by Windows servicing", id="DCS"),
    ],
)
def test_what_is_no_driver(machine: Machine, data: bytes, reason: str) -> None:
    (refusal,) = judged(machine, data, signed=False).refusals
    assert refusal.startswith(reason)


def test_all_reasons_are_told(machine: Machine) -> None:
    strings = acme(CompanyName="Evil", OriginalFilename="bad.sys")
    bad = stub(strings, machine="x86", imports={"gone.sys": ["A"]})
    found = judged(machine, patched(bad, SUBSYSTEM, 2), signed=False, want=Want.OLDER)
    told = " | ".join(found.refusals)
    for reason in ("x86", "program", "company", "original name", "newer than"):
        assert reason in told
    assert "gone.sys" not in told  # nothing is said of imports for another kind of machine


@pytest.mark.parametrize(
    "spelled",
    ["Acme Security", "ACME SECURITY, GmbH", "Acme  Security GmbH."],
)
def test_a_company_by_another_spelling(machine: Machine, spelled: str) -> None:
    assert judged(machine, stub(acme(CompanyName=spelled))).usable


def test_the_name_of_another_width(machine: Machine) -> None:
    assert judged(machine, stub(acme(OriginalFilename="acme64.sys"))).usable


# --- the faulty file itself ---------------------------------------------------------------


def test_the_same_bytes(machine: Machine) -> None:
    there = (machine.install.mount / DRIVERS / "acme.sys").read_bytes()
    found = judged(machine, there, signed=False)
    assert found.refusals[0] == "it is the faulty file itself, byte for byte"
    assert "the checksum in its header is not that of the file" in found.refusals


def test_another_damaged_copy(machine: Machine) -> None:
    signed = machine.maker.sign(stub(acme(), padding=b"\x90" * 5000))
    found = judged(machine, faulty(signed), signed=False)
    assert found.refusals == (
        "the checksum in its header is not that of the file",
        "its signature is not good: the file is not what was signed",
    )


def test_cut_off(machine: Machine) -> None:
    signed = machine.maker.sign(stub(acme(), padding=b"\x90" * 5000))
    assert judged(machine, signed[:0x900], signed=False).refusals == (
        "its section .text ends beyond the file",
        "its table of imports cannot be read",
        f"{CUT}: it ends before its own contents do",
    )


@pytest.mark.parametrize(
    ("want", "version", "refusal"),
    [
        pytest.param(Want.OLDER, "3.1.6.9", "", id="older"),
        pytest.param(Want.OLDER, "3.1.10.0", "it is newer than", id="not older"),
        pytest.param(Want.NEWER, "3.1.10.0", "", id="newer"),
        pytest.param(Want.NEWER, "3.1.6.9", "it is older than", id="not newer"),
        pytest.param(Want.ANY, "3.1.7.0", "", id="the same"),
        pytest.param(Want.OLDER, "3.1.7.0", "it is the same version as", id="the same, older"),
        pytest.param(Want.NEWER, "3.1.7.0", "it is the same version as", id="the same, newer"),
        pytest.param(Want.OLDER, "", "whether it is older", id="no version"),
    ],
)
def test_older_or_newer(machine: Machine, want: Want, version: str, refusal: str) -> None:
    (machine.install.mount / DRIVERS / "acme.sys").write_bytes(stub(ACME, built=AT, padding=b"1"))
    options = {"built": AT} if version else {"built": datetime.fromtimestamp(77, UTC)}
    found = judged(machine, stub(acme(version), **options), want=want)
    assert [text[: len(refusal)] for text in found.refusals] == ([refusal] if refusal else [])


@pytest.mark.parametrize(("version", "risks"), [("3.1.7.0", 1), ("3.1.7", 1), ("3.1.8.0", 0)])
def test_the_version_of_a_file_that_is_not_damaged(
    machine: Machine, version: str, risks: int
) -> None:
    """What is wrong with it is what it does."""
    (machine.install.mount / DRIVERS / "acme.sys").write_bytes(stub(ACME, padding=b"1"))
    found = judged(machine, stub(acme(version)))
    assert (found.usable, len(found.risks)) == (True, risks)


def test_of_one_version_the_time_decides(machine: Machine) -> None:
    (machine.install.mount / DRIVERS / "acme.sys").write_bytes(stub(ACME, built=AT, padding=b"1"))
    machine.put(f"{PACKAGE}/acme.sys", stub(ACME, built=AT - timedelta(days=9)))
    assert machine.only(want=Want.OLDER).usable
    assert not machine.only(want=Want.NEWER).usable


def test_nothing_is_older_than_what_is_gone(machine: Machine) -> None:
    (machine.install.mount / DRIVERS / "acme.sys").unlink()
    (refusal,) = judged(machine, stub(acme()), want=Want.OLDER).refusals
    assert refusal == "whether it is older than the faulty file cannot be told"


def test_a_faulty_file_that_says_nothing(machine: Machine) -> None:
    (machine.install.mount / DRIVERS / "acme.sys").write_bytes(bytes(70_000))
    found = judged(machine, stub(acme()))
    assert found.usable
    assert (
        "the faulty file does not say whose it is, so the product was not compared" in found.notes
    )


# --- builds of Windows --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "version", "refusal", "risk"),
    [
        pytest.param("10.0.19041.4648", "10.0.19041.1", "", "", id="same build"),
        pytest.param("10.0.19041.4648", "10.0.19041.4648", "", "", id="same revision"),
        pytest.param("10.0.19041.4648", "10.0.19041.5000", "", "an update that", id="later"),
        pytest.param(
            "10.0.19041.4648", "10.0.17763.1", "", "comes from Windows 10.0.17763", id="old"
        ),
        pytest.param(
            "10.0.19041.4648", "10.0.22621.1", "belongs to Windows 10.0.22621", "", id="new"
        ),
        pytest.param("10.0.19041.4648", "6.3.9600.17031", "", "made for the kernel", id="8.1"),
        pytest.param("6.1.7601.23418", "6.1.7600.16385", "", "", id="service pack"),
        pytest.param("6.1.7600.16385", "6.1.7601.17514", "belongs to", "", id="later service pack"),
        pytest.param("10.0.19041.4648", "4.18.1906.3", "", "", id="versions of its own"),
    ],
)
def test_builds(machine: Machine, kernel: str, version: str, refusal: str, risk: str) -> None:
    on_windows(machine, kernel)
    strings = windows_driver(version)
    (machine.install.mount / DRIVERS / "acme.sys").write_bytes(faulty(stub(strings)))
    data = patched(stub(strings), SUBSYSTEM_VERSION, 6)  # for any of them
    found = judged(machine, patched(data, SUBSYSTEM_VERSION + 2, 0))
    assert [refusal in text for text in found.refusals] == ([True] if refusal else [])
    assert [risk in text for text in found.risks] == ([True] if risk else [])
    assert (best([found]) is None) == bool(refusal or risk)
    assert (best([found], risky=True) is None) == bool(refusal)


@pytest.mark.parametrize(
    ("component", "refused"), [("10.0.19041.1", False), ("10.0.22621.1", True)]
)
def test_the_component_has_a_version_too(machine: Machine, component: str, refused: bool) -> None:
    machine.put(COMPONENT.format(component), stub(acme()))
    found = machine.only()
    assert (found.usable, found.origin) == (not refused, "WinSxS")


@pytest.mark.parametrize(
    ("build", "needs", "refused"),
    [
        ("6002.18005", (6, 0), False),
        ("6002.18005", (6, 1), True),
        ("7601.24214", (6, 1), False),
        ("9200.16384", (6, 3), True),
        ("9600.17031", (6, 3), False),
        ("10240.16384", (10, 0), False),
        ("26100.1", (10, 0), False),
        ("3790", (6, 0), True),
    ],
)
def test_without_a_kernel_the_registry_tells_which_windows(
    machine: Machine, build: str, needs: tuple[int, int], refused: bool
) -> None:
    on_windows(machine, "1.0", build=build)
    (machine.install.mount / "Windows/System32/ntoskrnl.exe").unlink()
    data = patched(stub(acme()), SUBSYSTEM_VERSION, needs[0])
    found = judged(machine, patched(data, SUBSYSTEM_VERSION + 2, needs[1]))
    assert found.usable is not refused
    assert [text[:26] for text in found.risks] == ["the kernel of this Windows"]


def test_nothing_says_which_windows_this_is(machine: Machine) -> None:
    on_windows(machine, "1.0", architecture="")
    machine.install = type(machine.install)(
        *(machine.install.volume, machine.install.mount, "Windows", "", "")
    )
    (machine.install.mount / "Windows/System32/ntoskrnl.exe").write_bytes(b"")
    assert judged(machine, stub(acme())).refusals == (
        "for which kind of machine this Windows is cannot be told",
        "which version of Windows this is cannot be told",
    )


def test_a_kernel_for_another_kind_of_machine_proves_nothing(machine: Machine) -> None:
    kernel = pe.driver(windows_driver("10.0.19041.1"), machine="arm64", exports=KERNEL)
    (machine.install.mount / "Windows/System32/ntoskrnl.exe").write_bytes(kernel)
    found = judged(machine, stub(acme(), imports={"ntoskrnl.exe": ["KeNew"]}))
    assert (found.refusals, len(found.risks)) == ((), 1)


@pytest.mark.parametrize(("kernel", "risks"), [("6.1.7601.1", 1), ("10.0.19041.1", 0)])
def test_no_checksum(machine: Machine, kernel: str, risks: int) -> None:
    on_windows(machine, kernel)
    data = patched(stub(acme()), SUBSYSTEM_VERSION, 6)
    signed = machine.maker.sign(patched(data, SUBSYSTEM_VERSION + 2, 0))
    at = 0x40 + 24 + 64  # the one field that no signature covers
    found = judged(machine, signed[:at] + bytes(4) + signed[at + 4 :], signed=False)
    assert (found.usable, len(found.risks)) == (True, risks)


# --- block lists and signatures -----------------------------------------------------------


def test_on_a_block_list(machine: Machine) -> None:
    data = machine.maker.sign(stub(acme()))
    line = f"{hashlib.sha256(data).hexdigest()}  acme.sys\n"
    own = [hash_list.parse(line.encode(), "Acme's list")]
    (told,) = judged(machine, data, signed=False, own=own).refusals
    assert told.startswith("its signature is not good: ")
    assert "Acme's list" in told
    other = machine.maker.sign(stub(acme(), padding=b"1"))
    assert judged(machine, other, signed=False, own=own).usable


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        pytest.param({"signed": False}, f"{WEAK}: it has no signature", id="none"),
        pytest.param({"trust": []}, f"{WEAK}: its signer vouches for itself", id="no trust"),
        pytest.param({"at": AT + timedelta(days=999)}, f"{WEAK}: the certificate of", id="run out"),
        pytest.param({"at": AT - timedelta(days=999)}, f"{WEAK}: the certificate of", id="new"),
    ],
)
def test_signatures(machine: Machine, options: dict[str, Any], refusal: str) -> None:
    (told,) = judged(machine, stub(acme()), **options).refusals
    assert told.startswith(refusal)
    assert told.endswith("--trust") is ("itself" in refusal)


def test_somebody_elses_signature_under_the_same_name(machine: Machine, stranger: Signer) -> None:
    (told,) = judged(machine, stranger.sign(stub(acme())), signed=False).refusals
    assert told.startswith(WEAK)


def test_changed_after_it_was_signed(machine: Machine) -> None:
    signed = bytearray(machine.maker.sign(stub(acme(), padding=b"\x90" * 500)))
    signed[0x480] ^= 1
    found = judged(machine, pe.with_checksum(bytes(signed)), signed=False)
    assert found.refusals == ("its signature is not good: the file is not what was signed",)


# --- real files ---------------------------------------------------------------------------


@pytest.mark.parametrize("sample", real("signed/virtio_old/Win7_amd64_balloon.sys"))
@pytest.mark.parametrize(("windows", "refused"), [("6.1.7601.1", False), ("6.0.6002.1", True)])
def test_a_driver_for_windows_7(
    machine: Machine, sample: Path, windows: str, refused: bool
) -> None:
    """Its kit is of Windows 10, and so is its MajorOperatingSystemVersion; it needs Windows 7."""
    on_windows(machine, windows, build=windows.removeprefix("6.0.").removeprefix("6.1."))
    read = image.read(sample.read_bytes())
    assert (read.needs, read.machine, read.damage) == ((6, 1), "x64", "")
    (machine.install.mount / DRIVERS / "acme.sys").unlink()
    found = judged(machine, sample.read_bytes(), signed=False)
    assert any("asks for Windows 6.1" in text for text in found.refusals) is refused
    assert not any(WEAK in text for text in found.refusals)  # cross-signed, for a Windows 7
    assert "its original name is 'balloon.sys'" in found.notes


@pytest.mark.parametrize("sample", real("signed/saferwall_acpi.sys"))
def test_a_driver_of_windows_10_on_later_and_earlier_builds(machine: Machine, sample: Path) -> None:
    (machine.install.mount / DRIVERS / "acme.sys").unlink()
    on_windows(machine, "10.0.19041.1")
    assert "comes from Windows 10.0.18362" in judged(machine, sample.read_bytes()).risks[0]
    on_windows(machine, "10.0.17763.1")
    told = judged(machine, sample.read_bytes()).refusals
    assert any("belongs to Windows 10.0.18362, newer" in text for text in told)


@pytest.mark.parametrize("sample", real("signed/whql_virtio_w11/vioscsi.sys"))
def test_a_driver_signed_by_microsoft(machine: Machine, sample: Path) -> None:
    """Usable where this Windows has all that it imports: its timestamp holds, whatever the day."""
    data = sample.read_bytes()
    (machine.install.mount / DRIVERS / "acme.sys").unlink()
    asked: dict[str, Any] = {"trust": [], "at": AT}
    (missing,) = judged(machine, data, signed=False, **asked).refusals
    assert missing.startswith("it needs what no file of this Windows offers: ntoskrnl.exe!")
    give_what_it_imports(machine, data)
    found = judged(machine, data, signed=False, **asked)
    assert (found.refusals, found.risks, found.version) == ((), (), "100.93.104.24000")
    on_windows(machine, "6.3.9600.1", build="9600")
    early = (
        "its signature is not good enough: Microsoft signed it on its maker's word, for Windows 10"
    )
    refusals = judged(machine, data, signed=False, **asked).refusals
    assert any(each.startswith(early) for each in refusals)


def give_what_it_imports(machine: Machine, data: bytes) -> None:
    imports = image.read(data).imports
    assert imports
    assert {item.dll.lower() for item in imports} >= {"ntoskrnl.exe", "storport.sys"}
    for item in imports:
        strings = windows_driver("10.0.19041.1")
        path = machine.install.mount / "Windows/System32" / item.dll.lower()
        path.write_bytes(pe.driver(strings, exports=item.symbols))
