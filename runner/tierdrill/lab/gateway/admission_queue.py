"""Who gets a slot of a model, who waits, who is turned away: one pool per model. Pure; effects are returned, not done.

Strict priority by rank, slots reserved for tiers above, preemption of the newest request of the least important
preemptable tier, and shedding from the back of the order. A more important request never leaves for want of a place
that a less important one holds in the queue.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from tierdrill.lab.gateway.gateway_config import Flags
from tierdrill.lab.gateway.lifted_rules import LiftedRules
from tierdrill.lab.gateway.routing import Replica, Router
from tierdrill.lab.gateway.shedding import Clock
from tierdrill.lab.lab_config import TierConfig

SERVICE_TIME_SMOOTHING = 0.1


class TicketState(Enum):
    """Where a request stands in its pool."""

    NEW = "new"
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


class TicketOwner(Protocol):
    """What hears of a ticket's fate (the request's coroutine)."""

    def granted(self) -> None: ...
    def refused(self, reason: str) -> None: ...
    def preempted(self) -> None: ...
    def replica_lost(self) -> None: ...


@dataclass(slots=True, eq=False)
class Ticket:
    """One request's place in a pool. A retry uses the same ticket again and so keeps its place in time."""

    policy: TierConfig
    sequence: int
    kind: str = "plain"
    owner: TicketOwner | None = None
    avoid: set[str] = field(default_factory=set)  # replicas that already failed it
    state: TicketState = TicketState.NEW
    replica: Replica | None = None
    submitted_at: float = 0.0
    granted_at: float = 0.0
    order: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Granted:
    """The ticket holds a slot on its replica."""

    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Refused:
    """The ticket waits no more: shed or queue-full."""

    ticket: Ticket
    reason: str


@dataclass(frozen=True, slots=True)
class Preempted:
    """The ticket lost its slot to a more important one."""

    ticket: Ticket


Effect = Granted | Refused | Preempted


class ModelPool:
    def __init__(
        self, model: str, router: Router, flags: Flags, reserving: Sequence[TierConfig], top_rank: int, clock: Clock,
        lifted: LiftedRules | None = None,
    ) -> None:  # fmt: skip
        self.model = model
        self._router = router
        self._flags = flags
        self.reserving = tuple(reserving)
        self._top_rank = top_rank
        self._clock = clock
        self._lifted = lifted or LiftedRules((), clock)
        self._waiting: list[Ticket] = []  # in the order they will be served
        self._running: dict[Ticket, None] = {}  # in the order they were granted
        self._service_s: float | None = None

    @property
    def waiting(self) -> Sequence[Ticket]:
        return self._waiting

    @property
    def running(self) -> list[Ticket]:
        return list(self._running)

    def submit(self, ticket: Ticket, *, retry: bool = False) -> list[Effect]:
        """Grant, queue or refuse. A retry was admitted before and is not refused again for the queue's length."""
        ticket.order = (ticket.policy.rank if self._flags.priority_queue else 0, ticket.sequence)
        ticket.state = TicketState.WAITING
        ticket.replica = None
        ticket.submitted_at = self._clock()
        bisect.insort(self._waiting, ticket, key=lambda each: each.order)
        effects = self.dispatch()
        if ticket.state is TicketState.WAITING and not retry:
            effects.extend(self._limit_queue(ticket))
        return effects

    def leave(self, ticket: Ticket) -> list[Effect]:
        """The request is over, failed, or tired of waiting. Leaving twice does nothing."""
        if ticket.state is TicketState.WAITING:
            self._waiting.remove(ticket)
        elif ticket.state is TicketState.RUNNING:
            del self._running[ticket]
            if ticket.replica is not None:
                ticket.replica.inflight -= 1
            self._learn(self._clock() - ticket.granted_at)
        else:
            return []
        ticket.state = TicketState.DONE
        return self.dispatch() if self._waiting else []

    def dispatch(self) -> list[Effect]:
        """Give out what slots there are. Also called when replicas, flags or time changed something."""
        effects: list[Effect] = []
        if not self._waiting:
            return effects
        usable = self._router.usable(self.model)
        if not usable:
            return effects
        self._restore_order()
        for ticket in tuple(self._waiting):
            candidates = [replica for replica in usable if replica.name not in ticket.avoid] or usable
            replica = self._place(ticket, candidates, usable)
            if replica is not None:
                replica.inflight += 1
            else:
                victim = self._victim(ticket, candidates)
                if victim is None or victim.replica is None:
                    continue
                del self._running[victim]
                victim.state = TicketState.DONE
                replica = victim.replica  # the slot changes hands without ever being free
                effects.append(Preempted(victim))
            self._waiting.remove(ticket)
            self._running[ticket] = None
            ticket.state = TicketState.RUNNING
            ticket.replica = replica
            ticket.granted_at = self._clock()
            effects.append(Granted(ticket))
        return effects

    def refuse_waiting(self, reason: str) -> list[Effect]:
        """Turn away all who wait: a slot would do them no good now, and no lower tier may find one later."""
        return [self._refuse(ticket, reason) for ticket in tuple(self._waiting)]

    def expected_wait_s(self, ticket: Ticket) -> float:
        """How long a waiting ticket will probably wait; 0 when nothing is known."""
        return self._to_serve_s(self._waiting.index(ticket) + 1) or 0.0

    def drain_s(self, policy: TierConfig) -> float | None:
        """Until those are served who wait now and would go before a new request of that tier.

        None where that is not known: nobody has been served yet, or there is no replica.
        """
        rank = policy.rank if self._flags.priority_queue else 0
        return self._to_serve_s(sum(ticket.order[0] <= rank for ticket in self._waiting))

    def _to_serve_s(self, requests: int) -> float | None:
        slots = sum(self._router.limit(replica) for replica in self._router.usable(self.model))
        return None if not slots or self._service_s is None else requests * self._service_s / slots

    def _place(self, ticket: Ticket, candidates: list[Replica], usable: list[Replica]) -> Replica | None:
        if self._flags.reserved_slots and self._router.free_slots(usable) <= self._reserved_above(ticket.policy.rank):
            return None
        return self._router.choose(candidates, ticket.kind)

    def _reserved_above(self, rank: int) -> int:
        """Slots that tiers above this rank have reserved here and do not use now."""
        kept = 0
        for policy in self.reserving:
            if policy.rank < rank and policy.reserved_slots and not self._lifts(policy, "reserved-slots"):
                used = sum(1 for ticket in self._running if ticket.policy.name == policy.name)
                kept += max(0, policy.reserved_slots - used)
        return kept

    def _victim(self, ticket: Ticket, candidates: list[Replica]) -> Ticket | None:
        mine = ticket.policy
        if not self._flags.preemption or not mine.may_preempt or self._lifts(mine, "preemption"):
            return None
        worst: Ticket | None = None
        for running in self._running:  # oldest first, so that among equals the newest stays
            policy = running.policy
            if policy.rank <= mine.rank or policy.name not in mine.may_preempt:
                continue
            if running.replica in candidates and (worst is None or policy.rank >= worst.policy.rank):
                worst = running
        return worst

    def _limit_queue(self, ticket: Ticket) -> list[Effect]:
        policy = ticket.policy
        own = sum(1 for each in self._waiting if each.policy.name == policy.name)
        if own > policy.queue_limit and not self._lifts(policy, "queue-limit"):
            displaced = self._displaceable(policy.rank) if self._flags.shedding else None
            if displaced is not None:
                return [self._refuse(displaced, "shed")]
            return [self._refuse(ticket, "queue-full")]
        # Turning away at once what would only wait in vain is kinder and cheaper than a late timeout.
        hopeless = self._flags.shedding and policy.rank > self._top_rank
        hopeless = hopeless and not (self._lifts(policy, "shed-order") or self._lifts(policy, "queue-wait"))
        if hopeless and self.expected_wait_s(ticket) > policy.queue_wait_s:
            return [self._refuse(ticket, "shed")]
        return []

    def _displaceable(self, rank: int) -> Ticket | None:
        lower = [
            each for each in self._waiting if each.policy.rank > rank and not self._lifts(each.policy, "shed-order")
        ]
        return min(lower, key=lambda each: (each.policy.shed_order, -each.sequence), default=None)

    def _lifts(self, policy: TierConfig, rule: str) -> bool:
        return self._lifted.lifts(policy.name, rule)

    def _refuse(self, ticket: Ticket, reason: str) -> Refused:
        self._waiting.remove(ticket)
        ticket.state = TicketState.DONE
        return Refused(ticket, reason)

    def _restore_order(self) -> None:
        """After the priority flag changed, those already waiting follow the new rule too."""
        ranked = self._flags.priority_queue
        if (self._waiting[0].order[0] != 0) == ranked:
            return
        for ticket in self._waiting:
            ticket.order = (ticket.policy.rank if ranked else 0, ticket.sequence)
        self._waiting.sort(key=lambda each: each.order)

    def _learn(self, held_s: float) -> None:
        known = self._service_s
        self._service_s = held_s if known is None else known + SERVICE_TIME_SMOOTHING * (held_s - known)
