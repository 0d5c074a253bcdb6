"""Where a drill stands: is it flaky, and is it proven, and since when.

**Flaky** is a drill whose runs, on one and the same build and documents, pass and fail in turn. Something that broke
and was mended explains two changes of outcome at most (it passed, fails, passes again), so the third is the bound.

**Proven** is a drill whose own run passed, whose blip twin was silent and whose every sabotage failed for the reason
it names, each in its newest run that says anything. The proof is as old as the oldest of these runs.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.judge.proof import ProofRow, named_by
from tierdrill.judge.statistics import Interval, wilson
from tierdrill.judge.trend.run_figures import Build, RunFigures
from tierdrill.judge.trend.run_series import DrillRuns

FLAKY_RUNS_MAX = 30
FLAKY_FLIPS_MIN = 3


@dataclass(frozen=True)
class Flaky:
    """A drill that cannot make up its mind: of `runs` of one build `failed` did, with `flips` changes of outcome.

    `share` is that of failed runs with its 95% interval; `checks` are what decided against the runs, and how often.
    """

    drill: str
    environment: str
    build: Build
    runs: int
    failed: int
    flips: int
    share: Interval
    checks: tuple[tuple[str, int], ...]


def flaky_of(runs: DrillRuns) -> Flaky | None:
    """The drill as flaky, if it is: by its latest runs of the newest build."""
    judged = runs.judged
    if not judged:
        return None
    build = judged[-1].build
    same = [run for run in judged[-FLAKY_RUNS_MAX:] if run.build == build]
    failed = [run for run in same if run.outcome == "failed"]
    flips = sum(one.outcome != other.outcome for one, other in pairwise(same))
    share = wilson(len(failed), len(same))
    if flips < FLAKY_FLIPS_MIN or share is None:
        return None
    checks = Counter(check for run in failed for check in run.reasons).most_common()
    return Flaky(runs.drill, runs.environment, build, len(same), len(failed), flips, share, tuple(checks))


class ProofState(StrEnum):
    """What is known of a drill's worth."""

    PROVEN = "proven"
    BROKEN = "not proven any more"
    INCOMPLETE = "not proven yet"


@dataclass(frozen=True)
class Proof:
    """How a drill's proof stands.

    `at` is when its oldest part was run (Unix seconds), if it is proven. `wrong` are variants with the run that did
    not come out as it must, `missing` those that no run says anything of. `documents_changed` says that some part was
    run with other documents than the newest run.
    """

    state: ProofState
    at: float | None = None
    wrong: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
    documents_changed: bool = False


def proof_of(runs: DrillRuns) -> Proof:
    """The proof from the newest run of every variant that the newest documents ask for."""
    wanted = next((run.variants for run in reversed(runs.runs) if run.variants), ("drill",))
    newest = {variant: _newest(runs.runs, variant) for variant in wanted}
    wrong = tuple((name, run.run) for name, run in newest.items() if run is not None and not run.as_expected)
    missing = tuple(name for name, run in newest.items() if run is None)
    parts = [run for run in newest.values() if run is not None]
    if wrong:
        return Proof(ProofState.BROKEN, wrong=wrong, missing=missing)
    if missing or len(wanted) < 2:  # a drill that is never shown to fail proves nothing
        return Proof(ProofState.INCOMPLETE, missing=missing)
    digests = {run.build.documents for run in parts}
    return Proof(ProofState.PROVEN, min(run.started_at for run in parts), documents_changed=len(digests) > 1)


def shown_by(
    setting: DrillSetting, runs: Sequence[RunFigures], wanted: Sequence[str], build: Build
) -> list[ProofRow]:
    """The rows of a proof that was left off: of the variants wanted, those whose newest run that says anything was made
    by the same unchanged build, with the same documents, and came out as it must.
    """
    rows: list[ProofRow] = []
    for variant in wanted:
        run = _newest(runs, variant)
        if run is None or run.build != build or build.changed or not run.as_expected or run.ended_at is None:
            continue
        named, seconds = named_by(setting, variant), run.ended_at - run.started_at
        expected = "failed" if named else "passed"
        rows.append(ProofRow(variant, expected, run.status, named, run.reasons, True, run.run, seconds))
    return rows


def _newest(runs: Sequence[RunFigures], variant: str) -> RunFigures | None:
    return next((run for run in reversed(runs) if run.variant == variant and run.trusted), None)
