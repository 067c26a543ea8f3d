"""Who vouches for these bytes? Signatures read, judged and made. Imports nothing of ours."""

from __future__ import annotations
