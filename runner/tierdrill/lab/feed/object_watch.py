"""The objects behind one list of a Kubernetes API server, kept as they are now: a list, then watches from there on.

Raw JSON over plain HTTP with a service account's token, which is read anew for each connection because it is renewed.
A watch ends after a while by agreement; one that is then still silent was dropped on the way. What breaks is begun
again from a new list; until that is there the last known objects stand.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PAGE = 500
WATCH_S = 30
SLACK_S = 5.0
"""So long after its agreed end a silent watch is given up."""

CONNECT_S = 3.0
BACKOFF_MIN_S = 0.2
BACKOFF_MAX_S = 5.0
EVENT_BYTES_MAX = 2 * 1024 * 1024
GONE = 410

Object = Mapping[str, Any]
log = logging.getLogger("tierdrill.feed")


@dataclass(frozen=True)
class ApiServer:
    """Where it is, and the files with what it asks for."""

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None

    @classmethod
    def of_the_pod(cls) -> ApiServer:
        """The one that this pod belongs to; KeyError outside of a cluster."""
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        host = f"[{host}]" if ":" in host else host
        return cls(f"https://{host}:{port}", ACCOUNT / "token", ACCOUNT / "ca.crt")

    def headers(self) -> dict[str, str]:
        token = {} if self.token_file is None else {"Authorization": f"Bearer {self.token_file.read_text().strip()}"}
        return {"User-Agent": "tierdrill-feed", "Accept": "application/json", **token}

    def session(self) -> aiohttp.ClientSession:
        trusted = True if self.ca_file is None else ssl.create_default_context(cafile=str(self.ca_file))
        return aiohttp.ClientSession(self.url, connector=aiohttp.TCPConnector(ssl=trusted))


class WatchEnded(Exception):
    """The watch cannot go on from where it was: the objects must be listed again."""


@dataclass
class ObjectWatch:
    """The objects of one path (such as /api/v1/nodes), by uid. `changed` is called after each list and each event."""

    server: ApiServer
    path: str
    labels: str
    changed: Callable[[], object]
    objects: dict[str, Object] = field(default_factory=dict)
    listed: bool = False
    watch_s: float = WATCH_S
    slack_s: float = SLACK_S

    async def run(self) -> None:
        """Follow for as long as the program lives."""
        backoff_s = BACKOFF_MIN_S
        async with self.server.session() as session:
            while True:
                try:
                    version = await self._list(session)
                    backoff_s = BACKOFF_MIN_S
                    while True:
                        version = await self._watch(session, version)
                except (WatchEnded, TimeoutError, aiohttp.ClientError, OSError, ValueError, KeyError) as error:
                    log.warning("%s: %s: %s", self.path, type(error).__name__, error)
                await asyncio.sleep(backoff_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads the callers
                backoff_s = min(BACKOFF_MAX_S, backoff_s * 2)

    async def _list(self, session: aiohttp.ClientSession) -> str:
        found: dict[str, Object] = {}
        query = self._query(limit=str(PAGE))
        while True:
            async with asyncio.timeout(WATCH_S), session.get(self.path, params=query, headers=self._headers()) as said:
                said.raise_for_status()
                page = await said.json(content_type=None)
            found |= {item["metadata"]["uid"]: item for item in page["items"]}
            if not (more := page["metadata"].get("continue")):
                break
            query["continue"] = more
        self.objects, self.listed = found, True
        self.changed()
        return str(page["metadata"]["resourceVersion"])

    async def _watch(self, session: aiohttp.ClientSession, version: str) -> str:
        """One watch to its end; where to go on from. WatchEnded where that is nowhere."""
        query = self._query(
            watch="true", resourceVersion=version, timeoutSeconds=f"{self.watch_s:.0f}", allowWatchBookmarks="true"
        )
        async for event in self._events(session, query):
            kind, item = event["type"], event["object"]
            if kind == "ERROR":
                raise WatchEnded(f"{item.get('code')} {item.get('message')}")
            version = str(item["metadata"]["resourceVersion"])
            if kind == "BOOKMARK":
                continue
            if kind == "DELETED":
                self.objects.pop(item["metadata"]["uid"], None)
            else:
                self.objects[item["metadata"]["uid"]] = item
            self.changed()
        return version

    async def _events(self, session: aiohttp.ClientSession, query: Mapping[str, str]) -> AsyncIterator[Any]:
        limits = aiohttp.ClientTimeout(total=self.watch_s + self.slack_s, sock_connect=CONNECT_S)
        async with session.get(
            self.path, params=query, headers=self._headers(), timeout=limits, read_bufsize=EVENT_BYTES_MAX
        ) as answer:
            if answer.status == GONE:
                raise WatchEnded(f"{GONE}: the version is too old")
            answer.raise_for_status()
            while line := await answer.content.readline():
                yield json.loads(line)

    def _query(self, **options: str) -> dict[str, str]:
        return {**options, **({"labelSelector": self.labels} if self.labels else {})}

    def _headers(self) -> dict[str, str]:
        return self.server.headers()
