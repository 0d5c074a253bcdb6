"""What the experiment itself found: whether its own hypothesis held, and whether its rollbacks did their work.

Chaos Toolkit's word stands beside ours. A hypothesis that did not hold before the method is a doubt about the run,
whose method was not played; one that did not hold during or after it is a failure. A rollback that failed may have
left anything behind, whatever one probe says of one fault.
"""

from __future__ import annotations

from collections.abc import Sequence

from tierdrill.history.events import Event, each
from tierdrill.history.kinds.run_kinds import ExperimentHypothesis, ExperimentRollbacks
from tierdrill.judge.verdict import Check, Status

TITLES = {
    "before": "the experiment's hypothesis holds before its method",
    "during": "the experiment's hypothesis holds during its method",
    "after": "the experiment's hypothesis holds after its method",
}


def judge_experiment(events: Sequence[Event]) -> list[Check]:
    """A check for each time its hypothesis was asked, and one of its rollbacks; none for a history without them."""
    asked = each(events, ExperimentHypothesis)
    checks = []
    for when, title in TITLES.items():
        if mine := [(event, said) for event, said in asked if said.when == when]:
            checks.append(_hypothesis(when, title, mine))
    if played := each(events, ExperimentRollbacks):
        checks.append(_rollbacks(played))
    return checks


def _hypothesis(when: str, title: str, told: Sequence[tuple[Event, ExperimentHypothesis]]) -> Check:
    # Nothing but true is an answer that it held.
    unmet = [said for _, said in told if said.met is not True]
    decisive = next((said for said in unmet if said.met is False), unmet[0] if unmet else told[0][1])
    if not unmet:
        status = Status.PASSED
    elif when == "before" or decisive.met is not False:
        status = Status.INCONCLUSIVE
    else:
        status = Status.FAILED
    seen = decisive.seen or "not reported"
    return Check(
        f"experiment/hypothesis/{when}",
        "experiment",
        status,
        title,
        "every probe of it is within its tolerance",
        f"{seen}; the method was not played" if unmet and when == "before" else seen,
        tuple(event.sequence for event, _ in told),
    )


def _rollbacks(played: Sequence[tuple[Event, ExperimentRollbacks]]) -> Check:
    # Played again, only what failed the last time is left.
    last = played[-1][1]
    failed = [one for one in last.failed if isinstance(one, dict)]
    # What tierdrill's own undo could not mend is on the ledger, and judged there.
    own = all(one.get("own") for one in failed)
    status = (Status.INCONCLUSIVE if own else Status.UNCLEAN) if failed else Status.PASSED
    seen = "; ".join(f"{one.get('activity')}: {one.get('seen')}" for one in failed)
    return Check(
        "experiment/rollbacks",
        "experiment",
        status,
        "the experiment's rollbacks succeed",
        "none of them fails",
        seen or f"{last.played} played",
        tuple(event.sequence for event, _ in played),
    )
