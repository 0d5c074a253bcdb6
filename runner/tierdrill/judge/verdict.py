"""The verdict: checks, each with what was expected, what was seen and from which events, and their lattice.

Statuses form a lattice (after Jepsen's checkers). A run that left something injected is `unclean`, one that was stopped
`aborted`, whatever else its checks say. A run that is not what it was planned to be (not whole, a fault unproven, a
baseline that was broken before) is `inconclusive` whatever it seems to show. A doubt about the generator, the machine
or monitoring makes unknown only what it may explain; then a failed check decides over an unknown one, an unknown over
a passed one. A check for which the platform tells nothing is `not measured here`: it is counted, and decides nothing.
"""

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """Outcome of one check or of a whole run."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    ABORTED = "aborted"
    UNCLEAN = "unclean"
    NOT_MEASURED = "not measured here"


WORST_FIRST = (
    Status.UNCLEAN,
    Status.ABORTED,
    Status.FAILED,
    Status.INCONCLUSIVE,
    Status.PASSED,
    Status.NOT_MEASURED,
)
HARMLESS = frozenset({Status.PASSED, Status.NOT_MEASURED})
"""What a check may come to without anything being wrong."""

EXIT_CODES = {
    Status.PASSED: 0,
    Status.FAILED: 1,
    Status.INCONCLUSIVE: 3,
    Status.ABORTED: 4,
    Status.UNCLEAN: 5,
}

SECONDS = "s"
GUARDRAIL = "guardrail"
GROUPS = ("run", "load", "experiment", "fault", "slo", "invariant", "alert", "playbook", "class")


@dataclass(frozen=True)
class StopReason:
    """Who ended a run before its time, and why. `by` is guardrail, signal, halt, stop or error."""

    by: str
    reason: str


@dataclass(frozen=True)
class Check:
    """One line of a verdict.

    `id` is its stable path, `group/subject/aspect` (`slo/critical/availability`, `playbook/reschedule-critical/fired`);
    `events` are sequence numbers of the history. `value`, `low`, `high` (a 95% interval), `limit` and `samples` are
    given where the check is a measurement, in SI units; `unit` is SECONDS where that is a time that must not be longer.
    """

    id: str
    group: str
    status: Status
    title: str
    expected: str
    seen: str
    events: tuple[int, ...] = ()
    value: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    samples: int | None = None
    unit: str = ""


@dataclass(frozen=True)
class Times:
    """Seconds from the fault's seen effect; None where it did not happen.

    Mttr counts from the effect to SLI held in target after the fault is gone.
    """

    mttd: float | None = None
    mtta: float | None = None
    mitigate: float | None = None
    mttr: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What a run came to. `reasons` are the checks (ids) that decided it, worst first.

    `stopped` says who ended it before its time and why, where somebody did. `under` are the overrides and the
    maintenance that it was made under: it says how the platform did with them, and proves nothing of it without.
    """

    run: str
    drill: str
    variant: str
    status: Status
    summary: str
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    times: Times = Times()
    mechanisms: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    stopped: StopReason | None = None
    under: tuple[str, ...] = ()

    @property
    def aborted_by_guardrail(self) -> bool:
        """Whether it was the drill's own guardrail that aborted the run, and no person."""
        return self.status is Status.ABORTED and self.stopped is not None and self.stopped.by == GUARDRAIL

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.status]

    def check(self, check_id: str) -> Check | None:
        return next((check for check in self.checks if check.id == check_id), None)

    def to_json(self) -> str:
        """Stable bytes: keys sorted, floats rounded to a microsecond so that a recomputation compares equal."""
        return json.dumps(_rounded(asdict(self)), sort_keys=True, indent=2, allow_nan=False) + "\n"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
