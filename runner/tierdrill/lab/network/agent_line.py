"""Orders to an agent that serves on a socket: one line for each fault, which stands for as long as the line is kept."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

ANSWER_S = 30.0
LEASE_MIN_S = 0.2
AGENT_ENDED = "the agent has ended"


class AgentRefused(Exception):
    """The agent cannot or will not do it; the message is its own."""


class AgentLine:
    """What is injected on it is undone by the agent when it is closed, or has not been heard of for its lease.

    `ended` is called with the reason when the agent has done so without having been asked.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ended: Callable[[str], None]
    ) -> None:
        self._writer, self._ended = writer, ended
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0
        self._faults: set[str] = set()
        self._stuck: dict[str, str] = {}
        self._closed = False
        self._reading = asyncio.get_running_loop().create_task(self._read(reader))

    @classmethod
    async def open(cls, path: Path, ended: Callable[[str], None]) -> "AgentLine":
        """A line that is armed, for as long as an answer may take; OSError where nobody is there."""
        line = cls(*await asyncio.open_unix_connection(str(path)), ended)
        await line.arm(ANSWER_S)
        return line

    async def arm(self, lease_s: float) -> None:
        """From now on it must be heard of within that time."""
        await self.ask("arm", lease_s=max(LEASE_MIN_S, lease_s))

    async def ask(self, order: str, **told: Any) -> dict[str, Any]:
        """The agent's answer; AgentRefused, or OSError (TimeoutError too) where none comes."""
        self._number += 1
        number, answer = self._number, asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            self._writer.write(json.dumps({"id": number, "do": order, **told}).encode() + b"\n")
            async with asyncio.timeout(ANSWER_S):
                await self._writer.drain()
                said: dict[str, Any] = await answer
        finally:
            self._answers.pop(number, None)
        if not said.get("ok"):
            raise AgentRefused(str(said.get("error")))
        return said

    async def enforce(self, fault: str, kind: str, target: dict[str, Any], parameters: dict[str, Any]) -> None:
        """Look at the target, then do it."""
        bound = await self.ask("bind", fault=fault, kind=kind, target=target, parameters=parameters)
        self._faults.add(fault)
        await self.ask("inject", record=bound["record"])

    async def close(self) -> None:
        """Undo all of it; AgentRefused where something cannot be undone now: the agent tries on."""
        self._closed = True
        try:
            # Of all that stands; others have lines of their own.
            if left := self._faults.intersection((await self.ask("disarm"))["left"]):
                raise AgentRefused(f"not undone yet: {', '.join(f'{one} ({self._stuck.get(one)})' for one in left)}")
        finally:
            self._reading.cancel()
            self._writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError, ValueError):
            while line := await reader.readline():
                said = json.loads(line)
                if (answer := self._answers.get(said.get("id"))) is not None and not answer.done():
                    answer.set_result(said)
                elif said.get("event") == "stuck":
                    self._stuck[str(said.get("fault"))] = str(said.get("error"))
                elif said.get("event") in ("reverted", "ended") and said.get("fault") in self._faults:
                    self._tell(str(said.get("why") or said.get("what")))
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionResetError(AGENT_ENDED))
        self._tell(AGENT_ENDED)

    def _tell(self, why: str) -> None:
        if not self._closed:
            self._closed = True
            self._ended(why)
