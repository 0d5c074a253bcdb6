"""What a gateway keeps in the state store and goes by: its flags, what its tiers' policy is changed by, the rules that
are lifted, the models whose circuit is open.

The store is etcd, asked by its JSON gateway. Reads and writes go through a quorum of its members, or fail: without
one nothing can be changed, and the gateway goes on by what it read last.
"""

import asyncio
import json
import logging
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

import aiohttp

from tierdrill.lab.gateway.gateway_state import GatewayCore
from tierdrill.lab.lab_config import LabConfigError

KEPT = ("flags", "policy", "overrides")
CIRCUITS = "circuits"
ASK_TIMEOUT_S = 0.8
"""A member without a leader holds a request for seconds; so long is no answer."""

READ_EVERY_S = 1.0
RETRY_S = 0.2

log = logging.getLogger("tierdrill.gateway")

Told = dict[str, dict[str, Any]]
Read = dict[str, dict[str, Any] | None]
"""Documents by name; None for one that is no JSON object."""


class NoQuorum(Exception):
    """No member of the state store read or wrote by a quorum; the message says what each of them said."""


class StateStore:
    """The documents below one gateway's prefix, by name."""

    def __init__(self, session: aiohttp.ClientSession, members: tuple[str, ...], gateway: str) -> None:
        self._session, self._members = session, list(members)
        self._prefix = f"/tierdrill/{gateway}/"

    async def read(self) -> tuple[int, Read]:
        """The store's revision, and every document; NoQuorum."""
        found = await self._ask("/v3/kv/range", self._all())
        told = {_text(one["key"]).removeprefix(self._prefix): one.get("value", "") for one in found.get("kvs", ())}
        return int(found["header"]["revision"]), {name: _document(value) for name, value in told.items()}

    async def write(self, name: str, document: Mapping[str, Any]) -> None:
        """Replace a document; NoQuorum, and then nothing was written."""
        # A write that is proposed while the quorum goes may be carried out once it is back: so ask for one first.
        await self.read()
        await self._ask("/v3/kv/put", {"key": _coded(self._prefix + name), "value": _coded(json.dumps(document))})

    async def changed(self, revision: int, within_s: float) -> None:
        """Return once a document was written after that revision, or after so long."""
        watch = {"create_request": {**self._all(), "start_revision": revision + 1}}
        try:
            async with (
                asyncio.timeout(within_s),
                self._session.post(f"http://{self._members[0]}/v3/watch", json=watch) as response,
            ):
                async for line in response.content:
                    if b'"events"' in line:
                        return
        except TimeoutError:
            return
        except (aiohttp.ClientError, OSError, ValueError):
            await asyncio.sleep(RETRY_S)

    def _all(self) -> dict[str, str]:
        return {"key": _coded(self._prefix), "range_end": _coded(self._prefix[:-1] + "0")}  # what comes after a slash

    async def _ask(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of the first member that has one; it is asked first from then on."""
        said = []
        for member in tuple(self._members):
            try:
                async with (
                    asyncio.timeout(ASK_TIMEOUT_S),
                    self._session.post(f"http://{member}{path}", json=body) as response,
                ):
                    answer: dict[str, Any] = await response.json(content_type=None)
                if response.status == 200:
                    return answer
                said.append(f"{member}: {answer.get('error')}")
            except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
                said.append(f"{member}: {type(error).__name__}")
            self._members.remove(member)
            self._members.append(member)
        raise NoQuorum(f"the state store has no quorum: {', '.join(said)}")


class StateFollower:
    """Has the gateway go by the store for as long as it lives, and the store hold what the gateway is told."""

    def __init__(self, core: GatewayCore, store: StateStore) -> None:
        self._core, self._store = core, store
        self._told: Told = {}
        self._unreadable: set[str] = set()
        self._heard_at: float | None = None
        self._reads = True
        self._changing = asyncio.Lock()
        core.store_age_s = self.age_s

    @property
    def state(self) -> str:
        """How the policy in force is known: unheard, known, last-known, or none."""
        if not self._core.picker.has_policy:
            return "none"
        return "unheard" if self._heard_at is None else "known" if self._reads else "last-known"

    def age_s(self) -> float | None:
        """How long ago the policy was read; None where it never was."""
        return None if self._heard_at is None else self._core.clock() - self._heard_at

    async def run(self) -> None:
        while True:
            revision = await self.step()
            if revision is None:
                await asyncio.sleep(RETRY_S)
            else:
                await self._store.changed(revision, READ_EVERY_S)

    async def step(self) -> int | None:
        """Read the store once and go by it; its revision, None without a quorum."""
        try:
            revision, told = await self._store.read()
            await self._hear(told)
        except NoQuorum as error:
            self._lose(error)
            return None
        return revision

    async def change(self, what: str, changes: dict[str, Any]) -> None:
        """Tell the gateway and the store; NoQuorum and LabConfigError, and then neither was changed."""
        if what not in KEPT:
            self._core.held.change(what, changes)
            return
        async with self._changing:  # each adds to what the former has written
            before = self._told.get(what, {})
            wanted = {name: value for name, value in {**before, **changes}.items() if value is not None}
            await self._store.write(what, wanted)
            self._told[what] = wanted
            try:
                self._core.held.change(what, changes)
            except LabConfigError:
                await self._store.write(what, before)
                self._told[what] = before
                raise

    async def _hear(self, told: Read) -> None:
        """Go by what was read, write what is not there yet, and keep to the last of what cannot be read."""
        unreadable = {what for what in KEPT if what in told and told[what] is None}
        for what in sorted(unreadable - self._unreadable):
            log.warning("state store: %s is no JSON object; what it said before stays in force", what)
        self._unreadable = unreadable
        if self._heard_at is None:
            self._core.open_circuits(told.get(CIRCUITS) or {})
        for what in KEPT:
            document = told.get(what)
            if what not in told:
                mine = dict(self._core.config.overrides) if what == "overrides" else self._core.told(what)
                await self._store.write(what, mine)
                self._told[what] = mine
            elif document is not None and document != self._told.get(what):
                no_more = self._told.get(what, {}).keys() - document.keys()
                try:
                    self._core.tell(what, {**dict.fromkeys(no_more), **document})
                except LabConfigError as error:
                    log.warning("state store: %s", error)
                self._told[what] = document
        if not self._reads or self._heard_at is None:
            log.info("state store: the policy is known")
        self._heard_at, self._reads = self._core.clock(), True
        self._core.picker.know_policy(True)
        if (circuits := self._core.circuits()) != told.get(CIRCUITS):
            await self._store.write(CIRCUITS, circuits)

    def _lose(self, error: NoQuorum) -> None:
        if self._reads:
            log.warning("%s", error)
        self._reads = False
        if not self._core.flags.keep_last_policy:
            self._core.picker.know_policy(False)


def _coded(text: str) -> str:
    return b64encode(text.encode()).decode()


def _text(coded: str) -> str:
    return b64decode(coded).decode(errors="replace")


def _document(coded: str) -> dict[str, Any] | None:
    try:
        document = json.loads(_text(coded))
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
