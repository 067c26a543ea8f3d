"""Signatures that iPXE's `imgverify` takes, for files that are booted from a network.

Source: iPXE, src/crypto/cms.c and x509.c (https://github.com/ipxe/ipxe); its "crypto" page. What it
asks for, and what follows:
- DER, and the signature over the file itself: signed attributes are skipped, not verified, so a
  signature made with them never holds (`cms.sign_detached(bare=True)`);
- the signer's certificate in the message, with key usage "digital signature" and the purpose code
  signing;
- a way from it to a root whose fingerprint is built in (make TRUST=...) or, where none is, in its
  `trust` setting. It asks that before it looks for an issuer, so a self-signed one can be the root;
- validity at the machine's own clock;
- that every signature in the message holds and leads to such a root. Two keys side by side need
  both certificates in TRUST=, or `imgverify --signer NAME`;
- RSA with SHA-256; older releases, as Debian 12's, know nothing else.

Nothing is secret or encrypted here, and `imgtrust` must be on: without it iPXE starts anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from signing import cms, keys
from signing.errors import KeyFileError
from signing.signer import Signer

SUFFIX = ".sig"  # what `imgverify` is given by custom


def sign(content: bytes, signers: Sequence[Signer]) -> bytes:
    """A signature for `imgverify`. Raises KeyFileError, also for a signer that it would refuse."""
    for signer in signers:
        if problem := why_not(signer.certificate):
            raise KeyFileError(
                f"iPXE would refuse a signature by "
                f"{keys.organisation(signer.certificate) or 'this signer'}: {problem}"
            )
    return cms.sign_detached(content, *signers, bare=True)


def why_not(certificate: x509.Certificate) -> str:
    """Why iPXE takes no signature under this certificate, a clause; "" where it does."""
    if not isinstance(certificate.public_key(), rsa.RSAPublicKey):
        return "its key is not RSA"
    try:
        extensions = certificate.extensions
        if not extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature:
            return "its certificate is not for digital signatures"
        purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return "its certificate does not say that it is for signing code"
    except keys.UNREADABLE:
        return "its certificate cannot be read"
    if ExtendedKeyUsageOID.CODE_SIGNING not in purposes:
        return "its certificate is not for signing code"
    return ""
