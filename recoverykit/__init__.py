"""recoverykit: find, explain, quarantine and undo what keeps an offline Windows from starting."""

from __future__ import annotations

__version__ = "0.1.0"
