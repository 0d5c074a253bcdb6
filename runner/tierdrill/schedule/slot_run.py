"""One slot from its claim to its decision: gates, the drill's process, its outcome, another try, the next of a suite.

Everything that must survive is on the disk before the step it belongs to: an attempt before its process, the process
before it may begin, an outcome before the next attempt. So whoever takes the slot over knows where it stands.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, TypeVar

from tierdrill.documents.models.units import show_duration
from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.process.groups import gone, signal_process
from tierdrill.process.identity import ProcessId
from tierdrill.schedule.drill_process import DrillProcess, DrillProcessError, Output
from tierdrill.schedule.gates import gate_rules as gates
from tierdrill.schedule.gates.gate_facts import Facts, Gate, ask_gates
from tierdrill.schedule.gates.gate_rules import GateResult
from tierdrill.schedule.slot_context import Surroundings
from tierdrill.schedule.slot_outcome import STOPS_A_SUITE, Outcome, conclude, healed, outcome_of
from tierdrill.schedule.slot_work import Member, Work, placeholder, run_arguments, run_name
from tierdrill.schedule.slots import spoken
from tierdrill.schedule.store.slot_records import Attempt, EnvironmentLock, SlotState
from tierdrill.schedule.store.slot_store import NotOurs, ScheduleStore, StoreError

NOT_BEGUN = "the scheduler exited before the slot started"

STOP_ASKED_S = 10.0
"""How long a run has to hear the ledger's request to stop before it is sent SIGTERM as well."""

STOP_KILLED_S = 240.0
"""How long a run that was asked to stop may clean up before it is killed; its reaper heals then."""

_Value = TypeVar("_Value")
_log = logging.getLogger(__name__)


class SlotRun:
    def __init__(self, around: Surroundings, work: Work) -> None:
        self._around, self._work = around, work
        self._key = work.slot.key
        # Kept here as well: a store that is set aside in between must not make it look as if nothing had run.
        self._attempts: list[Attempt] = []

    async def go(self) -> None:
        """From wherever the slot stands to its final record."""
        try:
            self._attempts = await self._kept(lambda store: store.attempts(self._key))
            unfinished = await self._members()
            if self._around.stop.is_set() and not self._attempts:
                # Nothing was started for it: the next scheduler may, if it is not too late then.
                await self._kept(lambda store: store.release(self._key, self._around.me))
                return
            state, outcome, reason = conclude(self._attempts, unfinished)
            await self.decide(state, outcome, reason)
        except StoreError as error:
            # Not ours any more, or the scheduler ends and the store does not work: whoever comes next finds out.
            _log.error("%s: %s", self._key, error)
        except Exception as error:
            # A defect of ours must not leave the slot in our hands for as long as we live.
            await self.decide(SlotState.LOST, "lost", f"internal error ({type(error).__name__}: {error})")
            raise

    async def close(self) -> None:
        """Find out what became of a slot whose entry is in no calendar any more, and start nothing for it."""
        try:
            self._attempts = await self._kept(lambda store: store.attempts(self._key))
            for attempt in list(self._attempts):
                member = placeholder(attempt.drill)
                if attempt.state == "prepared":
                    await self._ended(member, attempt, Outcome("refused", NOT_BEGUN), tell=False)
                elif attempt.state == "running":
                    await self._adopt(member, attempt)
            await self.decide(*conclude(self._attempts, "its entry is no longer in a calendar"))
        except StoreError as error:
            _log.error("%s: %s", self._key, error)

    async def decide(self, state: SlotState, outcome: str, reason: str) -> None:
        now = self._now()
        me = self._around.me
        await self._kept(lambda store: store.finish(self._key, me, state, outcome, reason, now))
        with _undisturbed():
            telling = self._around.listener.decided(self._work, self._attempts, state, outcome, reason)
            if telling is not None:
                await telling

    async def _members(self) -> str:
        """Every drill of the slot; why not all of them were tried, "" if they were."""
        for number, member in enumerate(self._work.members):
            left = len(self._work.members) - number - 1
            why = await self._member(number, member)
            last = self._last(number)
            if not why and left and last is not None and last.status in STOPS_A_SUITE:
                why = f"the suite stopped after {last.drill}: {last.status}"
            if why:
                return f"{why}; {left} more drills of the suite did not run" if left else why
        return ""

    def _last(self, number: int) -> Attempt | None:
        return next((one for one in reversed(self._attempts) if one.member == number), None)

    async def _member(self, number: int, member: Member) -> str:
        """One drill, with its further tries; why the slot must not go on, "" if it may."""
        while True:
            last = self._last(number)
            if last is not None and last.state == "prepared":
                # Its process was never let go: nothing ran.
                last = await self._ended(member, last, Outcome("refused", NOT_BEGUN), tell=False)
            elif last is not None and last.state == "running":
                last = await self._adopt(member, last)
            if last is not None and not self._again(last):
                return ""
            if why := await self._may_begin(last) or await self._try(number, member):
                return why

    def _again(self, last: Attempt) -> bool:
        """Whether a drill that ended so is tried (again)."""
        if last.started_at is None:
            return last.reason == NOT_BEGUN
        tries = sum(1 for one in self._attempts if one.member == last.member and one.started_at is not None)
        return last.status == "inconclusive" and tries <= self._work.entry.retry.attempts

    async def _may_begin(self, last: Attempt | None) -> str:
        """Wait until the next try's time; why there is none, "" if there is."""
        entry = self._work.entry
        if last is not None and last.status == "inconclusive":
            wait_s = (last.ended_at or self._now()) + entry.retry.after - self._now()
            if not await self._pause(min(wait_s, entry.retry.after)):
                return f"the scheduler ended before another try of {last.drill}"
            return ""
        if self._around.stop.is_set():
            return "the scheduler ended"
        # A suite's next drill counts from the end of the one before.
        ends = [one.ended_at for one in self._attempts if one.started_at is not None and one.ended_at is not None]
        late_s = self._now() - max([self._work.slot.due, *ends])
        if late_s > entry.misfire.grace:
            what = "after the drill before" if ends else "late"
            return f"{spoken(late_s)} {what}, and at most {show_duration(entry.misfire.grace)} is allowed"
        return ""

    async def _try(self, number: int, member: Member) -> str:
        """Ask the gates and run the drill; why not, if the scheduler was told to end before it began."""
        staged, rollout = await self._around.rollout(self._work, member)
        facts = Facts(self._around.home, staged, self._work.held, self._take_lock, self._now())
        results = await ask_gates(facts.gates(_answered(rollout)))
        count, me = len(self._attempts), self._around.me
        attempt = Attempt(
            key=self._key, number=count, member=number, drill=staged.drill, run="", state="prepared", child=None,
            started_at=None, ended_at=None, status="", exit_code=None, reason="",
            gates=tuple(result.to_json() for result in results),
        )  # fmt: skip
        if (held := gates.held_by(results)) is not None:
            reason = f"{held.gate}: {held.reason}"
            attempt = replace(attempt, state="ended", status="held", reason=reason, ended_at=self._now())
            await self._kept(lambda store: store.prepare(attempt, me))
            self._attempts.append(attempt)
            await self._tell(staged, attempt)
            return ""
        if self._around.stop.is_set():
            return NOT_BEGUN
        attempt = replace(attempt, run=run_name(staged.drill, self._work.slot.due, count, os.urandom(2).hex()))
        await self._kept(lambda store: store.prepare(attempt, me))
        self._attempts.append(attempt)
        await self._run(staged, attempt)
        return ""

    async def _take_lock(self, member: Member) -> EnvironmentLock | None:
        reading = self._around.clock.read()
        wanted = EnvironmentLock(
            environment=member.lock, key=self._key, owner=self._work.owner, holder=self._around.me,
            taken_at=reading.wall, lease_s=member.lease_s, lease_until=0.0,
        )  # fmt: skip

        def take(store: ScheduleStore) -> EnvironmentLock | None:
            return store.lock(wanted, reading.boottime, lambda process: store.lives(process, None, reading.boottime))

        return await self._kept(take)

    async def _run(self, member: Member, attempt: Attempt) -> Attempt:
        """Start the process, write it down, let it go, and wait for its end."""
        output = Output.of(self._around.home, attempt.run)
        command = [*self._around.commands.run, *run_arguments(member, attempt.run, self._key)]
        try:
            child = DrillProcess.prepare(command, output, self._around.commands.cwd)
        except DrillProcessError as error:
            return await self._ended(member, attempt, Outcome("refused", str(error), 126))
        try:
            now, me, store = self._now(), self._around.me, self._around.shelf.store
            store.started(self._key, attempt.number, child.id, me, now)
        except StoreError as error:
            # Not written down, so it must not begin.
            await child.drop()
            if isinstance(error, NotOurs):
                raise
            self._around.shelf.trouble(error)
            return await self._ended(member, attempt, Outcome("refused", f"not started: {error}", 126))
        child.go()
        attempt = self._update(attempt, state="running", child=child.id, started_at=now)
        with _undisturbed():
            self._around.listener.started(self._work, attempt, max(0.0, now - self._work.slot.due))
        exit_code = await self._watch(member, attempt.run, child.id, child.wait())
        return await self._settle(member, attempt, output, exit_code)

    async def _adopt(self, member: Member, attempt: Attempt) -> Attempt:
        """Wait for a drill that an earlier scheduler started, if it goes on; then find out what became of it."""
        assert attempt.child is not None
        await self._watch(member, attempt.run, attempt.child, _no_code(gone(attempt.child)))
        return await self._settle(member, attempt, Output.of(self._around.home, attempt.run), None)

    async def _settle(self, member: Member, attempt: Attempt, output: Output, exit_code: int | None) -> Attempt:
        commands = self._around.commands
        # Its reaper may be at work for minutes; nobody else begins in there meanwhile.
        await self._kept(lambda store: store.died(self._key))
        record, why = await healed(self._around.home, attempt.run, commands.recover, commands.cwd)
        outcome = outcome_of(record, exit_code, output.told() or why, unread=bool(why))
        ended = await self._ended(member, attempt, outcome)
        if outcome.status != "lost":
            output.remove()
        return ended

    async def _watch(self, member: Member, run: str, process: ProcessId, end: Awaitable[int | None]) -> int | None:
        """Until the process has ended; it is asked to stop when the scheduler is, or when it outstays its lease."""
        ending = asyncio.ensure_future(end)
        stopping = asyncio.ensure_future(self._around.stop.wait())
        self._around.running.add(process)
        try:
            await asyncio.wait({ending, stopping}, timeout=member.lease_s, return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                told = stopping.done()
                why = "the scheduler ends" if told else f"longer than its lease, {show_duration(member.lease_s)}"
                await self._stop(run, process, ending, why)
            return await ending
        finally:
            self._around.running.discard(process)
            stopping.cancel()

    async def _stop(self, run: str, process: ProcessId, ending: asyncio.Future[int | None], why: str) -> None:
        """As `tierdrill stop` does; then by signals, the last of which leaves the rest to the reaper."""
        _log.warning("%s: stopping run %s: %s", self._key, run, why)
        try:
            with closing(Ledger(self._around.home)) as ledger:
                ledger.ask_stop(run, self._around.author, why)
        except LedgerError as error:
            _log.error("%s: the ledger does not take the request to stop %s: %s", self._key, run, error)
        for wait_s, number in ((STOP_ASKED_S, signal.SIGTERM), (STOP_KILLED_S, signal.SIGKILL)):
            await asyncio.wait({ending}, timeout=wait_s)
            if ending.done():
                return
            with contextlib.suppress(PermissionError):
                signal_process(process, number)

    async def _ended(self, member: Member, attempt: Attempt, outcome: Outcome, *, tell: bool = True) -> Attempt:
        now, number = self._now(), attempt.number
        await self._kept(
            lambda store: store.ended(self._key, number, outcome.status, outcome.exit_code, outcome.reason, now)
        )
        attempt = self._update(
            attempt, state="ended", status=outcome.status, exit_code=outcome.exit_code, reason=outcome.reason,
            ended_at=now,
        )  # fmt: skip
        if tell:
            await self._tell(member, attempt)
        return attempt

    def _update(self, attempt: Attempt, **changes: Any) -> Attempt:
        changed = replace(attempt, **changes)
        self._attempts[attempt.number] = changed
        return changed

    async def _tell(self, member: Member, attempt: Attempt) -> None:
        with _undisturbed():
            telling = self._around.listener.attempt_ended(self._work, member, attempt)
            if telling is not None:
                await telling

    async def _kept(self, step: Callable[[ScheduleStore], _Value]) -> _Value:
        return await self._around.shelf.keep(step)

    async def _pause(self, seconds: float) -> bool:
        """Wait so long; False if the scheduler was told to end."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._around.stop.wait(), seconds)
        return not self._around.stop.is_set()

    def _now(self) -> float:
        return self._around.clock.read().wall


def _answered(result: GateResult) -> Gate:
    async def answer() -> GateResult:
        return result

    return answer


async def _no_code(end: Awaitable[None]) -> None:
    await end


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    try:
        yield
    except Exception:
        _log.exception("notifying about a slot failed; the slot continues")
