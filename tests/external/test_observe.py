"""Judge only: somebody else's fault, told by a clock or by a signed webhook, on a platform with its own monitoring."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.home import COMMAND, ROOT, environment, tierdrill
from tests.external.shop import KEY, Platform
from tests.external.test_drill import statuses, verdict_of
from tierdrill.monitoring.webhook_receiver import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign_at

pytestmark = pytest.mark.lab
SECRET = "fault-secret-of-the-test"
SETTLES_S = 20.0


@contextlib.contextmanager
def customers(shop: Platform) -> Iterator[None]:
    """Traffic that is not ours: about forty requests a second of the tier critical."""
    over = threading.Event()

    def ask() -> None:
        headers = {"Authorization": f"Bearer {KEY}", "x-tier": "critical"}
        with httpx.Client(base_url=shop.service, headers=headers, trust_env=False) as client:
            while not over.wait(0.025):
                client.post("/v1/completions", json={"model": "m", "prompt": "p", "max_tokens": 1})

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(5)


def call(url: str, state: str, secret: str = SECRET) -> int:
    body, stamp = json.dumps({"state": state}).encode(), str(int(time.time()))
    headers = {SIGNATURE_HEADER: sign_at(secret, stamp, body), TIMESTAMP_HEADER: stamp}
    return httpx.post(url, content=body, headers=headers, trust_env=False).status_code


def observed(shop: Platform, home: Path, mode: str) -> tuple[int, dict[str, Any], list[dict[str, Any]]]:
    """Break the platform and mend it while it is observed, told by webhook."""
    home.mkdir()
    command = [*COMMAND, "--catalogue", str(shop.catalogue), "observe", "shop-eu", "--webhook", "--json"]
    variables = {**environment(home), "SHOP_FAULT_SECRET": SECRET}
    events: list[dict[str, Any]] = []
    with (home / "errors.txt").open("wb") as errors:
        process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            events.append(json.loads(line))
            text = str(events[-1].get("data", {}).get("text", ""))
            if text.startswith("call ") and "begins" in text:
                url = text.split()[1]
                assert call(url, "started", "guessed") == 401 and call(url, "ended") == 400
                shop.switch(mode)
                assert call(url, "started") == 200
                assert call(url, "started") == 200, "what is told again changes nothing"
            elif text.startswith("call ") and "ends" in text:
                time.sleep(4)  # somebody else's fault lasts as long as they let it
                shop.switch("ok")
                assert call(text.split()[1], "ended") == 200
        code = process.wait(60)
    assert events[-1].get("kind") == "verdict", (home / "errors.txt").read_text()
    return code, events[-1]["verdict"], events


def test_a_fault_that_customers_do_not_notice_passes_by_the_platforms_own_counting(
    shop: Platform, tmp_path: Path
) -> None:
    with customers(shop):
        code, verdict, events = observed(shop, tmp_path / "home", "worker-down")
    found = statuses(verdict)
    assert (code, verdict["status"]) == (0, "passed"), verdict["summary"]
    assert found["slo/critical/availability"] == "passed"
    assert found["fault/fault/landed"] == found["fault/fault/gone"] == "passed"
    assert not [check for check in found if check.startswith("load/")]
    assert any("somebody else's" in note for note in verdict["notes"])
    assert SECRET not in json.dumps(events)


def test_a_fault_that_customers_notice_fails(shop: Platform, tmp_path: Path) -> None:
    with customers(shop):
        code, verdict, _ = observed(shop, tmp_path / "home", "flaky")
    assert (code, verdict["status"]) == (1, "failed"), verdict["summary"]
    assert verdict["reasons"] == ["slo/critical/availability"]


def test_a_drills_load_and_expectations_judge_a_fault_at_an_agreed_time(shop: Platform, tmp_path: Path) -> None:
    begins = time.time() + SETTLES_S

    def break_it() -> None:
        time.sleep(max(0.0, begins - time.time()))
        shop.switch("worker-down")
        time.sleep(4)
        shop.switch("ok")

    thread = threading.Thread(target=break_it)
    thread.start()
    moments = [datetime.fromtimestamp(at, UTC).isoformat() for at in (begins, begins + 4)]
    code, verdict, _ = verdict_of(
        tmp_path / "home", shop, "observe", "shop-eu", "--drill", "worker-down", "--fault", "worker-down",
        "--target", "b", "--from", moments[0], "--until", moments[1],
    )  # fmt: skip
    thread.join()
    found = statuses(verdict)
    assert (code, verdict["status"]) == (0, "passed"), verdict["summary"]
    assert found["alert/WorkerDown/fired"] == found["slo/critical/availability"] == "passed"
    assert found["fault/worker-down/landed"] == found["load/samples"] == "passed"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("shop-eu",), "no keyboard here"),
        (("shop-eu", "--from", "10s"), "--from and --until go together"),
        (("shop-eu", "--from", "20s", "--until", "10s"), "past or in the wrong order"),
        (("shop-eu", "--from", "soon", "--until", "10s"), "got 'soon', expected a time from now"),
        (("shop-uk", "--webhook"), "did you mean shop-eu?"),
        (("shop-eu", "--webhook"), "SHOP_FAULT_SECRET is not set"),
    ],
)
def test_what_cannot_be_observed_is_bad_input(
    arguments: tuple[str, ...], says: str, shop: Platform, tmp_path: Path
) -> None:
    done = tierdrill(tmp_path / "home", "--catalogue", str(shop.catalogue), "observe", *arguments)
    assert done.returncode == 2 and says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
