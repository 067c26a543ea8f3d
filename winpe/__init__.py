"""Build host only: assembles, signs and checks recovery media."""

from __future__ import annotations
