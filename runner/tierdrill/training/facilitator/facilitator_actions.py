"""The facilitator's side: what is really happening, injects, hints, messages, pause and end.

The trainee works as the same user on the same machine, so no file can keep this from them. It is a seat: the first to
take it gets a token, which is shown in that terminal alone and kept nowhere (the exercise keeps its digest). That it is
taken is told at once in the exercise's terminal and in the history, so a trainee who took it to peek is seen to have.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tierdrill.documents.models.scenario import Inject, Scenario
from tierdrill.history.events import Event, event
from tierdrill.history.kinds.exercise_kinds import FacilitatorHint, FacilitatorJoined
from tierdrill.training.protocol import BAD_INPUT, REFUSED, Answer, answer

HINT_COST_MAX = 50
COMMANDS = ("truth", "inject", "fault", "message", "clue", "hint", "pause", "resume", "end")


class Stage(Protocol):
    """What the facilitator acts on: the exercise as it goes on."""

    async def perform(self, inject: Inject, by: str) -> str:
        """Carry out an inject; what was done, in words. ValueError if it cannot be done now."""
        ...

    def message(self, sender: str, text: str) -> None:
        """Say something to the trainee."""
        ...

    def pause(self) -> bool: ...

    def resume(self) -> bool: ...

    def end(self, reason: str, why: str) -> None: ...

    def truth(self) -> dict[str, Any]:
        """Everything, as plain data."""
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
