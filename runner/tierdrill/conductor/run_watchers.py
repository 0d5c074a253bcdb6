"""What a run watches as long as it lives: its load's samples and guardrails, leases, kill switch, and its children."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tierdrill.conductor.guardrails import GuardrailWatch
from tierdrill.conductor.recorder import Recorder
from tierdrill.documents.models.drill import Guardrail
from tierdrill.history.kinds.run_kinds import GuardrailBreached, LoadHealth, LoadSamples, LoadSurge, ProcessExited
from tierdrill.history.ledger import Ledger
from tierdrill.judge.sample_columns import samples_event_data
from tierdrill.load.load_child import LoadProcess
from tierdrill.process.signals import StopSignal

BATCH_S = 1.0
LEDGER_TICK_S = 0.1


async def pump_samples(
    load: LoadProcess,
    recorder: Recorder,
    guardrails: tuple[Guardrail, ...],
    stop: StopSignal,
    name_of: Callable[[str], str] = str,
) -> None:
    """Write the samples to the history, a batch a second, and hold them against the guardrails as they come. `name_of`
    gives the replica and the gateway that answered the names that the history has for them.
    """
    watches = [GuardrailWatch(guardrail) for guardrail in guardrails]
    waiting: list[dict[str, Any]] = []
    flushed = time.monotonic()
    async for batch in load.samples():
        for watch in watches:
            ends = sorted(
                (sample.due + sample.latency_s, sample.outcome == "ok")
                for sample in batch
                if sample.tier == watch.guardrail.tier and sample.outcome != "dropped"
            )
            if (breach := watch.feed(ends)) and not stop.stopped:
                recorder.note(GuardrailBreached(guardrail=breach.guardrail, seen=breach.seen), "runner")
                stop.stop("guardrail", f"{breach.guardrail}: {breach.seen}")
        for sample in batch:
            waiting.append(row := sample.row())
            row |= {one: name_of(row[one]) for one in ("replica", "gateway") if isinstance(row[one], str)}
        if time.monotonic() - flushed >= BATCH_S:
            recorder.note(LoadSamples.read(samples_event_data(waiting)), "load")
            waiting, flushed = [], time.monotonic()
    if waiting:
        recorder.note(LoadSamples.read(samples_event_data(waiting)), "load")


async def pump_reports(load: LoadProcess, recorder: Recorder) -> None:
    """Write the generator's self-reports to the history."""
    async for batch in load.reports():
        for report in batch:
            if report.get("kind") == "report":
                recorder.note(LoadHealth.read(report), "load")
            elif report.get("kind") == "surge":
                recorder.note(LoadSurge.read(report), "load")


Renew = Callable[[list[str]], Awaitable[object]]
"""Lets the leases that the lab keeps by itself begin anew, by the names of their faults."""


async def keep_leases(ledger: Ledger, run: str, lease_s: float, stop: StopSignal, renew_in_lab: Renew) -> None:
    """Renew the leases of a run's faults until it stops, and obey the kill switch and `tierdrill stop`.

    A lab that does not answer is not waited for: the kill switch is looked at all the same.
    """
    renewed, telling = 0.0, asyncio.create_task(asyncio.sleep(0))
    while True:
        if not stop.stopped and time.monotonic() - renewed >= lease_s / 4:
            names = ledger.renew(run)
            renewed = time.monotonic()
            if names and telling.done():
                telling = asyncio.create_task(_told(renew_in_lab, names))
        if halt := ledger.halted():
            stop.stop("halt", f"{halt.reason} ({halt.author})")
        elif asked := ledger.stop_asked(run):
            stop.stop("stop", f"{asked.reason} ({asked.author})")
        await asyncio.sleep(LEDGER_TICK_S)


async def _told(renew_in_lab: Renew, names: list[str]) -> None:
    await renew_in_lab(names)


async def watch_child(
    name: str, wait: Callable[[], Awaitable[int]], expected: Callable[[int], bool], recorder: Recorder, stop: StopSignal
) -> None:
    """Record the end of one of the runner's own children; one that nobody expected stops the run."""
    code = await wait()
    fine = expected(code)
    recorder.note(ProcessExited(name=name, exit_code=code, expected=fine), "runner")
    if not fine:
        stop.stop("error", f"{name} ended unexpectedly ({code})")
