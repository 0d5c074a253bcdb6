"""What slots are run with: the commands, who listens, the rollout, the store, the clock, the word to stop."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tierdrill.process.identity import ProcessId
from tierdrill.schedule.gates.gate_rules import GateResult
from tierdrill.schedule.slot_work import Member, Work
from tierdrill.schedule.store.resilient_store import Shelf
from tierdrill.schedule.store.slot_records import Attempt, SlotState
from tierdrill.schedule.wall_clock import Clock


@dataclass(frozen=True)
class Commands:
    """What is run: `run` gets the arguments of `tierdrill run`, `recover` none. `cwd` is where.

    Tests give other commands that do the same in less time.
    """

    run: tuple[str, ...]
    recover: tuple[str, ...]
    cwd: Path | None = None


class Listener(Protocol):
    """Who hears of what becomes of slots: metrics and notices. What a listener raises does not disturb the slot."""

    def started(self, work: Work, attempt: Attempt, lateness_s: float) -> None:
        """A drill of the slot was let go."""

    def attempt_ended(self, work: Work, member: Member, attempt: Attempt) -> Awaitable[None] | None:
        """A drill of the slot has ended, or was held by a gate."""

    def decided(
        self, work: Work, attempts: Sequence[Attempt], state: SlotState, outcome: str, reason: str
    ) -> Awaitable[None] | None:
        """The slot has its final record."""


RolloutGate = Callable[[Work, Member], Awaitable[tuple[Member, GateResult]]]
"""The staged rollout: the drill as its stage has it, on which all gates are asked, and what the last gate says."""


@dataclass(frozen=True)
class Surroundings:
    """What a slot is run with. `stop` is set when the scheduler is told to end; `running` are the drills' processes."""

    home: Path
    commands: Commands
    clock: Clock
    shelf: Shelf
    me: ProcessId
    listener: Listener
    rollout: RolloutGate
    stop: asyncio.Event
    author: str = "scheduler"
    running: set[ProcessId] = field(default_factory=set)
