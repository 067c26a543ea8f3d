"""From the bytes of a pack and its signature to a Pack: first the signature, then a byte of TOML.

A pack is TOML 1.0 in UTF-8 (read by tomllib) with a detached CMS signature beside it,
NAME.toml.p7s, judged as those of the medium are (signing.cms). What has no good signature is not
interpreted; `check` does so all the same, for whoever writes a pack and has not signed it yet.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from recoverykit.errors import FormatError, SignatureRefusedError
from recoverykit.packs import schema
from recoverykit.packs.pack import Pack
from signing import cms, keys
from signing.errors import SigningError, TamperedError

if TYPE_CHECKING:
    from cryptography import x509

LARGEST = 64 << 10
SUFFIX = ".p7s"
PLACE = "usr/share/recoverykit/packs"  # on the medium, inside what its signature covers

_STRUCTURE = "remediation pack"
_LONGEST_LINE = 2048  # bytes; the time tomllib takes for a dotted key grows with its square
_AT = re.compile(r"\(at line (\d+), column (\d+)\)$")


def read(
    content: bytes, signature: bytes, anchors: Sequence[x509.Certificate], at: datetime | None
) -> Pack:
    """A pack that one of `anchors` stands behind; `at` as `now` of `cms.verify_detached`.

    Raises SignatureRefusedError, FormatError for what is no TOML, SchemaError (a UsageError) for
    what is no pack.
    """
    _require_small(content)
    try:
        signed = cms.verify_detached(content, signature, anchors, now=at)
    except TamperedError as exc:
        raise SignatureRefusedError(f"the {_STRUCTURE} {exc.problem}", hint=exc.hint) from exc
    except SigningError as exc:
        raise SignatureRefusedError(f"the {_STRUCTURE}: {exc}", hint=exc.hint) from exc
    digits = keys.grouped(keys.fingerprint(signed.certificate))
    return check(content).signed(f"{keys.organisation(signed.certificate)}, key {digits}")


def check(content: bytes) -> Pack:
    """The same without a signature: nobody vouches for it, and nothing may come of it."""
    return schema.pack(_document(content), hashlib.sha256(content).hexdigest())


def _require_small(content: bytes) -> None:
    if len(content) > LARGEST:
        raise FormatError(_STRUCTURE, LARGEST, f"it is larger than {LARGEST >> 10} KiB")
    at = 0
    for line in content.split(b"\n"):
        if len(line) > _LONGEST_LINE:
            raise FormatError(_STRUCTURE, at, f"a line is longer than {_LONGEST_LINE} bytes")
        at += len(line) + 1


def _document(content: bytes) -> dict[str, Any]:
    _require_small(content)
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as exc:
        raise FormatError(_STRUCTURE, exc.start, "it is not UTF-8") from exc
    except RecursionError as exc:
        raise FormatError(_STRUCTURE, 0, "it is nested too deeply") from exc
    except ValueError as exc:  # TOMLDecodeError, and numbers of more digits than Python reads
        raise FormatError(_STRUCTURE, _offset(content, str(exc)), _reason(str(exc))) from exc


def _reason(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else "?" for letter in text[:200])
    return f"it is not TOML: {shown}"


def _offset(content: bytes, text: str) -> int:
    """Where tomllib says that something is wrong; 0 where it does not say."""
    found = _AT.search(text)
    if found is None:
        return 0
    lines = content.split(b"\n")[: int(found[1]) - 1]
    return sum(len(line) + 1 for line in lines) + int(found[2]) - 1
