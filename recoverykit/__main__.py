"""`python -m recoverykit`."""

from __future__ import annotations

from recoverykit.cli import main

main()
