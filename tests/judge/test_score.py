"""The resilience score: worse data never raises it, it decays, and no data is never a high score."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.judge.nights import DAY, FIRST, VARIANTS, nights
from tierdrill.judge.trend.proof_status import ProofState, flaky_of, proof_of
from tierdrill.judge.trend.resilience_score import Kept, TierScore, decay, drill_score, tier_scores
from tierdrill.judge.trend.run_figures import ObjectiveFigure, RunFigures
from tierdrill.judge.trend.run_series import by_drill
from tierdrill.judge.trend.whole_trend import trend_of
from tierdrill.report.trend.wording import unjudged_words

NOW = FIRST + 200 * DAY
CATALOGUE = {"node-loss": {"critical": 1}}


def objective(status: str, worst: float | None, limit: float = 0.995, name: str = "availability") -> ObjectiveFigure:
    return ObjectiveFigure("critical", name, status, 0.999, 0.998, 1.0, limit, 1000, worst, worst)


def one_run(
    age_days: float, status: str = "passed", *objectives: ObjectiveFigure, variant: str = "drill"
) -> RunFigures:
    expected = status == ("failed" if variant.startswith("sabotage:") else "passed")
    return RunFigures(
        run=f"{variant}-{age_days}", drill="node-loss", variant=variant, status=status,
        started_at=NOW - age_days * DAY, environment="lab", objectives=objectives, tiers={"critical": 1},
        variants=VARIANTS, as_expected=expected,
    )  # fmt: skip


def proofs(age_days: float) -> list[RunFigures]:
    return [
        one_run(age_days, "failed" if variant.startswith("sabotage:") else "passed", variant=variant)
        for variant in VARIANTS[1:]
    ]


def score(*figures: RunFigures, now: float = NOW) -> float:
    [found] = tier_scores(by_drill(figures), now)
    assert found.score is not None
    return found.score


STATUS = st.sampled_from(["passed", "inconclusive", "failed"])
WORST = st.one_of(st.none(), st.floats(-10, 1))


@st.composite
def histories(draw: st.DrawFn) -> list[RunFigures]:
    """A drill's newest run, perhaps an older one, perhaps a proof."""
    kept = [
        objective(draw(STATUS), draw(WORST)),
        objective(draw(STATUS), draw(WORST), name="latency-p99"),
    ]
    passed = all(one.status == "passed" for one in kept)
    status = draw(st.sampled_from(["passed", "failed"])) if passed else "failed"
    figures = [one_run(draw(st.floats(0, 150)), status, *kept)]
    if draw(st.booleans()):
        figures.extend(proofs(draw(st.floats(0, 190))))
    return figures


def worse_status(status: str) -> str:
    return {"passed": "inconclusive"}.get(status, "failed")


@given(histories(), st.data())
def test_worse_data_never_raises_the_score(figures: list[RunFigures], data: st.DataObject) -> None:
    before = score(*figures)
    newest, rest = figures[0], figures[1:]
    how = data.draw(st.sampled_from(["margin", "unbounded", "status", "objective", "age", "proof", "proof-age"]))
    first, *others = newest.objectives
    if how == "margin" and first.margin_worst is not None:
        first = replace(first, margin_worst=first.margin_worst - data.draw(st.floats(0, 5)))
    elif how == "unbounded":
        first = replace(first, margin_worst=None)
    elif how == "objective":
        first, newest = replace(first, status=worse_status(first.status)), replace(newest, status="failed")
    newest = replace(newest, objectives=(first, *others))
    if how in ("status", "objective"):
        newest = replace(newest, status="failed", as_expected=False)
    elif how == "age":
        newest = replace(newest, started_at=newest.started_at - data.draw(st.floats(0, 40)) * DAY)
    elif how == "proof":
        rest = rest[1:]
    elif how == "proof-age":
        rest = [replace(run, started_at=run.started_at - 40 * DAY) for run in rest]
    after = score(newest, *rest)
    assert after <= before + 1e-9


@given(histories(), st.floats(0, 400), st.floats(0, 400))
def test_it_only_ever_decays_while_nothing_runs(figures: list[RunFigures], one: float, other: float) -> None:
    sooner, later = sorted((one, other))
    assert score(*figures, now=NOW + later * DAY) <= score(*figures, now=NOW + sooner * DAY) + 1e-9
    assert score(*figures, now=NOW + 3650 * DAY) < 0.01


@given(histories())
def test_it_lies_between_none_and_all(figures: list[RunFigures]) -> None:
    assert 0 <= score(*figures) <= 100


def stopped(age_days: float, by: str = "guardrail") -> RunFigures:
    return replace(one_run(age_days, "aborted"), stopped_by=by)


def test_a_night_that_a_guardrail_stopped_is_a_failed_one() -> None:
    """Twenty passed nights and twenty guardrail aborts, in turn, were once twenty passed nights."""
    good = objective("passed", 0.6)
    every = [one_run(2 * night + 1, "passed", good) for night in range(20)] + [
        stopped(2 * night) for night in range(20)
    ]
    [runs] = by_drill(every)
    assert [run.outcome for run in runs.judged].count("failed") == 20
    assert score(*every) == pytest.approx(0.4 * 85)
    flaky = flaky_of(runs)
    assert flaky is not None and (flaky.runs, flaky.failed) == (30, 15)
    found = drill_score(runs, "critical", NOW)
    assert (found.kept, found.runs, found.passed) == (Kept.STOPPED, 5, 2)


def test_a_night_that_somebody_stopped_says_nothing_but_is_counted() -> None:
    good = objective("passed", 0.6)
    every = [one_run(night, "passed", good) for night in range(1, 9)]
    others = [stopped(1.5, "signal"), one_run(2.5, "inconclusive"), one_run(3.5, "unclean"), stopped(30.5, "halt")]
    [runs] = by_drill([*every, *others])
    assert len(runs.judged) == 8 and len(runs.unjudged) == 4
    found = drill_score(runs, "critical", NOW)
    assert (found.points, found.unjudged) == (pytest.approx(85), 3)
    assert unjudged_words(runs) == "4 of 12 could not be judged (2 aborted, 1 inconclusive, 1 unclean)"


def test_a_sabotage_that_a_guardrail_stopped_says_nothing() -> None:
    assert replace(one_run(1, "aborted", variant="sabotage:x"), stopped_by="guardrail").outcome == ""


def test_the_score_is_that_of_the_latest_runs_and_not_of_the_newest_alone() -> None:
    good, bad = objective("passed", 0.6), objective("failed", -1.0)
    failed = [one_run(night, "failed", bad) for night in range(2, 6)]
    assert score(one_run(1, "passed", good), *failed) == pytest.approx(85 / 5)
    assert score(
        one_run(1, "failed", bad), *(one_run(night, "passed", good) for night in range(2, 30))
    ) == pytest.approx(85 * 4 / 5)


def test_all_points_and_what_each_is_worth() -> None:
    good = objective("passed", 0.6)
    assert score(one_run(1, "passed", good), *proofs(10)) == pytest.approx(100)
    assert score(one_run(1, "passed", good)) == pytest.approx(85)
    assert score(one_run(1, "passed", objective("passed", 0.25)), *proofs(10)) == pytest.approx(87.5)
    assert score(one_run(1, "passed", objective("passed", None)), *proofs(10)) == pytest.approx(75)
    assert score(one_run(1, "failed", good)) == pytest.approx(55)  # the tier kept its own
    assert score(one_run(1, "failed", objective("failed", -1.0)), *proofs(10)) == 0
    assert score(one_run(1, "failed", objective("inconclusive", None))) == 0
    assert score(one_run(1, "passed", good), *proofs(180)) == pytest.approx(85 + 7.5)


def test_thirty_days_without_a_run_cost_nothing_and_each_thirty_more_half() -> None:
    good = objective("passed", 0.6)
    for age, factor in ((0, 1), (30, 1), (45, 0.5**0.5), (60, 0.5), (90, 0.25), (120, 0.125)):
        assert score(one_run(age, "passed", good)) == pytest.approx(85 * factor)


def test_a_clock_that_was_set_back_is_no_credit() -> None:
    assert decay(-1e9, 10, 10) == 1


def test_inconclusive_runs_refresh_nothing_and_say_nothing() -> None:
    old = one_run(90, "passed", objective("passed", 0.6))
    doubtful = [one_run(age, "inconclusive", objective("inconclusive", None)) for age in (60, 30, 1)]
    assert score(old, *doubtful) == score(old)
    assert score(*doubtful) == 0


def test_an_objective_that_allows_nothing_has_no_margin_to_lose() -> None:
    whole = objective("passed", 0.0, limit=1.0, name="integrity")
    assert score(one_run(1, "passed", objective("passed", 0.6), whole)) == pytest.approx(85)
    assert score(one_run(1, "passed", whole)) == pytest.approx(60)


def test_one_objective_that_the_samples_do_not_bound_leaves_no_margin() -> None:
    unbounded = objective("passed", None, name="latency-p99")
    assert score(one_run(1, "passed", objective("passed", 0.6), unbounded)) == pytest.approx(60)


def test_a_proof_without_figures_of_the_tier_is_worth_nothing() -> None:
    assert score(one_run(1, "passed"), *proofs(10)) == 0


def test_a_proof_of_tomorrow_does_not_count_today() -> None:
    figures = [one_run(30, "passed", objective("passed", 0.6)), *proofs(10)]
    assert score(*figures, now=NOW - 20 * DAY) == pytest.approx(85)
    assert score(*figures) == pytest.approx(100)


def test_no_drill_is_no_score_and_a_drill_never_run_is_nothing() -> None:
    assert tier_scores([], NOW) == []
    [unrun] = tier_scores([], NOW, CATALOGUE)
    assert (unrun.score, unrun.drills[0].kept) == (0.0, Kept.NEVER)
    [half] = tier_scores(
        by_drill([one_run(1, "passed", objective("passed", 0.6)), *proofs(1)]),
        NOW,
        {**CATALOGUE, "slow-link": {"critical": 1}},
    )
    assert half.score == pytest.approx((50 + 0) / 2)
    assert half.weakest is not None and half.weakest.drill == "slow-link"


def test_a_drill_that_left_the_catalogue_is_left_out_by_name() -> None:
    [found] = tier_scores(by_drill([one_run(1, "passed", objective("passed", 0.6))]), NOW, {"x": {}})
    assert found == TierScore("critical", 1, None, (), ("node-loss",))


def test_the_score_is_that_of_the_moment_asked_for() -> None:
    figures = [one_run(100, "failed", objective("failed", -1.0)), one_run(1, "passed", objective("passed", 0.6))]
    [runs] = by_drill(figures)
    assert drill_score(runs, "critical", NOW - 50 * DAY).kept is Kept.NOT
    assert drill_score(runs, "critical", NOW - 150 * DAY).kept is Kept.NEVER
    assert drill_score(runs, "critical", NOW).kept is Kept.ALL


def test_past_scores_are_what_the_score_was_then() -> None:
    figures = nights(count=40)
    doubtful = [one for one in figures if int(one.started_at) % 3]
    figures = [replace(one, status="inconclusive") if one in doubtful else one for one in figures]
    now = figures[-1].started_at + 40 * DAY
    trend = trend_of(figures, now)
    points = trend.history["critical"]
    assert points[-1] == (now, trend.scores[0].score)
    for moment, past in points[:: len(points) // 6]:
        [then] = [one for one in tier_scores([runs.until(moment) for runs in by_drill(figures)], moment)
                  if one.tier == "critical"]  # fmt: skip
        assert past == pytest.approx(then.score)


def test_a_proof_is_as_old_as_its_oldest_part() -> None:
    runs = [one_run(1), *proofs(20)]
    [group] = by_drill(runs)
    assert proof_of(group).state is ProofState.PROVEN
    assert proof_of(group).at == NOW - 20 * DAY


@pytest.mark.parametrize("lacking", VARIANTS)
def test_a_proof_needs_every_part(lacking: str) -> None:
    runs = [run for run in [one_run(1), *proofs(20)] if run.variant != lacking]
    [group] = by_drill(runs)
    assert proof_of(group).state is ProofState.INCOMPLETE
    assert proof_of(group).missing == (lacking,)


def test_a_sabotage_that_passes_undoes_the_proof_until_it_fails_again() -> None:
    passes = one_run(3, "passed", variant="sabotage:alert-silenced")
    [group] = by_drill([one_run(1), *proofs(20), passes])
    assert proof_of(group).wrong == (("sabotage:alert-silenced", passes.run),)
    again = one_run(2, "failed", variant="sabotage:alert-silenced")
    [group] = by_drill([one_run(1), *proofs(20), passes, again])
    assert proof_of(group).state is ProofState.PROVEN


def test_an_inconclusive_sabotage_says_nothing() -> None:
    doubtful = one_run(3, "inconclusive", variant="sabotage:alert-silenced")
    [group] = by_drill([one_run(1), *proofs(20), doubtful])
    assert proof_of(group).state is ProofState.PROVEN


def outcomes(text: str) -> list[RunFigures]:
    """A run for each letter: p passed, f failed, i inconclusive."""
    words = {"p": "passed", "f": "failed", "i": "inconclusive"}
    return [one_run(len(text) - place, words[letter]) for place, letter in enumerate(text)]


@pytest.mark.parametrize(
    ("text", "flips"),
    [
        ("pppppp", 0),
        ("ppppff", 1),
        ("pppffppp", 2),
        ("pppfffpf", 3),
        ("ppfppfpp", 4),
        ("pipifipi", 2),
        ("fpfpfp", 5),
        ("", 0),
    ],
)
def test_flaky_is_what_one_break_and_its_mending_cannot_explain(text: str, flips: int) -> None:
    groups = by_drill(outcomes(text))
    found = flaky_of(groups[0]) if groups else None
    assert (found is not None) == (flips >= 3)
    if found is not None:
        assert found.flips == flips
        assert found.failed == text.count("f")
        assert found.share.low < found.share.value < found.share.high


def test_outcomes_that_change_with_the_build_are_not_flaky() -> None:
    changed = [
        replace(run, build=replace(run.build, documents=str(number))) for number, run in enumerate(outcomes("pfpfpfpf"))
    ]
    assert flaky_of(by_drill(changed)[0]) is None
