"""Streams that surge: requests on top of the planned ones, begun and ended while the load runs. For locust's child.
Or that are poisoned: a share of what they send asks something else than was planned.

The planned schedule stays what it is. What is on top has a schedule of its own, just as open-loop, and is numbered on
from what is planned, in all and within its stream.
"""

from __future__ import annotations

import hmac
import json
import math
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from gevent.server import StreamServer

from tierdrill.load.arrival_schedule import Arrival, StreamRate, surge_times
from tierdrill.load.child_line import LINE_BYTES_MAX, LineError, LoadLine, StreamRates
from tierdrill.load.load_plan import LoadPlan, StreamPlan
from tierdrill.process.identity import me

FACTOR_MAX = 100.0
HOST = "127.0.0.1"


def parts_of(plan: LoadPlan, stream: str) -> list[StreamPlan]:
    """What the child sends for a drill's stream: itself, or its plain and its streamed part."""
    names = {stream, f"{stream}-plain", f"{stream}-streamed"}
    return [part for part in plan.streams if part.name in names]


@dataclass(eq=False)
class _Surge:
    """One stream that surges now."""

    factor: float
    arrivals: dict[str, int]
    over: Event = field(default_factory=Event)


class Poison:
    """Parts of streams of which a share of the requests asks another prompt, evenly spread, the next one first."""

    def __init__(self) -> None:
        self._parts: dict[str, tuple[int, str]] = {}
        self._owed: dict[str, int] = {}

    def change(self, part: str, percent: int, prompt: str) -> None:
        """From now on; 0 percent ends it. LineError outside 0 to 100."""
        if not 0 <= percent <= 100:
            raise LineError(f"got poison_percent {percent}, expected 0 to 100")
        self._parts[part], self._owed[part] = (percent, prompt), 100 - percent

    def percent(self, part: str) -> int:
        return self._parts.get(part, (0, ""))[0]

    def prompt(self, part: str) -> str | None:
        """What the part's next request asks in place of what is planned, if it is one of those."""
        percent, prompt = self._parts.get(part, (0, ""))
        self._owed[part] = self._owed.get(part, 0) % 100 + percent
        return prompt if percent and self._owed[part] >= 100 else None


class Surges:
    """All streams that surge. `report` writes down what began and what ended.

    `tiers_seen` is the tier that the gateways last gave each stream.
    """

    def __init__(self, plan: LoadPlan, report: Callable[[dict[str, Any]], None], tiers_seen: Mapping[str, str]) -> None:
        self._plan = plan
        self._report = report
        self._tiers_seen = tiers_seen
        self.poison = Poison()
        self._running: dict[str, _Surge] = {}
        self._zero = math.inf
        self._planned: Mapping[str, int] = {}
        self._turns: Counter[str] = Counter()
        self._take_up: Callable[[Arrival], None] | None = None
        self._server: StreamServer | None = None

    def listen(self, control: Path) -> None:
        """Take orders from now on; the control file says where."""
        token = secrets.token_urlsafe(24)
        self._server = StreamServer((HOST, 0), lambda connection, _: self._serve(connection, token))
        self._server.start()
        process = me()
        LoadLine(HOST, self._server.server_port, token, process.pid, process.ticks).write(control)

    def begin(self, zero: float, planned: Mapping[str, int], take_up: Callable[[Arrival], None]) -> None:
        """The load runs: `zero` is schedule zero on the monotonic clock, `planned` the arrivals of each stream."""
        self._zero, self._planned, self._turns, self._take_up = zero, dict(planned), Counter(planned), take_up

    def end(self) -> None:
        """End every surge and take no more orders."""
        if self._server is not None:
            self._server.stop(timeout=0)
        for stream in list(self._running):
            self._end(stream)

    def order(self, stream: str, factor: float | None, poison: tuple[int, str] | None = None) -> StreamRates:
        """Change a stream's rate where a factor is given, or what it asks where a share of poison is, and say what it
        is; LineError for what cannot be.
        """
        parts = parts_of(self._plan, stream)
        if not parts:
            known = ", ".join(one.name for one in self._plan.streams)
            raise LineError(f"got stream {stream!r}, expected one of: {known}")
        if factor is not None:
            self._change(stream, parts, factor)
        if poison is not None:
            for part in parts:
                self.poison.change(part.name, *poison)
        running = self._running.get(stream)
        tier = self._tier(parts[0])
        return StreamRates(
            tier=tier,
            stream_rps=sum(map(self._rate, parts)),
            tier_rps=sum(
                self._average(part) * self._factor_of(part) for part in self._plan.streams if self._tier(part) == tier
            ),
            factor=running.factor if running else 1.0,
            poison_percent=self.poison.percent(parts[0].name),
        )

    def _change(self, stream: str, parts: Sequence[StreamPlan], factor: float) -> None:
        if not 1.0 <= factor <= FACTOR_MAX:
            raise LineError(f"got factor {factor:g}, expected 1 to {FACTOR_MAX:g}")
        if self._take_up is None:
            raise LineError("the load has not begun")
        if not sum(map(self._rate, parts)):
            raise LineError(f"stream {stream} has no rate that could grow")
        self._end(stream)
        if factor > 1.0:
            surge = self._running[stream] = _Surge(factor, {part.name: 0 for part in parts})
            self._report({"kind": "surge", "at": time.time(), "stream": stream, "factor": factor, "arrivals": None})
            for part in parts:
                gevent.spawn(self._walk, surge, part)

    def _walk(self, surge: _Surge, part: StreamPlan) -> None:
        assert self._take_up is not None
        rate = StreamRate(part.name, part.rate_rps, part.shape)
        now_s = time.monotonic() - self._zero
        for at_s in surge_times(rate, surge.factor, now_s, self._plan.duration_s, str(self._plan.seed)):
            # Also where it is late: the requests spawned before must get their turn.
            gevent.sleep(0)
            # Both ways: it may have been ended after the time was up and before this greenlet's turn.
            if surge.over.wait(max(0.0, self._zero + at_s - time.monotonic())) or surge.over.is_set():
                return
            arrival = Arrival(at_s, part.name, self._turns.total(), self._turns[part.name])
            surge.arrivals[part.name] += 1
            self._turns[part.name] += 1
            self._take_up(arrival)

    def _end(self, stream: str) -> None:
        surge = self._running.pop(stream, None)
        if surge is not None:
            surge.over.set()
            report = {"kind": "surge", "at": time.time(), "stream": stream, "factor": 1.0, "arrivals": surge.arrivals}
            self._report(report)

    def _rate(self, part: StreamPlan) -> float:
        if part.shape.kind == "replay":
            return 0.0
        return part.rate_rps * part.shape.factor_at(max(0.0, time.monotonic() - self._zero))

    def _tier(self, part: StreamPlan) -> str:
        return self._tiers_seen.get(part.name, part.tier)

    def _average(self, part: StreamPlan) -> float:
        """A recording's rate is known over its whole length only."""
        recorded = part.shape.kind == "replay"
        return self._planned.get(part.name, 0) / self._plan.duration_s if recorded else self._rate(part)

    def _factor_of(self, part: StreamPlan) -> float:
        return next((one.factor for name, one in self._running.items() if part in parts_of(self._plan, name)), 1.0)

    def _serve(self, connection: Any, token: str) -> None:
        with connection, connection.makefile("rwb") as file:
            try:
                request = json.loads(file.readline(LINE_BYTES_MAX))
                if not hmac.compare_digest(str(request["token"]), token):
                    raise LineError("wrong token")
                factor, percent = request.get("factor"), request.get("poison_percent")
                poison = None if percent is None else (int(percent), str(request["poison_prompt"]))
                answer = asdict(self.order(str(request["stream"]), None if factor is None else float(factor), poison))
            except LineError as error:
                answer = {"error": str(error)}
            except (ValueError, TypeError, KeyError) as error:
                answer = {"error": f"not an order: {type(error).__name__}: {error}"}
            file.write(json.dumps(answer).encode() + b"\n")
            file.flush()
