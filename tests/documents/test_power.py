"""How likely a load passes and what it notices: against the judge's own intervals, and against drawn runs."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.documents.support import DRILL, TIERS, changed, good_catalogue
from tierdrill.documents.catalogue_reader import load_catalogue
from tierdrill.documents.detection_power import Promise, power_of, promises, requests_for
from tierdrill.documents.models.tiers import Objectives, Tier
from tierdrill.documents.problems import in_order
from tierdrill.documents.sample_size import (
    binomial_at_most,
    quantile_over_fails,
    quantile_over_passes,
    share_bad_fails,
    share_bad_passes,
)
from tierdrill.judge.statistics import quantile, wilson

AVAILABILITY = Promise("availability", "availability", "availability 99.5%", 0.005)


def tier(**objectives: object) -> Tier:
    promised = Objectives.model_validate(objectives)
    return Tier(name="critical", rank=1, owner="o", rationale="r", escalation=(), shed_order=1, objectives=promised)


@given(st.integers(1, 5000), st.sampled_from([0.0005, 0.001, 0.005, 0.01, 0.03, 0.1, 0.5]))
def test_bad_requests_of_a_share_are_those_of_the_judges_interval(total: int, allowed: float) -> None:
    def side(bad: int) -> str:
        interval = wilson(total - bad, total)
        assert interval is not None
        return "good" if interval.low >= 1 - allowed else "bad" if interval.high < 1 - allowed else "between"

    most, fewest = share_bad_passes(total, allowed), share_bad_fails(total, allowed)
    assert most is None or side(most) == "good"
    assert side(0 if most is None else most + 1) != "good"
    assert fewest is None or side(fewest) == "bad"
    assert side(total if fewest is None else fewest - 1) != "bad"


@given(st.integers(1, 2000), st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999]))
def test_requests_over_a_quantiles_limit_are_those_of_the_judges_interval(total: int, share: float) -> None:
    def side(over: int) -> str:
        interval = quantile([0.0] * (total - over) + [2.0] * over, share)
        assert interval is not None
        return "good" if interval.high <= 1.0 else "bad" if interval.low > 1.0 else "between"

    most, fewest = quantile_over_passes(total, 1 - share), quantile_over_fails(total, 1 - share)
    assert most is None or side(most) == "good"
    assert side(0 if most is None else most + 1) != "good"
    assert fewest is None or side(fewest) == "bad"
    assert side(total if fewest is None else fewest - 1) != "bad"


def test_the_chance_of_so_many_is_that_of_a_binomial() -> None:
    assert binomial_at_most(2, 10, 0.1) == pytest.approx(0.9298091736)
    assert binomial_at_most(-1, 10, 0.1) == 0.0
    assert binomial_at_most(10, 10, 0.9) == 1.0
    assert binomial_at_most(3, 10, 0.0) == 1.0
    assert binomial_at_most(3, 10, 1.0) == 0.0


def test_a_service_five_times_better_than_promised_passed_three_of_four_nights() -> None:
    found = power_of(tier(availability=0.995, typical=0.001), AVAILABILITY, 1736, 28.0)
    assert found.passes_typical == pytest.approx(0.75, abs=0.01)
    chooser = random.Random(1)
    drawn = [sum(chooser.random() < 0.001 for _ in range(1736)) for _ in range(400)]
    passed = sum(interval.low >= 0.995 for bad in drawn if (interval := wilson(1736 - bad, 1736)))
    assert passed / 400 == pytest.approx(found.passes_typical, abs=0.06)


def test_the_outage_that_is_noticed_is_the_shortest_that_fails() -> None:
    found = power_of(tier(availability=0.995), AVAILABILITY, 1736, 28.0)
    assert found.notices_s == pytest.approx(15 / 62, abs=1e-9)
    assert power_of(tier(availability=0.9), Promise("availability", "", "", 0.1), 560, 28.0).notices_s == 3.5


def test_too_few_requests_pass_nothing_and_notice_nothing() -> None:
    found = power_of(tier(availability=0.995, typical=0.0005), AVAILABILITY, 0, 28.0)
    assert (found.bad_passes, found.passes_typical, found.notices_s) == (None, 0.0, None)


@pytest.mark.parametrize(("allowed", "typical"), [(0.005, 0.0005), (0.005, 0.0025), (0.03, 0.003), (0.1, 0.05)])
def test_from_so_many_requests_on_it_passes_so_often(allowed: float, typical: float) -> None:
    promise = Promise("availability", "", "", allowed)
    enough = requests_for(promise, typical)
    assert enough is not None

    def chance(requests: int) -> float:
        most = share_bad_passes(requests, allowed)
        return 0.0 if most is None else binomial_at_most(most, requests, typical)

    assert min(chance(requests) for requests in range(enough, enough + 2000)) >= 0.95
    assert min(chance(requests) for requests in range(max(1, enough - 200), enough)) < 0.95


def test_no_number_of_requests_passes_what_is_typically_broken() -> None:
    assert requests_for(AVAILABILITY, 0.005) is None


def test_every_promise_about_requests_is_a_share_that_may_go_bad() -> None:
    made = promises(tier(availability=0.99, latency={"p99": 0.5, "p50": 0.1}, queue_wait={"p90": 1.0}).objectives)
    assert [one.name for one in made] == ["availability", "latency-p50", "latency-p99", "queue_wait-p90"]
    assert [round(one.allowed, 9) for one in made] == [0.01, 0.5, 0.01, 0.1]
    assert [one.name for one in promises(tier(availability=0.99, mttr=3.0).objectives, ("mttr",))] == []


def test_validate_warns_of_a_load_that_fails_good_nights(tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    changed(root, TIERS, ("availability: 99%\n      latency", "availability: 99%\n      typical: 0.2%\n      latency"))
    catalogue, problems = load_catalogue(root)
    assert problems == []
    assert [str(warning) for warning in in_order(catalogue.warnings)] == [
        f"{DRILL}:17:14: critical availability 99% passes 78% of runs with the typical 0.2% bad of about 800 requests; "
        "95% takes at least 29.1/s of requests, or longer phases"
    ]


def test_validate_warns_of_an_outage_that_drowns_in_a_long_recovery(tmp_path: Path) -> None:
    root = good_catalogue(tmp_path)
    changed(root, DRILL, ("recovery: 20s}", "recovery: 10m}"))
    catalogue, problems = load_catalogue(root)
    assert problems == []
    told = [str(warning) for warning in in_order(catalogue.warnings) if "critical" in warning.found]
    assert len(told) == 1
    assert "notices no total outage below 7.3 s; critical bears 1.4 s in any 10s" in told[0]


def test_a_window_is_as_stated_or_follows_from_the_budget() -> None:
    assert tier(availability=0.995).objectives.any_window is not None
    assert tier(availability=0.995).objectives.any_window.outage_s == pytest.approx(0.72)  # type: ignore[union-attr]
    assert tier(availability=0.9).objectives.any_window.outage_s == pytest.approx(5.0)  # type: ignore[union-attr]
    assert tier(mttr=3.0).objectives.any_window is None
    stated = Objectives.model_validate({"availability": 0.9, "worst_window": {"lasts": "2s", "availability": "25%"}})
    assert stated.any_window is not None and stated.any_window.outage_s == 1.5
