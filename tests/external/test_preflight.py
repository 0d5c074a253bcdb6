"""What is wrong with a platform is said before a run, with the server it is wrong with."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.monitoring.monitoring_support import free_port
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.workloads import Workloads
from tierdrill.targets.base import Finding
from tierdrill.targets.external.session import ExternalSession

NOBODY = "http://127.0.0.1:9"
MODELS = Workloads.model_validate(
    {
        "apiVersion": "tierdrill/v1",
        "kind": "Workloads",
        "metadata": {"name": "w"},
        "tiers": "t",
        "models": [
            {"name": "chat", "tier": "critical", "rationale": "one", **dict.fromkeys(("risk", "impact"), "low")}
            | {"frequency": "daily"}
        ],
        "routes": [{"tier": "critical"}],
    }
)


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


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture(scope="module", params=["http", "https"])
def server(request: pytest.FixtureRequest, certificate: Path) -> Iterator[str]:
    there = HTTPServer(("127.0.0.1", free_port()), Answers)
    if request.param == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        there.socket = context.wrap_socket(there.socket, server_side=True)
    thread = threading.Thread(target=there.serve_forever, daemon=True)
    thread.start()
    yield f"{request.param}://127.0.0.1:{there.server_port}"
    there.shutdown()
    there.server_close()


def look(url: str, token: Path, **more: str) -> dict[str, Finding]:
    connection = {"url": url, "bearer": {"file": str(token)}, **more}
    environment = Environment.model_validate(
        {
            "apiVersion": "tierdrill/v1",
            "kind": "Environment",
            "metadata": {"name": "there"},
            "target": "external",
            "tiers": "t",
            "workloads": "w",
            "load": connection,
            "monitoring": {"prometheus": connection, "alertmanager": connection},
        }
    )
    return {finding.name: finding for finding in asyncio.run(ExternalSession(environment, MODELS).preflight())}


def test_what_answers_and_takes_the_credentials_is_well(server: str, certificate: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("right")
    trusted = {"ca_file": str(certificate)} if server.startswith("https") else {}
    found = look(server, tmp_path / "token", **trusted)
    assert all(finding.ok for finding in found.values()), found
    assert set(found) == {"prometheus", "alertmanager", "load"}


def test_wrong_credentials_are_named_and_not_told(server: str, certificate: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("guessed-wrong")
    trusted = {"ca_file": str(certificate)} if server.startswith("https") else {}
    for finding in look(server, tmp_path / "token", **trusted).values():
        assert not finding.ok and "its credentials are refused (HTTP 401)" in finding.seen
        assert server in finding.seen and "guessed-wrong" not in finding.seen


def test_a_certificate_that_nobody_trusts_is_refused(server: str, tmp_path: Path) -> None:
    if server.startswith("http:"):
        pytest.skip("of TLS only")
    (tmp_path / "token").write_text("right")
    for finding in look(server, tmp_path / "token").values():
        assert not finding.ok and "its TLS certificate is not trusted" in finding.seen


def test_a_server_that_is_away_is_named(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("right")
    for finding in look(NOBODY, tmp_path / "token").values():
        assert not finding.ok and NOBODY in finding.seen and "refused" in finding.seen.lower(), finding


def test_a_secret_that_went_missing_is_named(server: str, tmp_path: Path) -> None:
    for finding in look(server, tmp_path / "token").values():
        assert not finding.ok and f"{tmp_path / 'token'} cannot be read" in finding.seen
