"""The page "now": what Prometheus and the home say, as cards of tiers with one word each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.support import with_runs
from tests.judge.build import Run
from tests.shipped import shipped_documents
from tests.web.standin import Answers, Browser, StandInPrometheus, catalogue_with, options, together, well
from tierdrill.documents.models.tiers import Tier
from tierdrill.web.live_parts import LiveParts
from tierdrill.web.tier_figures import FiringAlert, TierFigures
from tierdrill.web.tier_standing import Health, budget_of, standing_of

ALL_WELL = together(well("critical", p99=0.09), well("standard", p99=0.09), well("best-effort", p99=0.09))


@contextmanager
def watching(folder: Path, answers: Answers | None) -> Iterator[tuple[Browser, StandInPrometheus]]:
    """A viewer's browser on an environment with that Prometheus."""
    prometheus = StandInPrometheus(answers)
    with Browser(options(folder / "home", folder / "catalogue")) as browser:
        browser.run(prometheus.server.start())
        catalogue_with(folder / "catalogue", prometheus.server.url)
        browser.sign_in("viewer")
        yield browser, prometheus
        browser.run(prometheus.server.stop())


def test_every_tier_with_its_promises_and_a_word(tmp_path: Path) -> None:
    with watching(tmp_path, ALL_WELL) as (browser, prometheus):
        page = browser.get("/now").text
        for tier in ("critical", "standard", "best-effort"):
            assert f'aria-label="tier {tier}: well"' in page
        for words in ("≥ 99.5%", "90 ms", "10.0/s", "4 of 16 (25%)", "100% left", "none fires"):
            assert words in page, words
        asked = prometheus.asked
        browser.get("/now")
        assert prometheus.asked == asked, "figures of less than a second ago are asked for again"


def test_a_tier_that_breaks_its_promise_says_which(tmp_path: Path) -> None:
    bad = well("critical", p99=0.09)
    bad["sum by (tier, outcome)"] = [
        ({"tier": "critical", "outcome": "ok"}, 9.0), ({"tier": "critical", "outcome": "timeout"}, 1.0),
    ]  # fmt: skip
    alert = ({"alertname": "NodeNotReady", "severity": "page", "node": "node-2"}, 1.0)
    watchdog = ({"alertname": "Watchdog", "severity": "none"}, 1.0)
    series = {**together(bad, well("standard", p99=0.09)), "ALERTS": [alert, watchdog]}
    with watching(tmp_path, series) as (browser, _):
        page = browser.get("/now").text
        assert 'aria-label="tier critical: failing"' in page
        assert "90% good, promised 99.5%" in page
        assert "<b>NodeNotReady</b> node-2" in page
        assert "Watchdog" not in page
        assert 'aria-label="tier best-effort: unknown"' in page


def test_prometheus_away_is_said_and_no_tier_is_well(tmp_path: Path) -> None:
    with watching(tmp_path, None) as (browser, prometheus):
        page = browser.get("/now").text
        assert f"Prometheus at {prometheus.server.url}" in page
        assert page.count(": unknown") == 3
        assert ": well" not in page


def test_nothing_runs_and_nothing_is_there_yet(tmp_path: Path) -> None:
    with Browser(options(tmp_path / "home")) as browser:
        browser.sign_in("viewer")
        assert "no lab is up and no environment names a Prometheus" in browser.get("/now").text
        assert "never run" in browser.get("/drills").text


def test_documents_with_a_problem_leave_those_before_in_force(tmp_path: Path) -> None:
    with watching(tmp_path, ALL_WELL) as (browser, _):
        assert "problem" not in browser.get("/drills").text
        (tmp_path / "catalogue" / "drills" / "node-loss.yaml").write_text("kind: Drill\n")
        page = browser.get("/drills").text
        assert "node-loss.yaml" in page
        assert "what is shown is from when they had none" in page
        assert "<b>node-loss</b>" in page


def test_drills_show_their_last_result_and_proof(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with_runs(home, one=Run(), two=Run(landed=False))
    with Browser(options(home)) as browser:
        browser.sign_in("viewer")
        page = browser.get("/drills").text
        assert "oldest first: passed, inconclusive" in page
        assert 'href="/runs/two"' in page
        assert "not proven" in page
        assert "<svg" in page


def critical() -> Tier:
    return shipped_documents().tiers["serving"].by_name("critical")


FINE = {"rate": 10.0, "success": 1.0, "slots_ready": 8.0, "slots_desired": 8.0, "in_flight": 1.0}


@pytest.mark.parametrize(
    ("figures", "health", "said"),
    [
        (FINE, Health.WELL, "every promise"),
        ({}, Health.UNKNOWN, "no series"),
        ({"rate": 0.0}, Health.IDLE, "no requests"),
        ({**FINE, "success": 0.99}, Health.FAILING, "99% good, promised 99.5%"),
        ({**FINE, "burn": {"1h": 0.08, "5m": 0.08}}, Health.FAILING, "burns 16 times too fast (1h and 5m)"),
        ({**FINE, "burn": {"1h": 0.08, "5m": 0.0}}, Health.WELL, "every promise"),
        ({**FINE, "burn": {"1d": 0.02, "2h": 0.02}}, Health.AT_RISK, "burns 4 times too fast (1d and 2h)"),
        ({**FINE, "burn": {"3d": 0.005}}, Health.AT_RISK, "error budget of 3d spent"),
        ({**FINE, "latency": {"p99": 0.9}}, Health.AT_RISK, "p99 latency 900 ms, promised 500ms"),
        ({**FINE, "shed": 0.25}, Health.AT_RISK, "25% of it is shed"),
        ({**FINE, "slots_ready": 4.0}, Health.AT_RISK, "4 of 8 slots ready"),
        ({**FINE, "in_flight": 8.0}, Health.AT_RISK, "100% of its slots busy"),
        ({**FINE, "alerts": (FiringAlert("TierShedding", "ticket", ""),)}, Health.AT_RISK, "alert TierShedding"),
    ],
)
def test_one_word_with_its_reason(figures: Mapping[str, object], health: Health, said: str) -> None:
    standing = standing_of(critical(), TierFigures(**figures))  # type: ignore[arg-type]
    assert standing.health is health
    assert said in standing.reason


def test_the_worst_reason_comes_first() -> None:
    standing = standing_of(critical(), TierFigures(rate=1.0, success=0.5, shed=0.5))
    assert standing.reason == "50% good, promised 99.5% (and 1 more)"


def test_what_is_left_of_the_budget() -> None:
    budget = budget_of(critical(), TierFigures(burn={"3d": 0.001, "1h": 0.01}))
    assert budget is not None
    assert (round(budget.left or 0, 6), round(budget.burn or 0, 6)) == (0.8, 2.0)


def test_live_parts_are_rendered_once_for_all_and_sent_when_they_change() -> None:
    now = {"a": "1", "b": "1"}
    rendered = 0

    async def render() -> Mapping[str, str]:
        nonlocal rendered
        rendered += 1
        return dict(now)

    async def watch() -> None:
        parts = LiveParts(render, 0.01)
        streams = [parts.stream() for _ in range(3)]
        for stream in streams:
            assert (await anext(stream)).startswith(b"retry:")

        async def told(stream: object) -> bytes:
            while True:
                frame = await anext(stream)  # type: ignore[call-overload]
                if not frame.startswith(b":"):
                    return bytes(frame)

        for stream in streams:
            frame = await told(stream)
            assert b'"id": "a"' in frame
            assert b'"id": "b"' in frame
        now["b"] = "2"
        for stream in streams:
            frame = await told(stream)
            assert b'"id": "a"' not in frame
            assert b'"html": "2"' in frame
        late = parts.stream()
        await anext(late)
        assert b'"id": "a"' in await told(late)
        await parts.close()
        for stream in (*streams, late):
            assert [frame async for frame in stream if not frame.startswith(b":")] == []
        assert parts.viewers == 0
        before = rendered
        await asyncio.sleep(0.05)
        assert rendered == before, "it renders though nobody looks"

    asyncio.run(watch())
