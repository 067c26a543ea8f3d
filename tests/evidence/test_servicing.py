"""What waits for a boot: registry marks, the queue, logs, leftovers, what breaks them."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recoverykit.errors import FormatError
from recoverykit.evidence import servicing, servicing_markers
from recoverykit.formats.hive import Hive
from recoverykit.model import (
    Evidence,
    Gap,
    PendingRename,
    PendingServicing,
    RenameFailed,
    WindowsInstall,
)
from tests.builders import hive
from tests.builders import servicing as builder
from tests.conftest import read_real, real
from tests.evidence import conftest

MUTANTS = 60  # a campaign may raise it
WHEN = datetime(2024, 7, 19, 4, 9, tzinfo=UTC)
DRIVERS = "\\??\\C:\\Windows\\System32\\drivers"
QUEUE = builder.queue(
    [builder.hardlink("\\SystemRoot\\WinSxS\\a\\acme.sys", f"{DRIVERS}\\acme.sys")]
)
COMMAND = hive.multi_sz(builder.QUEUE_COMMAND)
ZERO = hive.dword(0)
# Text in a binary value, as Windows keeps it.
IDENTIFIER = hive.binary(builder.IDENTIFIER.encode("utf-16-le"))


@dataclass
class Machine:
    """A Windows of hives and the few files that servicing leaves."""

    root: Path

    def put(self, name: str, data: bytes) -> Path:
        return conftest.put(self.install, f"Windows/{name}", data, WHEN)

    @property
    def install(self) -> WindowsInstall:
        return conftest.installation(self.root)

    def software(self, keys: Mapping[str, hive.Tree], queue_command: str = "") -> None:
        made = builder.software(keys, queue_command=queue_command)
        self.put("System32/config/SOFTWARE", made)

    def components(self, values: Mapping[str, hive.Raw]) -> Path:
        return self.put("System32/config/COMPONENTS", builder.components(values))

    def collect(
        self,
        manager: Mapping[str, hive.Raw] | None = None,
        setup: Mapping[str, hive.Raw] | None = None,
        bias: int = 0,
    ) -> list[Evidence]:
        system = Hive(builder.system(manager or {}, setup=setup, bias=bias))
        return list(servicing.collect(self.install, system))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.software({})
    return made


def pending(evidence: list[Evidence]) -> dict[str, PendingServicing]:
    return {item.what: item for item in evidence if isinstance(item, PendingServicing)}


def gaps(evidence: list[Evidence]) -> list[Gap]:
    return [item for item in evidence if isinstance(item, Gap)]


def test_a_machine_with_nothing_to_do(machine: Machine) -> None:
    """An empty SetupExecute and completed sessions are what every machine has."""
    done: hive.Tree = {"31033560_4173800862": {"Complete": hive.dword(1)}}
    machine.software({"SessionsPending": done})
    machine.put("Logs/CBS/CBS.log", builder.startup(WHEN, complete=True).encode())
    machine.put("WinSxS/poqexec.log", b"0 0 0\r\n")
    found = machine.collect({"SetupExecute": hive.multi_sz()}, {"SystemSetupInProgress": ZERO})
    assert found == []


# --- marks --------------------------------------------------------------------------------


def test_setup_execute(machine: Machine) -> None:
    found = pending(machine.collect({"SetupExecute": COMMAND}))["SetupExecute"]
    assert (found.active, found.when) == (True, hive.WHEN)
    assert builder.QUEUE_COMMAND in found.text
    assert found.source.path == "Windows/System32/config/SYSTEM"
    assert found.source.key == "ControlSet001\\Control\\Session Manager\\SetupExecute"


@pytest.mark.parametrize("name", ["RebootPending", "RebootInProgress", "PackagesPending"])
def test_keys_whose_presence_counts(machine: Machine, name: str) -> None:
    machine.software({name: {}})
    found = pending(machine.collect())
    assert list(found) == [name]
    assert found[name].source.key.endswith(f"Component Based Servicing\\{name}")
    assert found[name].when == hive.WHEN


def test_only_sessions_that_never_ended_count(machine: Machine) -> None:
    sessions: hive.Tree = {
        "1_1": {"Complete": hive.dword(1)},
        "2_2": {"Complete": hive.dword(0)},
        "3_3": {},
    }
    machine.software({"SessionsPending": sessions})
    found = [item.text for item in machine.collect() if isinstance(item, PendingServicing)]
    assert found == [
        "Servicing session 2_2 was not completed.",
        "Servicing session 3_3 was not completed.",
    ]


def test_setup_that_has_not_ended(machine: Machine) -> None:
    values = {"SystemSetupInProgress": hive.dword(1), "CmdLine": hive.sz("oobe\\windeploy.exe")}
    found = pending(machine.collect(setup=values))["SystemSetupInProgress"]
    assert "oobe\\windeploy.exe" in found.text


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"PendingXmlIdentifier": IDENTIFIER}, builder.IDENTIFIER),
        ({"AdvancedInstallersNeedResolving": hive.dword(1)}, "=1."),
        ({"NextQueueEntryIndex": hive.dword(3)}, "=3."),
        ({"StoreDirty": hive.sz("yes")}, "=yes."),
    ],
)
def test_marks_of_the_component_store(
    machine: Machine, values: dict[str, hive.Raw], told: str
) -> None:
    machine.software({"RebootPending": {}})
    machine.components({**values, "ExecutionState": ZERO, "Other": hive.dword(1)})
    found = pending(machine.collect())
    (name,) = values
    assert list(found) == ["RebootPending", name]
    assert told in found[name].text


def test_an_identifier_without_its_queue_is_a_leftover(machine: Machine) -> None:
    machine.software({"RebootPending": {}})
    machine.components({"PendingXmlIdentifier": IDENTIFIER})
    found = pending(machine.collect())
    assert {name: item.active for name, item in found.items()} == {
        "RebootPending": True,
        "PendingXmlIdentifier": False,
    }


def test_old_errors_of_the_executor_are_history(machine: Machine) -> None:
    machine.put("WinSxS/poqexec.log", b"4 0xc0000022 x")
    machine.software({"RebootPending": {}})
    assert set(pending(machine.collect())) == {"RebootPending"}


def test_a_large_component_store_is_not_read(machine: Machine) -> None:
    machine.software({"RebootPending": {}})
    os.truncate(machine.components({}), servicing_markers.MAX_COMPONENTS + 1)
    (gap,) = gaps(machine.collect())
    assert gap.source.path.endswith("COMPONENTS")


# --- the queue ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("manager", "queue_command", "identifier", "active"),
    [
        pytest.param({"SetupExecute": COMMAND}, "", False, True, id="the session manager runs it"),
        pytest.param({}, builder.QUEUE_COMMAND, False, True, id="servicing runs it"),
        pytest.param({}, "", True, True, id="the component store knows it"),
        pytest.param({}, "", False, False, id="a leftover"),
        pytest.param({"SetupExecute": hive.multi_sz("x.exe")}, "", False, False, id="another task"),
    ],
)
def test_who_runs_the_queue(
    machine: Machine,
    manager: dict[str, hive.Raw],
    queue_command: str,
    identifier: bool,
    active: bool,
) -> None:
    machine.put("WinSxS/pending.xml", QUEUE)
    machine.put("WinSxS/reboot.xml", b"")
    machine.put("WinSxS/poqexec.log", b"0 0\r\n4 0xc0000022 \\??\\C:\\x\r\n")
    machine.software({}, queue_command)
    machine.components({"PendingXmlIdentifier": IDENTIFIER} if identifier else {})
    found = pending(machine.collect(manager))
    assert {found[name].active for name in ("pending.xml", "reboot.xml", "poqexec.log")} == {active}
    assert found["pending.xml"].when == WHEN
    assert found["pending.xml"].text == (
        "The queue of an update holds 1 operations; drivers among them: acme.sys."
    )
    assert "0xc0000022" in found["poqexec.log"].text


def test_a_queue_longer_than_what_is_read(machine: Machine) -> None:
    operations = [builder.delete(f"{DRIVERS}\\{n:0200}.sys") for n in range(25_000)]
    machine.put("WinSxS/pending.xml", builder.queue(operations))
    before = time.process_time()
    found = pending(machine.collect())["pending.xml"]
    assert time.process_time() - before < 2
    assert "at least " in found.text
    assert " more." in found.text


def test_a_damaged_queue_is_a_gap(machine: Machine) -> None:
    machine.put("WinSxS/pending.xml", bytes(5000))
    (gap,) = gaps(machine.collect())
    assert gap.source.path == "Windows/WinSxS/pending.xml"


# --- renames ------------------------------------------------------------------------------


def test_pending_renames(machine: Machine) -> None:
    """A deletion has an empty second name, which must not end the list."""
    first = builder.renames(
        ("\\??\\C:\\gone.tmp", ""),
        (f"{DRIVERS}\\acme.new", f"!{DRIVERS}\\ACME.sys"),
        (f"*1{DRIVERS}\\old.sys", ""),
    )
    second = builder.renames((f"{DRIVERS}\\b.sys", "\\??\\C:\\b.bak"))
    found = machine.collect(
        {"PendingFileRenameOperations": first, "PendingFileRenameOperations2": second}
    )
    base = DRIVERS.removeprefix("\\??\\")
    assert [(i.old, i.new, i.driver) for i in found if isinstance(i, PendingRename)] == [
        ("C:\\gone.tmp", "", ""),
        (f"{base}\\acme.new", f"{base}\\ACME.sys", "acme.sys"),
        (f"{base}\\old.sys", "", "old.sys"),
        (f"{base}\\b.sys", "C:\\b.bak", "b.sys"),
    ]


def test_many_renames_are_bounded(machine: Machine) -> None:
    pairs = [(f"C:\\{n}", "") for n in range(servicing_markers.MAX_RENAMES + 5)]
    found = machine.collect({"PendingFileRenameOperations": builder.renames(*pairs)})
    assert len(found) == servicing_markers.MAX_RENAMES + 1
    assert len(gaps(found)) == 1


def test_renames_that_failed(machine: Machine) -> None:
    failures = (("C:\\Windows\\System32\\drivers\\acme.sys", "", 0xC0000022),)
    machine.put("PFRO.log", builder.pfro([builder.Boot(WHEN, failures)]))
    (found,) = machine.collect()
    assert isinstance(found, RenameFailed)
    assert (found.path, found.code, found.when) == (failures[0][0], 0xC0000022, WHEN)


def test_only_the_end_of_a_long_log_is_read(machine: Machine) -> None:
    boot = builder.Boot(WHEN, (("C:\\a.tmp", "", 0xC0000034),) * 3)
    data = builder.pfro([boot]) * 6000
    machine.put("PFRO.log", data)
    gap, *found = machine.collect()
    assert isinstance(gap, Gap)
    assert [type(item) for item in found] == [RenameFailed] * 3


# --- CBS.log ------------------------------------------------------------------------------


def test_a_start_that_servicing_failed_at(machine: Machine) -> None:
    log = builder.cbs_line(WHEN, "x" * 1000) * 1500 + builder.startup(WHEN, failed=True)
    machine.put("Logs/CBS/CBS.log", log.encode())
    (found,) = machine.collect(bias=-120)
    assert isinstance(found, PendingServicing)
    assert (found.what, found.active, found.when) == ("CBS.log", True, WHEN - timedelta(hours=2))
    assert "0x800f0922" in found.text
    offset = found.source.offset or 0
    assert log.encode()[offset:].startswith(b"2024-07-19 04:09:00, Error")


@pytest.mark.parametrize(("starts", "told"), [(2, 0), (3, 1), (9, 1)])
def test_start_after_start_without_an_end(machine: Machine, starts: int, told: int) -> None:
    machine.put("Logs/CBS/CBS.log", (builder.startup(WHEN) * starts).encode())
    found = machine.collect()
    assert len(found) == told
    assert all(f"at {starts} starts" in i.text for i in found if isinstance(i, PendingServicing))


@pytest.mark.parametrize("path", real("bootlogs/CBS_winerros.log.xz"))
def test_the_log_of_a_machine_that_was_updated_well(machine: Machine, path: Path) -> None:
    machine.put("Logs/CBS/CBS.log", read_real(path))
    assert machine.collect() == []


# --- what is missing or broken ------------------------------------------------------------


def test_without_software_the_rest_goes_on(machine: Machine) -> None:
    (machine.root / "Windows/System32/config/SOFTWARE").unlink()
    machine.put("WinSxS/pending.xml", QUEUE)
    found = machine.collect({"SetupExecute": COMMAND})
    assert set(pending(found)) == {"SetupExecute", "pending.xml"}
    assert [gap.source.path for gap in gaps(found)] == ["Windows/System32/config/SOFTWARE"]


def test_what_is_no_file(machine: Machine) -> None:
    for name in ("WinSxS/pending.xml", "PFRO.log", "Logs/CBS/CBS.log"):
        (machine.root / "Windows" / name).mkdir(parents=True)
    (machine.root / "Windows/WinSxS/poqexec.log").symlink_to("/etc/passwd")
    found = machine.collect()
    assert len(gaps(found)) == len(found) == 4


@pytest.mark.parametrize("path", real("hives/plaso_win7_SOFTWARE.xz"))
def test_real_software_hive(machine: Machine, path: Path) -> None:
    """37 MB of Windows 7: nothing waits, and it is known in little time."""
    machine.put("System32/config/SOFTWARE", read_real(path))
    before = time.process_time()
    assert gaps(machine.collect()) == []
    assert time.process_time() - before < 2


@pytest.mark.parametrize("path", real("hives/plaso_win7x86_SYSTEM.xz", "hives/dissect_SYSTEM.gz"))
def test_real_system_hive(machine: Machine, path: Path) -> None:
    found = list(servicing.collect(machine.install, Hive(read_real(path))))
    assert gaps(found) == []
    assert {type(item) for item in found} <= {PendingRename, PendingServicing}


def test_mutants(machine: Machine) -> None:
    """Damaged hives, queue and logs all at once: only evidence and gaps, in no time."""
    rng = random.Random("servicing")
    files = {
        "System32/config/SOFTWARE": builder.software(
            {"RebootPending": {}, "SessionsPending": {"1": {}}}, queue_command=builder.QUEUE_COMMAND
        ),
        "System32/config/COMPONENTS": builder.components({"StoreDirty": hive.dword(1)}),
        "WinSxS/pending.xml": QUEUE,
        "WinSxS/poqexec.log": b"c0000022\r\n",
        "PFRO.log": builder.pfro([builder.Boot(WHEN, (("C:\\a.sys", "", 5),))]),
        "Logs/CBS/CBS.log": builder.startup(WHEN, failed=True).encode(),
    }
    renames = builder.renames(("C:\\a.sys", ""), ("C:\\b", "C:\\c.sys"))
    system = builder.system({"SetupExecute": COMMAND, "PendingFileRenameOperations": renames})
    kinds: set[type[Evidence]] = set()
    before = time.process_time()
    for _ in range(MUTANTS):
        for name, data in files.items():
            machine.put(name, changed(data, rng))
        body = bytearray(system)
        body[4096:] = changed(bytes(body[4096:]), rng).ljust(len(body) - 4096, b"\0")
        try:
            opened = Hive(bytes(body))
        except FormatError:
            continue
        kinds |= {type(item) for item in servicing.collect(machine.install, opened)}
    assert kinds == {PendingServicing, PendingRename, RenameFailed, Gap}
    assert time.process_time() - before < 0.03 * MUTANTS + 1


def changed(data: bytes, rng: random.Random) -> bytes:
    mutant = bytearray(data)
    for _ in range(rng.randrange(0, 12)):
        mutant[rng.randrange(len(mutant))] = rng.choice((0, 255, rng.randrange(256)))
    return bytes(mutant[: rng.randrange(len(mutant))] if rng.random() < 0.1 else mutant)
