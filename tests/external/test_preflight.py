"""What is wrong with a platform is said before a run, with the server it is wrong with."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.external.answering import NOBODY, answering
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.workloads import Workloads
from tierdrill.targets.base import Finding
from tierdrill.targets.external.session import ExternalSession

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


@pytest.fixture(scope="module", params=["http", "https"])
def server(request: pytest.FixtureRequest, certificate: Path) -> Iterator[str]:
    with answering(certificate if request.param == "https" else None) as url:
        yield url


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
        assert not finding.ok and finding.final and "its credentials are refused (HTTP 401)" in finding.seen
        assert server in finding.seen and "guessed-wrong" not in finding.seen


def test_a_certificate_that_nobody_trusts_is_refused(server: str, tmp_path: Path) -> None:
    if server.startswith("http:"):
        pytest.skip("of TLS only")
    (tmp_path / "token").write_text("right")
    for finding in look(server, tmp_path / "token").values():
        assert not finding.ok and finding.final and "its TLS certificate is not trusted" in finding.seen


def test_a_server_that_is_away_is_named(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("right")
    for finding in look(NOBODY, tmp_path / "token").values():
        assert not finding.ok and not finding.final
        assert NOBODY in finding.seen and "refused" in finding.seen.lower(), finding


def test_a_secret_that_went_missing_is_named(server: str, tmp_path: Path) -> None:
    for finding in look(server, tmp_path / "token").values():
        assert not finding.ok and f"{tmp_path / 'token'} cannot be read" in finding.seen
