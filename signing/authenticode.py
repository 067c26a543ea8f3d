"""What a Windows executable says of its own signature. It says nothing about trust.

`examine` compares the digest that the first embedded signature names with the digest of the file,
and reads the name in the certificate that it claims. No signature is verified, no chain is
built, no time is looked at: anybody can make a file for which the answer is "embedded". What it
tells apart is files that are as their maker left them, files that changed since, and files without
a signature of their own (which a catalog may still vouch for). Who vouches says `verify`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from signing import der, image, indirect_data, path, signed_data
from signing.errors import SigningError
from signing.image import Image, Stream
from signing.indirect_data import INDIRECT_DATA, IndirectData
from signing.signed_data import SignedData


class Vouching(StrEnum):
    """What a file's own signature claims of the file."""

    EMBEDDED = "embedded"  # the digest in it is that of the file
    NONE = "none"  # there is no signature in the file
    TAMPERED = "tampered"  # the digest in it is another one
    UNREADABLE = "unreadable"  # no executable, or a signature that cannot be read


@dataclass(frozen=True, slots=True)
class Claim:
    vouching: Vouching
    signer: str = ""  # name in the certificate that is claimed; nobody has verified it
    algorithm: str = ""  # of the file's digest: "sha256"


def examine(stream: Stream) -> Claim:
    """The claim of the first signature embedded in a file. Says nothing about trust.

    Reads the whole file where there is a signature. Raises OSError where it cannot be read, and
    nothing else, whatever the bytes are.
    """
    try:
        layout = image.read(stream)
        if not layout.is_signed:
            return Claim(Vouching.NONE)
        return _claim(stream, layout)
    except SigningError:
        return Claim(Vouching.UNREADABLE)


def _claim(stream: Stream, layout: Image) -> Claim:
    entries = image.entries(stream, layout)
    if not entries or entries[0].kind != image.PKCS_SIGNED_DATA:
        return Claim(Vouching.UNREADABLE)
    message = signed_data.read(der.without_filling(entries[0].content, "signature")[0])
    if message.content_type != INDIRECT_DATA or len(message.signers) != 1:
        return Claim(Vouching.UNREADABLE)
    named = indirect_data.read(message.content)
    if not named.algorithm or not message.signers[0].digest:
        return Claim(Vouching.UNREADABLE)
    intact = _is_intact(stream, layout, message, named)
    signer = path.certificate_of(message.signers[0], path.readable(message.certificates))
    return Claim(
        Vouching.EMBEDDED if intact else Vouching.TAMPERED,
        signer.name if signer else "",
        named.algorithm,
    )


def _is_intact(stream: Stream, layout: Image, message: SignedData, named: IndirectData) -> bool:
    made = message.signers[0]
    stated = signed_data.octets(made.value(signed_data.MESSAGE_DIGEST), "signature")
    attested = hashlib.new(made.digest, message.content, usedforsecurity=False).digest()
    if stated != attested:
        return False
    return image.digests(stream, layout, (named.algorithm,))[named.algorithm] == named.digest
