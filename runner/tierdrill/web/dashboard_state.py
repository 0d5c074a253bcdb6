"""What all pages of one dashboard share: its home and catalogue, whom it asks, and the parts that live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tierdrill.credentials import SecretMissing
from tierdrill.documents.catalogue import Catalogue, DrillSetting
from tierdrill.documents.catalogue_reader import catalogue_files
from tierdrill.monitoring.query import Prometheus
from tierdrill.web.command_starts import CommandStarts
from tierdrill.web.live_parts import LiveParts, Render
from tierdrill.web.run_followers import Followed, HomeNow, RunFollowers, home_now
from tierdrill.web.tier_figures import PlaceFigures, look, window_of
from tierdrill.web.tools_and_transcripts import Tools, Transcripts
from tierdrill.web.watched_places import Place, places_of

if TYPE_CHECKING:
    from tierdrill.documents.models.kubernetes import KubernetesSettings
    from tierdrill.documents.problems import Problem

ReadCatalogue = Callable[[Path], "tuple[Catalogue, list[Problem]]"]
FRESH_S = 1.0
"""Figures that are no older are shown again, instead of asking Prometheus for each page that is loaded."""
CLIENTS_MAX = 50


@dataclass(frozen=True)
class Options:
    """How a dashboard is set up. `command` begins every command line that its buttons start (tierdrill with this home
    and catalogue), `tools` are a trainee's, `hosts` are further names by which it is reached, `secure` says that it
    is over TLS.
    """

    home: Path
    catalogue: Path
    read: ReadCatalogue
    command: tuple[str, ...]
    tools: Tools
    hosts: frozenset[str] = frozenset()
    secure: bool = False
    name: str = ""
    homes: tuple[str, ...] = ()
    """With several homes: the name of this one, and of all."""


@dataclass(frozen=True)
class Documents:
    """The catalogue when it was last read without a problem, and the problems that it has now."""

    catalogue: Catalogue
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Now:
    """Every place with its figures, the runs that go on, and the home, at one moment."""

    at: float
    home: HomeNow
    places: tuple[tuple[Place, PlaceFigures], ...]
    runs: tuple[Followed, ...]
    documents: Documents


class Dashboard:
    def __init__(self, options: Options) -> None:
        self.options = options
        self.followers = RunFollowers(options.home)
        self._documents = Documents(Catalogue(options.catalogue))
        self._signature: object = None
        self._reading, self._looking = asyncio.Lock(), asyncio.Lock()
        self._clients: dict[str, Prometheus] = {}
        self._settings: dict[str, DrillSetting] = {}
        self._live: dict[str, LiveParts] = {}
        self._now: Now | None = None
        self.transcripts = Transcripts()
        self.starts = CommandStarts(options.home, options.command)

    async def documents(self) -> Documents:
        """Read again once a file of the catalogue has changed."""
        async with self._reading:
            return await asyncio.to_thread(self._read)

    def _read(self) -> Documents:
        files = catalogue_files(self.options.catalogue) or []
        signature = [(path, told.st_mtime_ns, told.st_size) for path in files for told in (path.stat(),)]
        if signature != self._signature:
            catalogue, problems = self.options.read(self.options.catalogue)
            good = self._documents.catalogue if problems else catalogue
            self._documents, self._signature = Documents(good, tuple(problems)), signature
        return self._documents

    @property
    def clusters(self) -> dict[str, KubernetesSettings]:
        """The environments on a cluster, of the documents as they were last read."""
        known = sorted(self._documents.catalogue.environments.items())
        return {name: one.kubernetes for name, one in known if one.kubernetes is not None}

    async def home(self) -> HomeNow:
        return await asyncio.to_thread(home_now, self.options.home)

    async def now(self) -> Now:
        """At most `FRESH_S` old; asked once for all who want it at the same time."""
        async with self._looking:
            if self._now is None or time.time() - self._now.at > FRESH_S:
                self._now = await self._look()
            return self._now

    async def _look(self) -> Now:
        documents = await self.documents()
        home = await self.home()
        places = await asyncio.to_thread(places_of, self.options.home, documents.catalogue, self._settings)
        figures = await asyncio.gather(*map(self._figures, places))
        runs = await asyncio.to_thread(self.followers.follow, home.runs)
        return Now(time.time(), home, tuple(zip(places, figures, strict=True)), tuple(runs), documents)

    async def _figures(self, place: Place) -> PlaceFigures:
        if place.prometheus is None:
            return PlaceFigures(window_of(place.environment), unknown=place.absent)
        try:
            return await look(place, self._client(place))
        except SecretMissing as error:
            return PlaceFigures(window_of(place.environment), unknown=str(error))

    def _client(self, place: Place) -> Prometheus:
        assert place.prometheus is not None
        # Labs come and go, each with a login of its own, and a port may come again.
        key = f"{place.name} {place.prometheus.url}"
        if key not in self._clients:
            if len(self._clients) >= CLIENTS_MAX:
                self._close_clients()
            self._clients[key] = Prometheus(place.prometheus.url, place.prometheus.login)
        return self._clients[key]

    def live(self, name: str, render: Render, every_s: float) -> LiveParts:
        """The live parts of that name, which all who look at them share."""
        self._live = {key: parts for key, parts in self._live.items() if parts.viewers or key == name}
        return self._live.setdefault(name, LiveParts(render, every_s))

    def nudge(self) -> None:
        """Let who looks see what was just done."""
        for parts in self._live.values():
            parts.nudge()

    @property
    def viewers(self) -> Mapping[str, int]:
        """How many look at each set of live parts."""
        return {name: parts.viewers for name, parts in self._live.items()}

    async def close(self) -> None:
        for parts in self._live.values():
            await parts.close()
        self.starts.let_go()
        self._close_clients()

    def _close_clients(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()
