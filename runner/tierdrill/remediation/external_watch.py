"""Watching playbooks that another tool runs: its reports become the same events, and silence counts as failure.

The tool posts JSON to the run's receiver, which checks signature and timestamp (monitoring/webhook_receiver). A report
may come twice; `execution`, the tool's own name for the run, makes the second one harmless. Keys beside ours are passed
over, null is as good as absent, and long text is cut: what a tool says of its outcome must not be lost over its form.

    {"status": "started",  "execution": "run-17", "target": "node-2", "alert": "NodeNotReady"}
    {"status": "step",     "execution": "run-17", "step": "drain", "ok": true, "seen": "3 pods moved"}
    {"status": "finished", "execution": "run-17", "ok": true, "reason": ""}
"""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tierdrill.documents.models.playbook import External, Playbook
from tierdrill.documents.models.units import show_duration
from tierdrill.history.kinds.response_kinds import PlaybookFinished, PlaybookStarted, StepEnded
from tierdrill.remediation.admission import GUARD_PATIENCE_S, RESOLVED
from tierdrill.remediation.engine_journal import Journal
from tierdrill.remediation.execution import End, Execution
from tierdrill.remediation.fact_reader import FactReader, FactUnavailable, wait_for_any
from tierdrill.remediation.guards import Refuse
from tierdrill.remediation.substitution import SubstitutionError

RUNS_MAX = 1_000
EARLY_MAX = 1_000
NAME_CHARACTERS = 200
TEXT_CHARACTERS = 2000


class ReportError(ValueError):
    """A report that cannot be taken; the message says why."""


def _text(value: Any, most: int) -> str:
    """The value as text of at most so many characters; what is no text as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= most else f"{text[: most - 1]}…"


Short = Annotated[str, BeforeValidator(lambda value: _text(value, NAME_CHARACTERS))]
Long = Annotated[str, BeforeValidator(lambda value: _text(value, TEXT_CHARACTERS))]


class ExternalReport(BaseModel):
    """What a tool says about one run of its automation. A number as `execution` is taken as its digits."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    status: Literal["started", "step", "finished"]
    execution: Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value)] = Field(
        min_length=1, max_length=NAME_CHARACTERS
    )
    target: Short = ""
    alert: Short = ""
    step: Short = ""
    ok: bool = True
    reason: Long = ""
    seen: Long = ""

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _says_how_it_ended(self) -> Self:
        if self.status == "finished" and "ok" not in self.model_fields_set:
            raise ValueError("a finished run says whether it is ok: true or false")
        return self


def report_of(data: Any) -> ExternalReport:
    """The report in plain data."""
    try:
        return ExternalReport.model_validate(data)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, item['loc'])) or 'report'}: {item['msg']}" for item in error.errors())
        raise ReportError("; ".join(problems)) from error


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
            StepEnded(
                playbook=run.playbook,
                execution=run.execution,
                step=report.step,
                action=run.terms.tool,
                ok=report.ok,
                seen=report.seen,
                seconds=0.0,
                phase="act",
            )
        )

    def _started(self, name: str, terms: External, report: ExternalReport) -> ToolRun:
        run = ToolRun(name, report.execution, report.target, terms, asyncio.get_running_loop().time())
        self._journal.write(
            PlaybookStarted(
                playbook=name,
                execution=run.execution,
                target=run.target,
                alert=report.alert,
                attempt=1,
                phase="act",
                tool=terms.tool,
            )
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
            PlaybookFinished(
                playbook=run.playbook,
                execution=run.execution,
                target=run.target,
                ok=end.ok,
                reason=end.reason,
                seconds=round(asyncio.get_running_loop().time() - run.began, 6),
                phase="act",
            )
        )
        run.ended.set()

    async def follow(self, execution: Execution, facts: FactReader) -> Refuse | End:
        """What became of an incident that a tool should mend. Guards that cannot be asked do not excuse the tool."""
        bound = execution.bound
        assert bound.playbook.external is not None
        try:
            if refusal := await facts.guards(bound.when, bound.forbidden_when, GUARD_PATIENCE_S):
                return refusal
        except (FactUnavailable, SubstitutionError):
            pass
        run = await self._run_for(execution, bound.playbook.external)
        if run is None:
            limit = show_duration(bound.playbook.external.start_within)
            reason = f"{bound.playbook.external.tool} reported no start within {limit}{self._without_start(execution)}"
            return Refuse("external", reason) if execution.incident.firing else RESOLVED
        await run.ended.wait()
        return run.end or End(False, "unknown")

    def _without_start(self, execution: Execution) -> str:
        """What was said of runs that never started, as the end of a sentence: often the reason why."""
        said = [
            f"; it did report {run} as {report.status}, {'ok' if report.ok else 'not ok'}"
            + (f": {report.reason or report.seen}" if report.reason or report.seen else "")
            for (name, run), reports in self._early.items()
            for report in reports[-1:]
            if name == execution.name and report.target in ("", execution.bound.target)
        ]
        return said[-1] if said else ""

    async def _run_for(self, execution: Execution, terms: External) -> ToolRun | None:
        try:
            async with asyncio.timeout(terms.start_within):
                while execution.incident.firing:
                    news = self._news
                    for run in self._runs.values():
                        # The tool has its own way to the alert and may well be there before the webhook.
                        ours = run.playbook == execution.name and run.target in ("", execution.bound.target)
                        if ours and not run.followed:
                            run.followed = True
                            return run
                    await wait_for_any(news, execution.incident.resolved)
        except TimeoutError:
            pass
        return None
