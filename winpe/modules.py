"""Which kernel modules go onto the medium, and how they are laid out there.

The table in data/modules.toml names folders and modules; everything they depend on, by symbol
(modules.dep) or by request (modules.softdep), comes with them. Modules are stored uncompressed:
the initramfs is compressed as a whole, and better so.
"""

from __future__ import annotations

import lzma
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from winpe import tools
from winpe.architecture import X64, Architecture
from winpe.errors import ContentError
from winpe.recipe import ModuleTable

# What kmod reads; depmod writes more, and all of that is only for people and for mkinitrd.
_INDEXES = ("dep.bin", "alias.bin", "softdep", "builtin.bin", "builtin.alias.bin")
_INPUTS = ("modules.order", "modules.builtin", "modules.builtin.modinfo")


def name_of(path: str) -> str:
    """The name modprobe knows a module by."""
    return PurePosixPath(path).name.partition(".ko")[0].replace("-", "_")


def parse_dep(content: str) -> dict[str, tuple[str, ...]]:
    """modules.dep: path -> the paths it needs."""
    pairs = (line.partition(":")[::2] for line in content.splitlines() if ":" in line)
    return {path: tuple(needs.split()) for path, needs in pairs}


def parse_softdep(content: str) -> dict[str, tuple[str, ...]]:
    """modules.softdep: name -> the names it asks for before and after itself."""
    found: dict[str, tuple[str, ...]] = {}
    for line in content.splitlines():
        words = line.split()
        if len(words) > 2 and words[0] == "softdep":
            asked = tuple(word.replace("-", "_") for word in words[2:] if not word.endswith(":"))
            name = words[1].replace("-", "_")
            found[name] = found.get(name, ()) + asked
    return found


def select(
    table: ModuleTable,
    needs: Mapping[str, Iterable[str]],
    soft: Mapping[str, Iterable[str]],
    builtin: Iterable[str] = (),
) -> tuple[str, ...]:
    """Paths of the chosen modules and all they depend on, sorted.

    Raises ContentError for a named module that the kernel has neither as a module nor built in:
    a table that silently shrinks with a new kernel is how media lose their storage driver.
    """
    by_name = {name_of(path): path for path in needs}
    inside = {name_of(path) for path in builtin}
    wanted = {
        path
        for path in needs
        if any(path.startswith(f"kernel/{folder}/") for folder in table.folders)
        and not any(fnmatch(name_of(path), skip.replace("-", "_")) for skip in table.leave_out)
    }
    names = {name.replace("-", "_") for name in table.names}
    if absent := sorted(names - by_name.keys() - inside):
        raise ContentError(
            f"this kernel has no module {', '.join(absent)}",
            hint="correct winpe/data/modules.toml",
        )
    wanted |= {by_name[name] for name in names if name in by_name}
    todo = list(wanted)
    while todo:
        path = todo.pop()
        asked = (by_name[name] for name in soft.get(name_of(path), ()) if name in by_name)
        for other in (*needs[path], *asked):
            if other not in wanted:
                wanted.add(other)
                todo.append(other)
    return tuple(sorted(wanted))


def install(
    sysroot: Path,
    tree: Path,
    version: str,
    table: ModuleTable,
    architecture: Architecture = X64,
) -> tuple[str, ...]:
    """Copy the chosen modules of the sysroot's kernel into the tree, and index them.

    The index is made by the sysroot's own depmod: its form depends on depmod's version.
    """
    source = sysroot / "usr/lib/modules" / version
    target = tree / "usr/lib/modules" / version
    chosen = select(
        table,
        parse_dep((source / "modules.dep").read_text()),
        parse_softdep((source / "modules.softdep").read_text()),
        (source / "modules.builtin").read_text().splitlines(),
    )
    for path in chosen:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as pool:  # lzma lets go of the interpreter while it works
        list(pool.map(lambda path: _expand(source / path, target / path), chosen))
    for name in _INPUTS:
        shutil.copyfile(source / name, target / name)
    depmod = tools.from_sysroot(sysroot, "usr/bin/kmod", architecture, name="depmod")
    tools.run([*depmod, "-b", tree, version])
    keep = {f"modules.{name}" for name in _INDEXES}
    for index in target.glob("modules.*"):
        if index.name not in keep:
            index.unlink()
    return chosen


def _expand(source: Path, target: Path) -> None:
    if source.suffix == ".xz":
        with lzma.open(source) as packed, target.with_suffix("").open("wb") as plain:
            shutil.copyfileobj(packed, plain, 1 << 20)
    else:
        shutil.copyfile(source, target)
