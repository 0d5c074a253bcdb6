"""A replica of a node, running or not, as its agent knows it."""

import asyncio
from typing import Any

from tierdrill.lab.lab_config import ReplicaSpec
from tierdrill.lab.node.reconcile import READY, STARTING
from tierdrill.lab.node.weight_cache import PullFailed
from tierdrill.process.child import Child


class UnknownReplica(LookupError):
    """This node has no such replica."""


class Managed:
    """A replica of this node, running or not."""

    def __init__(self, spec: ReplicaSpec) -> None:
        self.spec = spec
        self.phase = STARTING
        self.child: Child | None = None
        self.address: str | None = None
        self.starts = 0
        self.exit_code: int | None = None
        self.ended_at: float | None = None
        self.busy = 0.0
        self.answers_right: bool | None = None  # to the golden prompts, which read every weight; None: not known
        self.answers = ""  # their checksum: replicas that are wrong alike have the same
        self.blocked: PullFailed | None = None  # why it cannot have the weights it should
        self.retry_at = 0.0
        self.lock = asyncio.Lock()  # one start, stop or restart at a time
        self.watch: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether its process runs (or is stopped, but there)."""
        return self.child is not None and self.child.exit_code() is None

    def heartbeat(self) -> dict[str, Any]:
        child = self.child if self.alive else None
        return {
            "name": self.spec.name,
            "state": self.phase,
            "ready": self.phase == READY,
            "address": self.address if child is not None else None,
            "pid": None if child is None else child.pid,
            "ticks": None if child is None else child.identity.ticks,
            "gpu": self.spec.gpu,
            "generation": self.spec.generation,
            "restarts": max(0, self.starts - 1),
            "answers_right": self.answers_right,
            "exit_code": self.exit_code,
        }
