"""The faulting instruction for every bug check that names one, and what the stack shows."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from recoverykit.formats import bugcheck_address, crashdump_modules, crashdump_stack, log_text
from recoverykit.formats.bugcheck_address import PLACES, Kind
from recoverykit.formats.crashdump_modules import Map
from recoverykit.model import CrashDump, Module
from tests.builders import dump, dump_shape
from tests.builders.dump import Mod
from tests.formats.dumps import ACME, ACME_32, FACTS, FACTS_32, KERNEL, parse

AT = 0xFFFF_A704_1234_5000  # where what a parameter points to is put
AT_32 = 0x8567_8000
FAULT = ACME + 0x4321


def built(form: str, bugcheck: int, parameters: tuple[int, ...], **more: Any) -> CrashDump:
    facts = {**FACTS, "bugcheck": bugcheck, "parameters": parameters, **more}
    if form == "triage":
        return parse(dump.build_triage(**facts))
    return parse(dump.build_memory(form, **facts))


def built_32(form: str, bugcheck: int, parameters: tuple[int, ...], **more: Any) -> CrashDump:
    facts = {**FACTS_32, "bugcheck": bugcheck, "parameters": parameters, **more}
    return parse(dump.build_32bit(form, **facts))


# --- parameters ---------------------------------------------------------------------------

# By the pages of the bug check reference, written down once more: code, parameter.
INSTRUCTIONS = {
    0x0A: 4,
    0x1E: 2,
    0x3B: 2,
    0x50: 3,
    0x7E: 2,
    0x8E: 2,
    0xC5: 4,
    0xCC: 3,
    0xCD: 3,
    0xCE: 3,
    0xCF: 3,
    0xD0: 4,
    0xD1: 4,
    0xD3: 4,
    0xD4: 4,
    0xD5: 3,
    0xD6: 3,
    0xFC: 1,
    0x116: 2,
    0x117: 2,
    0x1000007E: 2,
    0x1000008E: 2,
    0x100000D1: 4,
    0x1000000A: 4,
}


@pytest.mark.parametrize("form", ["triage", "bitmap"])
@pytest.mark.parametrize(("code", "number"), INSTRUCTIONS.items())
def test_a_parameter_that_is_the_instruction(form: str, code: int, number: int) -> None:
    parameters = [KERNEL + 0x10, KERNEL + 0x20, KERNEL + 0x30, KERNEL + 0x40]
    parameters[number - 1] = FAULT
    found = built(form, code, tuple(parameters))
    assert (found.fault_address, found.fault) == (FAULT, "acmeflt.sys")


@pytest.mark.parametrize("code", [0x1A, 0x18, 0x133, 0x124, 0xA0000001, 0xEF, 0x7B, 0xC2, 0xF7])
def test_codes_that_name_no_instruction(code: int) -> None:
    found = built("triage", code, (FAULT, FAULT, FAULT, FAULT))
    assert (found.fault_address, found.fault) == (0, "")
    assert "acmeflt.sys" in [hit.module for hit in found.stack]


def test_an_address_that_is_in_no_module() -> None:
    found = built("bitmap", 0x50, (0x10, 0x10, 0x10, 2))
    assert (found.fault_address, found.fault) == (0x10, "")


def test_an_address_in_a_driver_that_was_unloaded() -> None:
    gone = FACTS["unloaded"][1]
    found = built("triage", 0xCE, (gone.base + 8, 8, gone.base + 8, 0))
    assert found.fault == "hwpolicy.sys"


# --- what parameters point to -------------------------------------------------------------


def record(address: int) -> bytes:
    return dump_shape.exception_record(dump_shape.WIDE, 0xC0000409, address)


def record_32(address: int) -> bytes:
    return dump_shape.exception_record(dump_shape.NARROW, 0xC0000409, address)


def trap(offset: int, address: int, width: int) -> bytes:
    return bytes(offset) + address.to_bytes(width, "little") + bytes(16)


@pytest.mark.parametrize("form", ["triage", "bitmap"])
@pytest.mark.parametrize(
    ("code", "number", "content"),
    [
        (0x139, 3, record(FAULT)),
        (0x139, 2, trap(0x168, FAULT, 8)),
        (0x24, 2, record(FAULT)),
        (0x24, 3, dump_shape.context("x64", FAULT, 0x1000)),
        (0x3B, 3, dump_shape.context("x64", FAULT, 0x1000)),
        (0x7E, 3, record(FAULT)),
        (0x1000007E, 4, dump_shape.context("x64", FAULT, 0x1000)),
        (0x8E, 3, trap(0x168, FAULT, 8)),
        (0x135, 2, dump_shape.context("x64", FAULT, 0x1000)),
    ],
)
def test_a_parameter_that_points_to_a_record(
    form: str, code: int, number: int, content: bytes
) -> None:
    parameters = [0, 0, 0, 0]
    parameters[number - 1] = AT
    found = built(form, code, tuple(parameters), memory={AT: content})
    assert (found.fault_address, found.fault) == (FAULT, "acmeflt.sys")
    lost = built(form, code, tuple(parameters))
    assert (lost.fault_address, lost.fault) == (0, "")


@pytest.mark.parametrize("form", ["triage", "full"])
@pytest.mark.parametrize(
    ("code", "number", "content"),
    [
        (0x139, 3, record_32(ACME_32 + 0x44)),
        (0x7E, 4, dump_shape.context("x86", ACME_32 + 0x44, 0x1000)),
        (0x8E, 3, trap(0x68, ACME_32 + 0x44, 4)),
    ],
)
def test_the_same_on_32_bits(form: str, code: int, number: int, content: bytes) -> None:
    parameters = [0, 0, 0, 0]
    parameters[number - 1] = AT_32
    found = built_32(form, code, tuple(parameters), memory={AT_32: content})
    assert (found.fault_address, found.fault) == (ACME_32 + 0x44, "acmeflt.sys")


def test_a_context_of_arm64() -> None:
    content = dump_shape.context("arm64", FAULT, 0x1000)
    parameters = (0xC0000005, 0, AT, 0)
    found = built("bitmap", 0x3B, parameters, memory={AT: content}, machine="arm64")
    assert found.fault == "acmeflt.sys"


def test_the_builder_puts_the_record_where_the_parameter_points() -> None:
    found = built("triage", 0x139, (3, 0, AT, 0), exception_address=FAULT)
    assert found.fault == "acmeflt.sys"


def test_the_breakpoint_in_the_header_is_no_evidence() -> None:
    assert built("triage", 0x1A, (0, 0, 0, 0)).fault_address == 0
    by_debugger = built("triage", 0x1A, (0, 0, 0, 0), exception_address=FAULT)
    assert by_debugger.fault == "acmeflt.sys"


# --- whose turn it was --------------------------------------------------------------------


def blocked_irp(width: int, at: int, start: int) -> dict[int, bytes]:
    """IRP, stack location, device object, driver object, each on its own."""
    places = (0xB8, 0x28, 8, 0x18) if width == 8 else (0x60, 0x14, 8, 0xC)
    found = {}
    for number, place in enumerate(places):
        last = number == len(places) - 1
        target = start if last else at + (number + 1) * 0x200
        found[at + number * 0x200] = trap(place, target, width)
    return found


@pytest.mark.parametrize("form", ["triage", "bitmap"])
def test_a_driver_that_blocks_a_power_irp(form: str) -> None:
    memory = blocked_irp(8, AT, ACME)
    found = built(form, 0x9F, (3, AT + 0x800, KERNEL + 8, AT), memory=memory)
    assert found.fault == "acmeflt.sys"
    other = built(form, 0x9F, (4, 0x258, AT, AT), memory=memory)
    assert (other.fault_address, other.fault) == (0, "")


def test_a_driver_that_blocks_a_power_irp_on_32_bits() -> None:
    memory = blocked_irp(4, AT_32, ACME_32)
    assert built_32("full", 0x9F, (3, 0, 0, AT_32), memory=memory).fault == "acmeflt.sys"


# --- names --------------------------------------------------------------------------------

NAME = "AcmeDisp.dll"


@pytest.mark.parametrize("form", ["triage", "bitmap"])
def test_a_name_that_a_parameter_points_to(form: str) -> None:
    characters = NAME.encode("utf-16-le")
    string = struct.pack("<HH4xQ", len(characters), len(characters) + 2, AT + 0x100)
    counted = built(
        form, 0xEA, (0, 0, AT, 1), memory={AT: string, AT + 0x100: characters + b"\0\0"}
    )
    plain = built(form, 0xD8, (AT, 5, 5, 5), memory={AT: characters + b"\0\0"})
    lost = built(form, 0xEA, (0, 0, AT, 1))
    names = (counted.broken_driver, plain.broken_driver, lost.broken_driver)
    assert names == ("acmedisp.dll", "acmedisp.dll", "")


@pytest.mark.parametrize("name", ["AcmeFlt.sys", "\\SystemRoot\\System32\\drivers\\AcmeFlt.sys"])
def test_the_kernels_own_verdict(name: str) -> None:
    assert built("triage", 0x1A, (0, 0, 0, 0), broken_driver=name).broken_driver == "acmeflt.sys"
    narrow = built_32("triage", 0x1A, (0, 0, 0, 0), broken_driver=name)
    assert narrow.broken_driver == "acmeflt.sys"


def test_the_kernels_verdict_as_an_entry_of_the_driver_list() -> None:
    data = bytearray(dump.build_triage(**FACTS))
    (drivers,) = struct.unpack_from("<I", data, 0x2030)
    struct.pack_into("<I", data, 0x2040, drivers + 2 * 0x90)
    assert parse(bytes(data)).broken_driver == "acmeflt.sys"


def test_bytes_that_are_no_name() -> None:
    junk = bytes(range(1, 255)) * 3
    assert built("triage", 0xEA, (0, 0, AT, 1), memory={AT: junk}).broken_driver == ""


# --- the table ----------------------------------------------------------------------------


def test_every_place_is_a_parameter() -> None:
    assert all(1 <= place.parameter <= 4 for places in PLACES.values() for place in places)
    assert all(places for places in PLACES.values())
    kinds = {place.kind for places in PLACES.values() for place in places}
    assert kinds == set(Kind)


@pytest.mark.parametrize(
    ("reason", "fault"),
    [(1, ""), (0x10, ""), (0x11, "acmeflt.sys"), (0x12, "acmeflt.sys"), (0x22F, "acmeflt.sys")],
)
def test_reasons_of_the_verifier_that_tell_an_address(reason: int, fault: str) -> None:
    found = built("triage", 0xC9, (reason, FAULT, 0, 0))
    assert (found.fault_address, found.fault) == (FAULT if fault else 0, fault)


def test_codes_of_small_dumps() -> None:
    assert bugcheck_address.base_code(0x1000007E) == 0x7E
    assert bugcheck_address.base_code(0xA0000001) == 0xA0000001
    assert bugcheck_address.base_code(0xC000021A) == 0xC000021A
    assert bugcheck_address.places(0x9F, ()) == ()


# --- the stack ----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["triage", "bitmap"])
def test_at_most_so_many_words_top_first(form: str) -> None:
    stack = tuple(ACME + number for number in range(2000))
    found = built(form, 0x1A, (0, 0, 0, 0), stack=stack)
    assert len(found.stack) == crashdump_stack.MAX_HITS
    assert [hit.value for hit in found.stack] == list(stack[: crashdump_stack.MAX_HITS])
    assert found.stack[0].slot == dump_shape.WIDE.stack


@pytest.mark.parametrize("form", ["triage", "bitmap"])
def test_words_beyond_a_kernel_stack_are_not_read(form: str) -> None:
    stack = (0,) * (24 * 1024 // 8) + (ACME,)
    assert built(form, 0x1A, (0, 0, 0, 0), stack=stack).stack == ()


def test_owners_at_the_edges() -> None:
    one, other = Module("a.sys", 0x1000, 0x100), Module("b.sys", 0x1100, 0x10)
    modules = Map([other, one, Module("empty.sys", 0x5000, 0)])
    asked = (0xFFF, 0x1000, 0x10FF, 0x1100, 0x110F, 0x1110, 0x5000)
    assert [modules.owner(at) for at in asked] == [None, one, one, other, other, None, None]
    assert (modules.low, modules.high) == (0x1000, 0x1110)
    assert Map([]).owner(5) is None


def test_names_lose_what_no_name_has() -> None:
    assert crashdump_modules.text("a\x1b[31m.sys\0junk".encode("utf-16-le")) == "a[31m.sys"
    assert crashdump_modules.text("a\ud800".encode("utf-16-le", "surrogatepass")) == "a\ufffd"
    assert log_text.file_name("\\??\\C:\\X\\Acme.SYS") == "acme.sys"


def test_a_driver_with_a_path_of_its_own() -> None:
    mod = Mod("\\??\\C:\\Program Files\\Acme\\AcmeMon.sys", 0xFFFF_F807_7000_0000, 0x8000, 9)
    found = built("triage", 0x1A, (0, 0, 0, 0), modules=(*FACTS["modules"], mod))
    assert found.modules[-1] == Module("acmemon.sys", mod.base, mod.size, 9, mod.name)
