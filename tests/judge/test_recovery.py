"""Time to recover: what makes a second bad, and that silence is never taken for recovery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.judge.build import Outcome, Run, shipped
from tierdrill.judge.judge import judge
from tierdrill.judge.recovery import recovery_of
from tierdrill.judge.samples import TierSamples
from tierdrill.judge.verdict import Check, Status, Verdict
from tierdrill.spec.catalogue import DrillSetting

END = 27.98
CRITICAL = shipped().tiers.by_name("critical")


@pytest.fixture(scope="module")
def setting() -> DrillSetting:
    return shipped()


def mttr(found: Verdict) -> Check:
    check = found.check("slo/critical/mttr")
    assert check is not None
    return check


def bad_until(seconds: float) -> Outcome:
    """Nothing of the critical tier is answered for so long after the fault."""

    def outcome(tier: str, since: float) -> tuple[str, float, str | None]:
        return ("timeout", 3.0, None) if tier == "critical" and 0 < since < seconds else ("ok", 0.04, None)

    return outcome


def silent(begin: float, end: float) -> Callable[[str, float], bool]:
    """The critical tier's samples are missing for a while after the fault."""
    return lambda tier, since: tier == "critical" and begin <= since < end


@pytest.mark.parametrize(
    ("run", "status", "mitigate"),
    [
        (Run(), Status.PASSED, 0.0),
        (Run(outcome=bad_until(3.0)), Status.PASSED, 3.0),
        (Run(outcome=bad_until(3.0), lost=silent(3.0, 99.0)), Status.INCONCLUSIVE, None),
        (Run(outcome=bad_until(3.0), lost=silent(3.0, 8.0)), Status.INCONCLUSIVE, None),
        (Run(outcome=bad_until(3.0), lost=silent(10.0, 99.0)), Status.INCONCLUSIVE, None),
        (Run(lost=silent(24.0, 99.0)), Status.INCONCLUSIVE, None),
        (Run(lost=silent(0.0, 4.0)), Status.INCONCLUSIVE, None),
        (Run(lost=silent(0.0, 99.0)), Status.INCONCLUSIVE, None),
        (Run(outcome=bad_until(11.0)), Status.FAILED, 11.0),
        (Run(outcome=bad_until(11.0), lost=silent(11.0, 99.0)), Status.FAILED, None),
        (Run(outcome=bad_until(99.0)), Status.FAILED, None),
    ],
)
def test_recovery_needs_requests_that_tell_of_it(
    setting: DrillSetting, run: Run, status: Status, mitigate: float | None
) -> None:
    found = judge(run.events(setting))
    assert mttr(found).status is status, mttr(found).seen
    assert found.times.mitigate == mitigate
    assert (found.times.mttr is None) is (mitigate is None)


def samples(*rows: tuple[float, str]) -> TierSamples:
    """A tier's samples by time since the fault."""
    return TierSamples(
        {
            "due": [due for due, _ in rows],
            "latency": [0.04] * len(rows),
            "outcome": [outcome for _, outcome in rows],
        }
    )


GOOD = [(second + part, "ok") for second in range(28) for part in (0.2, 0.7)]


def with_second(second: int, *outcomes: str) -> TierSamples:
    """All good but for one second."""
    rest = [(due, outcome) for due, outcome in GOOD if int(due) != second]
    return samples(*sorted([*rest, *((second + 0.1 * place, one) for place, one in enumerate(outcomes, 1))]))


@pytest.mark.parametrize(
    ("outcomes", "back"),
    [
        (["error"], 6.0),
        (["error", "ok"], 0.0),
        (["error", "error"], 6.0),
        (["error", "error", "ok"], 6.0),
        (["dropped", "error"], 6.0),
        (["dropped"], 0.0),
        (["rejected"], 6.0),
    ],
)
def test_a_second_is_bad_with_two_failures_or_nothing_else(outcomes: list[str], back: float) -> None:
    assert recovery_of(CRITICAL, with_second(5, *outcomes), 0.0, END).back == back


def test_rejections_that_do_not_count_tell_nothing(setting: DrillSetting) -> None:
    lowest = setting.tiers.by_name("best-effort")
    shed = samples(*((due, "rejected") for due, _ in GOOD))
    assert recovery_of(lowest, shed, 0.0, END).asked == 0
    late = samples(*((due, "ok" if due < 20 else "rejected") for due, _ in GOOD))
    assert recovery_of(lowest, late, 0.0, END).seconds is None


def test_a_lone_failure_in_the_left_over_of_the_last_second_decides_nothing() -> None:
    found = recovery_of(CRITICAL, samples(*GOOD[:54], (27.05, "error")), 0.0, 27.1)
    assert found.seconds == 0.0
    found = recovery_of(CRITICAL, samples(*GOOD[:54], (27.05, "error"), (27.06, "error")), 0.0, 27.1)
    assert found.out_at_end and found.seconds is None


@given(st.lists(st.tuples(st.floats(0, END), st.sampled_from(["ok", "error", "dropped"])), max_size=60))
def test_fewer_samples_never_make_a_recovery(rows: list[tuple[float, str]]) -> None:
    """Whatever is lost, a span without requests at its end is never recovered from."""
    early = [row for row in sorted(rows) if row[0] < END - 3.0]
    assert recovery_of(CRITICAL, samples(*early), 0.0, END).seconds is None


def test_an_effect_of_long_ago_is_no_history(setting: DrillSetting) -> None:
    events = [
        replace(one, data={**one.data, "effective_at": -5e9}) if one.kind == "fault.landed" else one
        for one in Run().events(setting)
    ]
    with pytest.raises(ValueError, match="before the end of the recovery"):
        judge(events)
