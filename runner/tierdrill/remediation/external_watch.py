"""Watching playbooks that another tool runs: its reports become the same events, and silence counts as failure."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tierdrill.documents.models.playbook import External, Playbook
from tierdrill.documents.models.units import show_duration
from tierdrill.remediation.admission import GUARD_PATIENCE_S, RESOLVED
from tierdrill.remediation.attempts import End
from tierdrill.remediation.course import Course
from tierdrill.remediation.engine_journal import Journal
from tierdrill.remediation.external_reports import ExternalReport, ReportError
from tierdrill.remediation.fact_reader import FactReader, FactUnavailable
from tierdrill.remediation.guards import Refuse
from tierdrill.remediation.substitution import SubstitutionError
from tierdrill.remediation.waiting import wait_for_any

RUNS_MAX = 1_000
EARLY_MAX = 1_000


@dataclass
class ToolRun:
    """One run as the tool reports it."""

    playbook: str
    execution: str
    target: str
    terms: External
    began: float
    followed: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    end: End | None = None


class ExternalWatch:
    """Every run that tools have reported, and the incidents that wait for one.

    Webhooks come in any order: a step or a finish whose start was not reported yet is kept until it is.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._runs: dict[tuple[str, str], ToolRun] = {}
        self._early: dict[tuple[str, str], list[ExternalReport]] = {}
        self._news = asyncio.Event()

    def report(self, name: str, playbook: Playbook | None, report: ExternalReport) -> ToolRun | None:
        """Take a report. A run is returned when it is new: somebody must `expect_end` of it. ReportError if it fits
        nothing.
        """
        if playbook is None or playbook.external is None or playbook.engine != "external":
            raise ReportError(f"{name!r} is not an external playbook here")
        key = (name, report.execution)
        run = self._runs.get(key)
        if report.status != "started":
            if run is None:
                self._keep(key, report)
            else:
                self._follow_up(run, report)
            return None
        if run is not None:
            return None
        run = self._started(name, playbook.external, report)
        for early in self._early.pop(key, ()):
            self._follow_up(run, early)
        return run

    def _keep(self, key: tuple[str, str], report: ExternalReport) -> None:
        if sum(map(len, self._early.values())) >= EARLY_MAX:
            del self._early[next(iter(self._early))]
        self._early.setdefault(key, []).append(report)

    def _follow_up(self, run: ToolRun, report: ExternalReport) -> None:
        if run.end is not None:
            return
        if report.status == "finished":
            self._end(run, End(report.ok, report.reason))
            return
        self._journal.write(
            "playbook.step",
            playbook=run.playbook,
            execution=run.execution,
            step=report.step,
            action=run.terms.tool,
            ok=report.ok,
            seen=report.seen,
            seconds=0.0,
            phase="act",
        )

    def _started(self, name: str, terms: External, report: ExternalReport) -> ToolRun:
        run = ToolRun(name, report.execution, report.target, terms, asyncio.get_running_loop().time())
        self._journal.write(
            "playbook.started",
            playbook=name,
            execution=run.execution,
            target=run.target,
            alert=report.alert,
            attempt=1,
            phase="act",
            tool=terms.tool,
        )
        self._runs[(name, run.execution)] = run
        if len(self._runs) > RUNS_MAX:
            ended = next((key for key, kept in self._runs.items() if kept.end), next(iter(self._runs)))
            del self._runs[ended]
        self._news.set()
        self._news = asyncio.Event()
        return run

    async def expect_end(self, run: ToolRun) -> None:
        """A run that never ends has failed."""
        try:
            async with asyncio.timeout(run.terms.finish_within):
                await run.ended.wait()
        except TimeoutError:
            limit = show_duration(run.terms.finish_within)
            self._end(run, End(False, f"{run.terms.tool} reported no finish within {limit}"))

    def _end(self, run: ToolRun, end: End) -> None:
        run.end = end
        self._journal.write(
            "playbook.finished",
            playbook=run.playbook,
            execution=run.execution,
            target=run.target,
            ok=end.ok,
            reason=end.reason,
            seconds=round(asyncio.get_running_loop().time() - run.began, 6),
            phase="act",
        )
        run.ended.set()

    async def follow(self, course: Course, facts: FactReader) -> Refuse | End:
        """What became of an incident that a tool should mend. Guards that cannot be asked do not excuse the tool."""
        bound = course.bound
        assert bound.playbook.external is not None
        try:
            if refusal := await facts.guards(bound.when, bound.forbidden_when, GUARD_PATIENCE_S):
                return refusal
        except (FactUnavailable, SubstitutionError):
            pass
        run = await self._run_for(course, bound.playbook.external)
        if run is None:
            limit = show_duration(bound.playbook.external.start_within)
            reason = f"{bound.playbook.external.tool} reported no start within {limit}{self._without_start(course)}"
            return Refuse("external", reason) if course.incident.firing else RESOLVED
        await run.ended.wait()
        return run.end or End(False, "unknown")

    def _without_start(self, course: Course) -> str:
        """What was said of runs that never started, as the end of a sentence: often the reason why."""
        said = [
            f"; it did report {execution} as {report.status}, {'ok' if report.ok else 'not ok'}"
            + (f": {report.reason or report.seen}" if report.reason or report.seen else "")
            for (name, execution), reports in self._early.items()
            for report in reports[-1:]
            if name == course.name and report.target in ("", course.bound.target)
        ]
        return said[-1] if said else ""

    async def _run_for(self, course: Course, terms: External) -> ToolRun | None:
        try:
            async with asyncio.timeout(terms.start_within):
                while course.incident.firing:
                    news = self._news
                    for run in self._runs.values():
                        # The tool has its own way to the alert and may well be there before the webhook.
                        if run.playbook == course.name and not run.followed and run.target in ("", course.bound.target):
                            run.followed = True
                            return run
                    await wait_for_any(news, course.incident.resolved)
        except TimeoutError:
            pass
        return None
