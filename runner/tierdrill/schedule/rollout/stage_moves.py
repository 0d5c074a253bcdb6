"""What surrounds a run beyond its slot: the stage of its entry's rollout before, the move and the regressions after."""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from tierdrill.documents.catalogue import Catalogue
from tierdrill.documents.models.channels import NoticeKind
from tierdrill.documents.models.staged_rollout import Rollout, Stage
from tierdrill.history.events import each
from tierdrill.history.history_store import HistoryError, HistoryStore
from tierdrill.history.kinds.run_kinds import RunStopping
from tierdrill.home import run_folder
from tierdrill.judge.verdict import Check, Status, Verdict
from tierdrill.schedule.gates import gate_rules as gates
from tierdrill.schedule.gates.gate_rules import GateResult
from tierdrill.schedule.notify.notification import Notice
from tierdrill.schedule.rollout.rollout_stages import (
    GOOD,
    Allowed,
    RunResult,
    notice_of_move,
    result_of,
    result_of_slot,
)
from tierdrill.schedule.rollout.rollout_store import RolloutError, RolloutStore
from tierdrill.schedule.slot_work import Member, Work, member_of
from tierdrill.schedule.store.slot_records import Attempt
from tierdrill.schedule.store.slot_store import ScheduleStore, StoreError

WORSE, WELL_AGAIN = "regression", "regression.over"
"""Notes in the store: a measure became worse, or is so no longer; so that it is told once, not every night."""

_log = logging.getLogger(__name__)


class Follow:
    """Rollouts and regressions of one scheduler. `catalogue` gives the documents in force."""

    def __init__(
        self, home: Path, catalogue: Callable[[], Catalogue], store: Callable[[], ScheduleStore]
    ) -> None:
        self._home, self._catalogue, self._store = home, catalogue, store

    async def stage(self, work: Work, member: Member) -> tuple[Member, GateResult]:
        """The drill as the stage of its entry has it, and whether the rollout lets it start."""
        rollout = work.entry.rollout
        if rollout is None:
            return member, gates.rollout("", None)
        try:
            may = await asyncio.to_thread(self._allowed, work, rollout)
        except RolloutError as error:
            return member, gates.rollout("", f"stage unknown: {error}")
        try:
            staged = _staged(self._catalogue(), work, member, may.stage)
        except KeyError as error:
            return member, gates.rollout(may.stage.name, f"stage {may.stage.name} names {error}, which does not exist")
        return staged, gates.rollout(may.stage.name, may.held or None)

    def _allowed(self, work: Work, rollout: Rollout) -> Allowed:
        with closing(RolloutStore(self._home)) as store:
            return store.allowed(work.slot.calendar, work.slot.entry, rollout, work.slot.due)

    async def after_slot(self, work: Work, attempts: Sequence[Attempt]) -> list[Notice]:
        """Move the rollout, look for regressions; what is to be told. Never raises for what goes wrong in the world."""
        ran = [one for one in attempts if one.started_at is not None]
        if not ran:
            return []
        told = []
        try:
            told += await asyncio.to_thread(self._moved, work, ran)
        except (RolloutError, HistoryError) as error:
            _log.error("%s: the rollout could not be moved: %s", work.slot.key, error)
        drills = {one.drill for one in ran}
        try:
            found = await asyncio.to_thread(self._worse, drills, ran[-1].ended_at or 0.0)
            told += self._news(work, drills, found)
        except (HistoryError, StoreError, ValueError) as error:
            _log.error("%s: regressions unknown: %s", work.slot.key, error)
        return told

    def _moved(self, work: Work, ran: Sequence[Attempt]) -> list[Notice]:
        rollout = work.entry.rollout
        if rollout is None:
            return []
        last = {one.member: one for one in ran}
        result = result_of_slot([self._result(one) for one in last.values()])
        if result is None or (result.weight == GOOD and len(last) < len(work.members)):
            # A suite of which a drill was held, or not reached, has not shown that all of them are clean.
            return []
        with closing(RolloutStore(self._home)) as store:
            moves = store.after_run(work.slot.calendar, work.slot.entry, rollout, result)
        owner, drill = rollout.owner or work.owner, ran[-1].drill
        return [
            notice_of_move(move, work.slot.calendar, work.slot.entry, drill, owner)
            for move in moves
            if move.worth_telling
        ]

    def _result(self, attempt: Attempt) -> RunResult:
        """The run as the rollout takes it, from the verdict that it left; without one it says nothing, or what the
        store says.
        """
        stage = next((str(one.get("about", "")) for one in attempt.gates if one.get("gate") == "rollout"), "")
        at = attempt.ended_at or 0.0
        verdict = read_verdict(run_folder(self._home, attempt.run))
        if verdict is None or verdict.status.value != attempt.status:
            return RunResult(attempt.run, attempt.status, at, stage, stopped_by=self._stopped_by(attempt))
        return replace(result_of(verdict, stage, at, self._stopped_by(attempt)), run=attempt.run)

    def _stopped_by(self, attempt: Attempt) -> str:
        if attempt.status != "aborted":
            return ""
        with closing(HistoryStore(self._home)) as store:
            events = store.events(attempt.run)
        return next((said.by for _, said in each(events, RunStopping)), "")

    def _worse(self, drills: set[str], now: float) -> dict[str, tuple[str, str]]:
        """Measures of these drills that are worse now: their keys, each with its drill and what is seen."""
        # Imported here: not needed before the first run.
        from tierdrill.judge.trend.run_figures import RunFigures
        from tierdrill.judge.trend.whole_trend import regressions

        found = {}
        with closing(HistoryStore(self._home)) as store:
            for drill in drills:
                figures = [RunFigures.from_json(one.data) for one in store.figures(drill) if one.data]
                for one in regressions(figures, now):
                    change = one.change
                    before, after = change.earlier.middle, change.latest.middle
                    what = f"{change.tier} {change.measure}".strip()
                    seen = f"{what}: {_number(before)} before, {_number(after)} now (p {change.p_family or 0.0:.2g})"
                    found[one.key] = (drill, seen)
        return found

    def _news(self, work: Work, drills: set[str], found: dict[str, tuple[str, str]]) -> list[Notice]:
        """Regressions that this entry has not told before, and those that are over, which may be told again when they
        come back. Of a drill that did not run now nothing is known.
        """
        store, mine = self._store(), f"{work.slot.calendar}/{work.slot.entry}: "
        known: dict[str, bool] = {}
        for note in reversed(store.notes_of((WORSE, WELL_AGAIN))):
            if note.text.startswith(mine):
                known[note.text.removeprefix(mine)] = note.kind == WORSE
        news = []
        for key, worse in known.items():
            drill = key.split("/", 1)[0]
            if worse and key not in found and drill in drills:
                store.note(work.slot.due, WELL_AGAIN, f"{mine}{key}")
                news.append(self._measure(work, "recovered", key, drill, f"{key} is as it was before"))
        for key, (drill, seen) in found.items():
            if not known.get(key, False):
                store.note(work.slot.due, WORSE, f"{mine}{key}")
                news.append(self._measure(work, "regression", key, drill, seen))
        return news

    @staticmethod
    def _measure(work: Work, kind: NoticeKind, key: str, drill: str, seen: str) -> Notice:
        """What is told of one measure: its own thing, apart from whether the drill passes."""
        rank = next((member.rank for member in work.members if member.drill == drill), None)
        return Notice(
            kind=kind, calendar=work.slot.calendar, entry=work.slot.entry, drill=drill, summary=seen,
            at=work.slot.due, owner=work.owner, rank=rank,
            key=f"{work.slot.calendar}/{work.slot.entry}/regression/{key}",
        )  # fmt: skip


def _staged(catalogue: Catalogue, work: Work, member: Member, stage: Stage) -> Member:
    reach = stage.reach.model_dump(exclude_none=True)
    return member_of(
        catalogue,
        work.calendar,
        work.entry,
        stage.drill or member.drill,
        environment=stage.environment,
        variables=stage.variables,
        blip=member.blip or stage.variant == "blip",
        options=[word for kind, most in reach.items() for word in ("--reach", f"{kind}={most}")],
    )


def read_verdict(folder: Path) -> Verdict | None:
    """The verdict that a run left in its folder; None if there is none that can be read."""
    try:
        data = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
        checks = tuple(
            Check(**{**check, "status": Status(check["status"]), "events": tuple(check["events"])})
            for check in data["checks"]
        )
        return Verdict(
            data["run"], data["drill"], data["variant"], Status(data["status"]), data["summary"],
            tuple(data["reasons"]), checks,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _number(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.3g}"
