"""Plan, guard, apply, verify and undo."""

from __future__ import annotations
