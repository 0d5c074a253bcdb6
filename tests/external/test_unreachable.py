"""A server that is away, refuses us or is not who it should be: who runs a drill or observes one is told which and why,
before anything is broken.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.home import tierdrill
from tests.external.answering import NOBODY, answering
from tests.external.shop import Platform

pytestmark = pytest.mark.lab
AWAY, REFUSED, UNTRUSTED = "refused", "its credentials are refused (HTTP 401)", "its TLS certificate is not trusted"
OBSERVE = ("observe", "shop-eu", "--drill", "worker-down", "--from", "1h", "--until", "2h")


@pytest.mark.parametrize(
    ("command", "faults"),
    [
        (("run", "worker-down"), {"prometheus": REFUSED, "alertmanager": UNTRUSTED, "load": AWAY}),
        (("run", "worker-down"), {"prometheus": AWAY, "alertmanager": REFUSED, "load": UNTRUSTED}),
        (OBSERVE, {"prometheus": AWAY, "alertmanager": UNTRUSTED, "load": REFUSED}),
    ],
    ids=["run", "run-otherwise", "observe"],
)
def test_what_cannot_be_reached_ends_the_run_with_its_name(
    command: tuple[str, ...], faults: dict[str, str], certificate: Path, tmp_path: Path
) -> None:
    (tmp_path / "right").write_text("right")
    (tmp_path / "guessed").write_text("guessed-wrong")
    with answering(None) as there, answering(certificate) as untrusted:
        shop = Platform(service=there, prometheus=there, alertmanager=there, folder=tmp_path)
        shop.write_documents()
        urls = {AWAY: NOBODY, UNTRUSTED: untrusted, REFUSED: there}
        token = {why: tmp_path / ("guessed" if why == REFUSED else "right") for why in urls}
        password = f"user: drills, password: {{file: {tmp_path / 'prometheus-password'}}}"
        bearer = {server: f"bearer: {{file: {token[why]}}}" for server, why in faults.items()}
        shop.change(
            "drills/shop-eu.yaml",
            (f"  url: {there}/v1\n", f"  url: {urls[faults['load']]}/v1\n"),
            (f"bearer: {{file: {tmp_path / 'inference-key'}}}", bearer["load"]),
            (f"url: {there}, {password}", f"url: {urls[faults['prometheus']]}, {bearer['prometheus']}"),
            (f"{{url: {there}}}", f"{{url: {urls[faults['alertmanager']]}, {bearer['alertmanager']}}}"),
        )
        home = tmp_path / "home"
        done = tierdrill(home, "--catalogue", str(shop.catalogue), *command, "--json", timeout=110)
    told = done.stdout + done.stderr
    assert done.returncode == 3, told
    for server, why in faults.items():
        assert any(server in line and why in line for line in told.splitlines()), (server, told)
    assert "Traceback" not in told and "guessed-wrong" not in told and '"fault.injected"' not in told
