"""Find a good binary in place of a driver that is faulty or gone, and judge it. Reads only.

`find` looks where Windows keeps further copies of its files, and where the technician says; what it
gives has every reason for which a copy must not be used, and the bytes of those that may be. Who
writes them, and what becomes of the old file, is the business of repair. docs/replacement.md says
what is looked at, in which order, and what is asked.
"""

from __future__ import annotations

from recoverykit.replacement.candidate import Candidate, Offer, Origin, Root, Search, Want
from recoverykit.replacement.search import best, find

__all__ = ["Candidate", "Offer", "Origin", "Root", "Search", "Want", "best", "find"]
