"""Two game days held against each other: with intervals, and nothing claimed that the samples do not show."""

from __future__ import annotations

import json
import math
import random
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gameday.support import AT, begun, finished, opened
from tierdrill.gameday.record.comparison import Comparison, Figure, Outlook, compare, difference_of, tolerance
from tierdrill.gameday.record.comparison_text import comparison_document, comparison_lines
from tierdrill.gameday.record.gameday_record import record_of
from tierdrill.history.events import Event
from tierdrill.judge.statistics import wilson
from tierdrill.report.format import ASCII, UNICODE

TODAY = date(2026, 11, 1)


def share(name: str, good: int, total: int, limit: float = 0.995) -> dict[str, Any]:
    """A check of a share, with the interval that the judge gives it."""
    found = wilson(good, total)
    assert found is not None
    status = "passed" if found.low >= limit else "failed"
    return {"id": name, "title": name, "status": status, "expected": "", "seen": "", "value": found.value,
            "low": found.low, "high": found.high, "limit": limit, "samples": total}  # fmt: skip


def latency(name: str, value: float, low: float | None, high: float | None, limit: float = 0.5) -> dict[str, Any]:
    return {"id": name, "title": name, "status": "passed", "expected": "", "seen": "", "value": value,
            "low": low, "high": high, "limit": limit, "samples": 500}  # fmt: skip


def held(before: list[dict[str, Any]], after: list[dict[str, Any]], *more: Event, **times: float) -> Comparison:
    first = [opened(), begun(), finished(checks=before, times={"mttd": 5.0}), *more]
    second = [opened(gameday="quick-2"), begun(), finished(checks=after, times=times)]
    return compare(record_of(first), record_of(second), TODAY)


def outlook(before: dict[str, Any], after: dict[str, Any]) -> Outlook:
    [one] = held([before], [after]).objectives
    return one.outlook


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (share("slo/critical/availability", 900, 1000), share("slo/critical/availability", 999, 1000), Outlook.BETTER),
        (share("slo/critical/availability", 999, 1000), share("slo/critical/availability", 900, 1000), Outlook.WORSE),
        (share("slo/critical/availability", 990, 1000), share("slo/critical/availability", 995, 1000), Outlook.UNCLEAR),
        (share("slo/critical/error_ceiling", 100, 1000, 0.1), share("slo/critical/error_ceiling", 1, 1000, 0.1),
         Outlook.BETTER),
        (latency("slo/critical/latency-p99", 0.3, 0.28, 0.33), latency("slo/critical/latency-p99", 0.1, 0.09, 0.12),
         Outlook.BETTER),
        (latency("slo/critical/latency-p99", 0.1, 0.09, 0.12), latency("slo/critical/latency-p99", 0.3, 0.28, 0.33),
         Outlook.WORSE),
        (latency("slo/critical/latency-p99", 0.3, 0.28, 0.33),
         {**latency("slo/critical/latency-p99", 0.1, 0.09, None), "status": "inconclusive"}, Outlook.UNKNOWN),
        (latency("slo/critical/mttr", 8.0, None, None), latency("slo/critical/mttr", 2.0, None, None), Outlook.UNCLEAR),
        (latency("slo/critical/mttr", 8.0, None, None),
         {**latency("slo/critical/mttr", 30.0, None, None), "status": "failed"}, Outlook.WORSE),
        (latency("slo/critical/latency-p50", 0.030, 0.029, 0.031, 0.2),
         latency("slo/critical/latency-p50", 0.034, 0.033, 0.035, 0.2), Outlook.UNCLEAR),
    ],
)  # fmt: skip
def test_a_change_is_claimed_only_where_it_is_shown_and_matters(
    before: dict[str, Any], after: dict[str, Any], wanted: Outlook
) -> None:
    assert outlook(before, after) is wanted


FIGURES = st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)).map(
    lambda three: Figure(sorted(three)[1], sorted(three)[0], sorted(three)[2], 100, "passed")
)


@given(FIGURES, FIGURES)
def test_a_difference_turns_its_sign_with_the_order(one: Figure, two: Figure) -> None:
    there, back = difference_of(one, two), difference_of(two, one)
    assert there is not None and back is not None
    assert math.isclose(there.value, -back.value, abs_tol=1e-12)
    assert math.isclose(there.low, -back.high, abs_tol=1e-12)
    assert there.low <= there.value <= there.high


def test_the_interval_of_a_difference_is_newcombes() -> None:
    # Newcombe (1998), table II, example (a): 56/70 against 48/80, method 10: 0.0524 to 0.3339.
    one, two = wilson(48, 80), wilson(56, 70)
    assert one is not None and two is not None
    found = difference_of(*(Figure(x.value, x.low, x.high, x.samples, "passed") for x in (one, two)))
    assert found is not None
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)


def test_equal_platforms_are_seldom_said_to_differ() -> None:
    source = random.Random(7)
    claims = 0
    for _ in range(400):
        goods = [sum(source.random() < 0.97 for _ in range(600)) for _ in range(2)]
        found = outlook(*(share("slo/standard/availability", good, 600, 0.95) for good in goods))
        claims += found in (Outlook.BETTER, Outlook.WORSE)
    assert claims / 400 < 0.02


def test_what_is_promised_decides_what_matters() -> None:
    assert math.isclose(tolerance("availability", 0.99), 0.0005)
    assert math.isclose(tolerance("latency", 0.5), 0.025)
    assert tolerance("latency", None) == 0.0


def test_hypotheses_findings_and_times() -> None:
    raised = Event(AT + 200, "finding.raised", "Ben", {"text": "late", "owner": "Ben", "due": "2026-10-01"})
    other = Event(AT + 201, "finding.raised", "Ben", {"text": "mended one", "owner": "", "due": ""})
    closed = Event(AT + 300, "finding.closed", "Ben", {"finding": "F2", "how": "done"})
    answers = [Event(AT + 210, "hypothesis.answered", "x", {"step": 0, "hypothesis": 1, "held": "not held"})]
    bad = {**latency("playbook/reschedule-critical/fired", 0, None, None), "status": "failed"}
    found = held([bad], [{**bad, "status": "passed"}], raised, other, closed, *answers, mttd=3.5)
    lines = "\n".join(comparison_lines(found, UNICODE))
    for words in (
        "now holds: node-loss: the playbook runs",
        "overdue: F1 late, Ben, due 2026-10-01",
        "closed: F2 mended one (done)",
        "node-loss, detect: 5.0 s → 3.5 s (−1.5 s)",
        "without-the-playbook: not run → not run",
    ):
        assert words in lines, words
    assert "\n".join(comparison_lines(found, ASCII)).isascii()
    assert json.loads(json.dumps(comparison_document(found)))["hypotheses"][0]["now_holds"] is True


def test_one_that_was_no_part_of_the_other_is_not_compared() -> None:
    from tests.gameday.support import document

    other = document(steps=[{"drill": "slow-link", "name": "node-loss"}])
    found = compare(
        record_of([opened(), begun(), finished(checks=[share("slo/critical/availability", 999, 1000)])]),
        record_of([opened(other), begun(), finished(checks=[share("slo/critical/availability", 1, 1000)])]),
        TODAY,
    )
    assert found.objectives == ()
    assert ("without-the-playbook", "") in [(one.step, one.after) for one in found.drills]
