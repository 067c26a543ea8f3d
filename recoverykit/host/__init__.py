"""The only code that knows the host operating system."""

from __future__ import annotations
