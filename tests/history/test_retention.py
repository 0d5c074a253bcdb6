"""Which runs lose their bulk: never one that is young, among the newest, not ended or needed."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tierdrill.history.history_store import RunRecord
from tierdrill.history.retention import Keep, rulings

DAY_S = 86400.0
RUNS = st.lists(
    st.tuples(
        st.sampled_from(("node-loss", "slow-link")),
        st.sampled_from(("drill", "blip")),
        st.floats(0, 400 * DAY_S),
        st.sampled_from(("passed", "failed", "unclean", None)),
    ),
    max_size=40,
).map(
    lambda made: [
        RunRecord(f"r{n}", drill, variant, at, at + 60.0 if status else None, status, "")
        for n, (drill, variant, at, status) in enumerate(made)
    ]
)


@given(RUNS, st.integers(0, 5), st.floats(0, 200 * DAY_S), st.sets(st.integers(0, 40)))
def test_only_old_ended_unneeded_runs_go(runs: list[RunRecord], newest: int, age_s: float, needed: set[int]) -> None:
    now = 400 * DAY_S
    who = {f"r{n}": "it is needed" for n in needed}
    ruled = rulings(runs, Keep(age_s, newest), now, who)
    assert sorted(one.record.run for one in ruled) == sorted(one.run for one in runs)
    kept: Counter[tuple[str, str]] = Counter()
    for one in ruled:
        record = one.record
        old = now - (record.ended_at or record.started_at) > age_s
        alike = [other for other in runs if (other.drill, other.variant) == (record.drill, record.variant)]
        newer = [other for other in alike if (other.started_at, other.run) > (record.started_at, record.run)]
        beyond = len(newer) >= newest
        assert one.goes == (old and beyond and record.status is not None and record.run not in who)
        assert one.needed == (old and beyond and not one.goes)
        assert one.why
        kept[record.drill, record.variant] += not one.goes
    for kind, count in Counter((one.drill, one.variant) for one in runs).items():
        assert kept[kind] >= min(newest, count)


def test_an_exercise_keeps_its_events() -> None:
    run = RunRecord("r1", "exercise", "exercise", 1.0, 2.0, "passed", "")
    (ruling,) = rulings([run], Keep(0.0, 0), 1e9, {})
    assert (ruling.goes, ruling.needed) == (False, False)


def test_a_run_of_the_future_stays() -> None:
    """A clock that was set back."""
    run = RunRecord("r1", "node-loss", "drill", 1e9, 1e9 + 60, "passed", "")
    assert not rulings([run], Keep(0.0, 0), 1e9 - DAY_S, {})[0].goes
