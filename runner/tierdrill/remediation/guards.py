"""May a playbook run now? Throttle, concurrency and fuse as pure functions of what was remembered, and that memory.

Throttle words follow Ansible's event-driven rules. The fuse is NVSentinel's breaker: automation that touches ever
more nodes is more likely wrong than the nodes are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from tierdrill.documents.models.playbook import Concurrency, Fuse, Throttle
from tierdrill.documents.models.units import show_duration, show_ratio

GROUPS_MAX = 10_000
QUEUE_MAX = 1_000

Code = Literal[
    "disabled",
    "dry-run",
    "resolved",
    "when",
    "forbidden",
    "blind",
    "accumulating",
    "joined",
    "throttled",
    "concurrency",
    "fuse",
    "external",
    "overload",
]


@dataclass(frozen=True)
class Go:
    """It may run."""


@dataclass(frozen=True)
class Wait:
    """Not before this instant (Unix seconds); ask again then."""

    until: float


@dataclass(frozen=True)
class Queue:
    """Not before another run has ended; ask again then."""


@dataclass(frozen=True)
class Refuse:
    """It may not run for this incident."""

    code: Code
    reason: str


Decision = Go | Wait | Queue | Refuse


@dataclass(frozen=True)
class GroupMemory:
    """What a throttle remembers of one group: the last start, incidents counted, and since when a `once_after` window
    is open.
    """

    started_at: float | None = None
    arrivals: tuple[tuple[float, str], ...] = ()
    opened_at: float | None = None


def throttle(
    policy: Throttle, memory: GroupMemory, incident: str, arrived: float, now: float
) -> tuple[Decision, GroupMemory]:
    """Accumulate first, then the quiet window, then the pause since the last start. The memory returned counts this
    incident.
    """
    started = memory.started_at
    if policy.accumulate_within is not None:
        recent = [(at, key) for at, key in memory.arrivals if now - at < policy.accumulate_within]
        if all(key != incident for _, key in recent):
            recent.append((now, incident))
        # More than the threshold is never needed, and a storm must not make this list long.
        memory = replace(memory, arrivals=tuple(recent[-policy.threshold :]))
        if len(recent) < policy.threshold:
            window = show_duration(policy.accumulate_within)
            return Refuse("accumulating", f"{len(recent)} of {policy.threshold} alerts within {window}"), memory
    if policy.once_within is not None and started is not None and now - started < policy.once_within:
        return Refuse(
            "throttled", f"ran {now - started:.1f} s ago; at most once within {show_duration(policy.once_within)}"
        ), memory
    if policy.once_after is not None:
        if started is not None and arrived <= started:
            return Refuse("joined", "came before the last run of its group and counts as part of it"), memory
        opened = now if memory.opened_at is None else memory.opened_at
        memory = replace(memory, opened_at=opened)
        if now < opened + policy.once_after:
            return Wait(opened + policy.once_after), memory
    return Go(), memory


def concurrency(policy: Concurrency, running: int, queued: int) -> Decision:
    """Runs that share a slot, and what becomes of one too many."""
    if running < policy.max:
        return Go()
    if policy.on_limit == "queue" and queued < QUEUE_MAX:
        return Queue()
    return Refuse(
        "concurrency", f"{running} running; at most {policy.max}" + (f" by {policy.key}" if policy.key else "")
    )


def fuse(
    policy: Fuse | None, touched: Mapping[str, float], nodes: frozenset[str], nodes_total: int, now: float
) -> Decision:
    """Would this run bring the share of nodes touched within the window over the limit?"""
    if policy is None or not nodes:
        return Go()
    recent = {node for node, at in touched.items() if now - at < policy.window} | nodes
    share = len(recent) / max(nodes_total, 1)
    if share <= policy.max_nodes + 1e-9:
        return Go()
    return Refuse(
        "fuse",
        f"would touch {len(recent)} of {nodes_total} nodes within {show_duration(policy.window)} "
        f"({', '.join(sorted(recent))}); at most {show_ratio(policy.max_nodes)}",
    )


@dataclass
class GuardMemory:
    """What one playbook's guards remember. Changed only between awaits, so that a decision and its record are one."""

    groups: dict[tuple[str, ...], GroupMemory] = field(default_factory=dict)
    touched: dict[str, float] = field(default_factory=dict)
    running: dict[str, int] = field(default_factory=dict)
    queued: int = 0

    def group(self, key: tuple[str, ...]) -> GroupMemory:
        return self.groups.get(key, GroupMemory())

    def remember(self, key: tuple[str, ...], memory: GroupMemory) -> None:
        """Keep a group's memory; the oldest group is forgotten when there are too many."""
        self.groups.pop(key, None)
        self.groups[key] = memory
        if len(self.groups) > GROUPS_MAX:
            self.groups.pop(next(iter(self.groups)))

    def record_start(self, key: tuple[str, ...], nodes: frozenset[str], now: float) -> None:
        """A run has begun: the throttle's count starts anew, its nodes count as touched."""
        self.remember(key, GroupMemory(started_at=now))
        self.touched.update(dict.fromkeys(nodes, now))

    def take_slot(self, slot: str) -> None:
        self.running[slot] = self.running.get(slot, 0) + 1

    def free_slot(self, slot: str) -> None:
        left = self.running.get(slot, 0) - 1
        if left > 0:
            self.running[slot] = left
        else:
            self.running.pop(slot, None)
