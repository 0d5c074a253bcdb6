"""Where replicas are, by name: asked of a resolver again and again, and kept while it does not know (RFC 8767).

An answer that has run out is better than none: replicas do not go away because a resolver does. Only one that was never
found has no address at all.
"""

import asyncio
import itertools
import logging
from collections.abc import Sequence
from dataclasses import replace

from tierdrill.lab.dns_messages import NOERROR, Answer, BadMessage, answered, question, service
from tierdrill.lab.gateway.gateway_state import GatewayCore
from tierdrill.lab.gateway.routing import Endpoint

ANSWER_S = 0.4
AGAIN_S = 0.5
"""How often is looked which answers have run out, and asked again where there was none."""

log = logging.getLogger("tierdrill.gateway")


class Questions(asyncio.DatagramProtocol):
    """Questions on their way, by number."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            number, said = answered(data)
        except BadMessage as error:
            log.warning("resolver: %s", error)
            return
        if (waiting := self._waiting.get(number)) is not None and not waiting.done():
            waiting.set_result(said)

    async def ask(self, name: str) -> Answer | None:
        """None where no answer comes."""
        number = next(self._numbers) % 65536
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(ANSWER_S):
                assert self._transport is not None
                self._transport.sendto(question(number, name))
                said: Answer = await waiting
                return said
        except TimeoutError:
            return None
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class NameLookup:
    """What is listed, each at the address that its name leads to; without a resolver at the one that is listed."""

    def __init__(self, core: GatewayCore) -> None:
        self._core = core
        self._listed: Sequence[Endpoint] = ()
        self._found: dict[str, tuple[str, float]] = {}  # name -> address, until when
        self._new = asyncio.Event()

    def take(self, listed: Sequence[Endpoint]) -> None:
        """The controller's list: what is known of it is used at once, the rest is asked for."""
        self._listed = listed
        self._new.set()
        self._core.take_endpoints(self._placed())

    def _placed(self) -> list[Endpoint]:
        if self._core.config.resolver is None:
            return list(self._listed)
        now, kept = self._core.clock(), self._core.flags.stale_answers
        found = {name: at for name, (at, until) in self._found.items() if kept or now < until + AGAIN_S + ANSWER_S}
        return [replace(one, address=found[one.name]) for one in self._listed if one.name in found]

    async def run(self) -> None:
        """Ask for as long as the gateway lives."""
        if self._core.config.resolver is None:
            return
        host, _, port = self._core.config.resolver.rpartition(":")
        loop = asyncio.get_running_loop()
        _, questions = await loop.create_datagram_endpoint(Questions, remote_addr=(host, int(port)))
        try:
            while True:
                self._new.clear()
                now = self._core.clock()
                due = {one.name for one in self._listed if now >= self._found.get(one.name, ("", now))[1]}
                answers = dict(zip(due, await asyncio.gather(*(self._ask(questions, one) for one in due)), strict=True))
                if due:
                    self._learn(answers)
                try:
                    await asyncio.wait_for(self._new.wait(), AGAIN_S)
                except TimeoutError:
                    continue
        finally:
            questions.close()

    async def _ask(self, questions: Questions, name: str) -> Answer | None:
        return await questions.ask(service(name, self._core.config.name))

    def _learn(self, answers: dict[str, Answer | None]) -> None:
        now = self._core.clock()
        lost = 0
        for name, said in answers.items():
            if said is not None and said.code == NOERROR and said.address is not None:
                self._found[name] = (said.address, now + said.ttl_s)
            else:
                lost += 1
        self._core.metrics.resolver.set(1 if lost == len(answers) else 0)
        names = {one.name for one in self._listed}
        self._found = {name: at for name, at in self._found.items() if name in names}
        self._core.take_endpoints(self._placed())
