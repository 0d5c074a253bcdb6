"""Keeps the fabric's edges as the controller wants them, and publishes endpoint lists once their edges exist."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from tierdrill.lab.controller.cluster_view import Edge, endpoints, wanted_edges
from tierdrill.lab.controller.desired_state import Core
from tierdrill.lab.node.http_client import JsonClient

FABRIC_TIMEOUT_S = 2.0
RETRY_S = 0.2
_log = logging.getLogger("tierdrill.controller")

Listing = tuple[int, list[dict[str, Any]]]


class Bell:
    """Wakes everybody who waits for the next change."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def ring(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, timeout_s: float) -> bool:
        """Until it rings; False when the time is up first."""
        event = self._event
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), max(0.0, timeout_s))
        return event.is_set()


class EdgeKeeper:
    """The controller's side of the network."""

    def __init__(self, core: Core, sources: Iterable[str], fabric: tuple[str, str] | None, *, direct: bool) -> None:
        self._core = core
        self._sources = tuple(sources)
        self._fabric = None if fabric is None else JsonClient(*fabric)
        self._direct = direct
        self._stale = asyncio.Event()
        self._open: dict[str, tuple[Edge, str]] = {}
        self._listings: dict[tuple[str, bool], Listing] = {}
        self.published = Bell()

    def use_fabric(self, address: str, token: str) -> None:
        """The fabric is up (or up again, elsewhere, with no edges)."""
        if self._fabric is not None:
            self._fabric.close()
        self._fabric = JsonClient(address, token)
        self._open.clear()
        self._stale.set()

    def refresh(self) -> None:
        self._stale.set()

    def address(self, edge: str) -> str | None:
        """Where an edge listens; None while it does not exist."""
        known = self._open.get(edge)
        return None if known is None else known[1]

    def listing(self, source: str, *, everything: bool) -> Listing:
        key = (source, everything)
        if key not in self._listings:
            self._listings[key] = (1, self._endpoints(key))
        return self._listings[key]

    def publish_anew(self) -> None:
        """Answer everybody who waits for news, with what is as it was: something is told beside it."""
        self._listings = {key: (version + 1, listed) for key, (version, listed) in self._listings.items()}
        self.published.ring()

    async def run(self) -> None:
        try:
            while True:
                await self._stale.wait()
                self._stale.clear()
                self._publish()  # withdrawals must not wait for the fabric
                try:
                    await self._settle()
                except (OSError, KeyError, TypeError) as error:
                    _log.warning("fabric: %s: %s", type(error).__name__, error)
                    asyncio.get_running_loop().call_later(RETRY_S, self._stale.set)
                self._publish()
        finally:
            if self._fabric is not None:
                self._fabric.close()

    async def _settle(self) -> None:
        wanted = wanted_edges(self._core, self._sources)
        if self._direct:
            self._open = {name: (edge, edge.target) for name, edge in wanted.items()}
            return
        if self._fabric is None:
            return
        for name, edge in wanted.items():
            known = self._open.get(name)
            if known is None or known[0] != edge:
                body = {"source": edge.source, "destination": edge.destination, "target": edge.target}
                answer = await self._ask("PUT", name, body)
                self._open[name] = (edge, str(answer["listen"]))
        for name in [name for name in self._open if name not in wanted]:
            await self._ask("DELETE", name, None)
            del self._open[name]

    async def _ask(self, method: str, edge: str, body: dict[str, str] | None) -> Any:
        assert self._fabric is not None
        path = f"/edges/{quote(edge, safe='')}"
        status, answer = await self._fabric.request(method, path, body, timeout_s=FABRIC_TIMEOUT_S)
        if status not in (200, 404) or (method == "PUT" and status != 200):
            raise OSError(f"{method} {path}: status {status}: {answer}")
        return answer

    def _publish(self) -> None:
        changed = False
        for key, (version, listed) in self._listings.items():
            now = self._endpoints(key)
            if now != listed:
                self._listings[key] = (version + 1, now)
                changed = True
        if changed:
            self.published.ring()

    def _endpoints(self, key: tuple[str, bool]) -> list[dict[str, Any]]:
        return endpoints(self._core, key[0], self._open, everything=key[1])
