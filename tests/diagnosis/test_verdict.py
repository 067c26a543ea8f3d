"""The verdict on small machines: who is accused, and above all who is not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from recoverykit.diagnosis import rules, verdict
from recoverykit.diagnosis.verdict import judge
from recoverykit.model import (
    BootEventKind,
    Diagnosis,
    Evidence,
    Finding,
    Gap,
    Kind,
    NtfsState,
    Source,
    StartType,
    Verdict,
)
from tests.diagnosis.scene import (
    BOOT_LOG,
    COMPLETE,
    FIRST_CRASH,
    FRESH,
    GOOD,
    INSTALL,
    OFF,
    OLD,
    SYSTEM,
    boot_log,
    crash,
    crashes,
    culprits,
    driver,
    event,
    failed,
    installed,
    judged,
    machine,
    session,
    started,
    up_to,
)

ACME = driver("acmeflt", changed=FRESH)
IN_USE = NtfsState(dirty=True, log_unclean=True, hibernated=False)


def suspects(diagnosis: Diagnosis) -> list[str]:
    return [s.driver for s in diagnosis.suspects if s.verdict is Verdict.SUSPECT]


def failing_log(last: str = "acmeflt.sys") -> list[Evidence]:
    """Two good boots in the log, then one that stops at `last`."""
    return [
        boot_log(OLD),
        boot_log(GOOD, line=20),
        boot_log(FIRST_CRASH - timedelta(minutes=1), up_to(last), line=40),
    ]


# --- culprits -----------------------------------------------------------------------------


def test_a_new_boot_start_driver_and_crashes_since() -> None:
    diagnosis = judged(ACME, installed("acmeflt"), crashes(), failing_log())
    assert diagnosis.kind is Kind.DRIVER
    assert culprits(diagnosis) == ["acmeflt.sys"]
    (culprit, *_) = diagnosis.suspects
    assert (culprit.service, culprit.company, culprit.version) == (
        "acmeflt",
        "Acme Security GmbH",
        "3.1",
    )
    assert culprit.path == "Windows/System32/drivers/acmeflt.sys"
    assert "acmeflt.sys" in diagnosis.summary


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        pytest.param([], "starts-early", id="no boot log at all"),
        pytest.param(failing_log(), "boot-log-last-loaded", id="with a boot log"),
        pytest.param([failed("acmeflt", FIRST_CRASH)], "event-names-driver", id="event"),
    ],
)
def test_two_arguments_make_a_culprit(more: list[Evidence], rule: str) -> None:
    diagnosis = judged(ACME, crashes(), more)
    assert culprits(diagnosis) == ["acmeflt.sys"]
    assert rule in {finding.rule for finding in diagnosis.suspects[0].findings}


def test_an_update_of_an_old_driver_counts_as_a_change() -> None:
    update = driver("updated", changed=FRESH, written=OLD)
    assert culprits(judged(update, crashes())) == ["updated.sys"]


def test_a_boot_log_alone_proves_a_failed_boot() -> None:
    """The boot died before the event log service: nothing but ntbtlog.txt knows of it."""
    assert culprits(judged(ACME, failing_log())) == ["acmeflt.sys"]


def test_every_reason_names_a_place_to_look() -> None:
    diagnosis = judged(ACME, installed("acmeflt"), crashes(), failing_log())
    found = [finding for suspect in diagnosis.suspects for finding in suspect.findings]
    assert {finding.rule for finding in found} >= {
        "changed-since-good-boot",
        "installed-before-failure",
        "boot-log-last-loaded",
        "boot-log-new",
        "starts-early",
    }
    for finding in found:
        assert finding.driver in finding.reason
        assert finding.sources
        assert all(
            source.offset is not None or source.path.endswith(".sys") for source in finding.sources
        )
    (last,) = [finding for finding in found if finding.rule == "boot-log-last-loaded"]
    assert last.sources[0] == Source(BOOT_LOG, 40 + 2 + len(up_to("acmeflt.sys")) - 1)


# --- never a culprit ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        pytest.param([], id="nothing happened"),
        pytest.param(ACME, id="a fresh install"),
        pytest.param([*ACME, installed("acmeflt")], id="a fresh install on record"),
        pytest.param([boot_log(GOOD)], id="a boot log of the good boot"),
        pytest.param([boot_log(GOOD, up_to("acmeflt.sys")), *ACME], id="a cut log of a good boot"),
        pytest.param(
            [*crash(GOOD - timedelta(days=1)), *ACME], id="a crash before the last good boot"
        ),
        pytest.param([failed("acmeflt", GOOD), *ACME], id="a failed start in a good session"),
        pytest.param([boot_log(OLD - timedelta(days=30), up_to("acmeflt.sys")), *ACME], id="stale"),
    ],
)
def test_healthy(more: list[Evidence]) -> None:
    diagnosis = judged(more)
    assert diagnosis.kind is Kind.HEALTHY
    assert diagnosis.suspects == ()


def test_healthy_but_untried_is_said() -> None:
    assert "not yet tried in a boot: acmeflt.sys" in judged(ACME).summary
    assert "not yet tried" not in judged().summary


def test_healthy_again_after_crashes() -> None:
    """It crashed, and then somebody logged on: the crash was survived."""
    back = FIRST_CRASH + timedelta(hours=1)
    logged_on = event(BootEventKind.LOGGED_ON, back + timedelta(minutes=1))
    diagnosis = judged(ACME, crashes(), started(back), logged_on)
    assert diagnosis.kind is Kind.HEALTHY
    assert diagnosis.suspects == ()


def test_two_drivers_of_equal_weight_are_only_suspects() -> None:
    diagnosis = judged(ACME, driver("bcmeflt", changed=FRESH), crashes())
    assert diagnosis.kind is Kind.UNKNOWN
    assert culprits(diagnosis) == []
    assert suspects(diagnosis) == ["acmeflt.sys", "bcmeflt.sys"]
    assert "acmeflt.sys, bcmeflt.sys" in diagnosis.summary


def test_the_boot_log_decides_between_two_new_drivers() -> None:
    diagnosis = judged(ACME, driver("bcmeflt", changed=FRESH), crashes(), failing_log())
    assert culprits(diagnosis) == ["acmeflt.sys"]


@pytest.mark.parametrize(
    "accused",
    [
        pytest.param(driver("vdrvroot", changed=FRESH, company=""), id="inbox by name"),
        pytest.param(driver("newms", changed=FRESH, company="Microsoft Corporation"), id="company"),
        pytest.param(driver("linked", changed=FRESH, company="", links=3), id="linked, unnamed"),
        pytest.param(driver("fltmgr", changed=FRESH, company="Acme"), id="container"),
        pytest.param(driver("off", changed=FRESH, start=StartType.DISABLED), id="disabled"),
    ],
)
def test_no_candidate(accused: list[Evidence]) -> None:
    name = f"{getattr(accused[0], 'name', '')}.sys"
    diagnosis = judged(accused, installed(name.removesuffix(".sys")), crashes(), failing_log(name))
    assert name not in {suspect.driver for suspect in diagnosis.suspects}
    assert diagnosis.kind is Kind.UNKNOWN


def test_containers_at_the_end_of_a_boot_log_are_walked_over() -> None:
    log = [boot_log(GOOD), boot_log(FIRST_CRASH, (*up_to("acmeflt.sys"), "ndis.sys"), line=40)]
    assert culprits(judged(ACME, crashes(), log)) == ["acmeflt.sys"]


def test_an_inbox_driver_at_the_end_of_a_boot_log_accuses_nobody() -> None:
    diagnosis = judged(crashes(), failing_log("vdrvroot.sys"))
    rules_used = {finding.rule for s in diagnosis.suspects for finding in s.findings}
    assert rules_used == {"starts-early"}
    assert (culprits(diagnosis), suspects(diagnosis)) == ([], [])


@pytest.mark.parametrize(
    ("bugcheck", "kind", "area"),
    [
        (0x7B, Kind.STORAGE, "storage stack"),
        (0xED, Kind.DISK, "disk"),
        (0x24, Kind.DISK, "disk"),
        (0x124, Kind.HARDWARE, "hardware"),
        (0x74, Kind.HIVE, "registry"),
        (0xEF, Kind.UNKNOWN, "system"),
    ],
)
def test_stop_codes_that_point_elsewhere(bugcheck: int, kind: Kind, area: str) -> None:
    diagnosis = judged(ACME, installed("acmeflt"), crashes(3, bugcheck), failing_log())
    assert diagnosis.kind is kind
    assert culprits(diagnosis) == []
    assert f"points to the {area}" in diagnosis.summary


def rules_against(name: str, diagnosis: Diagnosis) -> set[str]:
    return {f.rule for s in diagnosis.suspects if s.driver == name for f in s.findings}


def test_the_last_driver_of_a_complete_boot_is_not_accused() -> None:
    whole = boot_log(FIRST_CRASH, (*COMPLETE, "acmeflt.sys"), line=40)
    diagnosis = judged(driver("acmeflt"), crashes(), [boot_log(GOOD), whole])
    assert rules_against("acmeflt.sys", diagnosis) == {"boot-log-new", "starts-early"}


def test_a_driver_of_earlier_boots_is_not_new() -> None:
    log = [boot_log(GOOD), boot_log(FIRST_CRASH, line=40)]
    assert rules_against("oldguard.sys", judged(crashes(), log)) == {"starts-early"}


def test_an_event_that_every_boot_logs_accuses_nobody() -> None:
    usual = [failed("oldguard", OLD), failed("oldguard", FIRST_CRASH)]
    assert rules_against("oldguard.sys", judged(crashes(), usual)) == {"starts-early"}
    once = judged(crashes(), usual[1:])
    assert rules_against("oldguard.sys", once) == {"starts-early", "event-names-driver"}


def test_a_change_after_the_first_failure_did_not_cause_it() -> None:
    late = driver("late", changed=FIRST_CRASH + timedelta(minutes=1))
    diagnosis = judged(late, crashes())
    assert "changed-since-good-boot" not in {
        finding.rule for s in diagnosis.suspects for finding in s.findings
    }
    assert culprits(diagnosis) == []


def test_service_keys_written_in_a_bunch_prove_nothing() -> None:
    """Windows rewrites dozens of keys at each boot: their times say nothing of an install."""
    bunch = [
        item
        for n in range(6)
        for item in driver(f"third{n}", written=FRESH + timedelta(seconds=n), changed=OLD)
    ]
    diagnosis = judged(bunch, crashes())
    found = {finding.rule for s in diagnosis.suspects for finding in s.findings}
    assert found == {"starts-early"}


def test_one_power_cut_is_no_failure() -> None:
    lost = event(BootEventKind.UNEXPECTED, FIRST_CRASH)
    diagnosis = judged(ACME, started(FIRST_CRASH), lost)
    assert diagnosis.kind is Kind.UNKNOWN  # it has not come up since, and nothing says why
    assert diagnosis.suspects == ()


def test_a_file_system_in_use_after_a_clean_end() -> None:
    """A boot began and did not end. Not healthy, and not enough to act on."""
    diagnosis = judged(ACME, installed("acmeflt"), IN_USE)
    assert diagnosis.kind is Kind.UNKNOWN
    assert (culprits(diagnosis), suspects(diagnosis)) == ([], ["acmeflt.sys"])


@pytest.mark.parametrize(
    "state",
    [
        NtfsState(dirty=True, log_unclean=False, hibernated=False),
        NtfsState(dirty=False, log_unclean=True, hibernated=True),  # Fast Startup leaves it so
    ],
)
def test_other_states_of_the_file_system_say_nothing(state: NtfsState) -> None:
    assert judged(ACME, state).kind is Kind.HEALTHY


def test_without_an_event_log_nobody_is_accused() -> None:
    evidence = [item for item in machine(ACME, failing_log()) if type(item).__name__ != "BootEvent"]
    diagnosis = judge(INSTALL, evidence)
    assert diagnosis.kind is Kind.UNKNOWN
    assert diagnosis.suspects == ()


def test_a_boot_log_without_a_time_zone_must_be_much_newer() -> None:
    near = boot_log(OFF + timedelta(hours=3), up_to("acmeflt.sys"), bias=None)
    far = boot_log(OFF + timedelta(hours=16), up_to("acmeflt.sys"), bias=None)
    assert judged(ACME, near).kind is Kind.HEALTHY
    assert judged(ACME, far).kind is Kind.DRIVER


@pytest.mark.parametrize("bias", [-600, -120, 0, 300, 480])
def test_time_zones(bias: int) -> None:
    good, bad = boot_log(GOOD, bias=bias), boot_log(FIRST_CRASH, up_to("acmeflt.sys"), bias=bias)
    assert culprits(judged(ACME, crashes(), [good, bad])) == ["acmeflt.sys"]
    assert judged(ACME, [good]).kind is Kind.HEALTHY


# --- other kinds --------------------------------------------------------------------------


def test_hive() -> None:
    gap = Gap(Source(SYSTEM), "regf at 0x0: truncated")
    diagnosis = judge(INSTALL, [gap, *session(GOOD, OFF)])
    assert diagnosis.kind is Kind.HIVE
    assert diagnosis.gaps == (gap,)
    assert "truncated" in diagnosis.summary


def test_no_evidence_is_not_health() -> None:
    assert judge(INSTALL, []).kind is Kind.UNKNOWN


def test_gaps_are_handed_on() -> None:
    gap = Gap(Source(BOOT_LOG), "boot logging was not enabled")
    assert judged(gap).gaps == (gap,)


# --- thresholds ---------------------------------------------------------------------------


def finding(rule: str, weight: int, name: str = "acmeflt.sys") -> Finding:
    return Finding(name, rule, weight, f"{name} did it.", (Source("x", 1),))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param([("changed-since-good-boot", 500)], Verdict.SUSPECT, id="one argument"),
        pytest.param(
            [("changed-since-good-boot", 60), ("installed-before-failure", 60)],
            Verdict.SUSPECT,
            id="one argument seen by two rules",
        ),
        pytest.param(
            [("boot-log-last-loaded", 45), ("boot-log-new", 35)], Verdict.SUSPECT, id="one log"
        ),
        pytest.param(
            [("changed-since-good-boot", 60), ("starts-early", 20)], Verdict.CULPRIT, id="agreed"
        ),
        pytest.param(
            [("changed-since-good-boot", 60), ("starts-early", 19)], Verdict.SUSPECT, id="light"
        ),
        pytest.param(
            [("changed-since-good-boot", 90), ("installed-before-failure", 90)],
            Verdict.SUSPECT,
            id="one argument, however heavy",
        ),
        pytest.param(
            [
                ("changed-since-good-boot", 50),
                ("installed-before-failure", 50),
                ("starts-early", 20),
            ],
            Verdict.SUSPECT,
            id="an argument counts once",
        ),
        pytest.param([("crash-names-driver", 29)], Verdict.UNKNOWN, id="next to nothing"),
    ],
)
def test_thresholds(
    found: list[tuple[str, int]], expected: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tuple(finding(rule, weight) for rule, weight in found)
    monkeypatch.setattr(rules, "findings", lambda _: made)
    (suspect,) = judged(ACME, crashes()).suspects
    assert suspect.verdict is expected


def test_without_a_failure_nobody_is_a_culprit(monkeypatch: pytest.MonkeyPatch) -> None:
    made = (finding("changed-since-good-boot", 90), finding("boot-log-new", 90))
    monkeypatch.setattr(rules, "findings", lambda _: made)
    diagnosis = judged(ACME)
    assert diagnosis.kind is Kind.HEALTHY
    assert culprits(diagnosis) == []


def test_a_lead_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(weight: int) -> tuple[Finding, ...]:
        return tuple(
            finding(rule, points, name)
            for name, more in (("acmeflt.sys", weight), ("oldguard.sys", 0))
            for rule, points in (("changed-since-good-boot", 60 + more), ("starts-early", 20))
        )

    for extra, expected in (
        (verdict.CULPRIT_LEAD - 1, []),
        (verdict.CULPRIT_LEAD, ["acmeflt.sys"]),
    ):
        monkeypatch.setattr(rules, "findings", lambda _, extra=extra: made(extra))
        assert culprits(judged(ACME, crashes())) == expected


def test_that_one_starts_earlier_is_no_lead() -> None:
    """Both came in the same session; nothing but their start types tells them apart."""
    late = driver("bcmeflt", changed=FRESH, start=StartType.DEMAND)
    diagnosis = judged(ACME, late, crashes())
    assert culprits(diagnosis) == []
    assert [suspect.driver for suspect in diagnosis.suspects][:2] == ["acmeflt.sys", "bcmeflt.sys"]


def test_the_order_of_evidence_does_not_matter() -> None:
    evidence = machine(ACME, installed("acmeflt"), crashes(), driver("other"))
    forwards, backwards = judge(INSTALL, evidence), judge(INSTALL, evidence[::-1])
    assert forwards.kind is backwards.kind is Kind.DRIVER
    assert [s.driver for s in forwards.suspects] == [s.driver for s in backwards.suspects]
