"""Where replicas go: a pure function of GPUs, replicas and rules.

Most important first (rank 1). A replica takes room that is free; one of a tier that may preempt takes the room of less
important replicas, but only where no free room will do. Replicas of one model keep to different nodes. Room for rank 1
is kept free when others are placed.
"""

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Spot = tuple[str, int]
"""A GPU: node name and index."""


@dataclass(frozen=True)
class Gpu:
    """A GPU as placement sees it; not usable where its node is cordoned or NotReady, or it is unhealthy itself."""

    node: str
    index: int
    memory_gib: float
    usable: bool = True

    @property
    def spot(self) -> Spot:
        return (self.node, self.index)


@dataclass(frozen=True)
class Replica:
    """What placement needs to know of a replica."""

    name: str
    model: str
    tier: str
    rank: int
    memory_gib: float


@dataclass(frozen=True)
class Rules:
    """Who may preempt whom, and how many replicas' room is kept for rank 1."""

    may_preempt: Mapping[str, Collection[str]] = field(default_factory=dict)
    spare_for_rank1: int = 0


@dataclass(frozen=True)
class Plan:
    """Where everything is afterwards; a replica that is not in `places` has no place."""

    places: Mapping[str, Spot]
    placed: tuple[str, ...]
    preempted: tuple[str, ...]
    unplaced: tuple[str, ...]


def place(
    wanted: Iterable[str],
    replicas: Mapping[str, Replica],
    gpus: Sequence[Gpu],
    current: Mapping[str, Spot],
    rules: Rules,
    *,
    prefer: Mapping[str, Spot] | None = None,
    avoid: Mapping[str, Spot] | None = None,
) -> Plan:
    """Find places for the wanted replicas; everything else stays unless it is preempted.

    A wanted replica's present place is free for the taking. `prefer` names its home, taken when it can be; `avoid` a
    GPU to use only when there is no other (and its node only when there is no other node as good).
    """
    names = set(wanted)
    board = _Board(replicas, gpus, {name: spot for name, spot in current.items() if name not in names}, rules)
    queue = [(replicas[name].rank, name) for name in names]
    heapq.heapify(queue)
    placed: list[str] = []
    preempted: list[str] = []
    unplaced: list[str] = []
    while queue:
        _, name = heapq.heappop(queue)
        choice = board.choose(replicas[name], (prefer or {}).get(name), (avoid or {}).get(name))
        if choice is None:
            unplaced.append(name)
            continue
        spot, victims = choice
        for victim in victims:
            board.remove(victim)
            preempted.append(victim)
            # Less important than who took its place, so the queue stays in order: it may still find free room.
            heapq.heappush(queue, (replicas[victim].rank, victim))
        board.add(name, spot)
        placed.append(name)
    return Plan(dict(board.places), tuple(placed), tuple(dict.fromkeys(preempted)), tuple(unplaced))


def home(replicas: Mapping[str, Replica], gpus: Sequence[Gpu], rules: Rules) -> Plan:
    """Where everything belongs when nothing is wrong."""
    return place(replicas, replicas, [Gpu(gpu.node, gpu.index, gpu.memory_gib) for gpu in gpus], {}, rules)


def spare_rooms(
    replicas: Mapping[str, Replica], gpus: Sequence[Gpu], current: Mapping[str, Spot]
) -> int:
    """How many more replicas of rank 1's largest size would fit on usable GPUs."""
    size = max((replica.memory_gib for replica in replicas.values() if replica.rank == 1), default=0.0)
    if size <= 0:
        return 0
    used: dict[Spot, float] = {}
    for name, spot in current.items():
        used[spot] = used.get(spot, 0.0) + replicas[name].memory_gib
    return sum(_rooms(gpu.memory_gib - used.get(gpu.spot, 0.0), size) for gpu in gpus if gpu.usable)


def _rooms(free_gib: float, size_gib: float) -> int:
    return max(0, int((free_gib + 1e-9) // size_gib))


class _Board:
    def __init__(
        self, replicas: Mapping[str, Replica], gpus: Sequence[Gpu], places: dict[str, Spot], rules: Rules
    ) -> None:
        self.places = places
        self._replicas = replicas
        self._gpus = {gpu.spot: gpu for gpu in gpus}
        self._rules = rules
        self._on: dict[Spot, list[Replica]] = {spot: [] for spot in self._gpus}
        for name, spot in places.items():
            self._on.setdefault(spot, []).append(replicas[name])

    def add(self, name: str, spot: Spot) -> None:
        self.places[name] = spot
        self._on[spot].append(self._replicas[name])

    def remove(self, name: str) -> None:
        self._on[self.places.pop(name)].remove(self._replicas[name])

    def choose(self, replica: Replica, prefer: Spot | None, avoid: Spot | None) -> tuple[Spot, tuple[str, ...]] | None:
        """The best spot and who has to leave it."""
        fitting = [gpu for gpu in self._gpus.values() if gpu.usable and self._fits(replica, gpu)]
        if self._keeps_spare(replica):
            fitting = [gpu for gpu in fitting if self._spare_after(replica, gpu, ()) >= self._spare_wanted()]
        if fitting:
            return min(fitting, key=lambda gpu: self._unfitness(replica, gpu, prefer, avoid)).spot, ()
        candidates = [
            (gpu, victims) for gpu in self._gpus.values() if gpu.usable if (victims := self._victims(replica, gpu))
        ]
        if not candidates:
            return None
        gpu, victims = min(
            candidates,
            key=lambda each: (self._loss(each[1]), self._unfitness(replica, each[0], prefer, avoid)),
        )
        return gpu.spot, tuple(victim.name for victim in victims)

    def _free(self, gpu: Gpu) -> float:
        return gpu.memory_gib - sum(replica.memory_gib for replica in self._on[gpu.spot])

    def _fits(self, replica: Replica, gpu: Gpu) -> bool:
        return replica.memory_gib <= self._free(gpu) + 1e-9

    def _keeps_spare(self, replica: Replica) -> bool:
        return replica.rank > 1 and self._rules.spare_for_rank1 > 0

    def _spare_wanted(self) -> int:
        # What is already gone (a node is down, rank 1 has used it) cannot be kept.
        return min(self._rules.spare_for_rank1, spare_rooms(self._replicas, list(self._gpus.values()), self.places))

    def _spare_after(self, replica: Replica, gpu: Gpu, victims: Sequence[Replica]) -> int:
        gone = {victim.name for victim in victims}
        after = {name: spot for name, spot in self.places.items() if name not in gone}
        after[replica.name] = gpu.spot
        return spare_rooms(self._replicas, list(self._gpus.values()), after)

    def _victims(self, replica: Replica, gpu: Gpu) -> tuple[Replica, ...]:
        """The least important replicas whose leaving makes room here; none if that would not do."""
        allowed = self._rules.may_preempt.get(replica.tier, ())
        there = [other for other in self._on[gpu.spot] if other.tier in allowed and other.rank > replica.rank]
        there.sort(key=lambda other: (-other.rank, self._siblings_left(other), other.memory_gib))
        taken: list[Replica] = []
        for other in there:
            if self._enough(replica, gpu, taken):
                break
            taken.append(other)
        if not self._enough(replica, gpu, taken):
            return ()
        for victim in sorted(taken, key=lambda other: (other.rank, -other.memory_gib)):
            fewer = [other for other in taken if other is not victim]
            if self._enough(replica, gpu, fewer):
                taken = fewer
        return tuple(taken)

    def _enough(self, replica: Replica, gpu: Gpu, victims: Sequence[Replica]) -> bool:
        if replica.memory_gib > self._free(gpu) + sum(victim.memory_gib for victim in victims) + 1e-9:
            return False
        return not self._keeps_spare(replica) or self._spare_after(replica, gpu, victims) >= self._spare_wanted()

    def _siblings_left(self, replica: Replica) -> int:
        # Take from the model that has most left, so that no model vanishes while another has plenty.
        return -sum(self._replicas[name].model == replica.model for name in self.places)

    def _loss(self, victims: Sequence[Replica]) -> tuple[object, ...]:
        ranks = sorted(victim.rank for victim in victims)
        # Losing something less important is better, whatever the number; then losing fewer.
        return (tuple(-rank for rank in ranks[:1]), len(victims), sum(victim.memory_gib for victim in victims))

    def _unfitness(self, replica: Replica, gpu: Gpu, prefer: Spot | None, avoid: Spot | None) -> tuple[object, ...]:
        on_node = [other for spot, there in self._on.items() if spot[0] == gpu.node for other in there]
        on_gpu = self._on[gpu.spot]
        return (
            gpu.spot != prefer if prefer is not None else False,
            gpu.spot == avoid,
            sum(other.model == replica.model for other in on_node),
            sum(other.model == replica.model for other in on_gpu),
            avoid is not None and gpu.node == avoid[0],
            sum(other.memory_gib for other in on_gpu) / gpu.memory_gib if gpu.memory_gib else 0.0,
            sum(other.memory_gib for other in on_node),
            gpu.node,
            gpu.index,
        )
