"""Bytes in, values out (and back). Pure: no paths, no OS."""

from __future__ import annotations
