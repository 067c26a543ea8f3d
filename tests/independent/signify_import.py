"""Make signify importable here. For processes of their own: it changes `re` while it imports.

oscrypto 1.3.0, which signify 0.9.3 rests on, looks for OpenSSL's version with a pattern of one
digit for each part, finds none in "3.0.19" and gives up ("Error detecting the version of
libcrypto").
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

_TOO_NARROW = r"\b(\d\.\d\.\d[a-z]*)\b"
_WIDER = r"\b(\d+\.\d+\.\d+[a-z]*)\b"


def import_signify() -> None:
    """After this `import signify.authenticode` works."""
    search = re.search

    def wider(pattern: Any, *rest: Any, **options: Any) -> Any:
        return search(_WIDER if pattern == _TOO_NARROW else pattern, *rest, **options)

    re.search = wider
    try:
        import_module("oscrypto._openssl._libcrypto")
    finally:
        re.search = search
