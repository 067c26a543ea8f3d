"""The fix of July 2024 as a pack: exactly the bad file moves, and comes back.

CrowdStrike's statement of 19 July 2024 and Microsoft's KB5042421: the file C-00000291*.sys of 04:09
UTC is the faulty one, that of 05:27 UTC or later the good one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from recoverykit import packs
from recoverykit.model import QuarantineFile
from recoverykit.repair import transaction, undo
from signing import cms
from signing.keys import SigningKey
from tests.packs import samples
from tests.repair import target

FAULTY = f"{samples.CONTENT}/C-00000291-00000000-00000032.sys"


@pytest.fixture
def july(mount: Path) -> Path:
    samples.july(mount)
    return mount


def read(key: SigningKey) -> packs.Pack:
    content = samples.JULY.read_bytes()
    return packs.read(content, cms.sign_detached(content, key), [key.certificate], None)


def test_it_is_about_fifteen_lines() -> None:
    lines = samples.JULY.read_text().splitlines()
    assert len([line for line in lines if line.strip() and not line.startswith("#")]) <= 15


def test_exactly_the_bad_file_moves_and_comes_back(july: Path, key: SigningKey) -> None:
    pack, install = read(key), samples.install(july)
    before = target.state(july)
    assert packs.verify(pack, install) == (f"{FAULTY} is still there",)
    made = packs.make(pack, install, (), samples.system(july))
    assert isinstance(made, packs.Made)
    info = transaction.apply(
        install,
        made.plan,
        now=target.NOW,
        supply=made.supply,
        proof=lambda: packs.verify(pack, install),
    )
    after = target.state(july)
    assert {name for name in before if before[name] != after.get(name)} == {FAULTY}
    assert set(after) == set(before) - {FAULTY}
    assert packs.verify(pack, install) == ()
    assert packs.detect(pack, install, ()).applies is False  # and never again
    undo.undo(july, info.id)
    assert target.state(july) == before
    assert (july / FAULTY).stat().st_mtime == samples.BAD.timestamp()


def test_the_plan_says_who_asks_for_what(july: Path, key: SigningKey) -> None:
    plan = samples.plan(july, read(key))
    assert [type(action) for action in plan.actions] == [QuarantineFile]
    assert plan.title == (
        "apply pack crowdstrike-2024-07-19: Remove the faulty CrowdStrike channel file 291"
    )
    assert "signed by Example Ltd" in plan.reason
    assert FAULTY in plan.reason


@pytest.mark.parametrize(
    ("when", "moves"),
    [
        (datetime(2024, 7, 19, 4, 8, 59, tzinfo=UTC), False),
        (datetime(2024, 7, 19, 4, 9, tzinfo=UTC), True),
        (datetime(2024, 7, 19, 5, 26, 59, 999999, tzinfo=UTC), True),
        (datetime(2024, 7, 19, 5, 27, tzinfo=UTC), False),
        (datetime(2024, 7, 19, 6, 26, tzinfo=UTC) + timedelta(days=30), False),
    ],
    ids=str,
)
def test_the_window_is_exact(mount: Path, key: SigningKey, when: datetime, moves: bool) -> None:
    samples.put(mount, f"{samples.CONTENT}/c-00000291-1.SYS", b"content", when)
    found = packs.detect(read(key), samples.install(mount), ())
    assert found.applies is moves


def test_a_problem_that_stays_rolls_back(july: Path, key: SigningKey) -> None:
    """The pack's own verification is part of the transaction."""
    from recoverykit.errors import RecoveryKitError

    pack, install = read(key), samples.install(july)
    before = target.state(july)
    made = samples.made(july, pack)

    def proof() -> tuple[str, ...]:
        samples.put(july, f"{samples.CONTENT}/C-00000291-again.sys", b"again", samples.BAD)
        return packs.verify(pack, install)

    with pytest.raises(RecoveryKitError, match=r"C-00000291-again\.sys is still there"):
        transaction.apply(install, made.plan, now=target.NOW, proof=proof)
    (july / f"{samples.CONTENT}/C-00000291-again.sys").unlink()
    assert target.state(july) == before


def test_on_a_machine_without_it_nothing_is_done(mount: Path, key: SigningKey) -> None:
    made = packs.make(read(key), samples.install(mount), (), samples.system(mount))
    assert made is None
