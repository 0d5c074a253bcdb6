"""The playbook engine: takes alert notifications, and runs playbooks that match, guarded, verified, journaled and
bounded.

Order of an incident's way: match, dedup, guards (facts), throttle, concurrency, fuse, attempts, escalation; when the
alert resolves, on_resolve. Every decision is a pure function of what was remembered and the injected clock
(guards.py, conditions.py, incidents.py); this file only wires them to tasks. An error in one execution ends that
execution and nothing else.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from tierdrill.documents.models.playbook import Playbook
from tierdrill.documents.models.tiers import Tiers
from tierdrill.history.events import Event
from tierdrill.remediation.admission import Admission
from tierdrill.remediation.engine_journal import (
    Journal,
    JournalError,
    SkipLog,
    Unfinished,
    begun,
    memory_of,
    unfinished,
)
from tierdrill.remediation.escalation import Pager, Pages
from tierdrill.remediation.execution import Attempts, End, Execution, Tasks
from tierdrill.remediation.external_watch import ExternalReport, ExternalWatch, report_of
from tierdrill.remediation.fact_reader import FactReader
from tierdrill.remediation.guards import Code, GuardMemory, Refuse
from tierdrill.remediation.incident_book import AlertNotice, Incident, IncidentBook, matches
from tierdrill.remediation.steps import StepRunner
from tierdrill.remediation.substitution import bind
from tierdrill.targets.base import RemedyPort

STOP_S = 2.0
TASKS_MAX = 20_000
_log = logging.getLogger(__name__)


class PlaybookEngine:
    """Lives in one event loop. `disabled` and `retarget` are a drill's sabotages; the events say so. Playbooks that are
    only observed are none of its business.
    """

    def __init__(
        self,
        *,
        port: RemedyPort,
        emit: Callable[[Event], object],
        pager: Pager,
        playbooks: Sequence[Playbook],
        tiers: Tiers,
        disabled: Collection[str] = (),
        retarget: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        mine = [one for one in playbooks if not one.observed]
        self._playbooks = {playbook.metadata.name: playbook for playbook in mine}
        self._disabled = frozenset(disabled)
        self._retarget = dict(retarget or {})
        self._clock = clock
        self._tasks = Tasks()
        self._journal = Journal(emit, clock)
        self._book = IncidentBook()
        self._skips = SkipLog(self._journal)
        self._facts = FactReader(port, self._book.firing)
        self._memories = {name: GuardMemory() for name in self._playbooks}
        self._admission = Admission(self._facts, clock)
        self._attempts = Attempts(StepRunner(port, self._facts, self._journal, self._tasks.left), self._journal)
        self._pages = Pages(pager, self._journal, tiers)
        self._watch = ExternalWatch(self._journal)
        self._executions: dict[str, dict[str, Execution]] = {}
        self._handled: set[tuple[str, str]] = set()

    def notify(self, notice: AlertNotice) -> None:
        """Take a notification; never blocks, never raises."""
        if self._tasks.stopping:
            return
        try:
            self._take(notice)
        except Exception:
            _log.exception("notification of %s was lost", notice.alert)
        self._facts.changed()

    def acknowledge(self, dedup_key: str, by: str) -> bool:
        """Somebody has taken a page: nobody further up the ladder is woken. False if there is no such page."""
        return self._pages.acknowledge(dedup_key, by)

    def external_report(self, name: str, report: ExternalReport | Mapping[str, Any]) -> None:
        """What an external tool says about its run; ReportError if it makes no sense. The signature was checked by
        who received it.
        """
        parsed = report if isinstance(report, ExternalReport) else report_of(report)
        if run := self._watch.report(name, self._playbooks.get(name), parsed):
            self._tasks.spawn(self._watch.expect_end(run))

    def facts_changed(self) -> None:
        """Something in the deployment changed: whoever waits for a fact looks again now instead of at the next poll."""
        self._facts.changed()

    def resume(self, past: Sequence[Event]) -> list[Unfinished]:
        """Take up what an engine before this one left in the middle, from its history. Call it before the first
        notification.
        """
        for name in self._memories:
            self._memories[name] = memory_of(past, name)
        # Alertmanager will repeat what still fires; what was run for it must not run again.
        self._handled = {(said.playbook, notice.incident) for _, said, notice in begun(past)}
        left = [item for item in unfinished(past) if item.playbook in self._playbooks]
        for item in left:
            incident = self._book.take(item.notice).incident or Incident(item.notice)
            execution = self._execution(self._playbooks[item.playbook], incident)
            execution.state = "begun"
            execution.touched = True
            if item.phase == "resolve":
                execution.acted.set()
                execution.given = frozenset(item.done)
                if item.resolving:
                    # Alertmanager has told it to the engine that died and will not tell it again.
                    incident.end()
                    self._tasks.spawn(self._give_back(execution, "the alert had resolved"))
                continue
            self._memories[execution.name].take_slot(execution.bound.slot)
            execution.has_slot = True
            self._tasks.spawn(self._run(execution, item))
        return left

    def active(self) -> list[str]:
        return [one.id for one in self._all_executions() if one.state == "begun" and not one.acted.is_set()]

    async def idle(self) -> None:
        """Wait until nothing is under way (a ladder that waits for a human counts as under way)."""
        await self._tasks.idle()

    async def stop(self, *, give_back: bool = True, within: float = STOP_S) -> None:
        """Cancel what is under way, take back what was half done and, by default, what was done until the alert would
        resolve.

        Nobody else would lift a shed or give a weight back. Bounded: after `within` seconds it returns whatever is
        left.
        """
        if self._tasks.stopping:
            return
        self._tasks.stop_by(within)
        await self._tasks.cancel()
        if give_back:
            for execution in [execution for execution in self._all_executions() if self._owes(execution)]:
                self._tasks.spawn(self._give_back(execution, "the engine is stopped"))
            await self._tasks.settle()
            await self._tasks.cancel()
        self._skips.flush()
        await self._facts.close()

    def _all_executions(self) -> list[Execution]:
        return [execution for executions in self._executions.values() for execution in executions.values()]

    def _take(self, notice: AlertNotice) -> None:
        news = self._book.take(notice)
        if news.superseded:
            self._resolved(news.superseded)
        if news.incident is None:
            return
        if news.kind == "resolved":
            self._resolved(news.incident)
            return
        for playbook in self._playbooks.values():
            if matches(playbook.match, notice):
                self._consider(playbook, news.incident)

    def _consider(self, playbook: Playbook, incident: Incident) -> None:
        name = playbook.metadata.name
        known = self._executions.get(incident.key, {}).get(name)
        if (name, incident.key) in self._handled or (known is not None and known.state != "declined"):
            return
        execution = self._execution(playbook, incident)
        execution.said = known.said if known else None
        if len(self._tasks) >= TASKS_MAX:
            self._skip(execution, "overload", f"{len(self._tasks)} executions and incidents in progress")
            return
        self._tasks.spawn(self._pursue(execution))

    def _execution(self, playbook: Playbook, incident: Incident) -> Execution:
        name = playbook.metadata.name
        bound = bind(playbook, incident.notice.alert, incident.notice.labels, self._retarget.get(name))
        execution = Execution(bound, incident, self._clock())
        self._executions.setdefault(incident.key, {})[name] = execution
        return execution

    async def _pursue(self, execution: Execution) -> None:
        if execution.name in self._disabled:
            self._skip(execution, "disabled", "disabled for this drill")
            return
        if execution.bound.playbook.engine == "external":
            await self._follow(execution)
            return
        verdict = await self._admission.admit(execution, self._memories[execution.name])
        if verdict is not None:
            self._skip(execution, verdict.code, verdict.reason)
            if verdict.code in ("fuse", "blind", "throttled"):
                self._escalate(execution, f"held back: {verdict.reason}")
            return
        if execution.bound.playbook.dry_run:
            self._memories[execution.name].free_slot(execution.bound.slot)
            execution.has_slot = False
            would = "; ".join(f"{step.do} {step.arguments}" for step in execution.bound.steps)
            self._skip(execution, "dry-run", f"dry run, it would: {would}")
            return
        execution.state = "begun"
        await self._run(execution, None)

    async def _run(self, execution: Execution, left: Unfinished | None) -> None:
        try:
            end = await self._attempts.act(execution, left)
        except JournalError as error:
            end = End(False, f"not begun, the history cannot be written ({error})")
        finally:
            execution.acted.set()
            self._release(execution)
        if not end.ok and end.escalate and execution.incident.firing:
            self._escalate(execution, end.reason)

    async def _follow(self, execution: Execution) -> None:
        outcome = await self._watch.follow(execution, self._facts)
        if isinstance(outcome, Refuse):
            self._skip(execution, outcome.code, outcome.reason)
        else:
            execution.state = "closed"
        if (isinstance(outcome, Refuse) and outcome.code == "external") or (
            isinstance(outcome, End) and not outcome.ok
        ):
            self._escalate(execution, outcome.reason)

    def _release(self, execution: Execution) -> None:
        if execution.has_slot:
            execution.has_slot = False
            self._memories[execution.name].free_slot(execution.bound.slot)
            self._admission.slot_freed()

    def _skip(self, execution: Execution, code: Code, reason: str) -> None:
        execution.state = "declined" if code in ("when", "forbidden", "blind") else "closed"
        if execution.said == code:
            return
        execution.said = code
        data: dict[str, Any] = {"alert": execution.incident.notice.alert}
        if execution.bound.retargeted:
            data["retargeted"] = True
        self._skips.skip(execution.name, code, execution.bound.target, reason, **data)

    def _resolved(self, incident: Incident) -> None:
        for execution in self._executions.pop(incident.key, {}).values():
            if execution.state == "begun" and execution.bound.on_resolve:
                self._executions.setdefault(incident.key, {})[execution.name] = execution
                self._tasks.spawn(self._give_back(execution, "the alert resolved"))
        for work in self._pages.resolved(incident):
            self._tasks.spawn(work)

    def _escalate(self, execution: Execution, reason: str) -> None:
        if not self._tasks.stopping and (work := self._pages.escalate(execution, reason)):
            self._tasks.spawn(work)

    def _owes(self, execution: Execution) -> bool:
        return execution.state == "begun" and execution.touched and bool(execution.bound.on_resolve)

    async def _give_back(self, execution: Execution, because: str) -> None:
        await execution.acted.wait()
        # An incident of the same kind on the same target still needs what would be given back here; its own end will
        # do it.
        needed = not self._tasks.stopping and any(
            other.incident.firing and self._owes(other) and other.same_work(execution)
            for other in self._all_executions()
            if other is not execution
        )
        try:
            if self._owes(execution) and not needed:
                end = await self._attempts.give_back(execution, because)
                if not end.ok:
                    self._escalate(execution, end.reason)
        except asyncio.CancelledError:
            raise
        except Exception:
            self._close(execution)
            raise
        self._close(execution)

    def _close(self, execution: Execution) -> None:
        execution.state = "closed"
        executions = self._executions.get(execution.incident.key, {})
        executions.pop(execution.name, None)
        if not executions and not execution.incident.firing:
            self._executions.pop(execution.incident.key, None)
