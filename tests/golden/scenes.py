"""All scenes."""

from __future__ import annotations

from tests.golden import scenes_files as files
from tests.golden import scenes_registry as registry

SCENES = (
    *registry.SERVICES,
    *registry.FILTERS,
    *registry.SETS,
    *registry.SAFE_MODE,
    *registry.RENAMES,
    *files.SCENES,
)
