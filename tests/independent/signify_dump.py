"""Print what signify sees in signed files: a JSON line each. A process of its own.

    python -m tests.independent.signify_dump ROOTS.pem FILE...
    python -m tests.independent.signify_dump --listed ROOTS.pem CATALOG FILE CATALOG FILE...

A file may be an image, or a catalog (whose own signature is then looked at). Nested signatures
follow theirs. Imports none of our code.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.independent.signify_import import import_signify

import_signify()

from signify.authenticode import (  # noqa: E402
    AuthenticodeFile,
    AuthenticodeSignature,
    CertificateTrustList,
)
from signify.authenticode.tsp import RFC3161SignedData  # noqa: E402
from signify.x509 import CertificateStore, FileSystemCertificateStore  # noqa: E402


def main(roots: str, files: list[str]) -> None:
    store = FileSystemCertificateStore(location=Path(roots), trusted=True)
    for file in files:
        answer: dict[str, Any]
        with Path(file).open("rb") as stream:
            try:
                views = list(_views(stream, store))
                answer = {"signatures": views}
            except Exception as error:  # noqa: BLE001 - its faults are what is looked at
                answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps({"path": file, **answer}), flush=True)


def listed(roots: str, paths: list[str]) -> None:
    """Whether a catalog lists a file, and whether it vouches for it."""
    store = FileSystemCertificateStore(location=Path(roots), trusted=True)
    lists: dict[str, Any] = {}
    for at, path in zip(paths[::2], paths[1::2], strict=True):
        if at not in lists:
            lists[at] = CertificateTrustList.from_envelope(Path(at).read_bytes())
        with Path(path).open("rb") as stream:
            file = AuthenticodeFile.from_stream(stream, allow_flat=True)
            found = lists[at].find_subject(file) is not None
            file.add_catalog(lists[at])
            result, _ = file.explain_verify(
                signature_types="catalog", trusted_certificate_store=store
            )
        answer = {"catalog": at, "path": path, "listed": found, "vouched": result.name == "OK"}
        print(json.dumps(answer))


def _views(stream: Any, store: CertificateStore) -> Iterator[dict[str, Any]]:
    file = AuthenticodeFile.from_stream(stream)
    for signature in file.iter_embedded_signatures(ignore_parse_errors=False):
        yield _view(file, signature, store)


def _view(file: Any, signature: Any, store: CertificateStore) -> dict[str, Any]:
    signer = signature.signer_info
    verdict, reason = "ok", ""
    chains: list[Any] = []
    try:
        chains = list(signature.verify(trusted_certificate_store=store))
    except Exception as error:  # noqa: BLE001
        verdict, reason = "bad", f"{type(error).__name__}: {error}"
    issuer, serial = signer.issuer, signer.serial_number
    found = list(signature.certificates.find_certificates(issuer=issuer, serial_number=serial))
    image = isinstance(signature, AuthenticodeSignature)
    algorithm = signature.indirect_data.digest_algorithm if image else signature.digest_algorithm
    return {
        "algorithm": algorithm().name,
        "digest": signature.indirect_data.digest.hex() if image else "",
        "computed": file.get_fingerprint(algorithm).hex() if image else "",
        "signer": found[0].subject.dn if found else "",
        "serial": f"{serial:x}",
        "chain": [f"{one.serial_number:x}" for one in reversed(chains[0])] if chains else [],
        **_timestamp(signer),
        "verdict": verdict,
        "reason": reason[:300],
    }


def _timestamp(signer: Any) -> dict[str, str]:
    countersigner = signer.countersigner
    if countersigner is None:
        return {"kind": "", "time": ""}
    kind = "rfc3161" if isinstance(countersigner, RFC3161SignedData) else "pkcs9"
    return {"kind": kind, "time": f"{countersigner.signing_time:%Y-%m-%dT%H:%M:%SZ}"}


if __name__ == "__main__":
    if sys.argv[1] == "--listed":
        listed(sys.argv[2], sys.argv[3:])
    else:
        main(sys.argv[1], sys.argv[2:])
