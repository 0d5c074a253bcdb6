"""The figures of one run that outlive its events: what a trend, an error budget and an export are made from.

Pure: made from a history and its verdict, written as plain JSON and read back. They are small, so that a thousand runs
are read in a moment, and may be kept after the events of an old run have been removed.

The **margin** of an objective is the signed share of what it allows that was left over: 1 is nothing used, 0 exactly
the limit, below 0 broken. A share that must be at least 99.5% allows 0.5% bad: 99.75% has a margin of 0.5. A time that
must be at most 500 ms: 100 ms has 0.8. So margins of all objectives are read alike, and more is always better.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tierdrill.documents.catalogue import Catalogue, DrillSetting
from tierdrill.documents.models.drill import Drill
from tierdrill.documents.models.tiers import Tiers
from tierdrill.history.events import Event
from tierdrill.judge.judge import setting_in, start_of
from tierdrill.judge.proof import row_of, variants_of
from tierdrill.judge.timeline import read_timeline
from tierdrill.judge.verdict import GUARDRAIL, Check, Status, Times, Verdict

FORMAT = 3
AT_LEAST = ("availability", "integrity", "worst-window")
SHARES = ("availability", "integrity", "error_ceiling", "fallback")
MARGIN_FLOOR = -10.0
"""Ten times what is allowed, too much; what is worse is not told apart, and no answer at all counts as this."""
TRUSTED = (Status.PASSED.value, Status.FAILED.value)


@dataclass(frozen=True)
class ObjectiveFigure:
    """One objective of one tier in one run; `low` and `high` are its 95% interval, in SI units.

    `value` is None where nothing was measured, or where the quantile lies among requests that were never answered:
    then `samples` are there and the margins are at their floor. `margin_worst` is the margin at the bad end of the
    interval, None where the samples do not bound it.
    """

    tier: str
    objective: str
    status: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    samples: int | None = None
    margin: float | None = None
    margin_worst: float | None = None

    @property
    def at_least(self) -> bool:
        """Whether more is better."""
        return self.objective in AT_LEAST

    @property
    def bad(self) -> float | None:
        """How many requests were bad, of an objective on a share; None for a time or without a measurement."""
        if self.objective not in SHARES or self.value is None or self.samples is None:
            return None
        return ((1.0 - self.value) if self.at_least else self.value) * self.samples

    @property
    def bad_allowed(self) -> float | None:
        """How many of these requests might have been bad: the run's part of the error budget."""
        if self.objective not in SHARES or self.limit is None or self.samples is None:
            return None
        return ((1.0 - self.limit) if self.at_least else self.limit) * self.samples


@dataclass(frozen=True)
class Build:
    """What was run: the version of tierdrill, the commit of its checkout, and a digest of all documents."""

    version: str = ""
    commit: str = ""
    changed: bool = False
    documents: str = ""

    @property
    def words(self) -> str:
        """Short, for people: "0.1.0 3f9d2c1, documents 81c0"."""
        commit = f" {self.commit[:7]}" if self.commit else ""
        return f"{self.version or '?'}{commit}{'+' if self.changed else ''}, documents {self.documents[:4] or '?'}"


@dataclass(frozen=True)
class RunFigures:
    """One run in figures. Moments are Unix seconds.

    `tiers` are those that the drill judges, with their ranks. `variants` are the runs that a proof of the drill needs,
    `as_expected` says whether this one came out as its variant must. `watched_s` is how long the run looked on after
    the fault's effect: what did not happen took at least so long. `origin` is what started the run (a calendar's entry
    and slot, say), where that was recorded. `stopped_by` is who or what stopped a run that was aborted, as far as that
    is known. `under` are the overrides and the maintenance that the verdict was made under. `doubt` says why there are
    no figures but the outcome.
    """

    run: str
    drill: str
    variant: str
    status: str
    started_at: float
    ended_at: float | None = None
    environment: str = ""
    times: Times = field(default_factory=Times)
    watched_s: float | None = None
    objectives: tuple[ObjectiveFigure, ...] = ()
    tiers: Mapping[str, int] = field(default_factory=dict)
    build: Build = field(default_factory=Build)
    variants: tuple[str, ...] = ()
    as_expected: bool = False
    reasons: tuple[str, ...] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    doubt: str = ""
    stopped_by: str = ""
    under: tuple[str, ...] = ()

    @property
    def came_to(self) -> str:
        """The status, and what it was come to under: "passed under override of critical/queue-limit"."""
        return f"{self.status} under {', '.join(self.under)}" if self.under else self.status

    @property
    def outcome(self) -> str:
        """What the run says of the service: "passed", "failed", or "" for nothing.

        A pass under an override or in a maintenance says nothing of the platform without; what failed all the same
        did. A night that a guardrail had to stop is a failed one. A sabotage is made to break things, and says nothing
        then, unless what it names was broken by then.
        """
        if self.under and (self.status == Status.PASSED.value or self.variant.startswith("sabotage:")):
            return ""
        stopped = self.status == Status.ABORTED.value and self.stopped_by == GUARDRAIL
        if stopped and (self.as_expected or not self.variant.startswith("sabotage:")):
            return Status.FAILED.value
        return self.status if self.status in TRUSTED else ""

    @property
    def trusted(self) -> bool:
        """Whether the run says something about the service."""
        return bool(self.outcome)

    def of_tier(self, tier: str) -> tuple[ObjectiveFigure, ...]:
        return tuple(one for one in self.objectives if one.tier == tier)

    def to_json(self) -> str:
        """One line of JSON; equal figures give equal bytes."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), allow_nan=False)

    @staticmethod
    def from_json(text: str) -> RunFigures:
        """Back from `to_json`, also of another version: unknown fields are left out. ValueError for anything else."""
        try:
            data = json.loads(text)
            known = {name: data[name] for name in _FIELDS if name in data}
            known["times"] = Times(**known.get("times", {}))
            known["build"] = Build(**known.get("build", {}))
            known["objectives"] = tuple(ObjectiveFigure(**one) for one in known.get("objectives", ()))
            for name in ("variants", "reasons", "under"):
                known[name] = tuple(known.get(name, ()))
            return RunFigures(**known)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise ValueError(f"not the figures of a run: {text[:80]!r} ({error})") from error


_FIELDS = tuple(RunFigures.__dataclass_fields__)


def judged_ranks(drill: Drill, tiers: Tiers) -> dict[str, int]:
    """The tiers that a drill judges with their ranks, the most important first."""
    judged = {expectation.tier for expectation in drill.expect.tiers}
    return {tier.name: tier.rank for tier in tiers.by_rank() if tier.name in judged}


def judged_tiers(catalogue: Catalogue) -> dict[str, dict[str, int]]:
    """As `judged_ranks`, of every drill of a catalogue without problems."""
    return {
        name: judged_ranks(drill, catalogue.tiers[catalogue.environments[drill.environment].tiers])
        for name, drill in catalogue.drills.items()
    }


def figures_of(events: Sequence[Event], verdict: Verdict) -> RunFigures:
    """The figures of a run from its history and the verdict on it; NotARun for anything but a run."""
    setting = setting_in(events)
    start = start_of(events)
    timeline = read_timeline(events)
    span = timeline.span(("fault", "recovery"))
    effect = timeline.effect
    git = start.git if isinstance(start.git, dict) else {}
    return RunFigures(
        run=verdict.run,
        drill=verdict.drill,
        variant=verdict.variant,
        status=verdict.status.value,
        started_at=timeline.started_at,
        ended_at=timeline.ended_at,
        environment=setting.environment.metadata.name,
        times=verdict.times,
        watched_s=span[1] - effect if span is not None and effect is not None else None,
        objectives=tuple(_figure(check) for check in verdict.checks if check.group == "slo"),
        tiers=judged_ranks(setting.drill, setting.tiers),
        build=Build(
            version=str((start.versions or {}).get("tierdrill", "")),
            commit=str(git.get("commit", "")),
            changed=bool(git.get("changed", False)),
            documents=documents_digest(start.setting),
        ),
        variants=tuple(variants_of(setting)),
        as_expected=_as_expected(setting, verdict),
        reasons=verdict.reasons,
        origin=dict(start.origin),
        stopped_by=verdict.stopped.by if verdict.stopped else "",
        under=verdict.under,
    )


def bare_figures(
    run: str, drill: str, variant: str, status: str, started_at: float, ended_at: float | None, doubt: str
) -> RunFigures:
    """What is left of a run whose history cannot be read any more: its outcome."""
    return RunFigures(run, drill, variant, status, started_at, ended_at, doubt=doubt)


def documents_digest(setting: Mapping[str, Any]) -> str:
    """A digest of every document a run was made from: equal documents, equal digest."""
    text = json.dumps(setting, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _as_expected(setting: DrillSetting, verdict: Verdict) -> bool:
    try:
        return row_of(setting, verdict.variant, verdict, 0.0).ok
    except StopIteration:  # a sabotage that the documents do not name
        return False


def _figure(check: Check) -> ObjectiveFigure:
    _, tier, objective = check.id.split("/", 2)
    figure = ObjectiveFigure(
        tier, objective, check.status.value, check.value, check.low, check.high, check.limit, check.samples
    )
    margin = margin_of(objective, check.value, check.limit, check.samples)
    worst = margin
    if check.low is not None or check.high is not None:
        end = check.low if figure.at_least else check.high
        worst = margin_of(objective, end, check.limit, None)
    return ObjectiveFigure(**{**asdict(figure), "margin": margin, "margin_worst": worst})


def margin_of(objective: str, value: float | None, limit: float | None, samples: int | None) -> float | None:
    """The margin, as defined above; None without a limit or a measurement.

    Where the limit allows nothing (100%, or 0 seconds) there is no share to take: kept is 0, broken what is missing.
    Samples without a value mean that the quantile was never answered: the floor.
    """
    if limit is None:
        return None
    if value is None:
        return MARGIN_FLOOR if samples else None
    allowed, used = (1.0 - limit, 1.0 - value) if objective in AT_LEAST else (limit, value)
    if allowed <= 0:
        return max(MARGIN_FLOOR, 0.0 - used)
    return max(MARGIN_FLOOR, 1.0 - used / allowed)
