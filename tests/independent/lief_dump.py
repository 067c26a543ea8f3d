"""Print what LIEF sees in signed images: a JSON line each. A process of its own.

    python -m tests.independent.lief_dump FILE...

LIEF reads no catalogs, builds no chains and knows no roots: "ok" means that digest and signature
hold and that times fit. Imports none of our code.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import lief

_ALGORITHMS = {"MD5": "md5", "SHA_1": "sha1", "SHA_256": "sha256", "SHA_384": "sha384"}


def main(files: list[str]) -> None:
    lief.logging.disable()
    for file in files:
        try:
            image = lief.PE.parse(file)
            answer: dict[str, Any] = {"error": "not parsed"}
            if image is not None:
                answer = {"signatures": [_view(image, one) for one in _all(image.signatures)]}
        except Exception as error:  # noqa: BLE001 - its faults are what is looked at
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps({"path": file, **answer}), flush=True)


def _all(signatures: Any) -> Iterator[Any]:
    """Each followed by those nested in it."""
    for one in signatures:
        yield one
        for signer in one.signers:
            for attribute in signer.unauthenticated_attributes:
                if isinstance(attribute, lief.PE.MsSpcNestedSignature):
                    yield from _all([attribute.signature])


def _view(image: Any, signature: Any) -> dict[str, Any]:
    flags = image.verify_signature(signature)
    signer = signature.signers[0]
    return {
        "algorithm": _name(signature.content_info.digest_algorithm),
        "digest": bytes(signature.content_info.digest).hex(),
        "computed": bytes(image.authentihash(signature.content_info.digest_algorithm)).hex(),
        "signer": str(signer.cert.subject) if signer.cert else "",
        "serial": bytes(signer.serial_number).hex().lstrip("0"),
        "chain": [],
        **_timestamp(signer),
        "verdict": "ok" if flags == lief.PE.Signature.VERIFICATION_FLAGS.OK else "bad",
        "reason": str(flags).removeprefix("VERIFICATION_FLAGS."),
    }


def _name(algorithm: Any) -> str:
    name = str(algorithm).rpartition(".")[2]
    return _ALGORITHMS.get(name, name)


def _timestamp(signer: Any) -> dict[str, str]:
    for attribute in signer.unauthenticated_attributes:
        if isinstance(attribute, lief.PE.PKCS9CounterSignature):
            for inner in attribute.signer.authenticated_attributes:
                if isinstance(inner, lief.PE.PKCS9SigningTime):
                    return {"kind": "pkcs9", "time": _time(inner.time)}
        if isinstance(attribute, lief.PE.MsCounterSign):
            inside = [inner for one in attribute.signers for inner in one.authenticated_attributes]
            times = [one.time for one in inside if isinstance(one, lief.PE.PKCS9SigningTime)]
            return {"kind": "rfc3161", "time": _time(times[0]) if times else ""}
    return {"kind": "", "time": ""}


def _time(parts: Any) -> str:
    year, month, day, hour, minute, second = parts
    when = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


if __name__ == "__main__":
    main(sys.argv[1:])
