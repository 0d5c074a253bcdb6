"""Putting an exercise's faults into the lab. What is written of them to the disk is sealed; in clear they are in this
process alone.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tierdrill.conductor.recorder import in_thread
from tierdrill.documents.models.scenario import Inject, Scenario
from tierdrill.history.events import Emit, Event, event
from tierdrill.history.kinds.exercise_kinds import ExerciseIncident, FacilitatorHint, FacilitatorJoined
from tierdrill.history.kinds.run_kinds import FaultIntended
from tierdrill.injection.injector import Injector, NotInjected
from tierdrill.training.protocol import BAD_INPUT, REFUSED, Answer, answer


@dataclass
class ExerciseFaults:
    """The faults of one exercise, each under a lease of so many seconds."""

    injector: Injector
    lease_s: float
    _count: int = 0

    async def inject(self, incident: str, kind: str, parameters: Sequence[Mapping[str, Any]], tier: str) -> list[str]:
        """Inject a fault on every target at once and wait until each was seen to land; the targets.

        NotInjected where one was not, Refused where nothing was touched; its message is not for the trainee.
        """
        results = await asyncio.gather(
            *(self._one(incident, kind, dict(each), tier) for each in parameters), return_exceptions=True
        )
        failed = [result for result in results if isinstance(result, BaseException)]
        if failed and any(not isinstance(error, NotInjected) for error in failed):
            raise failed[0]
        if failed and len(failed) < len(results):
            raise NotInjected(f"{incident}: on some targets only: {failed[0]}")
        if failed:
            raise type(failed[0])(f"{incident}: {failed[0]}")
        return [str(result) for result in results]

    async def _one(self, incident: str, kind: str, parameters: dict[str, Any], tier: str) -> str:
        self._count += 1
        injector, fault = self.injector, f"{self.injector.run}/{self._count}"

        def tell(item: Event) -> None:
            if isinstance(said := item.payload, FaultIntended):
                told = ExerciseIncident(incident=incident, fault=fault, kind=kind, target=said.target, tier=tier)
                injector.emit(event(told, injector.source, item.at))
            injector.emit(item)

        def work(emit: Emit) -> str:
            return replace(injector, emit=emit).inject(kind, parameters, self.lease_s, fault=fault)[0].target

        return await in_thread(work, tell)


HINT_COST_MAX = 50
COMMANDS = ("truth", "inject", "fault", "message", "clue", "hint", "pause", "resume", "end")


class Stage(Protocol):
    """What the facilitator acts on: the exercise as it goes on."""

    async def perform(self, inject: Inject, by: str) -> str:
        """Carry out an inject; what was done, in words. ValueError if it cannot be done now."""
        ...

    def message(self, sender: str, text: str) -> None:
        ...

    def pause(self) -> bool: ...

    def resume(self) -> bool: ...

    def end(self, reason: str, why: str) -> None: ...

    def truth(self) -> dict[str, Any]:
        ...


class Facilitator:
    """Answers the facilitator's questions, each by its method: `do` is what comes after `facilitator/`."""

    def __init__(
        self, scenario: Scenario, stage: Stage, emit: Callable[[Event], object], joined: Callable[[], None]
    ) -> None:
        self._scenario, self._stage, self._emit, self._joined = scenario, stage, emit, joined
        self._digest: bytes | None = None

    async def handle(self, do: str, said: Mapping[str, Any], token: str) -> Answer:
        """One question. `join` takes the seat; everything else needs its token."""
        if do == "join":
            return self._join()
        if self._digest is None or not hmac.compare_digest(_digest(token), self._digest):
            return answer(
                "this needs the facilitator's token, which `tierdrill facilitate` showed when it joined", code=REFUSED
            )
        if do not in COMMANDS:
            return answer(f"got {do!r}, expected one of: {', '.join(COMMANDS)}", code=BAD_INPUT)
        done: Answer = await getattr(self, f"_{do}")(said)
        return done

    def _join(self) -> Answer:
        if self._digest is not None:
            return answer("somebody else is the facilitator; rejoin with their token", code=REFUSED)
        token = secrets.token_urlsafe(9)
        self._digest = _digest(token)
        self._emit(event(FacilitatorJoined(), "facilitator"))
        self._joined()
        return answer(f"you are the facilitator; your token is {token}", {"token": token})

    async def _truth(self, said: Mapping[str, Any]) -> Answer:
        return answer("", self._stage.truth())

    async def _inject(self, said: Mapping[str, Any]) -> Answer:
        name = str(said.get("name") or "")
        inject = next((one for one in self._scenario.injects if one.name == name), None)
        if inject is None:
            known = ", ".join(one.name for one in self._scenario.injects) or "none"
            return answer(f"no inject {name!r}, expected one of: {known}", code=BAD_INPUT)
        return await self._performed(inject)

    async def _fault(self, said: Mapping[str, Any]) -> Answer:
        parameters = {str(key): value for key, value in dict(said.get("parameters") or {}).items()}
        name = f"facilitator-{int(time.time() * 1000) % 10_000_000}"
        return await self._performed(
            Inject(name=name, kind="fault", fault=str(said.get("fault")), parameters=parameters)
        )

    async def _performed(self, inject: Inject) -> Answer:
        try:
            done = await self._stage.perform(inject, "facilitator")
        except ValueError as error:
            return answer(str(error), code=REFUSED)
        return answer(done)

    async def _message(self, said: Mapping[str, Any]) -> Answer:
        text, sender = str(said.get("text") or "").strip(), str(said.get("sender") or "facilitator")
        if not text:
            return answer("missing message text", code=BAD_INPUT)
        self._stage.message(sender, text)
        return answer("said")

    async def _clue(self, said: Mapping[str, Any]) -> Answer:
        inject = Inject(
            name="clue",
            kind="xid",
            node=str(said.get("node")),
            gpu=int(said.get("gpu") or 0),
            xid=int(said.get("xid") or 45),
        )
        return await self._performed(inject)

    async def _hint(self, said: Mapping[str, Any]) -> Answer:
        text, cost = str(said.get("text") or "").strip(), int(said.get("cost", 5))
        if not text or not 0 <= cost <= HINT_COST_MAX:
            return answer(f"missing hint text; a hint costs 0 to {HINT_COST_MAX} points", code=BAD_INPUT)
        self._emit(event(FacilitatorHint(hint=text, cost=cost, asked=False), "facilitator"))
        return answer(f"given; it costs {cost} points")

    async def _pause(self, said: Mapping[str, Any]) -> Answer:
        if not self._stage.pause():
            return answer("already paused", code=REFUSED)
        return answer("paused: no time passes, no pages escalate, no remedies run; the platform continues")

    async def _resume(self, said: Mapping[str, Any]) -> Answer:
        return answer("resumed") if self._stage.resume() else answer("not paused", code=REFUSED)

    async def _end(self, said: Mapping[str, Any]) -> Answer:
        self._stage.end("facilitator", str(said.get("why") or "the facilitator ended it"))
        return answer("the exercise is ending; the debrief appears in its terminal")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
