"""A timestamp service that is OpenSSL's own: `openssl ts -reply` in a folder, and over HTTP.

RFC 3161, 2.3: its certificate is for timestamps only, and says so critically.
"""

from __future__ import annotations

import http.server
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from signing import keys
from signing.keys import SigningKey
from tests.signing.makers import Shape, certified

_CONFIG = """\
[tsa]
default_tsa = service
[service]
serial = {folder}/serial
signer_cert = {folder}/tsa.crt
certs = {folder}/ca.crt
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = {digests}
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


@dataclass(frozen=True, slots=True)
class Service:
    """`post` asks it, as `signing.sign_timestamp` wants; the address does not matter."""

    folder: Path
    authority: x509.Certificate

    def post(self, _url: str, request: bytes) -> bytes:
        (self.folder / "query").write_bytes(request)
        argv = ["openssl", "ts", "-reply", "-config", "tsa.cnf"]
        argv += ["-queryfile", "query", "-out", "reply"]
        (self.folder / "reply").unlink(missing_ok=True)
        subprocess.run(argv, cwd=self.folder, check=True, capture_output=True)
        return (self.folder / "reply").read_bytes()


def make(
    folder: Path, *, purpose: x509.ObjectIdentifier | None = None, digests: str = "sha256"
) -> Service:
    authority = certified(Shape("Test time CA", ca=True, rsa_bits=2048))
    if purpose is None:
        purpose = ExtendedKeyUsageOID.TIME_STAMPING
    service = _service(authority, purpose)
    (folder / "ca.crt").write_bytes(keys.certificate_pem(authority.certificate))
    (folder / "tsa.crt").write_bytes(keys.certificate_pem(service.certificate))
    (folder / "tsa.key").write_bytes(private_pem(service))
    (folder / "serial").write_text("01\n")
    (folder / "tsa.cnf").write_text(_CONFIG.format(folder=folder, digests=digests))
    return Service(folder, authority.certificate)


def _service(authority: SigningKey, purpose: x509.ObjectIdentifier) -> SigningKey:
    plain = certified(Shape("Test time service", rsa_bits=2048), authority)
    old = plain.certificate
    builder = x509.CertificateBuilder(
        issuer_name=old.issuer,
        subject_name=old.subject,
        public_key=old.public_key(),
        serial_number=old.serial_number,
        not_valid_before=old.not_valid_before_utc,
        not_valid_after=old.not_valid_after_utc,
    ).add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)
    return replace(plain, certificate=builder.sign(authority.private_key, hashes.SHA256()))


def private_pem(key: SigningKey) -> bytes:
    return key.private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@contextmanager
def listening(service: Service) -> Iterator[str]:
    """Its address, as long as the block lasts. "/broken" answers 500, "/empty" nothing."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/broken":
                self.send_error(500)
                return
            assert self.headers["Content-Type"] == "application/timestamp-query"
            answer = b"" if self.path == "/empty" else service.post("", request)
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
