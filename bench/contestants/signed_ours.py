"""recoverykit at work on signed files, for bench/signatures.py."""

from __future__ import annotations

import tomllib  # noqa: F401  (as below)
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

# What the work imports when it first needs it; the others' imports are not timed, either.
import cryptography.hazmat.backends.openssl.backend  # noqa: F401

from bench.contestants.clock import Counts, main
from signing import catalog_index, image, root_program  # noqa: F401
from signing.catalog_index import CatalogIndex
from signing.path import Trust
from signing.report import Report
from signing.verify import Verifier


def verify(_roots: str, *paths: str) -> Counts:
    """All: digests, page hashes, nested signatures, timestamps, all ways to roots, classes."""
    return {"good": _verified(paths, None)}


def installation(catalogs: str, *paths: str) -> Counts:
    """The same, with an index over a folder of catalogs that is made first."""
    index = catalog_index.build(catalog_index.folder(Path(catalogs)))
    return {"good": _verified(paths, index), "catalogs": len(index.refs), "members": index.members}


def catalogs(*paths: str) -> Counts:
    sources = [catalog_index.File(path, Path(path)) for path in paths]
    return {"members": catalog_index.build(sources).members}


def headers(*paths: str) -> Counts:
    sections = 0
    for path in paths:
        with FileIO(path) as stream:
            sections += len(image.read(stream).sections)
    return {"sections": sections}


def digests(*paths: str) -> Counts:
    total = 0
    for path in paths:
        with FileIO(path) as stream:
            layout = image.read(stream)
            total += len(image.digests(stream, layout, ("sha256",))["sha256"])
    return {"bytes": total}


def _verified(paths: tuple[str, ...], index: CatalogIndex | None) -> int:
    verifier = Verifier(Trust(), datetime.now(UTC), catalogs=index)
    good = 0
    for path in paths:
        with FileIO(path) as stream:
            good += _is_good(verifier.verify(stream))
    return good


def _is_good(report: Report) -> bool:
    """As the others judge, who do not mind SHA-1."""
    best = report.best
    if best is None or best.way is None or best.signature.problem or best.signature.is_tampered:
        return False
    return not best.way.lasting and not best.way.passing


if __name__ == "__main__":
    works = {"verify": verify, "installation": installation, "catalogs": catalogs}
    main({**works, "headers": headers, "digests": digests})
