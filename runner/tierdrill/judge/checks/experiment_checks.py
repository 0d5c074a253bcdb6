"""What the experiment itself found: whether its own hypothesis held, and whether its rollbacks did their work.

Chaos Toolkit's word stands beside ours. A hypothesis that did not hold before the method is a doubt about the run,
whose method was not played; one that did not hold during or after it is a failure. A rollback that failed may have
left anything behind, whatever one probe says of one fault.
"""

from __future__ import annotations

from collections.abc import Sequence

from tierdrill.history.events import Event
from tierdrill.judge.verdict import Check, Status

TITLES = {
    "before": "the experiment's hypothesis holds before its method",
    "during": "the experiment's hypothesis holds during its method",
    "after": "the experiment's hypothesis holds after its method",
}


def judge_experiment(events: Sequence[Event]) -> list[Check]:
    """A check for each time its hypothesis was asked, and one of its rollbacks; none for a history without them."""
    asked = [event for event in events if event.kind == "experiment.hypothesis"]
    checks = []
    for when, title in TITLES.items():
        if mine := [event for event in asked if event.data.get("when") == when]:
            checks.append(_hypothesis(when, title, mine))
    if played := [event for event in events if event.kind == "experiment.rollbacks"]:
        checks.append(_rollbacks(played))
    return checks


def _hypothesis(when: str, title: str, told: Sequence[Event]) -> Check:
    # Nothing but true is an answer that it held.
    unmet = [event for event in told if event.data.get("met") is not True]
    decisive = next((event for event in unmet if event.data.get("met") is False), unmet[0] if unmet else told[0])
    if not unmet:
        status = Status.PASSED
    elif when == "before" or decisive.data.get("met") is not False:
        status = Status.INCONCLUSIVE
    else:
        status = Status.FAILED
    seen = str(decisive.data.get("seen") or "it was not told")
    return Check(
        f"experiment/hypothesis/{when}",
        "experiment",
        status,
        title,
        "every probe of it is within its tolerance",
        f"{seen}; the method was not played" if unmet and when == "before" else seen,
        tuple(event.sequence for event in told),
    )


def _rollbacks(played: Sequence[Event]) -> Check:
    # Played again, only what failed the last time is left.
    failed = [one for one in played[-1].data.get("failed") or () if isinstance(one, dict)]
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
        seen or f"{played[-1].data.get('played')} played",
        tuple(event.sequence for event in played),
    )
