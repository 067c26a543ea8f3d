"""From evidence to findings to one verdict. Pure."""

from __future__ import annotations
