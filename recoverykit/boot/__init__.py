"""What the boot manager and loader will find. Reads only."""

from __future__ import annotations
