"""A drill on a platform that tierdrill neither started nor can change: the example of docs/external.md, end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.home import tierdrill
from tests.external.shop import KEY, PASSWORD, Platform

pytestmark = pytest.mark.lab


def verdict_of(home: Path, shop: Platform, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """The exit code of a command that runs, the verdict of its last line, and everything it said.

    A run of which the generator itself says that this machine was too slow for it is made again.
    """
    for _ in range(3):
        done = tierdrill(home, "--catalogue", str(shop.catalogue), *arguments, "--json")
        last = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
        assert last.get("kind") == "verdict", done.stdout[-2000:] + done.stderr
        verdict = last["verdict"]
        if not (verdict["status"] == "inconclusive" and verdict["reasons"][0].startswith("load/")):
            break
    return done.returncode, verdict, done.stdout + done.stderr


def statuses(verdict: dict[str, Any]) -> dict[str, str]:
    return {check["id"]: check["status"] for check in verdict["checks"]}


def test_the_documents_of_the_page_are_good_and_say_what_is_not_measured(shop: Platform, tmp_path: Path) -> None:
    said = tierdrill(tmp_path / "home", "--catalogue", str(shop.catalogue), "validate")
    assert said.returncode == 0, said.stdout
    assert "invariant refusal-order is not measured here" in said.stdout


def test_a_drill_whose_fault_customers_do_not_notice_passes(shop: Platform, tmp_path: Path) -> None:
    home = tmp_path / "home"
    code, verdict, said = verdict_of(home, shop, "run", "worker-down")
    found = statuses(verdict)
    assert (code, verdict["status"]) == (0, "passed"), verdict["summary"]
    assert found["fault/foreign/landed"] == found["fault/foreign/gone"] == "passed"
    assert found["alert/WorkerDown/fired"] == "passed", "under the drill's name, with the drill's label"
    assert found["slo/critical/integrity"] == found["invariant/tier-order"] == "passed"
    assert found["invariant/refusal-order"] == found["slo/critical/fallback"] == "not measured here"
    assert shop.mode() == "ok"
    kept = "".join(path.read_text(errors="replace") for path in home.rglob("*") if path.is_file())
    assert KEY not in kept + said and PASSWORD not in kept + said


def test_one_that_breaks_a_promise_fails(shop: Platform, tmp_path: Path) -> None:
    code, verdict, _ = verdict_of(tmp_path / "home", shop, "run", "worker-down", "--set", "mode=flaky")
    assert (code, verdict["status"]) == (1, "failed"), verdict["summary"]
    assert "slo/critical/availability" in verdict["reasons"]
    assert shop.mode() == "ok"


def test_a_wrong_password_ends_the_run_before_anything_is_broken(shop: Platform, tmp_path: Path) -> None:
    (shop.folder / "prometheus-password").write_text("wrong\n")
    code, verdict, said = verdict_of(tmp_path / "home", shop, "run", "worker-down")
    assert (code, verdict["status"]) == (3, "inconclusive")
    assert "its credentials are refused (HTTP 401)" in said
    assert '"fault.injected"' not in said and PASSWORD not in said


def test_a_secret_file_that_is_missing_is_bad_input(shop: Platform, tmp_path: Path) -> None:
    (shop.folder / "inference-key").unlink()
    done = tierdrill(tmp_path / "home", "--catalogue", str(shop.catalogue), "run", "worker-down")
    assert done.returncode == 2 and "inference-key cannot be read: No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr
