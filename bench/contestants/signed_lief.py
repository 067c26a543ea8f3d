"""LIEF at work on signed files, for bench/signatures.py. It builds no chains and has no roots."""

from __future__ import annotations

import lief

from bench.contestants.clock import Counts, main


def verify(_roots: str, *paths: str) -> Counts:
    lief.logging.disable()
    good = 0
    for path in paths:
        image = lief.PE.parse(path, _config(signature=True))
        flags = image.verify_signature()
        good += flags == lief.PE.Signature.VERIFICATION_FLAGS.OK
    return {"good": good}


def headers(*paths: str) -> Counts:
    lief.logging.disable()
    return {"sections": sum(len(lief.PE.parse(path, _config()).sections) for path in paths)}


def _config(*, signature: bool = False) -> lief.PE.ParserConfig:
    """As little as it can do."""
    config = lief.PE.ParserConfig()
    config.parse_signature = signature
    config.parse_exports = config.parse_imports = config.parse_reloc = False
    config.parse_rsrc = config.parse_arm64x_binary = config.parse_exceptions = False
    return config


if __name__ == "__main__":
    main({"verify": verify, "headers": headers})
