"""All scenarios, family by family."""

from __future__ import annotations

from tests.scenarios.families import driver_boot, healthy

SCENARIOS = (*driver_boot.SCENARIOS, *healthy.SCENARIOS)
