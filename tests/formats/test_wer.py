"""Report.wer: fields, what a bucket names, hostile bytes."""

from __future__ import annotations

import random
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoverykit.errors import FormatError
from recoverykit.formats import wer
from tests.builders import wer as builder

MUTANTS = 300  # a campaign may raise this
TRANSLATED = ("Kod", "Parametr 1", "Parametr 2", "Parametr 3", "Parametr 4")


@pytest.mark.parametrize("names", [builder.NAMES, TRANSLATED])
def test_a_report(names: tuple[str, ...]) -> None:
    assert wer.parse(builder.build(names=names)) == wer.Report(
        event="BlueScreen",
        when=builder.WHEN,
        code=0x50,
        parameters=(0xFFFF9C8E_0000_009C, 0, 0xFFFFF801_4C8D_335A, 2),
        bucket="AV_csagent!unknown_function",
    )


def test_copies_in_other_encodings() -> None:
    text = builder.build()[2:].decode("utf-16-le")
    for data in (text.encode(), text.encode("utf-8-sig"), text.encode("utf-16-be")[1:]):
        assert wer.parse(data).code == 0x50


@pytest.mark.parametrize(
    "bucket",
    [
        "",
        "108374862917",
        "7d91bb3f9f5d4e9f88c3846cfa983079",
        "{7d91bb3f-9f5d-4e9f-88c3-846cfa983079}",
        "A" * 600,
    ],
)
def test_buckets_that_are_numbers_say_nothing(bucket: str) -> None:
    assert wer.parse(builder.build(bucket=bucket)).bucket == ""


@pytest.mark.parametrize("moment", ["", "0", "now", "9" * 19, "-1"])
def test_times_that_are_none(moment: str) -> None:
    data = f"EventType=BlueScreen\r\nEventTime={moment}\r\n".encode("utf-16")
    assert wer.parse(data).when is None


def test_a_report_without_a_signature() -> None:
    report = wer.parse("EventType=BlueScreen\nSig[0].Value=\nSig[1].Value=x y".encode("utf-16"))
    assert (report.code, report.parameters) == (0, ())


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"PK\x03\x04", b"EventType=\r\n"])
def test_refuses_what_is_no_report(data: bytes) -> None:
    with pytest.raises(FormatError, match="names no EventType"):
        wer.parse(data)


# Buckets of public threads and of Microsoft Learn; those about acme are made after them.
@pytest.mark.parametrize(
    ("bucket", "module"),
    [
        ("AV_nvmeofk2!unknown_function", "nvmeofk2.sys"),
        ("0x50_INVALID_csagent!unknown_function", "csagent.sys"),
        ("0x9F_3_ACPI_IMAGE_pci.sys", "pci.sys"),
        ("0x9F_3_RtsPer_IMAGE_pci.sys", "rtsper.sys"),
        ("0x9F_4_POWER_DOWN_Netwtw10!unknown_function", "netwtw10.sys"),
        ("0x5A_c0000428_IMAGE_filecrypt.sys", "filecrypt.sys"),
        ("AV_o2micro_sdhost!unknown_function", "o2micro_sdhost.sys"),
        ("AV_driver-fic!Unknown_Function", "driver-fic.sys"),
        (
            "0xEF_wininit.exe_BUGCHECK_CRITICAL_PROCESS_TERMINATED_BY_a.exe_5f28",
            "",
        ),
        ("X64_CLOCK_WATCHDOG_TIMEOUT_18_PROC_ANALYSIS_INCONCLUSIVE", ""),
        ("0x109_19_ANALYSIS_INCONCLUSIVE!unknown_function", ""),
        ("0x133_ISR_nvlddmkm!unknown_function", "nvlddmkm.sys"),
        ("X64_0xc2_b_nt!ExDeleteResourceLite+199", "ntoskrnl.exe"),
        ("AV_rtf64x64!unknown_function", "rtf64x64.sys"),
        ("0x13a_12_Driver!CreateRandomFile", "driver.sys"),
        ("0xc4_IrqlExApcLte1_XDV_VRF_MyDriver!OnInterrupt", "mydriver.sys"),
        ("0x116_IMAGE_nvlddmkm.sys", "nvlddmkm.sys"),
        ("0x8E_vsdatant+1cbd0", "vsdatant.sys"),
        ("0x8E_VRF_aswSnx+a89fe", "aswsnx.sys"),
        ("AV_CODE_AV_PAGED_IP_TestDriver!AccessPageableMemory", "testdriver.sys"),
        ("AV_OVSExt!OvsWaitEventIoctl", "ovsext.sys"),
        ("AV_dxgkrnl!DXGVIRTUALMACHINE::IsWsl2Guest", "dxgkrnl.sys"),
        ("0x133_DPC_ndis!NdisReturnNetBufferLists", "ndis.sys"),
        ("X64_0x3B_iqvw64e+3fd2", "iqvw64e.sys"),
        ("X64_0x7E_man+1ce7", "man.sys"),
        ("X64_MEMORY_CORRUPTION_LARGE", ""),
        ("X64_0x3B_win32k!NtUserGetDCEx+b7", "win32k.sys"),
        ("X64_0x7E_nm3!NetmonOidRequestComplete+53", "nm3.sys"),
        ("X64_0xC5_2_VBoxNetFlt+3aca", "vboxnetflt.sys"),
        ("0x3B_C0000002_nvlddmkm!unknown_function", "nvlddmkm.sys"),
        ("OLD_IMAGE_SAMPLE.SYS_DEV_3577", "sample.sys"),
        ("0x124_GenuineIntel_PROCESSOR_CACHE", ""),
        ("AV_VRF_ACME_FLT!x", "acme_flt.sys"),
        ("0x1a_3f_memory_corruption!x", ""),
        ("AV_hal!HalpX", "hal.dll"),
        ("DRIVER_IRQL_NOT_LESS_OR_EQUAL_storport.sys_abc", "storport.sys"),
        ("IP_MISALIGNED_acme.sys", "acme.sys"),
        ("0x13C_nt!PspThreadDelete", "ntoskrnl.exe"),
        ("0x109_vstr_vfs_drv!VfsCommit", "vstr_vfs_drv.sys"),
        ("0x124_GenuineIntel!x", ""),
        ("AV_ACPI!x", "acpi.sys"),
        ("0xD1_HTTP!x", "http.sys"),
        ("ZEROED_STACK_0x9f!x", ""),
        ("0x1E_c0000005_R_acme!f", "acme.sys"),
        ("LKD_0x141_Tdr:6_IMAGE_nvlddmkm.sys_Ampere", "nvlddmkm.sys"),
        ("0xc2_7_Unknown_Module!unknown_function", ""),
        ("MEMORY_CORRUPTION_STRIDE", ""),
        ("0x139_3_CORRUPT_LIST_ENTRY_acme!f", "acme.sys"),
        ("0x1_SysCallNum_54_acme!f", "acme.sys"),
        ("0xA_acme_mini_flt!x", "acme_mini_flt.sys"),
        ("AV_NETIO!x", "netio.sys"),
        ("0xD1_e1dexpress!x", "e1dexpress.sys"),
        ("", ""),
        ("!x", ""),
        ("_!x", ""),
        ("IMAGE_", ""),
    ],
)
def test_modules(bucket: str, module: str) -> None:
    assert wer.module(bucket) == module


@given(st.text(st.sampled_from("AVacme_0x1!+.sysIMGE -"), max_size=80))
def test_a_module_is_a_file_name(bucket: str) -> None:
    name = wer.module(bucket)
    assert name == name.lower()
    assert name == "" or name.endswith((".sys", ".dll", "ntoskrnl.exe"))


def test_hostile_bytes_fail_in_one_way_only() -> None:
    good = builder.build()
    rng = random.Random(20240719)
    for _ in range(MUTANTS):
        bad = bytearray(good[: rng.randrange(len(good) + 1)])
        for _ in range(rng.randrange(1, 40)):
            at = rng.randrange(len(bad) + 1)
            bad[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        with suppress(FormatError):
            wer.module(wer.parse(bytes(bad)).bucket)


@pytest.mark.parametrize("unit", [b"=", b"\n", b"a=b\n", b"\xff", b"IMAGE_", b"_", b"\0"])
def test_a_megabyte_of_anything_takes_no_longer(unit: bytes) -> None:
    data = b"EventType=BlueScreen\nResponse.BucketId=" + unit * (1_000_000 // len(unit))
    begun = time.process_time()
    with suppress(FormatError):
        wer.module(wer.parse(data).bucket)
    wer.module("IMAGE_" * 80)
    assert time.process_time() - begun < 2
