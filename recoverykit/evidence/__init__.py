"""One artifact each, read-only; what cannot be read becomes a Gap."""

from __future__ import annotations
