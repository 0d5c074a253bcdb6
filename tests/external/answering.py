"""A server that only answers, over HTTP or with a certificate that nobody trusts of himself; and one that is away."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOBODY = "http://127.0.0.1:9"


class Answers(BaseHTTPRequestHandler):
    """200 to whoever has the password, 401 to others."""

    def do_GET(self) -> None:
        good = self.headers.get("Authorization") == "Bearer right"
        body = b'{"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, "1"]}]}}'
        if self.path.startswith("/api/v2/"):
            body = b"[]"
        self.send_response(200 if good else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None: ...


def write_certificate(path: Path) -> None:
    """A self-signed certificate for 127.0.0.1 with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))


@contextlib.contextmanager
def answering(certificate: Path | None) -> Iterator[str]:
    """Its URL."""
    there = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        there.socket = context.wrap_socket(there.socket, server_side=True)
    thread = threading.Thread(target=there.serve_forever, daemon=True)
    thread.start()
    yield f"{'https' if certificate else 'http'}://127.0.0.1:{there.server_port}"
    there.shutdown()
    there.server_close()
