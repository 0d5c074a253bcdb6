"""Reading facts for guards and checks, and holding them against what is asked of them: bounded in time, shared
between those who ask at once, waited for rather than slept for.

What a fact is worth waiting for mostly changes with an event that somebody else sees (a heartbeat, a notification):
`changed()` wakes those who wait; where nobody calls it, a fact is read again every 100 ms.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tierdrill.documents.models.playbook import Condition
from tierdrill.remediation.guards import Refuse
from tierdrill.remediation.substitution import Guard, SubstitutionError
from tierdrill.remedies.facts import FACTS
from tierdrill.targets.base import Inventory, RemedyPort

POLL_S = 0.1
READ_TIMEOUT_S = 2.0
READS_AT_ONCE = 32


@dataclass(frozen=True)
class Outcome:
    """Whether a condition held, and what was seen, in words for the history."""

    met: bool
    seen: str


def judge(condition: Condition, value: Any) -> Outcome:
    """A fact's value against what is asked of it. Without a comparison the fact must be true."""
    problems = [text for text in (_equals(condition, value), *_bounds(condition, value)) if text]
    seen = f"{name_of(condition)} is {_show(value)}"
    return Outcome(not problems, f"{seen}, not {' and '.join(problems)}" if problems else seen)


def name_of(condition: Condition) -> str:
    """`node.ready of node-2`."""
    return f"{condition.fact} of {condition.subject}" if condition.subject else condition.fact


def _equals(condition: Condition, value: Any) -> str | None:
    asked = condition.equals
    if asked is None:
        bare = condition.at_least is None and condition.at_most is None
        return "true" if bare and value is not True else None
    # Python holds True == 1; a fact that is a number must not pass for one that is yes or no.
    same = value == asked and isinstance(value, bool) == isinstance(asked, bool)
    return None if same else _show(asked)


def _bounds(condition: Condition, value: Any) -> list[str]:
    bounds = []
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    # Written so that NaN, which compares false with everything, is out of bounds.
    if condition.at_least is not None and not (number is not None and number >= condition.at_least):
        bounds.append(f"at least {condition.at_least:g}")
    if condition.at_most is not None and not (number is not None and number <= condition.at_most):
        bounds.append(f"at most {condition.at_most:g}")
    return bounds


def _show(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


class FactUnavailable(Exception):
    """The deployment did not say; that is neither yes nor no."""


class FactReader:
    """Facts of the deployment, and those that the engine knows itself."""

    def __init__(self, port: RemedyPort, alert_firing: Callable[[str], bool]) -> None:
        self._port = port
        self._alert_firing = alert_firing
        self._reading: dict[str, asyncio.Task[Any]] = {}
        self._all: set[asyncio.Task[Any]] = set()
        self._at_once = asyncio.Semaphore(READS_AT_ONCE)
        self._change = asyncio.Event()

    def changed(self) -> None:
        self._change.set()
        self._change = asyncio.Event()

    async def read(self, fact: str, subject: str, *, fresh: bool = False) -> Any:
        """The fact's value; FactUnavailable with the reason. `fresh`: as of now, not of a question asked earlier."""
        if fact in FACTS and FACTS[fact].known_by_engine:
            try:
                return self._alert_firing(subject)
            except ValueError as error:
                raise FactUnavailable(f"{fact}: {error}") from error
        return await self._shared(f"{fact} of {subject}", lambda: self._port.fact(fact, subject), fresh)

    async def nodes_total(self) -> int:
        """How many nodes there are, ready or not; FactUnavailable if nobody can tell."""
        inventory: Inventory = await self._shared("inventory", self._port.inventory)
        return len(inventory.nodes)

    async def _shared(self, what: str, ask: Callable[[], Awaitable[Any]], fresh: bool = False) -> Any:
        # In a storm thousands ask the same at once; one question to the deployment answers them all.
        reading = self._reading.get(what)
        if reading is None or fresh:
            reading = asyncio.ensure_future(self._read(what, ask))
            self._reading[what] = reading
            self._all.add(reading)
            reading.add_done_callback(lambda done: self._forget(what, done))
        return await asyncio.shield(reading)

    def _forget(self, what: str, reading: asyncio.Task[Any]) -> None:
        self._all.discard(reading)
        if self._reading.get(what) is reading:
            del self._reading[what]
        if not reading.cancelled():
            reading.exception()

    async def _read(self, what: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        async with self._at_once:
            try:
                async with asyncio.timeout(READ_TIMEOUT_S):
                    return await ask()
            except TimeoutError as error:
                raise FactUnavailable(f"{what}: no answer within {READ_TIMEOUT_S:g} s") from error
            except Exception as error:
                raise FactUnavailable(f"{what}: {error}") from error

    async def until(self, condition: Condition, within: float) -> Outcome:
        """Wait for a condition to hold, for so long at most. A fact that cannot be read is not a condition that
        holds.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        last = Outcome(False, f"{name_of(condition)} was not read")
        try:
            async with asyncio.timeout_at(begun + within):
                while True:
                    change = self._change
                    last = await self._look(condition)
                    if last.met:
                        return Outcome(True, f"{last.seen} after {loop.time() - begun:.2f} s")
                    await wait_for(change, POLL_S)
        except TimeoutError:
            return Outcome(False, f"{last.seen} after {within:g} s")

    async def _look(self, condition: Condition) -> Outcome:
        try:
            # A question asked before the remedy was done would be answered with how things were.
            return judge(condition, await self.read(condition.fact, condition.subject, fresh=True))
        except FactUnavailable as error:
            return Outcome(False, str(error))

    async def guards(self, when: Sequence[Guard], forbidden_when: Sequence[Guard], patience: float) -> Refuse | None:
        """Why the playbook does not apply; None if it does.

        FactUnavailable if a fact stays unread for `patience` seconds: blind is not free to act. SubstitutionError if
        a guard cannot be asked.
        """
        deadline = asyncio.get_running_loop().time() + patience
        while True:
            change = self._change
            try:
                return await self._guards(when, forbidden_when)
            except FactUnavailable:
                if asyncio.get_running_loop().time() >= deadline:
                    raise
            await wait_for(change, POLL_S)

    async def _guards(self, when: Sequence[Guard], forbidden_when: Sequence[Guard]) -> Refuse | None:
        for guard in when:
            outcome = await self._ask(guard)
            if not outcome.met:
                return Refuse("when", outcome.seen)
        for guard in forbidden_when:
            outcome = await self._ask(guard)
            if outcome.met:
                return Refuse("forbidden", f"forbidden when {outcome.seen}")
        return None

    async def _ask(self, guard: Guard) -> Outcome:
        if isinstance(guard, SubstitutionError):
            raise guard
        return judge(guard, await self.read(guard.fact, guard.subject))

    async def close(self) -> None:
        """Give up reads under way."""
        reading = list(self._all)
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Until the event is set, or so long."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass


async def wait_for_any(*events: asyncio.Event) -> None:
    """Until one of the events is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
