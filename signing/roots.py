"""Whom Windows believes: its roots, kept as data with where they come from (`data/roots.toml`).

A root serves those who ask for its store. The kernel has its own few, whatever the certificate
stores of Windows hold: MINCRYPT_KNOWN_ROOT_ID numbers them, and the documentation of
CERT_CHAIN_POLICY_MICROSOFT_ROOT tells those of Windows from the one of Microsoft's applications,
which vouches for no driver. Microsoft's root program (signing.root_program) is read only where
somebody asks for it.

Of Microsoft Code Verification Root the key is known, and not the certificate: an anchor may be a
name and a key. What Microsoft has distrusted, and signers whose key is in strange hands, are in
`data/distrusted.toml`. That list is short and ends: revocation lists and OCSP need a network.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from signing import der

_KEPT = 4096  # certificates asked for; the same few hundred stand behind thousands of files


class Store(StrEnum):
    """Whom a root serves."""

    KERNEL = "kernel"  # Windows and its drivers; in ci.dll, whatever the machine's stores hold
    CROSS = "cross"  # Microsoft Code Verification Root, to which cross-certificates lead
    TEST = "test"  # Microsoft's test signatures: believed while test signing is on
    FLIGHT = "flight"  # Windows Insider: believed while flight signing is on
    PROGRAM = "program"  # public CAs and Microsoft's for applications: no driver through these
    FIRMWARE = "firmware"  # in db of PCs, so that firmware starts what they signed
    ORGANISATION = "organisation"  # handed in by the caller


@dataclass(frozen=True, slots=True)
class Limit:
    """Since when a root is not believed as before, and for what. `purposes` None: for anything."""

    since: datetime
    purposes: frozenset[str] | None = None

    def covers(self, purpose: str) -> bool:
        return self.purposes is None or purpose in self.purposes


@dataclass(frozen=True, slots=True)
class Anchor:
    """A root that somebody believes: a certificate, or just a name and its key.

    `disabled` and `closed` are Microsoft's "Disable" and "NotBefore"
    (https://learn.microsoft.com/security/trusted-root/deprecation).
    """

    der: bytes  # the certificate; b"" where only its key is known
    store: Store
    name: str  # common name of the subject, fit for a screen
    sha256: str  # hex; of `der`, or of `key` where there is none
    source: str  # where it came from, and how it was confirmed
    purposes: frozenset[str] | None  # EKU OIDs it is believed for; None: no limit known
    disabled: Limit | None = None  # what was signed since is not believed
    closed: Limit | None = None  # certificates that begin later are not believed
    subject: bytes = b""  # DER of the name: only without a certificate
    key: bytes = b""  # SubjectPublicKeyInfo, DER: only without a certificate


def by_subject(subject: bytes, stores: Collection[Store] = tuple(Store)) -> tuple[Anchor, ...]:
    """The roots of that name (DER), of any store or of those given. Constant time once loaded."""
    found = tuple(anchor for anchor in _windows().get(subject, ()) if anchor.store in stores)
    if Store.PROGRAM in stores:
        from signing import root_program  # 1.2 MB that few ask for

        found += root_program.by_subject(subject)
    return found


def of_store(store: Store) -> tuple[Anchor, ...]:
    """All roots of a store; none of ORGANISATION, which is the caller's."""
    if store is Store.PROGRAM:
        from signing import root_program

        return root_program.everything()
    every = (anchor for same in _windows().values() for anchor in same)
    return tuple(anchor for anchor in every if anchor.store is store)


def subject_of(encoded: bytes) -> bytes:
    """DER of a certificate's subject, sliced. Raises MalformedError."""
    return _tbs_at_subject(encoded).whole(der.SEQUENCE)


@cache
def _windows() -> dict[bytes, tuple[Anchor, ...]]:
    found: dict[bytes, tuple[Anchor, ...]] = {}
    for entry in _table("roots.toml", "root"):
        anchor = _anchor(entry)
        subject = anchor.subject or subject_of(anchor.der)
        found[subject] = (*found.get(subject, ()), anchor)
    return found


def _anchor(entry: dict[str, Any]) -> Anchor:
    kind, content = unarmoured((files("signing") / "data/roots" / entry["file"]).read_bytes())
    is_key = kind == "PUBLIC KEY"
    return Anchor(
        der=b"" if is_key else content,
        store=Store(entry["store"]),
        name=entry["name"],
        sha256=entry["sha256"],
        source=f"{entry['source']}; {entry['confirmed']}",
        purposes=None,
        subject=bytes.fromhex(entry["subject"]) if is_key else b"",
        key=content if is_key else b"",
    )


def unarmoured(text: bytes) -> tuple[str, bytes]:
    """("CERTIFICATE", DER) of the first block of PEM in our own data."""
    head, _, rest = text.partition(b"-----BEGIN ")[2].partition(b"-----\n")
    return head.decode(), base64.b64decode(rest.partition(b"-----END ")[0])


def _table(name: str, key: str) -> list[dict[str, Any]]:
    import tomllib  # not every command looks at signatures

    table: list[dict[str, Any]] = tomllib.loads((files("signing") / "data" / name).read_text())[key]
    return table


def _tbs_at_subject(encoded: bytes) -> der.Cursor:
    cursor = der.Cursor(encoded, "certificate").enter().enter()
    cursor.optional(der.context(0))  # version
    for _ in range(4):  # serial number, algorithm, issuer, validity
        cursor.skip()
    return cursor


# --- distrust -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Distrust:
    reason: str  # with its source
    subject: bytes = b""  # that must be in the name: serial numbers are only the issuer's


@lru_cache(maxsize=_KEPT)
def disallowed(encoded: bytes) -> str:
    """Why nobody should believe this certificate (DER), with who says so; "" where nobody does.

    Whether a given Windows knows is another question: its kernel has a list of its own
    (driver.stl). Raises MalformedError for bytes that are no certificate.
    """
    found = _distrust(encoded)
    return found.reason if found else ""


def _distrust(encoded: bytes) -> _Distrust | None:
    thumbprint = hashlib.sha1(encoded, usedforsecurity=False).hexdigest()
    if found := _distrusted().get(thumbprint):
        return found
    cursor = der.Cursor(encoded, "certificate").enter().enter()
    cursor.optional(der.context(0))
    found = _distrusted().get(f"{cursor.integer():x}")
    return found if found and found.subject in subject_of(encoded) else None


@cache
def _distrusted() -> dict[str, _Distrust]:
    """By thumbprint (40 digits) or serial number (fewer, without leading zeros)."""
    found: dict[str, _Distrust] = {}
    for entry in _table("distrusted.toml", "distrusted"):
        distrust = _Distrust(
            f"{entry['reason']} ({entry['source']})", entry.get("subject", "").encode()
        )
        for key in (*entry.get("sha1", ()), *entry.get("serial", ())):
            found[key.lstrip("0") if key in entry.get("serial", ()) else key] = distrust
    return found
