from __future__ import annotations

import re

import pytest

from winpe import grub
from winpe.errors import MediaUsageError
from winpe.grub import Menu

ID = "0123456789abcdef"


def entries(text: str) -> dict[str, dict[str, str]]:
    """Menu entry id -> the key=value words of its kernel command line."""
    found = re.findall(r"--id (\w+).*?linux /boot/vmlinuz ([^\n]*)", text, re.DOTALL)
    return {name: dict(word.partition("=")[::2] for word in line.split()) for name, line in found}


@pytest.mark.parametrize(
    ("menu", "default", "timeout", "ends"),
    [
        pytest.param(Menu(ID), "ask", 5, ("ask", "reboot", "ask"), id="a technician"),
        pytest.param(Menu(ID, "repair"), "repair", 1, ("ask", "reboot", "ask"), id="unattended"),
        pytest.param(
            Menu(ID, "diagnose"), "diagnose", 1, ("ask", "reboot", "reboot"), id="diagnose"
        ),
        pytest.param(Menu(ID, end="poweroff"), "ask", 5, ("poweroff",) * 3, id="power off"),
    ],
)
def test_menu(menu: Menu, default: str, timeout: int, ends: tuple[str, ...]) -> None:
    text = grub.menu(menu)
    assert f"set default={default}\nset timeout={timeout}\n" in text
    found = entries(text)
    assert [found[mode]["rk.mode"] for mode in found] == ["ask", "repair", "diagnose"]
    assert tuple(found[mode]["rk.end"] for mode in found) == ends
    assert {found[mode]["rk.image"] for mode in found} == {ID}


def test_the_menu_searches_for_this_image_and_no_other() -> None:
    for text in (grub.menu(Menu(ID)), grub.early_config(ID)):
        assert f"search --no-floppy --set=root --file /.disk/recoverykit-{ID}\n" in text


def test_ntfs_policy_and_kernel_arguments_reach_every_entry() -> None:
    found = entries(grub.menu(Menu(ID, ntfs_log="refuse", kernel_arguments=("nomodeset", "a.b=c"))))
    assert [
        (words["rk.ntfs_log"], words["a.b"], "nomodeset" in words) for words in found.values()
    ] == [("refuse", "c", True)] * 3


@pytest.mark.parametrize("word", ["a;reboot", "$(x)", "'", '"', "a\\", "}", "{", "a\nb", "#"])
def test_arguments_that_grub_would_interpret_are_refused(word: str) -> None:
    with pytest.raises(MediaUsageError, match="--kernel-args"):
        grub.menu(Menu(ID, kernel_arguments=(word,)))


@pytest.mark.parametrize("development", [False, True])
def test_a_development_key_is_said_on_the_menu(development: bool) -> None:
    assert ("DEVELOPMENT" in grub.menu(Menu(ID, development=development))) is development
