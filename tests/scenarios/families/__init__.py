"""All scenarios, family by family."""

from __future__ import annotations

from tests.scenarios.families import (
    boot_files,
    content,
    decoys,
    disks,
    driver_boot,
    driver_late,
    evidence_poor,
    field_clocks,
    field_doubt,
    field_healthy,
    field_innocents,
    field_kinds,
    field_no_news,
    filters,
    hardware,
    healthy,
    hives,
    locked,
    servicing,
    storage,
    unknown,
)
from tests.scenarios.tree import Scenario

SCENARIOS: tuple[Scenario, ...] = tuple(
    scenario
    for family in (
        *(driver_boot, driver_late, evidence_poor, decoys, content),
        *(storage, filters, hives, boot_files, servicing),
        *(disks, hardware, locked, healthy, unknown),
        *(field_innocents, field_clocks, field_healthy, field_kinds, field_no_news, field_doubt),
    )
    for scenario in family.SCENARIOS
)
