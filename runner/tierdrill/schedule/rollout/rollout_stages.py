"""The staged rollout of one calendar entry as a state machine: where it stands, and what a run moves. Pure.

An entry begins at its first stage, climbs one stage after so many clean proven runs in a row, and steps down after a
failed, an unclean, or a run that its guardrails had to abort. A run that says nothing (inconclusive, stopped by hand)
moves nothing and does not break the row. An edit of the calendar never lets an entry climb.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tierdrill.documents.models.staged_rollout import Rollout, Stage
from tierdrill.judge.verdict import GUARDRAIL, Status, Verdict
from tierdrill.schedule.notify.notification import Notice
from tierdrill.text import plural

MoveKind = Literal["began", "climbed", "stepped-down", "restarted", "held", "stayed", "began-again", "set"]
GOOD, BAD, SILENT = "clean", "bad", "silent"
STALE = "earlier clean runs are too old"


@dataclass(frozen=True)
class RolloutState:
    """Where an entry stands: its stage, how many clean runs in a row it had there, and why it may not start ("": it
    may). `mark` tells whether the stage is still what those runs were made with; times are Unix seconds.
    """

    stage: str
    clean: int = 0
    held: str = ""
    last_clean_at: float = 0.0
    mark: str = ""


@dataclass(frozen=True)
class Move:
    """One change, with who or which run made it and why. `owner` is told."""

    at: float
    kind: MoveKind
    before: str
    after: str
    reason: str
    author: str = ""
    run: str = ""

    @property
    def worth_telling(self) -> bool:
        """Whether people are told: of everything but the beginning, and what they did themselves."""
        return self.kind not in ("began", "set")


@dataclass(frozen=True)
class RunResult:
    """What a run, or all runs of one slot, came to. `stage` is the one it was made at."""

    run: str
    status: str
    at: float
    stage: str
    clean: bool = False
    stopped_by: str = ""

    @property
    def weight(self) -> str:
        """Does it count for the entry, against it, or neither?"""
        if self.status in ("failed", "unclean") or (self.status == "aborted" and self.stopped_by == GUARDRAIL):
            return BAD
        return GOOD if self.clean and self.status == "passed" else SILENT


@dataclass(frozen=True)
class Allowed:
    """The gate's answer: the stage that applies now, or why nothing may start."""

    stage: Stage
    held: str = ""


def clean_and_proven(verdict: Verdict) -> bool:
    """Passed, with every fault seen to land and to be gone, nothing left behind, and a load that is to be believed;
    neither under an override nor in a maintenance.

    A passed verdict implies all that; it is looked at once more, since this is what lets a drill reach further.
    """
    checks = verdict.checks
    faults = [check for check in checks if check.group == "fault"]
    ends = {check.id.rpartition("/")[2] for check in faults}
    believed = [check for check in checks if check.group in ("run", "load", "fault")]
    return (
        verdict.status is Status.PASSED
        and not verdict.under
        and ends >= {"landed", "gone"}
        and any(check.group == "load" for check in checks)
        and any(check.id == "run/clean" for check in checks)
        and all(check.status is Status.PASSED for check in believed)
    )


def result_of(verdict: Verdict, stage: str, at: float, stopped_by: str = "") -> RunResult:
    """A run's verdict as a rollout takes it. `stopped_by` is the `by` of its event run.stopping, if it has one."""
    return RunResult(verdict.run, verdict.status.value, at, stage, clean_and_proven(verdict), stopped_by)


def result_of_slot(results: Sequence[RunResult]) -> RunResult | None:
    """The runs of one slot as one: the first that counts against it, else one that says nothing, else a clean one."""
    for weight in (BAD, SILENT, GOOD):
        found = next((result for result in results if result.weight == weight), None)
        if found is not None:
            return found
    return None


def begin(rollout: Rollout, at: float) -> tuple[RolloutState, list[Move]]:
    """An entry that was never run with this rollout begins at its first stage."""
    first = rollout.stages[0]
    return RolloutState(first.name, mark=mark_of(first)), [Move(at, "began", "", first.name, "its first stage")]


def mark_of(stage: Stage) -> str:
    """Changes when what the stage does changes."""
    plain = stage.model_dump_json(exclude={"name", "clean_runs"})
    return hashlib.sha256(plain.encode()).hexdigest()[:16]


def place_of(rollout: Rollout, name: str) -> int | None:
    """The place of a stage; None where there is none of that name."""
    return next((number for number, stage in enumerate(rollout.stages) if stage.name == name), None)


def settled(state: RolloutState, rollout: Rollout, at: float) -> tuple[RolloutState, list[Move]]:
    """The state held against the calendar as it is now: a stage that has gone begins the rollout again, one that does
    something else than before begins its count again.
    """
    place = place_of(rollout, state.stage)
    if place is None:
        first = rollout.stages[0]
        reason = f"the calendar has no stage {state.stage} any more"
        after = replace(state, stage=first.name, clean=0, mark=mark_of(first))
        return after, [Move(at, "began-again", state.stage, first.name, reason)]
    mark = mark_of(rollout.stages[place])
    if mark == state.mark:
        return state, []
    moves = []
    if state.clean:
        reason = f"the calendar changed what the stage does; its {state.clean} clean runs no longer count"
        moves = [Move(at, "began-again", state.stage, state.stage, reason)]
    return replace(state, clean=0, mark=mark), moves


def after_run(state: RolloutState, rollout: Rollout, result: RunResult) -> tuple[RolloutState, list[Move]]:
    """Where the entry stands after a run, and the moves it made."""
    state, moves = settled(state, rollout, result.at)
    more: list[Move] = []
    if result.weight == BAD:
        state, more = _after_bad(state, rollout, result)
    elif result.weight == GOOD and result.stage == state.stage and not state.held:
        state, more = _after_clean(state, rollout, result)
    return state, [*moves, *more]


def _after_bad(state: RolloutState, rollout: Rollout, result: RunResult) -> tuple[RolloutState, list[Move]]:
    place = place_of(rollout, state.stage) or 0
    ended = "was aborted by a guardrail" if result.status == "aborted" else f"is {result.status}"
    ended = "failed" if result.status == "failed" else ended
    reason = f"run {result.run} {ended} at stage {result.stage}"
    if rollout.on_failure == "hold":
        held = f"{reason}; continue with `tierdrill rollout set`"
        return replace(state, clean=0, held=held), [_move(result, "held", state.stage, state.stage, reason)]
    down = 0 if rollout.on_failure == "restart" else max(0, place - 1)
    to = rollout.stages[down]
    kind: MoveKind = "stayed" if down == place else "restarted" if rollout.on_failure == "restart" else "stepped-down"
    after = replace(state, stage=to.name, clean=0, mark=mark_of(to))
    return after, [_move(result, kind, state.stage, to.name, reason)]


def _after_clean(state: RolloutState, rollout: Rollout, result: RunResult) -> tuple[RolloutState, list[Move]]:
    place = place_of(rollout, state.stage) or 0
    stage = rollout.stages[place]
    stale = bool(state.clean) and result.at - state.last_clean_at > rollout.stale_after
    clean = 1 if stale else state.clean + 1
    if clean >= stage.clean_runs and place + 1 < len(rollout.stages):
        up = rollout.stages[place + 1]
        reason = f"{plural(clean, 'clean proven run')} at stage {stage.name}"
        after = RolloutState(up.name, 0, "", result.at, mark_of(up))
        return after, [_move(result, "climbed", stage.name, up.name, reason)]
    counted = replace(state, clean=min(clean, stage.clean_runs), last_clean_at=result.at)
    told = [_move(result, "stayed", stage.name, stage.name, f"{STALE}; this one counts as 1")] if stale else []
    return counted, told


def _move(result: RunResult, kind: MoveKind, before: str, after: str, reason: str) -> Move:
    return Move(result.at, kind, before, after, reason, run=result.run)


def set_by_hand(
    state: RolloutState, rollout: Rollout, stage: str, at: float, author: str, reason: str
) -> tuple[RolloutState, Move]:
    """The stage that somebody chose; ValueError if there is none of that name. It lifts a hold."""
    place = place_of(rollout, stage)
    if place is None:
        raise ValueError(f"no stage named {stage!r}; the stages: {', '.join(one.name for one in rollout.stages)}")
    after = RolloutState(stage, 0, "", 0.0, mark_of(rollout.stages[place]))
    return after, Move(at, "set", state.stage, stage, reason, author)


def allowed(state: RolloutState, rollout: Rollout) -> Allowed:
    """What may start now. A stage that the calendar has no longer stands for the first."""
    return Allowed(rollout.stages[place_of(rollout, state.stage) or 0], state.held)


def notice_of_move(move: Move, calendar: str, entry: str, drill: str, owner: str, rank: int | None = None) -> Notice:
    """What the owner is told of a move. Each move is a thing of its own."""
    went = f"from {move.before} to {move.after}" if move.before != move.after else f"stays at {move.after}"
    return Notice(
        kind="rollout",
        calendar=calendar,
        entry=entry,
        drill=drill,
        run=move.run,
        status=move.kind,
        reason=move.reason,
        summary=went if move.kind == "stayed" else f"{move.kind.replace('-', ' ')}: {went}",
        at=move.at,
        key=f"{calendar}/{entry}/rollout/{move.at:.3f}",
        owner=owner,
        rank=rank,
    )
