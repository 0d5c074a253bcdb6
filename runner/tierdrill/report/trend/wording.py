"""How a trend is told in words, the same on the terminal, in the page and in notices."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tierdrill.documents.models.units import show_ratio
from tierdrill.judge.trend.proof_status import Flaky, Proof, ProofState
from tierdrill.judge.trend.regression import ALPHA, FALSE_ALARMS_A_YEAR, Change, Group, Outlook
from tierdrill.judge.trend.resilience_score import DAY_S, MARGIN, OUTCOME, PROOF, DrillScore, Kept, TierScore
from tierdrill.judge.trend.run_figures import Build
from tierdrill.judge.trend.run_series import PASSED, DrillRuns, Pooled
from tierdrill.judge.trend.whole_trend import DrillTrend, Regression
from tierdrill.report.format import ASPECT_WORDS, show_seconds, show_share, variant_words
from tierdrill.text import plural

TIME_WORDS = {
    "mttd": "time to detect",
    "mtta": "time to acknowledge",
    "mitigate": "time to mitigate",
    "mttr": "time to recover",
}


def measure_words(measure: str) -> str:
    """A measure without its tier: "time to detect", "p99 latency", "passed runs"."""
    if measure == PASSED:
        return "passed runs"
    if measure in TIME_WORDS:
        return TIME_WORDS[measure]
    name, _, quantile = measure.partition("-p")
    words = ASPECT_WORDS.get(name, name.replace("_", " "))
    return f"p{quantile} {words}" if quantile else words


def show_margin(margin: float | None) -> str:
    """A margin in whole percent of what is allowed: "31%", "−40%", "−1000% or worse"."""
    if margin is None:
        return "–"
    percent = round(margin * 100)
    text = f"−{-percent}%" if percent < 0 else f"{percent}%"
    return f"{text} or worse" if percent <= -1000 else text


def show_value(tier: str, measure: str, value: float | None) -> str:
    """A value of a measure in its own unit."""
    if tier:
        return show_margin(value)
    return show_share(value) if measure == PASSED else show_seconds(value)


def show_age(seconds: float | None) -> str:
    """How long ago: "5 min", "3 h", "12 days"."""
    if seconds is None:
        return "never"
    if seconds < 3600:
        return f"{max(0, round(seconds / 60))} min"
    if seconds < 2 * DAY_S:
        return f"{round(seconds / 3600)} h"
    return f"{round(seconds / DAY_S)} days"


def drill_title(drill: str, environment: str, several: bool) -> str:
    """The drill's name, with its environment where it runs in several."""
    return f"{drill} in {environment or 'an unknown environment'}" if several else drill


def subject_of(change: Change) -> str:
    """What changed: "critical p99 latency: margin", "time to detect"."""
    words = measure_words(change.measure)
    return f"{change.tier} {words}, margin" if change.tier else words


def change_words(change: Change) -> str:
    """From what to what, how sure: "4.4 s → 8.8 s, +4.4 s (98%: +4.1 s to +4.7 s); 7 runs after 28, p 0.0006"."""
    if change.outlook is Outlook.UNKNOWN:
        have = change.earlier.runs + change.latest.runs
        return f"too few runs to tell ({have}; needs {max(change.needs, have + 1)})"
    moved = f"{_middle(change, change.earlier)} → {_middle(change, change.latest)}"
    if change.p is None:
        return f"{_middle(change, change.latest)} in each of {change.earlier.runs + change.latest.runs} runs"
    if change.shift is not None:
        low, high = _signed(change, change.shift.low), _signed(change, change.shift.high)
        moved += f", shift {_signed(change, change.shift.estimate)} (98%: {low} to {high})"
    return f"{moved}; {plural(change.latest.runs, 'run')} after {change.earlier.runs}, {p_words(change)}"


def p_words(change: Change) -> str:
    """The corrected p: "p 0.0006 of 12 together"."""
    p = change.p_family if change.p_family is not None else 1.0
    number = "p < 0.0001" if p < 0.0001 else f"p {p:.4f}" if p < 0.1 else f"p {p:.2f}"
    return f"{number} (Holm, {plural(change.family, 'measure')})"


def outlook_words(change: Change) -> str:
    if change.outlook is Outlook.STEADY:
        return "steady" if change.p is None else "no change shown"
    return str(change.outlook.value)


def regression_words(regression: Regression) -> str:
    """One sentence, for a list or a notice."""
    change = regression.change
    verb = {True: "fell", False: "rose"}[bool(change.tier) or change.measure == PASSED]
    text = f"{regression.drill}: {subject_of(change)} {verb}: {change_words(change)}"
    cause = f"with {build_step_words(*change.builds)}" if change.builds else f"from {change.latest.first_run} on"
    return f"{text}; {cause}"


def build_step_words(before: Build, after: Build) -> str:
    """What is new in a build: "tierdrill 0.1.0 → 0.2.0", "changed documents"."""
    parts = []
    if before.version != after.version:
        parts.append(f"tierdrill {before.version or '?'} → {after.version or '?'}")
    if (before.commit, before.changed) != (after.commit, after.changed):
        parts.append(f"commit {_commit(before)} → {_commit(after)}")
    if before.documents != after.documents:
        parts.append("changed documents")
    return ", ".join(parts) or "the same build"


def short_proof_words(proof: Proof, age_s: float | None) -> str:
    """As a word or two, for a column: "15 days old", "not yet", "broken"."""
    if proof.state is ProofState.PROVEN:
        return f"{show_age(age_s)} old"
    return "broken" if proof.state is ProofState.BROKEN else "not yet"


def proof_words(proof: Proof, age_s: float | None) -> str:
    """How the proof stands: "proven 12 days ago", "not proven: sabotage alert-silenced never run"."""
    if proof.state is ProofState.PROVEN:
        changed = "; documents changed since" if proof.documents_changed else ""
        return f"proven {show_age(age_s)} ago{changed}"
    if proof.state is ProofState.BROKEN:
        return f"{proof.state.value}: {variant_words(proof.wrong[0][0])} did not come out as it must"
    if not proof.missing:
        return f"{proof.state.value}: it has no run that must fail"
    more = f" and {len(proof.missing) - 1} more" if len(proof.missing) > 1 else ""
    first = "the drill itself" if proof.missing[0] == "drill" else variant_words(proof.missing[0])
    return f"{proof.state.value}: no run of {first}{more}"


def last_words(age_s: float | None) -> str:
    return "no run has said anything yet" if age_s is None else f"last run that says anything {show_age(age_s)} ago"


def flaky_words(flaky: Flaky) -> str:
    """With the numbers: "4 of 14 runs of one build failed, the outcome changed 5 times"."""
    low, high = show_share(round(flaky.share.low, 2)), show_share(round(flaky.share.high, 2))
    checks = ", ".join(f"{check} ×{count}" for check, count in flaky.checks[:3])
    return (
        f"{flaky.failed} of {plural(flaky.runs, 'run')} of one build and documents failed (95%: {low} to {high}), "
        f"the outcome changed {flaky.flips} times" + (f"; {checks}" if checks else "")
    )


@dataclass(frozen=True)
class ScoreLine:
    """A line of a score's explanation: points of how many, and for what."""

    points: float
    most: float
    text: str


def score_lines(score: DrillScore, now: float) -> tuple[ScoreLine, ...]:
    """Where a drill's points for a tier come from; empty where no run says anything."""
    if score.kept is Kept.NEVER:
        return ()
    age = show_age(now - score.at if score.at is not None else None)
    if score.margin is not None:
        margin = f"{show_margin(score.margin)} left of {measure_words(score.tightest)} at its bad end"
    elif score.tightest:
        margin = f"{measure_words(score.tightest)}: too few samples to bound it"
    else:
        margin = "no objective that a margin could be left of"
    proof_age = None if score.proof.at is None else max(0.0, now - score.proof.at)
    return (
        ScoreLine(score.outcome, OUTCOME, f"{score.kept.value}, {age} ago{_latest_words(score)}"),
        ScoreLine(score.margin_points, MARGIN, margin),
        ScoreLine(score.proof_points, PROOF, proof_words(score.proof, proof_age)),
    )


def _latest_words(score: DrillScore) -> str:
    """What stands beside the newest run: "; 3 of the latest 5 passed, 2 nights since could not be judged"."""
    parts = [f"{score.passed} of the latest {score.runs} passed"] if score.runs > 1 else []
    parts += [f"{plural(score.unjudged, 'night')} since could not be judged"] if score.unjudged else []
    return f"; {', '.join(parts)}" if parts else ""


def unjudged_words(runs: DrillRuns) -> str:
    """How many nights say nothing, and which failed by a guardrail: "3 of 20 could not be judged (3 inconclusive)"."""
    statuses = Counter(run.came_to for run in runs.unjudged)
    which = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
    stopped = sum(run.status == "aborted" for run in runs.judged)
    parts = [f"{statuses.total()} of {len(runs.nights)} could not be judged ({which})"] if statuses else []
    parts += [f"{plural(stopped, 'night')} stopped by a guardrail counted as failed"] if stopped else []
    return "; ".join(parts)


def recency_words(score: DrillScore) -> str:
    """ "× 0.50 for age", or nothing while the run is fresh."""
    if score.kept is Kept.NEVER:
        return score.kept.value
    return f"× {score.recency:.2f} for age" if score.recency < 0.995 else ""


def tier_score_words(score: TierScore) -> str:
    """What a tier's score rests on: "4 drills, weakest slow-link with 62"."""
    if score.score is None or score.weakest is None:
        left = f"; {', '.join(score.left_out)} not in the catalogue" if score.left_out else ""
        return f"no drill judges it{left}"
    weakest = score.weakest
    text = plural(len(score.drills), "drill")
    if len(score.drills) > 1:
        why = f", {weakest.kept.value}" if weakest.kept is Kept.NEVER else f" with {weakest.points:.0f}"
        text += f", weakest {weakest.drill}{why}"
    return text


def show_score(score: float | None) -> str:
    """ "87", "none"; 100 means all points."""
    return "none" if score is None else "99" if 99 < score < 99.95 else f"{score:.0f}"


def stale_words(drills: Sequence[DrillTrend], never: Sequence[str]) -> list[str]:
    """What nothing is known of any more, one sentence each."""
    lines = [
        f"{one.runs.drill}: no run that says anything for {show_age(one.age_s)}"
        if one.age_s is not None
        else f"{one.runs.drill}: no run of it has said anything yet"
        for one in drills
        if one.stale
    ]
    lines += [f"{one.runs.drill}: its proof is {show_age(one.proof_age_s)} old" for one in drills if one.proof_stale]
    return lines + [f"{name}: never run" for name in never]


def pooled_rows(every: Sequence[Pooled]) -> list[tuple[str, ...]]:
    """A row for each objective over several nights: tier, objective with its limit, share, over what, status."""
    return [
        (
            one.tier,
            f"{measure_words(one.objective)} at {'least' if one.at_least else 'most'} {show_ratio(one.limit)}",
            f"{one.share.value:.3%} (95%: {one.share.low:.3%} to {one.share.high:.3%})",
            f"{one.bad} bad of {one.share.samples} in {plural(one.nights, 'night')}"
            + (f", {one.left_out} left out" if one.left_out else ""),
            one.status.value,
        )
        for one in every
    ]


def rule_words() -> str:
    """How changes are judged, for whoever reads the numbers."""
    return (
        f"Worse or better: Mann-Whitney p below {ALPHA:.0%} after Holm's correction over the drill's measures, the "
        "whole 98% interval of the shift on one side, and a shift that matters (of times 0.5 s and 10%, of margins 5% "
        f"of the limit). {rate_words()}"
    )


def rate_words() -> str:
    """How often that is wrong."""
    alone, alike = (FALSE_ALARMS_A_YEAR[correlation] for correlation in (0.0, 0.5))
    return (
        f"A drill without any change is called worse in {ALPHA:.0%} of looks at most; looked at every night, about "
        f"{alone:g} times a year, {alike:g} times where a night is much like the one before it."
    )


def _middle(change: Change, group: Group) -> str:
    return show_value(change.tier, change.measure, group.middle)


def _signed(change: Change, value: float) -> str:
    if value in (float("inf"), float("-inf")):
        return "unbounded"
    size = show_margin(abs(value)) if change.tier else show_seconds(abs(value))
    return f"{'−' if value < 0 else '+'}{size}"


def _commit(build: Build) -> str:
    return (build.commit[:7] or "?") + ("+" if build.changed else "")
