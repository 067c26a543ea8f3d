"""The corpus is what its README says, and independent readers can read what it writes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from evtx import PyEvtxParser
from Registry import Registry

from recoverykit.model import Kind
from tests.conftest import read_real, real
from tests.independent import registry as independent
from tests.scenarios import SCENARIOS, Scenario, Tree, baselines, generate, inbox, vendors

ACCUSED = (Kind.DRIVER, Kind.CONTENT, Kind.FILTER)
WITH_ROOT = [s for s in SCENARIOS if s.family != "locked"]
# One of each family: the bench generates them all.
SAMPLE = list({scenario.family: scenario for scenario in WITH_ROOT}.values())


def _named(name: str) -> Scenario:
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


def _digest(folder: Path) -> str:
    """Names, content, times and links of everything below."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            digest.update(f"{path.relative_to(folder)} {status.st_nlink}".encode())
            digest.update(f"{int(status.st_mtime)}".encode() + path.read_bytes())
    return digest.hexdigest()


def test_there_are_enough_of_each_family() -> None:
    families = Counter(scenario.family for scenario in SCENARIOS)
    assert len(SCENARIOS) >= 66
    assert len(families) >= 12
    assert min(families.values()) >= 5
    assert families["healthy"] >= 8
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    assert {scenario.kind for scenario in SCENARIOS} == set(Kind)


@pytest.mark.parametrize("name", ["boot-win7-x86", "content-channel-file", "locked-luks"])
def test_the_same_seed_gives_the_same_tree(name: str, tmp_path: Path) -> None:
    scenario = _named(name)
    one = generate(scenario, 3, tmp_path / "one")
    two = generate(scenario, 3, tmp_path / "two")
    other = generate(scenario, 4, tmp_path / "other")
    assert _digest(tmp_path / "one") == _digest(tmp_path / "two") != _digest(tmp_path / "other")
    assert one.truth == two.truth
    assert other.scenario == one.scenario


@pytest.fixture(scope="module", params=SAMPLE, ids=lambda scenario: scenario.name)
def tree(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    scenario: Scenario = request.param
    return generate(scenario, 7, tmp_path_factory.mktemp(scenario.family))


def test_truths_name_files_that_can_be_found(tree: Tree) -> None:
    truth = tree.truth
    assert truth.story.endswith(".")
    assert all(name == name.lower() for name in truth.culprits | truth.allowed)
    assert bool(truth.culprits) == (truth.kind in ACCUSED)
    if truth.kind in (Kind.DRIVER, Kind.CONTENT):
        files = {path.name.lower() for path in tree.root.rglob("*") if path.is_file()}
        assert truth.culprits <= files


def test_hives_open_in_python_registry(tree: Tree) -> None:
    config = tree.root / "Windows/System32/config"
    if tree.truth.kind is not Kind.HIVE:
        system = Registry.Registry(str(config / "SYSTEM"))
        services = system.open("ControlSet001\\Services").subkeys()
        assert len(services) > 200
        assert Registry.Registry(str(config / "SOFTWARE")).open("Microsoft\\Windows NT")
    assert Registry.Registry(str(config / "SAM")).root().name() == "ROOT"


def test_event_logs_read_whole_in_the_rust_parser(tree: Tree) -> None:
    logs = list((tree.root / "Windows/System32/winevt/Logs").glob("*.evtx"))
    records = [record for log in logs for record in PyEvtxParser(str(log)).records_json()]
    assert len(records) > 100
    assert all(record and '"EventID"' in record["data"] for record in records)


def test_dumps_tell_modules_and_a_stack(tree: Tree) -> None:
    for path in (tree.root / "Windows/Minidump").glob("*.dmp"):
        assert path.read_bytes()[:8] in (b"PAGEDU64", b"PAGEDUMP")
    answer = baselines.top_of_stack(tree.root)
    assert bool(answer) == any((tree.root / "Windows/Minidump").glob("*.dmp"))


def test_boot_stores_open_in_python_registry(tree: Tree) -> None:
    ((_volume, folder),) = tree.boot_volumes
    stores = [path for path in folder.rglob("BCD") if tree.truth.kind is not Kind.BCD]
    for path in stores:
        root = Registry.Registry(str(path)).root()
        objects = next(key for key in root.subkeys() if key.name() == "Objects")
        assert len(objects.subkeys()) >= 7
    assert stores or tree.truth.kind is Kind.BCD


def test_inbox_drivers_have_a_twin_and_others_have_none(tree: Tree) -> None:
    drivers = list((tree.root / "Windows/System32/drivers").glob("*.sys"))
    links = Counter(path.stat().st_nlink for path in drivers)
    assert set(links) == {1, 2}
    assert links[2] > 200 > links[1]


# --- tables -------------------------------------------------------------------------------


def _services(path: Path, folder: Path) -> Iterator[tuple[str, int, int]]:
    target = folder / "SYSTEM"
    target.write_bytes(read_real(path))
    for service in independent.driver_services(target)["services"]:
        yield service["Name"].lower(), service["Type"], service["Start"]


@pytest.mark.parametrize("path", real("hives/dissect_SYSTEM.gz"))
def test_the_table_of_windows_10_is_that_of_a_real_hive(path: Path, tmp_path: Path) -> None:
    ours = {(s.name.lower(), s.type, s.start) for s in inbox.services("10")}
    theirs = set(_services(path, tmp_path))
    assert ours <= theirs
    assert len(ours) > 350


def test_vendors_are_named_once_and_start_somehow() -> None:
    names = [vendor.name for vendor in vendors.everyone()]
    assert len(set(names)) == len(names) >= 60
    assert {vendor.start for vendor in vendors.everyone()} == {0, 1, 2, 3}
    assert not set(names) & {s.file.rsplit("/", 1)[-1].lower() for s in inbox.services("10")}


# --- baselines ----------------------------------------------------------------------------


def test_baselines_answer_as_the_tools_they_stand_for(tmp_path: Path) -> None:
    tree = generate(_named("decoy-last-in-boot-log"), 2, tmp_path)
    assert baselines.last_loaded(tree.root)[0] not in tree.truth.culprits
    assert baselines.newest_third_party(tree.root)[0] in tree.truth.culprits
    assert baselines.top_of_stack(tree.root)


def test_baselines_are_silent_on_an_empty_volume(tmp_path: Path) -> None:
    assert not any(ask(tmp_path) for ask in baselines.CONTESTANTS.values())
