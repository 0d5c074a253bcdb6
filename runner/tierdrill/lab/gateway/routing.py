"""Which replicas may serve a model now, and which of them takes the next request. Pure: the clock is injected.

Health (the controller's and our probes), weights and `ejection.py` narrow the choice; peak-EWMA latency times
outstanding requests decides. Two guards keep the safety nets from becoming the outage: never more than half of a
model's replicas are ejected, and when every replica looks unhealthy the evidence is distrusted, not the replicas.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tierdrill.lab.gateway.ejection import Ejection
from tierdrill.lab.gateway.gateway_config import Flags
from tierdrill.lab.gateway.shedding import Clock
from tierdrill.lab.lab_config import LabConfigError

PROBE_TIMEOUTS_TO_FAIL = 2
LATENCY_MEMORY_S = 5.0
LATENCY_DEFAULT_S = 0.02
TIE_FACTOR = 1.25


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A replica as the controller lists it."""

    replica: str
    model: str
    node: str
    address: str
    slots: int = 1
    ready: bool = True
    tier: str = ""
    gpu: int | None = None
    name: str = ""  # by which its address is looked up


@dataclass(slots=True, eq=False)
class Replica:
    """A replica as this gateway knows it."""

    endpoint: Endpoint
    limit: int
    inflight: int = 0
    picked: int = 0
    credit: float = 0.0
    latency: dict[str, tuple[float, float]] = field(default_factory=dict)  # kind -> (peak EWMA, when)
    ejection: Ejection = field(default_factory=Ejection)
    probe_up: bool | None = None  # None: not yet known
    probe_timeouts: int = 0
    probe_rtt_s: float | None = None

    @property
    def name(self) -> str:
        return self.endpoint.replica

    @property
    def node(self) -> str:
        return self.endpoint.node


class Router:
    def __init__(self, flags: Flags, share: int, clock: Clock) -> None:
        self._flags = flags
        self._share = share
        self._clock = clock
        self._replicas: dict[str, Replica] = {}
        self._by_model: dict[str, list[Replica]] = {}
        self._weights: dict[str, float] = {}
        self._picks = 0

    @property
    def replicas(self) -> list[Replica]:
        return list(self._replicas.values())

    @property
    def models(self) -> list[str]:
        return list(self._by_model)

    @property
    def weights(self) -> dict[str, float]:
        return dict(self._weights)

    def set_weights(self, changes: Mapping[str, object]) -> dict[str, float]:
        """Set weights of nodes (`node-1`) and of single GPUs (`node-1/0`), all or none.

        0 sends nothing there (unless there is nothing else), 1 is normal; a GPU counts its node's weight as well.
        """
        for node, value in changes.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
                raise LabConfigError(f"weights.{node}: {value!r} is not a number between 0 and 1")
        wanted = {node: float(value) for node, value in changes.items() if isinstance(value, int | float)}
        changed = {node: value for node, value in wanted.items() if self._weights.get(node, 1.0) != value}
        self._weights.update(wanted)
        return changed

    def update(self, endpoints: Iterable[Endpoint]) -> tuple[list[Replica], list[Replica]]:
        """Take the controller's list; what is new in it, and what is gone. A replica at a new address is a new one."""
        fresh: dict[str, Replica] = {}
        added = []
        for endpoint in endpoints:
            known = self._replicas.get(endpoint.replica)
            same = known is not None and (known.endpoint.address, known.node) == (endpoint.address, endpoint.node)
            if known is not None and same:
                known.endpoint = endpoint
                known.limit = self._limit(endpoint)
                fresh[endpoint.replica] = known
            else:
                # One whose name has led elsewhere before has to say who it is first.
                proven = False if known is not None and endpoint.name and self._flags.identity_check else None
                fresh[endpoint.replica] = Replica(endpoint, self._limit(endpoint), probe_up=proven)
                added.append(fresh[endpoint.replica])
        kept = set(map(id, fresh.values()))
        removed = [old for old in self._replicas.values() if id(old) not in kept]
        self._replicas = fresh
        self._by_model = {}
        for replica in fresh.values():
            self._by_model.setdefault(replica.endpoint.model, []).append(replica)
        return added, removed

    def usable(self, model: str) -> list[Replica]:
        candidates = self._weighted(self._healthy(self._by_model.get(model, [])))
        if not self._flags.ejection:
            return candidates
        ejected = self._ejected(candidates)
        return [replica for replica in candidates if replica not in ejected]

    def ejected(self) -> set[str]:
        """Names of the replicas that get no requests because of their failures."""
        if not self._flags.ejection:
            return set()
        names: set[str] = set()
        for replicas in self._by_model.values():
            names.update(replica.name for replica in self._ejected(self._weighted(self._healthy(replicas))))
        return names

    def limit(self, replica: Replica) -> int:
        """How many requests it may have from us: one while it has to prove itself after an ejection."""
        if self._flags.ejection and replica.ejection.on_trial and replica.ejection.until <= self._clock():
            return 1
        return replica.limit

    def free_slots(self, replicas: Sequence[Replica]) -> int:
        """Slots left. Without latency routing nobody looks at the single replica: only the sum is bounded."""
        if self._flags.latency_routing:
            return sum(max(0, self.limit(replica) - replica.inflight) for replica in replicas)
        return sum(self.limit(replica) - replica.inflight for replica in replicas)

    def choose(self, replicas: Sequence[Replica], kind: str) -> Replica | None:
        """Who takes the next request of that kind (plain or stream: their latencies do not compare)."""
        if not self._flags.latency_routing:
            return self._round_robin(replicas) if self.free_slots(replicas) > 0 else None
        free = [replica for replica in replicas if replica.inflight < self.limit(replica)]
        if not free:
            return None
        costs = self._costs(free, kind)
        bound = min(costs) * TIE_FACTOR
        chosen = min((r for r, cost in zip(free, costs, strict=True) if cost <= bound), key=lambda r: r.picked)
        self._picks += 1
        chosen.picked = self._picks
        return chosen

    def observe(self, replica: Replica, kind: str, latency_s: float) -> None:
        """A first byte came after that time: peaks count at once, improvements gradually."""
        now = self._clock()
        value, at = replica.latency.get(kind, (0.0, now))
        if latency_s < value:
            keep = math.exp(-(now - at) / LATENCY_MEMORY_S) * 0.8
            latency_s = value * keep + latency_s * (1.0 - keep)
        replica.latency[kind] = (latency_s, now)

    def succeeded(self, replica: Replica) -> None:
        replica.ejection.succeeded(self._clock())

    def failed(self, replica: Replica) -> bool:
        """An attempt failed; True when that ejected the replica."""
        if self._flags.ejection:
            return replica.ejection.failed(self._clock())
        replica.ejection.forget()
        return False

    def probed(self, replica: Replica, *, ok: bool, rtt_s: float, timed_out: bool = False) -> bool | None:
        """Take a probe's result. True/False when that changed the replica to up/down, None otherwise.

        A refusal or a "not ready" is an answer and counts at once; silence may be our own stall and must repeat.
        """
        replica.probe_rtt_s = rtt_s
        before = replica.probe_up
        if ok:
            replica.probe_timeouts = 0
            replica.probe_up = True
            if before is False:  # probes saw it fail and now see it well again: no need to sit out an ejection
                replica.ejection.until = min(replica.ejection.until, self._clock())
        elif timed_out:
            replica.probe_timeouts += 1
            if replica.probe_timeouts >= PROBE_TIMEOUTS_TO_FAIL:
                replica.probe_up = False
        else:
            replica.probe_up = False
        if replica.probe_up == before or (before is None and replica.probe_up):
            return None
        return replica.probe_up

    def _limit(self, endpoint: Endpoint) -> int:
        return max(1, endpoint.slots // self._share)

    def _healthy(self, replicas: list[Replica]) -> list[Replica]:
        if not self._flags.health_checks:
            return replicas
        return (
            [r for r in replicas if r.endpoint.ready and r.probe_up is not False]
            or [r for r in replicas if r.probe_up]
            or [r for r in replicas if r.endpoint.ready]
        )

    def _weighted(self, replicas: list[Replica]) -> list[Replica]:
        if not self._weights:
            return replicas
        return [replica for replica in replicas if self._weight(replica) > 0.0] or replicas

    def _weight(self, replica: Replica) -> float:
        gpu = f"{replica.node}/{replica.endpoint.gpu}"
        return self._weights.get(replica.node, 1.0) * self._weights.get(gpu, 1.0)

    def _ejected(self, candidates: list[Replica]) -> set[Replica]:
        now = self._clock()
        marked = [replica for replica in candidates if replica.ejection.until > now]
        marked.sort(key=lambda replica: replica.ejection.until, reverse=True)
        return set(marked[: len(candidates) // 2])

    def _costs(self, replicas: Sequence[Replica], kind: str) -> list[float]:
        """Expected latency of one more request on each.

        What was seen of a replica fades towards the pool's mean, so that a slow one is tried again; its probe's round
        trip is always fresh and keeps real requests off a link that is still slow.
        """
        now = self._clock()
        seen = [replica.latency[kind][0] for replica in replicas if kind in replica.latency]
        mean = sum(seen) / len(seen) if seen else LATENCY_DEFAULT_S
        costs = []
        for replica in replicas:
            value, at = replica.latency.get(kind, (mean, now))
            expected = mean + (value - mean) * math.exp(-(now - at) / LATENCY_MEMORY_S)
            if self._flags.health_checks and replica.probe_rtt_s is not None:
                expected += replica.probe_rtt_s
            weight = self._weight(replica) or 1.0
            costs.append((expected + 1e-3) * (replica.inflight + 1) / weight)
        return costs

    def _round_robin(self, replicas: Sequence[Replica]) -> Replica:
        """Smooth weighted round robin, blind to load and latency."""
        total = 0.0
        for replica in replicas:
            weight = self._weight(replica) or 1.0
            replica.credit += weight
            total += weight
        chosen = max(replicas, key=lambda replica: replica.credit)
        chosen.credit -= total
        return chosen
