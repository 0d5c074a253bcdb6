"""Seconds add up to the samples they came from, and quantiles are exact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_synthetic import EFFECT, END, RATES, drill

from tierdrill.history.kinds.run_kinds import LoadSamples
from tierdrill.report.charts.sample_series import Sample, affected, all_samples, quantile, samples_of, tier_series

OUTCOMES = ("ok", "error", "rejected", "timeout")
sample = st.builds(
    Sample, st.sampled_from(("critical", "best-effort")), st.floats(0, 50), st.floats(0, 5), st.sampled_from(OUTCOMES)
)


@given(st.lists(sample, max_size=200), st.floats(-3, 60), st.sampled_from((1.0, 2.0, 5.0)))
def test_every_sample_is_in_one_second(samples: list[Sample], zero: float, width: float) -> None:
    series = tier_series(samples, zero, width)
    assert sum(second.sent for tier in series.values() for second in tier.seconds) == len(samples)
    for tier in series.values():
        places = [second.at for second in tier.seconds]
        assert places == sorted(set(places))
        for second in tier.seconds:
            assert second.ok + second.rejected + second.failed == second.sent
            assert list(second.latencies) == sorted(second.latencies)
            success = second.success(rejections_count=True)
            assert success is not None and 0 <= success <= 1


@given(st.lists(st.floats(0, 10), min_size=1, max_size=300), st.floats(0, 1))
def test_quantile_is_a_value_with_enough_at_or_below_it(values: list[float], share: float) -> None:
    ordered = sorted(values)
    found = quantile(ordered, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6


def test_quantile_of_nothing() -> None:
    assert quantile((), 0.99) is None


def test_a_refusal_is_neither_failed_nor_slow() -> None:
    samples = [Sample("t", 0.1, 9.0, "rejected"), Sample("t", 0.2, 0.1, "ok"), Sample("t", 0.3, 0.001, "error")]
    (second,) = tier_series(samples)["t"].seconds
    assert (second.ok, second.rejected, second.failed) == (1, 1, 1)
    assert second.p99 == 0.1, "an error that is fast, or a refusal, is no latency"
    assert second.success(rejections_count=True) == pytest.approx(1 / 3)
    assert second.success(rejections_count=False) == pytest.approx(1 / 2)


def test_only_refused_requests_give_no_share_when_they_do_not_count() -> None:
    (second,) = tier_series([Sample("t", 0.1, 0.0, "rejected")])["t"].seconds
    assert second.success(rejections_count=False) is None and second.p99 is None


def test_dropped_arrivals_and_missing_columns() -> None:
    columns = {"due": [1.0, 2.0, None], "outcome": ["ok", "dropped", "ok"], "latency": [0.1, 0.0, 0.1]}
    assert [s.due for s in samples_of(LoadSamples(columns=columns))] == [1.0]
    assert list(samples_of(LoadSamples(columns={}))) == []


def test_affected_counts_each_request_once() -> None:
    samples = [
        Sample("t", 0.5, 0.1, "ok"),
        Sample("t", 1.0, 0.1, "rejected"),
        Sample("t", 1.5, 9.0, "timeout"),
        Sample("t", 1.6, 2.0, "ok"),
        Sample("t", 1.7, 0.1, "ok"),
        Sample("t", 2.0, 9.0, "error"),
    ]
    hit = affected(samples, 1.0, 2.0, {"t": 1.0})["t"]
    assert (hit.sent, hit.rejected, hit.failed, hit.slow, hit.total) == (4, 1, 1, 1, 3)


def test_the_made_up_run() -> None:
    series = tier_series(all_samples(drill().events), EFFECT)
    assert {tier: sum(s.sent for s in series[tier].seconds) for tier in RATES} == {
        tier: 52 * rate for tier, rate in RATES.items()
    }
    during = series["best-effort"].between(EFFECT, EFFECT + 20)
    assert sum(second.rejected for second in during) > 50
    assert all(second.at < END for second in series["critical"].seconds)
