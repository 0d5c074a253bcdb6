"""Several nights as one: more requests tell more, and nights that are left out are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.judge.nights import DAY, FIRST
from tierdrill.judge.trend.run_figures import ObjectiveFigure, RunFigures
from tierdrill.judge.trend.run_series import Pooled, by_drill, pooled
from tierdrill.judge.verdict import Status


def night(number: int, bad: int, status: str = "inconclusive", limit: float = 0.995, *reasons: str) -> RunFigures:
    """A night with 1,700 critical requests."""
    share = (1700 - bad) / 1700
    one = ObjectiveFigure("critical", "availability", status, share, None, None, limit, 1700)
    return RunFigures(
        run=f"r{number}", drill="node-loss", variant="drill", status=status, started_at=FIRST + number * DAY,
        environment="lab", objectives=(one,), reasons=reasons or ("slo/critical/availability",),
    )  # fmt: skip


def pool(*runs: RunFigures, nights: int = 14) -> Pooled:
    [drill] = by_drill(runs)
    [found] = pooled(drill, nights)
    return found


def test_nights_that_tell_nothing_alone_tell_something_together() -> None:
    good = pool(*(night(number, 4) for number in range(10)))
    assert (good.status, good.nights, good.bad, good.share.samples) == (Status.PASSED, 10, 40, 17000)
    bad = pool(*(night(number, 12) for number in range(10)))
    assert bad.status is Status.FAILED
    assert pool(night(1, 4)).status is Status.INCONCLUSIVE


def test_only_the_latest_nights_count() -> None:
    runs = [night(number, 40, "failed") for number in range(5)]
    runs += [night(number, 0, "passed") for number in range(5, 10)]
    assert pool(*runs, nights=5).bad == 0
    assert pool(*runs, nights=10).bad == 200


@pytest.mark.parametrize(
    "doubted",
    [
        night(3, 0, "inconclusive", 0.995, "run/completed"),
        night(3, 0, "aborted"),
        night(3, 0, "unclean"),
        night(3, 0, "passed", 0.99),
    ],
)
def test_a_night_that_is_doubted_or_had_another_limit_is_left_out_and_counted(doubted: RunFigures) -> None:
    found = pool(night(1, 4), night(2, 4), doubted, night(4, 4))
    assert (found.nights, found.left_out, found.bad) == (3, 1, 12)


def test_a_ceiling_is_a_share_of_the_bad() -> None:
    def ceiling(number: int) -> RunFigures:
        one = ObjectiveFigure("critical", "error_ceiling", "inconclusive", 4 / 1700, None, None, 0.005, 1700)
        return replace(night(number, 4), objectives=(one,))

    found = pool(*(ceiling(number) for number in range(10)))
    assert (found.status, found.bad, round(found.share.value, 5)) == (Status.PASSED, 40, 0.00235)
