"""Who may import whom: the walls of docs/architecture.md, held over the AST of every module."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

_PURE = {"recoverykit.formats", "recoverykit.errors", "recoverykit.model"}
# What each room may import of ours. A room is the longest matching prefix.
ALLOWED: dict[str, set[str]] = {
    "signing": {"signing"},
    "recoverykit.errors": set(),
    "recoverykit.model": {"recoverykit.model", "recoverykit.errors"},
    "recoverykit.formats": {"recoverykit.formats", "recoverykit.errors", "recoverykit.model"},
    "recoverykit.host": {
        "recoverykit.host",
        "recoverykit.formats",
        "recoverykit.errors",
        "recoverykit.model",
        "recoverykit",
    },
    "recoverykit.host.init": {"recoverykit"},  # PID 1: it starts the runtime
    "recoverykit.durable": {"recoverykit.errors", "recoverykit.model", "recoverykit.host"},
    "recoverykit.installs": {"recoverykit.errors", "recoverykit.model", "recoverykit.formats"},
    "recoverykit.evidence": {
        "recoverykit.evidence",
        "recoverykit.formats",
        "recoverykit.errors",
        "recoverykit.model",
        "recoverykit.installs",
        "recoverykit.diagnosis.knowledge",
        "recoverykit.boot",
        "signing",  # what a driver's own signature claims
    },
    "recoverykit.diagnosis": {"recoverykit.diagnosis", "recoverykit.errors", "recoverykit.model"},
    "recoverykit.boot": {
        "recoverykit.boot",
        "recoverykit.formats",
        "recoverykit.errors",
        "recoverykit.model",
        "recoverykit.installs",
    },
    # The boot check reads what evidence collected, opens files as it does, asks who vouches.
    "recoverykit.boot.check": {
        "recoverykit.boot",
        "recoverykit.diagnosis.boot_path",
        "recoverykit.evidence.modules",
        "recoverykit.installs",
        "recoverykit.vouching",
        *_PURE,
    },
    **{
        f"recoverykit.boot.check_{noun}": {
            "recoverykit.boot",
            "recoverykit.diagnosis.boot_path",
            "recoverykit.evidence.files",
            "recoverykit.evidence.modules",
            "recoverykit.installs",
            "recoverykit.vouching",
            *_PURE,
        }
        for noun in ("drivers", "files", "storage")
    },
    # What a target's kernel asks of its drivers, and who vouches for them.
    "recoverykit.code_integrity": {
        "recoverykit.code_integrity",
        "recoverykit.evidence",
        "recoverykit.boot",
        "recoverykit.installs",
        "signing",
        *_PURE,
    },
    "recoverykit.vouching": {"recoverykit.code_integrity", "signing", *_PURE},
    "recoverykit.replacement": {
        "recoverykit.replacement",
        "recoverykit.evidence",
        "recoverykit.diagnosis.knowledge",
        "recoverykit.installs",
        "recoverykit.vouching",
        "signing.kernel",
        "signing.ci_rules",
        "signing.hash_list",
        *_PURE,
    },
    "recoverykit.packs": {
        "recoverykit.packs",
        "recoverykit.repair",
        "recoverykit.replacement",
        "recoverykit.evidence",
        "recoverykit.diagnosis.knowledge",
        "recoverykit.installs",
        "recoverykit.vouching",
        "signing",
        *_PURE,
    },
    "recoverykit.repair": {
        "recoverykit.repair",
        "recoverykit.diagnosis",
        "recoverykit.formats",
        "recoverykit.errors",
        "recoverykit.model",
        "recoverykit.installs",
        "recoverykit.durable",
        "recoverykit.host",
    },
    # Planning decides, it does not do.
    "recoverykit.repair.record": {"recoverykit.model"},
    "recoverykit.repair.state": {
        "recoverykit.installs",
        "recoverykit.host.ntfs_metadata",
        *_PURE,
    },
    "recoverykit.repair.edits": {"recoverykit.repair.record", "recoverykit.repair.state", *_PURE},
    "recoverykit.repair.naming": {"recoverykit.repair.registry_draft", *_PURE},
    "recoverykit.repair.plan_json": {"recoverykit.repair.record", *_PURE},
    "recoverykit.repair.quarantine": {
        "recoverykit.repair.edits",
        "recoverykit.repair.guard",
        "recoverykit.repair.naming",
        "recoverykit.repair.registry_draft",
        "recoverykit.repair.state",
        "recoverykit.installs",
        *_PURE,
    },
    "recoverykit.repair.plan": {
        "recoverykit.repair.edits",
        "recoverykit.repair.guard",
        "recoverykit.repair.quarantine",
        "recoverykit.repair.state",
        *_PURE,
    },
    "recoverykit.repair.registry_draft": {"recoverykit.repair.record", *_PURE},
    "recoverykit.repair.registry_risk": _PURE,
    "recoverykit.repair.registry_plan": {
        "recoverykit.repair.edits",
        "recoverykit.repair.registry_draft",
        *_PURE,
    },
    "recoverykit.repair.fallback": {
        "recoverykit.repair.batch",
        "recoverykit.repair.fallback_script",
        "recoverykit.repair.registry_back",
        *_PURE,
    },
    "recoverykit.repair.registry_back": _PURE,
    "recoverykit.repair.batch": set(),
    "recoverykit.repair.fallback_script": set(),
    "recoverykit.repair.guard": {
        "recoverykit.diagnosis",
        "recoverykit.errors",
        "recoverykit.model",
    },
    "recoverykit.medium": {"recoverykit.errors", "recoverykit.model", "signing"},
    "recoverykit": {"recoverykit", "signing"},
    "winpe": {"winpe", "signing", "recoverykit.formats", "recoverykit.errors"},
    "winpe.usb_content": {"winpe", "recoverykit.formats", "recoverykit.model"},
    "winpe.packs": {"winpe", "signing", "recoverykit.packs", "recoverykit.errors"},
    "build_media": {"winpe"},
}

# Third parties have homes too.
HOMES: dict[str, tuple[str, ...]] = {
    "construct": ("recoverykit.formats", "signing"),
    "pefile": ("recoverykit.formats.pe",),
    "evtx": ("recoverykit.formats.evtx",),
    "cryptography": (
        "signing",
        "winpe",
        "recoverykit.medium",
        "recoverykit.packs",
        "recoverykit.remedy",
        "recoverykit.replacement",
        "recoverykit.vouching",
    ),
    "typer": (
        "recoverykit.cli",
        "recoverykit.cli_bcd",
        "recoverykit.cli_pack",
        "recoverykit.cli_reg",
        "recoverykit.terminal",
        "winpe",
        "build_media",
    ),
    "requests": ("recoverykit.remote", "winpe"),
    "subprocess": ("recoverykit.host", "winpe"),
    "ctypes": ("recoverykit.host",),
}


def modules() -> Iterator[tuple[str, Path]]:
    for package in ("recoverykit", "signing", "winpe"):
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            parts = path.relative_to(REPOSITORY).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path
    yield "build_media", REPOSITORY / "build_media.py"


def imports(module: str, path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def under(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def room(module: str) -> str:
    return max((known for known in ALLOWED if under(module, known)), key=len)


@pytest.mark.parametrize(("module", "path"), [pytest.param(m, p, id=m) for m, p in modules()])
def test_imports_follow_the_layers(module: str, path: Path) -> None:
    allowed = ALLOWED[room(module)]
    wrong = []
    for name in imports(module, path):
        top = name.split(".")[0]
        ours = top in ("recoverykit", "signing", "winpe", "build_media", "tests")
        is_version = name == "recoverykit.__version__"
        if ours and not is_version and not any(under(name, ok) for ok in allowed):
            wrong.append(name)
        if top in HOMES and not any(under(module, home) for home in HOMES[top]):
            wrong.append(name)
    assert wrong == []


def test_only_durable_opens_a_target_for_writing() -> None:
    """Evidence, diagnosis, planning and the rest of the runtime never open for writing."""
    may_write = (
        "recoverykit.durable",
        "recoverykit.host",
        "winpe",
        "signing.folder",
        "signing.keys",
    )
    wrong = [
        f"{module}:{node.lineno}"
        for module, path in modules()
        if not any(under(module, home) for home in may_write)
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Call) and _writes(node)
    ]
    assert wrong == []


def _writes(call: ast.Call) -> bool:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name in ("write_bytes", "write_text", "unlink", "rmdir", "rename", "symlink_to", "rmtree"):
        return True
    if name != "open":
        return False
    modes = [*call.args, *(word.value for word in call.keywords if word.arg == "mode")]
    strings = [arg.value for arg in modes if isinstance(arg, ast.Constant)]
    return any(isinstance(text, str) and text in MODES for text in strings)


MODES = {first + rest for first in "wax" for rest in ("", "b", "+", "b+", "+b")} | {"r+b", "rb+"}


def test_the_rule_about_writing_can_fail() -> None:
    tree = ast.parse("p.open('wb'); open(p, 'rb'); p.unlink(); p.open()")
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert sorted(ast.unparse(call) for call in calls if _writes(call)) == [
        "p.open('wb')",
        "p.unlink()",
    ]


BLOCKED = "import sys\nfor name in ('winpe','requests','rich','pytest'): sys.modules[name] = None\n"


@pytest.mark.parametrize("command", [["--help"], ["diagnose", "--help"]], ids=" ".join)
def test_the_runtime_runs_without_build_packages(command: list[str]) -> None:
    code = BLOCKED + f"sys.argv[1:] = {command!r}\nfrom recoverykit.cli import main\nmain()"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "Usage:" in run.stdout
