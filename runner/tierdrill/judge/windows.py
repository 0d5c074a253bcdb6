"""Windows that slide over a tier's samples: where what it promises of its requests was shown to be broken.

A promise about requests allows a share of them to go bad: availability 99.5% allows 0.5%, a p90 allows 10% over its
limit. A window breaks it where so many bad ones in so many would be seen by chance alone, at the very share that is
allowed, less often than in 2.5% of runs, whatever the number of windows and promises looked at (Bonferroni). So a
service that keeps its promises is not accused, and a few slow requests in one second are no outage.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tierdrill.documents.models.tiers import Objectives, quantile_share
from tierdrill.documents.sample_size import TAIL, quantile_over_fails
from tierdrill.judge.sample_columns import UNKNOWN
from tierdrill.judge.samples import TierSamples

STEP_S = 0.25
STEPS_MAX = 20_000


@dataclass(frozen=True)
class Target:
    """The share of requests that may go bad: not answered, or later than `late` seconds."""

    allowed: float
    late: float = math.inf


@dataclass(frozen=True)
class Window:
    """One window: Unix seconds, requests that tell of the service, and how many of them were bad."""

    begin: float
    end: float
    asked: int
    bad: int

    @property
    def share(self) -> float:
        """The share of bad ones; 0 without requests."""
        return self.bad / self.asked if self.asked else 0.0


def targets_of(objectives: Objectives) -> tuple[Target, ...]:
    """What being in target means for a tier: its availability (or error ceiling), and its latency at every quantile.

    A tier that promises none of them is in target with 95% of its requests answered.
    """
    late = tuple(Target(1.0 - quantile_share(name), limit) for name, limit in objectives.latency.items())
    budget = objectives.error_budget
    return (Target(budget), *late) if budget is not None else late or (Target(0.05),)


def silent_outcomes(objectives: Objectives) -> frozenset[str]:
    """Outcomes that tell nothing of the service: what was never asked, and a refusal that is no broken promise."""
    return UNKNOWN if objectives.rejections_count else UNKNOWN | {"rejected"}


class Strip:
    """A tier's samples between two moments, counted in steps, for one target."""

    def __init__(
        self, samples: TierSamples, span: tuple[float, float], target: Target, silent: Collection[str]
    ) -> None:
        """Count; outcomes that are `silent` are left out, all others but "ok" are bad."""
        begin, end = span
        self.target = target
        self.step = max(STEP_S, (end - begin) / STEPS_MAX)
        count = max(1, int((end - begin) / self.step + 1e-9))
        self.edges = [begin + self.step * number for number in range(count)] + [end]
        self._moments = samples.cut(begin, end).moments(target.late, silent)
        self.asked, self.bad = ([bisect_left(due, edge) for edge in self.edges] for due in self._moments)

    @property
    def steps(self) -> int:
        return len(self.edges) - 1

    def windows(self, seconds: float, requests_at_least: int = 1) -> list[Window]:
        """Every window of that length, by its end; longer, where it takes that to have so many requests."""
        width = min(self.steps, max(1, round(seconds / self.step)))
        found = []
        first = 0
        for last in range(width, self.steps + 1):
            first = max(first, last - width)
            begin = first
            while begin > 0 and self.asked[last] - self.asked[begin] < requests_at_least:
                begin -= 1
            asked, bad = self.asked[last] - self.asked[begin], self.bad[last] - self.bad[begin]
            found.append(Window(self.edges[begin], self.edges[last], asked, bad))
        return found

    def change(self, window: Window, *, backwards: bool = False) -> float:
        """The moment in a window at which bad requests end to be more than the target allows (backwards: begin to).

        Where the sum of what is over a middle share is largest (as in a CUSUM chart).
        """
        asked, bad = (
            due[bisect_left(due, window.begin) : bisect_left(due, window.end)] for due in self._moments
        )
        middle = (self.target.allowed + window.share) / 2
        highest, at = -math.inf, window.begin if backwards else window.end
        # The sum falls between bad requests, so that it is highest at one.
        for number, due in enumerate(reversed(bad) if backwards else bad, 1):
            passed = len(asked) - bisect_left(asked, due) if backwards else bisect_right(asked, due)
            if number - middle * passed > highest:
                highest, at = number - middle * passed, due
        return at


def requests_telling(allowed: float, tail: float) -> int:
    """How many requests, all of them bad, it takes to show that more go bad than is allowed."""
    return 1 if allowed <= 0.0 else math.ceil(math.log(tail) / math.log(allowed) - 1e-9) if allowed < 1.0 else 1


@lru_cache(maxsize=4096)
def fewest_shown(asked: int, allowed: float, tail: float) -> int:
    """The fewest bad requests of so many that show it, with that chance at most of being wrong; more than all: none."""
    if allowed <= 0.0:
        return 1
    found = quantile_over_fails(asked, allowed, tail) if allowed < 1.0 else None
    return asked + 1 if found is None else found


def broken_stretches(
    samples: TierSamples, span: tuple[float, float], targets: Sequence[Target], silent: Collection[str], seconds: float
) -> list[tuple[float, float]]:
    """Where windows of that length show a target to be broken: from the first bad request to the last, ascending."""
    found: list[tuple[float, float]] = []
    for target in targets:
        strip = Strip(samples, span, target, silent)
        if not strip.bad[-1]:
            continue
        width = max(seconds, 4 * strip.step)
        tail = TAIL / (max(1, strip.steps - round(width / strip.step) + 1) * len(targets))
        found.extend(_runs(strip, strip.windows(width, requests_telling(target.allowed, tail)), tail))
    return joined_stretches(found)


def _runs(strip: Strip, windows: Sequence[Window], tail: float) -> Iterable[tuple[float, float]]:
    allowed = strip.target.allowed
    run: list[Window] = []
    for window in [*windows, None]:
        broken = (
            window is not None
            and window.bad > window.asked * allowed
            and window.bad >= fewest_shown(window.asked, allowed, tail)
        )
        if broken and window is not None:
            run.append(window)
        elif run:
            begin, end = strip.change(run[0], backwards=True), strip.change(run[-1])
            yield min(begin, end), max(begin, end)
            run = []


def joined_stretches(stretches: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The same, those that overlap as one."""
    found: list[tuple[float, float]] = []
    for begin, end in sorted(stretches):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found
