from __future__ import annotations

import pytest

from winpe import modules, recipe
from winpe.architecture import ALL, Architecture
from winpe.errors import ContentError
from winpe.recipe import ModuleTable

DEP = modules.parse_dep(
    """\
kernel/drivers/ata/ahci.ko.xz: kernel/drivers/ata/libahci.ko.xz kernel/drivers/ata/libata.ko.xz
kernel/drivers/ata/libahci.ko.xz: kernel/drivers/ata/libata.ko.xz
kernel/drivers/ata/libata.ko.xz: kernel/drivers/scsi/scsi_mod.ko.xz
kernel/drivers/ata/pata_old.ko.xz: kernel/drivers/ata/libata.ko.xz
kernel/drivers/scsi/scsi_mod.ko.xz:
kernel/drivers/scsi/sd_mod.ko.xz: kernel/drivers/scsi/scsi_mod.ko.xz
kernel/fs/btrfs/btrfs.ko.xz: kernel/lib/raid6.ko.xz
kernel/lib/raid6.ko.xz:
kernel/lib/crc-soft.ko.xz:
"""
)
SOFT = modules.parse_softdep("# comment\nsoftdep btrfs pre: crc-soft post: absent\nalias x y\n")


def chosen(folders: tuple[str, ...] = (), names: tuple[str, ...] = ()) -> set[str]:
    table = ModuleTable(folders, names, ("pata-*",))
    return {
        modules.name_of(path) for path in modules.select(table, DEP, SOFT, ["kernel/x/loop.ko"])
    }


@pytest.mark.parametrize(
    ("folders", "names", "expected"),
    [
        pytest.param((), (), set(), id="nothing asked, nothing taken"),
        pytest.param((), ("sd-mod",), {"sd_mod", "scsi_mod"}, id="dash or underscore"),
        pytest.param(
            ("drivers/ata",),
            (),
            {"ahci", "libahci", "libata", "scsi_mod"},
            id="folder but left out",
        ),
        pytest.param(("drivers/at",), (), set(), id="a folder's name is not a prefix"),
        pytest.param((), ("btrfs",), {"btrfs", "raid6", "crc_soft"}, id="soft dependencies"),
        pytest.param((), ("loop",), set(), id="built in"),
        pytest.param(
            (), ("pata_old",), {"pata_old", "libata", "scsi_mod"}, id="named beats left out"
        ),
    ],
)
def test_selection(folders: tuple[str, ...], names: tuple[str, ...], expected: set[str]) -> None:
    assert chosen(folders, names) == expected


def test_a_module_that_the_kernel_lacks_stops_the_build() -> None:
    with pytest.raises(ContentError, match="megaraid_sas"):
        chosen(names=("megaraid_sas",))


@pytest.mark.parametrize("architecture", ALL, ids=lambda one: one.name)
def test_the_table_names_no_module_twice(architecture: Architecture) -> None:
    names = recipe.modules(architecture).names
    assert len(names) == len(set(names)) > 40
