"""The signers of a file in the words of block lists, whose rules name certificates by digests.

A rule may name any certificate of a way up (Microsoft, "App Control: file rule levels"), by the
digest of what its issuer signed (TBS), in the algorithm of that signature; all are at hand here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache

from signing.block_list import Link, Signer
from signing.certificate import Certificate
from signing.signature import Signature, Way

_DIGESTS = ("md5", "sha1", "sha256", "sha384", "sha512")


def named_signers(signatures: Iterable[Signature]) -> tuple[Signer, ...]:
    """Of those whose signer's certificate is known, in their order."""
    return tuple(_signer(each, each.signer) for each in signatures if each.signer is not None)


def certain_signers(found: Iterable[tuple[Signature, Way | None]]) -> tuple[Signer, ...]:
    """For rules that allow: each with the one way that makes it good, and nobody else's names."""
    return tuple(
        _made(each.signer, way.chain.certificates)
        for each, way in found
        if each.signer is not None and way is not None
    )


def _signer(judged: Signature, leaf: Certificate) -> Signer:
    # All ways up: a rule may name any of the certificates, and the leaf's issuer is the second.
    ways = [each for way in judged.ways for each in way.chain.certificates]
    return _made(leaf, tuple(dict.fromkeys(ways)) or (leaf,))


def _made(leaf: Certificate, chain: tuple[Certificate, ...]) -> Signer:
    return Signer(
        publisher=leaf.name,
        chain=tuple(Link(_tbs_digests(each), each.name) for each in chain),
        purposes=leaf.purposes or frozenset(),
    )


@lru_cache(maxsize=1024)
def _tbs_digests(found: Certificate) -> dict[str, bytes]:
    return {name: hashlib.new(name, found.tbs, usedforsecurity=False).digest() for name in _DIGESTS}
