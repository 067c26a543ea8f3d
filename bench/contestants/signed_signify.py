"""signify at work on signed files, for bench/signatures.py, with the roots that it ships."""

from __future__ import annotations

from pathlib import Path

from bench.contestants.clock import Counts, main
from tests.independent.signify_import import import_signify

import_signify()

from signify.authenticode import AuthenticodeFile, CertificateTrustList  # noqa: E402


def verify(_roots: str, *paths: str) -> Counts:
    good = 0
    for path in paths:
        with Path(path).open("rb") as stream:
            result, _ = AuthenticodeFile.from_stream(stream).explain_verify()
        good += result.name == "OK"
    return {"good": good}


def installation(folder: str, *paths: str) -> Counts:
    """What it has in place of an index: each catalog parsed, and asked once."""
    found = sorted(Path(folder).iterdir())
    members = catalogs(*map(str, found))["members"]
    return {**verify("", *paths), "catalogs": len(found), "members": members}


def catalogs(*paths: str) -> Counts:
    members = 0
    for path in paths:
        listing = CertificateTrustList.from_envelope(Path(path).read_bytes())
        listing.find_subject(bytes(20))  # makes its own index by digest
        members += sum(1 for _ in listing.subjects)
    return {"members": members}


if __name__ == "__main__":
    main({"verify": verify, "installation": installation, "catalogs": catalogs})
