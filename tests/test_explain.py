"""What a stop code means: whatever people type, and data that hold together."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recoverykit import explain
from recoverykit.diagnosis import knowledge
from recoverykit.diagnosis.knowledge import Area
from recoverykit.errors import NoCulpritError, UsageError
from recoverykit.explain_words import FIRST, LOOKS
from recoverykit.formats import bugcheck_address

TABLES = explain._tables("bugchecks.toml")
BOOT_ERRORS = explain._tables("boot-errors.toml")
STATUSES = explain._statuses()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("0x7B", 0x7B, id="as screens show it"),
        pytest.param("7b", 0x7B, id="bare"),
        pytest.param("0x0000007B", 0x7B, id="all digits"),
        pytest.param(" 0X7b ", 0x7B, id="spaces"),
        pytest.param("124", 0x124, id="digits are hexadecimal"),
        pytest.param("INACCESSIBLE_BOOT_DEVICE", 0x7B, id="a name"),
        pytest.param("inaccessible_boot_device", 0x7B, id="a name in lower case"),
        pytest.param("0x1000007e", 0x1000007E, id="of a small dump"),
        pytest.param("0x100000d1", 0x100000D1, id="of a small dump, not in the table"),
        pytest.param("DRIVER_IRQL_NOT_LESS_OR_EQUAL_M", 0xD1, id="its name"),
        pytest.param("0xc000021a", 0xC000021A, id="a status that stops Windows"),
        pytest.param("0xffffffffc000021a", 0xC000021A, id="widened to 64 bits"),
        pytest.param("STATUS_SYSTEM_PROCESS_TERMINATED", 0xC000021A, id="its other name"),
        pytest.param("Stop code: PAGE_FAULT_IN_NONPAGED_AREA", 0x50, id="Windows 10's screen"),
        pytest.param("STOP: 0x00000050 (0x1,0x2,0x3,0x4)", 0x50, id="Windows 7's screen"),
        pytest.param("KERNEL_SECURITY_CHECK_FAILURE (139)", 0x139, id="a debugger's"),
        pytest.param("0x0000001e (0xffffffffc0000005, 0xfffff80000000000, 0, 0)", 0x1E, id="1001"),
    ],
)
def test_whatever_people_have_before_them(text: str, code: int) -> None:
    assert explain.explain(text).code == code


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        pytest.param("", UsageError, "no stop code", id="nothing"),
        pytest.param("stop code", UsageError, "no stop code", id="only words"),
        pytest.param("hello", UsageError, "'hello' is neither", id="a word"),
        pytest.param("acmeflt.sys", UsageError, "neither", id="a driver"),
        pytest.param("0x7B oops", UsageError, "'oops' is neither", id="a parameter that is none"),
        pytest.param("0x7B 1 2 3 4 5", UsageError, "at most four", id="too many"),
        pytest.param("0x123456789", UsageError, "no stop code", id="too large"),
        pytest.param("0x5999", NoCulpritError, "0x5999 is not among", id="nobody's"),
        pytest.param("0xA0000001", NoCulpritError, "codes of their own", id="AMD's"),
        pytest.param("NO_SUCH_NAME", NoCulpritError, "not the name", id="a name of nobody"),
    ],
)
def test_what_cannot_be_explained(
    text: str, error: type[UsageError | NoCulpritError], said: str
) -> None:
    with pytest.raises(error, match=said):
        explain.explain(text)


def test_a_slip_of_the_pen_is_answered_with_near_names() -> None:
    with pytest.raises(NoCulpritError) as caught:
        explain.explain("DRIVER_IRQL_NOT_LES_OR_EQUAL")
    assert caught.value.hint.startswith("near to it: DRIVER_IRQL_NOT_LESS_OR_EQUAL")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("59", "0x3b SYSTEM_SERVICE_EXCEPTION", id="event 41 says 59"),
        pytest.param("0x59", "", id="marked as hexadecimal"),
        pytest.param("7b", "", id="no decimal"),
        pytest.param("4", "", id="the same"),
    ],
)
def test_decimal_numbers_are_doubted(text: str, said: str) -> None:
    assert said in explain.explain(text).decimal
    assert bool(said) is bool(explain.explain(text).decimal)


def test_a_decimal_number_of_no_code_is_answered() -> None:
    with pytest.raises(NoCulpritError) as caught:
        explain.explain("292")  # 0x124 in decimal
    assert "0x124 WHEA_UNCORRECTABLE_ERROR" in caught.value.hint


def parameters(text: str) -> list[tuple[int | None, str]]:
    return [(one.given, one.told) for one in explain.explain(text).parameters]


def test_given_parameters_are_read() -> None:
    told = parameters("0x50 (0xffffe00000000000, 0x2, 0xfffff801`31aa14ed, 0x0)")
    assert told == [
        (0xFFFFE00000000000, ""),
        (2, "write"),
        (0xFFFFF80131AA14ED, ""),
        (0, ""),
    ]
    status = parameters("0x7a 0x1 0xffffffffc000009c 0x0 0x0")[1]
    assert status == (
        0xFFFFFFFFC000009C,
        "STATUS_DEVICE_DATA_ERROR: the device reports a bad block",
    )
    assert parameters("0x7b 0x1 0x0")[1] == (0, "")
    assert parameters("0x59 1 2")[:2] == [(1, ""), (2, "")]  # parameters of a code without words


@pytest.mark.parametrize(
    ("text", "area", "numbers", "said"),
    [
        ("0xd1", "driver", (4,), "Parameter 4 is an address of code."),
        ("0xea", "driver", (3,), "Parameter 3 leads to the driver's name."),
        ("0x1000007e", "driver", (2, 3, 4), "failing that"),
        ("0x133", "driver", (), "No parameter names it; the stack"),
        ("0x7b", "storage", (), "It names no driver."),
        ("0x7a", "disk", (), "It names no driver."),
        ("0x124", "hardware", (), "It names no driver."),
        ("0x74", "hive", (), "It names no driver."),
        ("0xe2", "user", (), "It names no driver."),
        ("0xc0000221", "system", (), "names the file"),
        ("0xc0000225", "bcd", (), "names no driver"),
    ],
)
def test_where_to_look(text: str, area: str, numbers: tuple[int, ...], said: str) -> None:
    explained = explain.explain(text)
    assert (explained.area, explained.driver_parameters) == (area, numbers)
    assert said in explained.driver
    assert explained.first == FIRST[area]


def test_three_kinds() -> None:
    assert explain.explain("0x7b").kind == "stop-code"
    assert explain.explain("0xc0000225").kind == "boot-error"
    alone = explain.explain("0xc0000005")
    assert (alone.kind, alone.area, alone.looks) == ("status", "", ())
    assert explain.explain("0x193").live
    assert "no crash" in explain.explain("0x193").meaning
    assert explain.explain("0x117").meaning.count("went on running") == 1


def test_text() -> None:
    text = explain.run("STOP 0x7a (1 c0000185 2 3)", as_json=False, width=72)
    assert text.startswith("0x7a  KERNEL_DATA_INPAGE_ERROR\n\n")
    assert "  2 = 0xc0000185  status of the disk request (a status)\n" in text
    assert "STATUS_IO_DEVICE_ERROR" in text
    assert "STATUS_NO_SUCH_DEVICE" not in text  # what it is is known
    assert "STATUS_NO_SUCH_DEVICE" in explain.run("0x7a", as_json=False)
    assert all(len(line) <= 72 for line in text.splitlines())
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_json() -> None:
    told = json.loads(explain.run("0x50 1 2", as_json=True))
    assert told["schema"] == "recoverykit.explain/1"
    assert set(told) == {
        "schema", "version", "exit_code", "code", "name", "kind", "area", "live", "meaning",
        "look_first", "driver", "parameters", "note", "decimal", "looks_at",
    }  # fmt: skip
    assert (told["code"], told["exit_code"], told["area"]) == ("0x00000050", 0, "driver")
    assert told["driver"]["parameters"] == [3]
    second = told["parameters"][1]
    assert (second["given"], second["told"], second["is_status"]) == ("0x2", "write", False)
    assert {"value": "0x10", "meaning": "execute"} in second["values"]
    assert json.loads(explain.run("0xc0000005", as_json=True))["area"] is None


@given(st.one_of(st.text(max_size=40), st.from_regex(r"(0x)?[0-9a-f]{1,20}( [0-9a-f`]{1,17})*")))
def test_anything_is_explained_or_refused(text: str) -> None:
    assert answer(text)


def answer(text: str) -> str:
    """What is shown, or why it is not."""
    try:
        return explain.run(text, as_json=False)
    except (NoCulpritError, UsageError) as exc:
        return str(exc)


# --- the data hold together ---------------------------------------------------------------


def test_every_code_of_the_list_can_be_explained() -> None:
    for stop in knowledge.stop_codes():
        explained = explain.explain(f"{stop.code:#x}")
        assert explained.name == stop.name
        assert explained.meaning.endswith(".")
        assert explained.looks
        assert json.loads(explain.to_json(explained))["name"] == stop.name


@pytest.mark.parametrize("code", TABLES, ids=hex)
def test_a_table_is_whole(code: int) -> None:
    about = TABLES[code]
    assert knowledge.stop_code(code).name
    assert set(about) <= {
        "meaning", "parameters", "values", "status", "seen", "note", "where", "like",
    }  # fmt: skip
    assert about["meaning"].endswith(".")
    assert about.get("note", ".").endswith(".")
    assert about.get("where", "screen") == "screen"
    whole = explain._about(code)
    assert len(whole["parameters"]) == 4
    for number, values in whole.get("values", {}).items():
        assert whole["parameters"][int(number) - 1]
        assert all(int(value, 16) >= 0 and told for value, told in values.items())
    for number in whole.get("status", ()):
        assert whole["parameters"][number - 1]
    assert all(int(status, 16) in STATUSES for status in whole.get("seen", ()))
    assert "seen" not in whole or "status" in whole


@pytest.mark.parametrize("code", set(bugcheck_address.PLACES) & set(TABLES), ids=hex)
def test_what_is_told_of_parameters_fits_how_dumps_are_read(code: int) -> None:
    """Where the reader of dumps takes an address, the words must say that there is one."""
    told = explain._about(code)["parameters"]
    for place in bugcheck_address.PLACES[code]:
        words = told[place.parameter - 1]
        assert any(word in words for word in ("address", "jumped", "depends")), words


def test_the_common_codes_have_words() -> None:
    assert len(TABLES) >= 70
    # Codes of the real dumps and logs of ../shared/data, and of the facts' table.
    for code in (0x0A, 0x1E, 0x3B, 0x50, 0x7B, 0x7E, 0x9F, 0xC4, 0xD1, 0xED, 0xEF, 0x116, 0x124,
                 0x133, 0x139, 0xEA, 0xC000021A, 0xC0000221, 0x178, 0x5C):  # fmt: skip
        assert code in TABLES


def test_boot_errors_are_statuses_and_no_stop_codes() -> None:
    assert len(BOOT_ERRORS) >= 15
    for code, about in BOOT_ERRORS.items():
        assert code in STATUSES
        assert not knowledge.stop_code(code).name
        assert about["area"] in {*Area, "bcd"}
        assert about["meaning"].endswith(".")


def test_statuses_are_in_order_and_named() -> None:
    assert list(STATUSES) == sorted(STATUSES)
    assert len({name for name, _ in STATUSES.values()}) == len(STATUSES)
    assert all(name.startswith("STATUS_") and told for name, told in STATUSES.values())


def test_every_area_has_its_words() -> None:
    assert set(FIRST) == set(LOOKS) == {*Area, "bcd"}
