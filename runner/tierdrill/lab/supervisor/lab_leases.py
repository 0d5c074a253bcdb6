"""Leases that the lab keeps by itself: what is injected through it ends when nobody renews it, whoever has died.

Who injects hands in the undo first, as requests to this same API, with a time. Renewed, the time begins anew; given
back, the lease is gone; run out, the lab makes the requests itself, again and again until each was answered with a yes.
Links have leases in the fabric besides, so that they heal also while the supervisor stands still.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tierdrill.lab.lab_config import LabConfigError, build
from tierdrill.lab.supervisor.lab_events import EventLog

RETRY_S = 0.5
TRIES_MAX = 240
LEASES_MAX = 1000
LEASE_S_MAX = 2 * 3600.0
METHODS = ("PUT", "POST", "PATCH", "DELETE")
_NEVER = ("/v1/leases", "/v1/down")


class BadLease(ValueError):
    """A lease that makes no sense; the message says why."""


@dataclass(frozen=True)
class Undo:
    """One request to this API that takes something back. `path` has its query."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None


@dataclass
class Lease:
    """`state`: it is held; it ran out and is being undone; or it was undone; or that was refused to the end."""

    name: str
    seconds: float
    undo: tuple[Undo, ...]
    state: Literal["held", "undoing", "undone", "stuck"] = "held"
    timer: asyncio.TimerHandle | None = None
    ends_at: float = 0.0
    seen: str = ""
    task: asyncio.Task[None] | None = field(default=None, repr=False)


class Leases:
    """All leases of a lab, by name. `ask` makes a request to this API and raises an Exception unless it says yes."""

    def __init__(self, ask: Callable[[Undo], Awaitable[object]], events: EventLog) -> None:
        self._ask, self._events = ask, events
        self._leases: dict[str, Lease] = {}

    def put(self, name: str, said: Mapping[str, Any]) -> None:
        """Hold what is named so for so many seconds; in place of a former lease of that name. BadLease."""
        lease = Lease(name, _seconds(said.get("lease_s")), tuple(_undo(one) for one in said.get("undo") or ()))
        if not lease.undo:
            raise BadLease("undo: expected at least one request")
        self.release(name)
        if len(self._leases) >= LEASES_MAX:
            raise BadLease(f"there are {LEASES_MAX} leases already")
        self._leases[name] = lease
        self._begin(lease)

    def renew(self, names: list[str]) -> list[str]:
        """Let these begin anew, as far as they are held; those that are."""
        held = [lease for name in names if (lease := self._leases.get(name)) is not None and lease.state == "held"]
        for lease in held:
            self._begin(lease)
        return [lease.name for lease in held]

    def release(self, name: str) -> bool:
        """It was given back; whether there was such a lease."""
        lease = self._leases.pop(name, None)
        if lease is not None and lease.timer is not None:
            lease.timer.cancel()
        return lease is not None

    def show(self) -> list[dict[str, Any]]:
        """Each by name: its state, and the seconds that are left."""
        now = asyncio.get_running_loop().time()
        return [
            {"name": one.name, "state": one.state, "left_s": max(0.0, one.ends_at - now), "seen": one.seen}
            for one in self._leases.values()
        ]

    def _begin(self, lease: Lease) -> None:
        loop = asyncio.get_running_loop()
        if lease.timer is not None:
            lease.timer.cancel()
        lease.ends_at = loop.time() + lease.seconds
        lease.timer = loop.call_later(lease.seconds, self._run_out, lease)

    def _run_out(self, lease: Lease) -> None:
        lease.state = "undoing"
        self._events.add("lease-ran-out", name=lease.name, seconds=lease.seconds)
        lease.task = asyncio.get_running_loop().create_task(self._undo(lease))

    async def _undo(self, lease: Lease) -> None:
        left = list(lease.undo)
        for _ in range(TRIES_MAX):
            if self._leases.get(lease.name) is not lease:
                return  # another process has undone it meanwhile
            for one in list(left):
                try:
                    await self._ask(one)
                    left.remove(one)
                except Exception as error:
                    lease.seen = f"{one.method} {one.path}: {error}"
            if not left:
                lease.state, lease.seen = "undone", ""
                self._events.add("lease-undone", name=lease.name)
                return
            await asyncio.sleep(RETRY_S)
        lease.state = "stuck"
        self._events.add("lease-stuck", name=lease.name, seen=lease.seen)


def _seconds(said: object) -> float:
    if isinstance(said, bool) or not isinstance(said, int | float) or not math.isfinite(said):
        raise BadLease(f"lease_s: got {said!r}, expected seconds")
    if not 0 < said <= LEASE_S_MAX:
        raise BadLease(f"lease_s: got {said:g}, expected above 0, at most {LEASE_S_MAX:g}")
    return float(said)


def _undo(said: object) -> Undo:
    try:
        undo = build(Undo, said, "undo")
    except LabConfigError as error:
        raise BadLease(str(error)) from error
    if undo.method not in METHODS:
        raise BadLease(f"undo: method {undo.method!r}, expected one of: {', '.join(METHODS)}")
    if not undo.path.startswith("/v1/") or undo.path.startswith(_NEVER):
        raise BadLease(f"undo: path {undo.path!r}, expected a path of this API that takes something back")
    return undo
