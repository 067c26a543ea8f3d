"""From Debian packages to the tree of a small Linux: named programs, their libraries, Python.

Two steps, each cached as a whole: the *sysroot* is every package unpacked (never run as a
system, no maintainer script is executed), the *tree* is what is copied out of it. Nothing gets
into the tree because a package contains it, only because data/base.toml names it or because a
named program cannot start without it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from winpe import modules, tools
from winpe.architecture import X64, Architecture
from winpe.errors import ContentError
from winpe.recipe import Base, ModuleTable, PythonParts

_MERGED = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
_FOLDERS = (
    *("dev", "etc", "mnt", "proc", "root", "run", "sys", "tmp"),
    *("usr/bin", "usr/sbin", "usr/share", "var"),
)
_SKIPPED = ("./usr/share/man/*", "./usr/share/locale/*", "./usr/share/doc/*/changelog*")
_PROGRAM_FOLDERS = ("usr/bin", "usr/sbin")
# In sys.argv: the tree, whose path gets into no file, then the folders in it. Marshal marks what is
# referenced more than once, and in a process that compiled other files before that is another set:
# each file is compiled in a process that has done nothing yet. PEP 552: the flags 1 mean "has a
# hash, and nobody is to check it".
_COMPILE = """\
import marshal, os, sys
from importlib.util import MAGIC_NUMBER, source_hash

def compiled(path):
    with open(path, "rb") as file:
        source = file.read()
    code = compile(source, path.removeprefix(sys.argv[1]), "exec", dont_inherit=True)
    head = MAGIC_NUMBER + (1).to_bytes(4, "little") + source_hash(source)
    with open(path + "c", "wb") as file:
        file.write(head + marshal.dumps(code))
    return 0

def attempt(path):
    try:
        return compiled(path)
    except (SyntaxError, ValueError) as exc:
        print(f"{path}: {exc}", file=sys.stderr, flush=True)
        return 1

for root in sys.argv[2:]:
    for folder, _, names in os.walk(root):
        for name in names:
            if name.endswith(".py"):
                child = os.fork()
                if not child:
                    os._exit(attempt(f"{folder}/{name}"))
                if os.waitpid(child, 0)[1]:
                    sys.exit(1)
"""
_ETC = {
    "etc/passwd": "root:x:0:0:root:/root:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\n",
    "etc/fuse.conf": "user_allow_other\n",
}


def unpack(archives: Sequence[Path], sysroot: Path) -> None:
    """Unpack the packages into one tree, as Debian's merged /usr lays it out."""
    for link, target in _MERGED.items():
        (sysroot / target).mkdir(parents=True, exist_ok=True)
        (sysroot / link).symlink_to(target)
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda archive: _unpack_one(archive, sysroot), archives))
    tools.run(["depmod", "-b", sysroot, kernel_version(sysroot)])


def _unpack_one(archive: Path, sysroot: Path) -> None:
    """dpkg-deb reads the package, tar writes it: --keep-directory-symlink is tar's alone."""
    skip = [f"--exclude={pattern}" for pattern in _SKIPPED]
    extract = ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", *skip]
    tools.pipe(["dpkg-deb", "--fsys-tarfile", archive], [*extract, "-C", sysroot])


def kernel_version(sysroot: Path) -> str:
    """The release of the one kernel in the sysroot."""
    found = sorted((sysroot / "boot").glob("vmlinuz-*"))
    if len(found) != 1:
        raise ContentError(f"{len(found)} kernels were unpacked where one was expected")
    return found[0].name.removeprefix("vmlinuz-")


def build(sysroot: Path, tree: Path, base: Base, table: ModuleTable) -> int:
    """Fill an empty folder with the base system; returns the number of kernel modules."""
    _skeleton(tree, base)
    programs = [_copy_program(sysroot, tree, name) for name in base.programs]
    extensions = copy_python(sysroot, tree, base.python)
    binaries = [*programs, *extensions]
    copy_libraries(sysroot, tree, binaries, base.libraries, architecture=base.architecture)
    version = kernel_version(sysroot)
    return len(modules.install(sysroot, tree, version, table, base.architecture))


def _skeleton(tree: Path, base: Base) -> None:
    for folder in (*_FOLDERS, *_library_folders(base.architecture)):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    links = {**_MERGED, "var/run": "/run", "etc/mtab": "/proc/mounts", **base.links}
    for link, target in links.items():
        (tree / link).symlink_to(target)
    for name, content in _ETC.items():
        (tree / name).write_text(content)


def _copy_program(sysroot: Path, tree: Path, name: str) -> Path:
    for folder in _PROGRAM_FOLDERS:
        if (source := sysroot / folder / name).exists():
            target = tree / folder / name
            shutil.copyfile(source, target)
            target.chmod(0o755)  # nothing set-uid: there is one user
            return target
    raise ContentError(f"no Debian package brought the program {name}")


def copy_python(sysroot: Path, tree: Path, parts: PythonParts) -> list[Path]:
    """Copy the standard library without the parts to drop; returns its extension modules."""
    source = sysroot / f"usr/lib/python{parts.version}"
    target = tree / f"usr/lib/python{parts.version}"

    def unwanted(folder: str, names: list[str]) -> list[str]:
        here = Path(folder).relative_to(source)
        return [name for name in names if not _kept(here / name, parts)]

    shutil.copytree(source, target, ignore=unwanted, ignore_dangling_symlinks=True)
    return sorted(target.glob("lib-dynload/*.so"))


def _kept(path: Path, parts: PythonParts) -> bool:
    """Whether a file or folder of the standard library goes into the image."""
    if path.suffix in (".pyc", ".txt", ".md") or path.name == "__pycache__":
        return False
    if path.parent.name == "lib-dynload":
        return path.name.partition(".")[0] not in parts.drop_extensions
    if path.name.startswith("config-") or path.as_posix() in parts.drop:
        return False
    return path.parent != Path() or path.name.partition(".")[0] not in parts.drop


def _library_folders(architecture: Architecture) -> tuple[str, ...]:
    return architecture.libraries, "usr/lib64", "usr/lib"


def copy_libraries(
    sysroot: Path,
    tree: Path,
    binaries: Iterable[Path],
    extra: Iterable[str] = (),
    *,
    architecture: Architecture = X64,
) -> None:
    """Copy every shared library that these need, and that those need in turn."""
    places = (architecture.libraries, architecture.loader_folder)
    have = {path.name for place in places for path in (tree / place).iterdir()}
    asked = set(extra) | needed(binaries)
    while missing := asked - have:
        copied = [_copy_library(sysroot, tree, name, architecture) for name in sorted(missing)]
        have |= missing
        asked = needed(copied)


def _copy_library(sysroot: Path, tree: Path, name: str, architecture: Architecture) -> Path:
    for folder in _library_folders(architecture):
        if (source := sysroot / folder / name).exists():
            own = name == architecture.loader  # programs name it by its path
            home = architecture.loader_folder if own else architecture.libraries
            target = tree / home / name
            shutil.copyfile(source, target)
            target.chmod(0o755)
            return target
    raise ContentError(f"no Debian package brought the library {name}")


def needed(binaries: Iterable[Path]) -> set[str]:
    """The DT_NEEDED entries of ELF files."""
    paths = list(binaries)
    if not paths:
        return set()
    listing = tools.run(["readelf", "-d", "-W", *paths]).decode(errors="replace")
    return set(re.findall(r"\(NEEDED\).*\[(.+)\]", listing))


def compile_python(
    sysroot: Path,
    version: str,
    tree: Path,
    folders: Sequence[str],
    *,
    architecture: Architecture = X64,
) -> None:
    """Replace every .py below these folders by a .pyc that holds whatever the file times say.

    Compiled by the sysroot's own Python: the host's may be another version. Same sources, same
    bytes, whatever was compiled before and wherever.
    """
    python = tools.from_sysroot(sysroot, f"usr/bin/python{version}", architecture)
    env = {
        "PYTHONHOME": str(sysroot / "usr"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
    }
    paths = [tree / folder for folder in folders]
    tools.run([*python, "-s", "-S", "-c", _COMPILE, tree, *paths], env=env)
    for path in paths:
        for source in path.rglob("*.py"):
            source.unlink()
