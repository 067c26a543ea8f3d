"""A private key that stays where it is: a command of the organisation's signs.

The command lies in `signer.toml` in a key folder, beside `signing.crt` (and `chain.crt`):

    command = ["openssl", "pkeyutl", "-sign", "-inkey", "...", "-pkeyopt", "digest:sha256"]
    input = "digest"     # what it reads: "digest", "digest-info" (PKCS #1), "data"
    timeout = 60         # seconds

It is an argument list and no shell reads it. In its words {digest} stands for the digest's name
("sha256"), {hex} and {base64} for its value. The command reads `input` from its standard input and
writes the signature to its standard output: RSA PKCS #1 v1.5, or ECDSA in DER or as r and s one
behind the other; plain bytes, or base64 of them. It cannot ask for anything: a PIN comes from where
the command's own documentation puts it. What it writes counts when it ends with 0 in time, and
only after it was verified with the certificate (`signing.signer`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import signal
import subprocess
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from cryptography import x509

from signing import keys
from signing.errors import KeyFileError
from winpe import tools

FILE = "signer.toml"
_LONGEST = 600.0  # seconds; somebody may have to touch a token
_LARGEST = 16 << 10  # bytes of a signature, in any form
_DIGEST_INFO = {  # RFC 8017, 9.2, note 1
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}


class Input(StrEnum):
    """What the command reads."""

    DIGEST = "digest"
    DIGEST_INFO = "digest-info"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class Command:
    argv: tuple[str, ...]
    input: Input = Input.DIGEST
    timeout: float = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class ExternalSigner:
    """A `signing.signer.Signer` whose key is somewhere else."""

    certificate: x509.Certificate
    command: Command
    others: tuple[x509.Certificate, ...] = ()

    def sign(self, data: bytes, digest: str) -> bytes:
        """Raises KeyFileError, saying what the command said."""
        value = hashlib.new(digest, data).digest()
        words = {
            "{digest}": digest,
            "{hex}": value.hex(),
            "{base64}": base64.b64encode(value).decode(),
        }
        argv = [_filled(word, words) for word in self.command.argv]
        given = {
            Input.DIGEST: value,
            Input.DIGEST_INFO: _DIGEST_INFO[digest] + value,
            Input.DATA: data,
        }[self.command.input]
        return _plain(_run(argv, given, self.command.timeout))


def _filled(word: str, words: dict[str, str]) -> str:
    for name, value in words.items():
        word = word.replace(name, value)
    return word


def _run(argv: list[str], given: bytes, timeout: float) -> bytes:
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=tools.environment(),
            start_new_session=True,  # a group of its own, so that its children can be ended too
        )
    except OSError as exc:
        raise KeyFileError(f"the signing command {argv[0]} cannot be run: {exc.strerror}") from exc
    with process:
        try:
            out, complaints = process.communicate(given, timeout)
        except BaseException as exc:  # too late, or Ctrl-C: nothing of it is left running
            os.killpg(process.pid, signal.SIGKILL)  # not waited for yet, so the number is its own
            if not isinstance(exc, subprocess.TimeoutExpired):
                raise
            problem = f"did not answer within {timeout:g} seconds"
            raise KeyFileError(f"the signing command {argv[0]} {problem}") from None
    if process.returncode:
        said = str(tools.failed(argv[0], process.returncode, complaints))
        raise KeyFileError(f"the signing command did not sign: {said}")
    return out


def _plain(out: bytes) -> bytes:
    """The signature's bytes, whether they came so or as base64 (with - and _, as Azure has it)."""
    if not 0 < len(out) <= _LARGEST:
        raise KeyFileError(f"the signing command wrote {len(out):,} bytes, which is no signature")
    text = b"".join(out.split()).translate(bytes.maketrans(b"-_", b"+/"))
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return out


# --- the folder ---------------------------------------------------------------------------


def load(folder: Path) -> ExternalSigner:
    """Raises KeyFileError."""
    certificate = keys.load_certificate(folder / keys.CERTIFICATE)
    command = read(keys.read_file(folder / FILE), str(folder / FILE))
    return ExternalSigner(certificate, command, keys.beside(folder, keys.CHAIN))


def read(content: bytes, name: str) -> Command:
    """The command in these bytes; errors call them `name`. Raises KeyFileError."""
    try:
        found = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as exc:
        raise KeyFileError(f"{name} is not TOML: {exc}") from exc
    if unknown := found.keys() - {"command", "input", "timeout"}:
        raise KeyFileError(f"{name}: nothing is called {min(unknown)}")
    return Command(_argv(found, name), _input(found, name), _timeout(found, name))


def _argv(found: dict[str, Any], name: str) -> tuple[str, ...]:
    words = found.get("command")
    whole = isinstance(words, list) and words and all(isinstance(word, str) for word in words)
    if not whole or not words or any("\0" in word for word in words) or not words[0]:
        raise KeyFileError(
            f"{name}: command must be a list of words",
            hint='command = ["program", "argument"]; no shell reads it',
        )
    return tuple(words)


def _input(found: dict[str, Any], name: str) -> Input:
    try:
        return Input(found.get("input", Input.DIGEST))
    except ValueError as exc:
        raise KeyFileError(f"{name}: input is one of {', '.join(Input)}") from exc


def _timeout(found: dict[str, Any], name: str) -> float:
    seconds = found.get("timeout", 60.0)
    if type(seconds) not in (int, float) or not 0 < seconds <= _LONGEST:
        raise KeyFileError(f"{name}: timeout is a number of seconds up to {_LONGEST:g}")
    return float(seconds)
