"""What a load makes of the gateways' queues: how long requests would wait, and which would be turned away.

The queue of one model in one gateway, as the gateways keep it: strict priority by rank, slots reserved for tiers above,
preemption of the newest request of the least important tier that may be preempted, limits and waits of each tier's
queue, and early shedding of what would only wait in vain. Retries, fallback models and faults are not simulated. Pure.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from operator import itemgetter

from tierdrill.documents.models.tiers import Tier, Tiers
from tierdrill.documents.models.workloads import Workloads
from tierdrill.tier_policy.capacity_plan import Size

HELD_SMOOTHING = 0.1
"""How much a new request counts in a gateway's notion of how long a slot is held."""

Arrival = tuple[float, str, str, float]
"""When it comes (seconds), its tier, its model, and for how long it holds a slot (seconds)."""


@dataclass
class TierQueue:
    """What became of a tier's requests. `waits` are those of the requests that got a slot, in seconds."""

    requests: int = 0
    waits: list[float] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    busy_s: float = 0.0

    @property
    def rejections(self) -> int:
        """How many were turned away, for whatever reason."""
        return sum(self.rejected.values())

    @property
    def rejected_share(self) -> float:
        """The share that was turned away."""
        return self.rejections / self.requests if self.requests else 0.0

    @property
    def mean_wait(self) -> float:
        """Seconds, of the requests that got a slot."""
        return sum(self.waits) / len(self.waits) if self.waits else 0.0

    def wait(self, share: float) -> float:
        """The quantile of the waits, in seconds: the smallest that this share is no longer than."""
        ordered = sorted(self.waits)
        return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))] if ordered else 0.0


def simulate(arrivals: Iterable[Arrival], tiers: Tiers, workloads: Workloads, size: Size) -> dict[str, TierQueue]:
    """Every tier's requests, spread in turn over the gateways, through the queues of all models."""
    outcome = {tier.name: TierQueue() for tier in tiers.by_rank()}
    turns: Counter[str] = Counter()
    pools: dict[tuple[str, int], list[Arrival]] = {}
    for arrival in sorted(arrivals, key=itemgetter(0)):
        asked = arrival[2]
        turns[asked] += 1
        pools.setdefault((asked, turns[asked] % size.gateways), []).append(arrival)
    for (name, _), mine in pools.items():
        model = workloads.model(name)
        if model is None:
            continue
        routed = {tier.name for tier in tiers.tiers if workloads.serves(tier.name, name)}
        slots = size.slots(model) // size.gateways
        _Pool(slots, tiers.by_rank(), routed, outcome).run(mine)
    return outcome


class _Request:
    __slots__ = ("alive", "at", "held", "tier")

    def __init__(self, at: float, tier: int, held: float) -> None:
        self.at, self.tier, self.held, self.alive = at, tier, held, True


class _Pool:
    """One model in one gateway. Tiers are numbered by rank, 0 first."""

    def __init__(self, slots: int, tiers: Sequence[Tier], routed: set[str], outcome: Mapping[str, TierQueue]) -> None:
        self.slots, self.tiers = slots, tiers
        self.number = {tier.name: number for number, tier in enumerate(tiers)}
        self.outcome = [outcome[tier.name] for tier in tiers]
        self.reserved = [tier.reserved_slots if tier.name in routed else 0 for tier in tiers]
        self.patience = [tier.queue.wait for tier in tiers]
        self.victims = [
            [other for other in reversed(range(number + 1, len(tiers))) if tiers[other].name in tier.may_preempt]
            for number, tier in enumerate(tiers)
        ]
        self.waiting: list[deque[_Request]] = [deque() for _ in tiers]
        self.running = [0] * len(tiers)
        self.granted: list[list[_Request]] = [[] for _ in tiers]
        self.departures: list[tuple[float, int, _Request]] = []
        self.used = 0
        self.held: float | None = None
        self.sequence = count()

    def run(self, arrivals: Iterable[Arrival]) -> None:
        for at, tier, _, held in arrivals:
            self._pass_until(at)
            number = self.number.get(tier)
            if number is None:
                continue
            self.outcome[number].requests += 1
            request = _Request(at, number, held)
            self.waiting[number].append(request)
            self._dispatch(at)
            if self.waiting[number] and self.waiting[number][-1] is request:
                self._limit(request)
        self._pass_until(float("inf"))
        for number, queue in enumerate(self.waiting):
            self.outcome[number].rejected["queue-timeout"] += len(queue)

    def _pass_until(self, until: float) -> None:
        while self.departures and self.departures[0][0] <= until:
            at, _, request = heapq.heappop(self.departures)
            if not request.alive:
                continue
            request.alive = False
            self.running[request.tier] -= 1
            self.used -= 1
            self._learn(request, request.held)
            self._dispatch(at)

    def _learn(self, request: _Request, held: float) -> None:
        self.outcome[request.tier].busy_s += held
        self.held = held if self.held is None else self.held + HELD_SMOOTHING * (held - self.held)

    def _dispatch(self, now: float) -> None:
        if not any(self.waiting):
            return
        kept = 0
        for number, queue in enumerate(self.waiting):
            while queue and now - queue[0].at > self.patience[number]:
                queue.popleft()
                self.outcome[number].rejected["queue-timeout"] += 1
            while queue and (self.slots - self.used > kept or self._preempt(number, now)):
                self._grant(queue.popleft(), now)
            if (free := self.reserved[number] - self.running[number]) > 0:
                kept += free

    def _grant(self, request: _Request, now: float) -> None:
        self.used += 1
        self.running[request.tier] += 1
        self.granted[request.tier].append(request)
        self.outcome[request.tier].waits.append(now - request.at)
        heapq.heappush(self.departures, (now + request.held, next(self.sequence), request))
        request.at = now

    def _preempt(self, number: int, now: float) -> bool:
        for victims in self.victims[number]:
            stack = self.granted[victims]
            while stack and not stack[-1].alive:
                stack.pop()
            if stack:
                victim = stack.pop()
                victim.alive = False
                self.running[victims] -= 1
                self.used -= 1
                self.outcome[victims].busy_s += now - victim.at
                self.outcome[victims].rejected["preempted"] += 1
                return True
        return False

    def _limit(self, request: _Request) -> None:
        tier, queue = self.tiers[request.tier], self.waiting[request.tier]
        if len(queue) > tier.queue.limit:
            lower = [number for number in range(request.tier + 1, len(self.tiers)) if self.waiting[number]]
            if lower:
                shed = min(lower, key=lambda number: self.tiers[number].shed_order)
                self.waiting[shed].pop()
                self.outcome[shed].rejected["shed"] += 1
            else:
                queue.pop()
                self.outcome[request.tier].rejected["queue-full"] += 1
        elif request.tier > 0 and self.held is not None and self.slots:
            ahead = sum(len(self.waiting[number]) for number in range(request.tier + 1))
            if ahead * self.held / self.slots > tier.queue.wait:
                queue.pop()
                self.outcome[request.tier].rejected["shed"] += 1
