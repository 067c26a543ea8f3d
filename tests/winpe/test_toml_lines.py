"""The lines of keys agree with what tomllib reads, whatever the layout."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from winpe import recipe, toml_lines

TEXT = '''\
name = "x"  # a comment with [brackets]
outputs = [
  "iso",  # [not a header]
  "uki",
]
a.b = 1

[organisation]
logo = """
[no.header]
y = 1
"""
[[network.wifi]]
ssid = "a"
[[network.wifi]]
ssid = "b"
[network.wifi.more]
z = { q = 1, r = { s = 2 } }
'''


def test_every_key_has_its_line() -> None:
    assert toml_lines.lines(TEXT) == {
        ("name",): 1,
        ("outputs",): 2,
        ("a",): 6,
        ("a", "b"): 6,
        ("organisation",): 8,
        ("organisation", "logo"): 9,
        ("network", "wifi", 0): 13,
        ("network", "wifi", 0, "ssid"): 14,
        ("network", "wifi", 1): 15,
        ("network", "wifi", 1, "ssid"): 16,
        ("network", "wifi", 1, "more"): 17,
        ("network", "wifi", 1, "more", "z"): 18,
        ("network", "wifi", 1, "more", "z", "q"): 18,
        ("network", "wifi", 1, "more", "z", "r"): 18,
        ("network", "wifi", 1, "more", "z", "r", "s"): 18,
    }


def _keys(value: Any, above: toml_lines.Path = ()) -> set[toml_lines.Path]:
    found: set[toml_lines.Path] = set()
    for key, inner in value.items():
        found |= {(*above, key)} | (
            _keys(inner, (*above, key)) if isinstance(inner, dict) else set()
        )
    return found


def test_every_key_of_the_template_is_found() -> None:
    text = recipe.text("media.toml")
    assert _keys(tomllib.loads(text)) == toml_lines.lines(text).keys()


_KEY = st.from_regex(r"[a-c]{1,2}", fullmatch=True)
_VALUE = st.sampled_from(
    ['"x"', "1", "[\n 1,\n 2 ]", "'''\n[a]\nb = 1\n'''", "{ q = 1 }", "2026-01-01"]
)


@given(st.lists(st.tuples(_KEY, _KEY, _VALUE), max_size=6))
def test_any_document_of_tables_is_read_as_tomllib_reads_it(
    rows: list[tuple[str, str, str]],
) -> None:
    text = "".join(f"# c\n[{table}]\n{key} = {value}\n\n" for table, key, value in rows)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # a table twice
    found = toml_lines.lines(text)
    assert _keys(data) == found.keys()
    for path, line in found.items():
        assert str(path[-1]) in text.split("\n")[line - 1]


def test_a_value_longer_than_we_look_costs_its_lines_only() -> None:
    text = "a = [\n" + "1,\n" * 500 + "]\nb = 2\n"
    assert toml_lines.lines(text)[("b",)] == 503
