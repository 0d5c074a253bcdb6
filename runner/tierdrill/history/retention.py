"""Which runs may lose their bulk: their events and their folder. Pure.

A run's line and its figures always stay: trends, scores and exports are made from those. The bulk of a run goes when it
is older than the age **and** not among the newest of its drill and variant, and when nothing needs it any more.
Exercises keep theirs: they have no figures, and progress in training is made again from their events.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tierdrill.history.history_store import RunRecord
from tierdrill.history.sealed import EXERCISE
from tierdrill.text import plural

NOT_ENDED = "it has not ended, or its runner died: `tierdrill recover` closes it"


@dataclass(frozen=True)
class Keep:
    """How much is kept: every run younger than `age_s`, and the `newest` of each drill and variant however old."""

    age_s: float = 90 * 86400.0
    newest: int = 20


@dataclass(frozen=True)
class Ruling:
    """What becomes of a run's bulk, and why. `needed`: it would go by age and count, but something needs it."""

    record: RunRecord
    goes: bool
    why: str
    needed: bool = False


def rulings(runs: Sequence[RunRecord], keep: Keep, now: float, needed: Mapping[str, str]) -> list[Ruling]:
    """One for each run, newest first; `needed` says for which runs who still needs their bulk."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for record in sorted(runs, key=lambda one: (one.started_at, one.run), reverse=True):
        kind = (record.drill, record.variant)
        seen[kind] += 1
        age_s = now - (record.ended_at or record.started_at)
        if record.variant == EXERCISE:
            found.append(Ruling(record, False, "an exercise: scores and progress are made again from its events"))
        elif age_s <= keep.age_s:
            found.append(Ruling(record, False, f"younger than {_days(keep.age_s)}"))
        elif seen[kind] <= keep.newest:
            found.append(Ruling(record, False, f"among the newest {keep.newest} of {record.drill}"))
        elif record.status is None:
            found.append(Ruling(record, False, NOT_ENDED, needed=True))
        elif record.run in needed:
            found.append(Ruling(record, False, needed[record.run], needed=True))
        else:
            rest = f" and not among the newest {keep.newest} of {record.drill}" if keep.newest else ""
            found.append(Ruling(record, True, f"older than {_days(keep.age_s)}{rest}"))
    return found


def _days(seconds: float) -> str:
    days = seconds / 86400.0
    return plural(days, "day")
