"""What every home of a drill must offer: inventory, faults with proofs, remedies, facts.

Lab and cluster differ only behind this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from tierdrill.history.ledger import LedgerFault

TargetKind = Literal["node", "gpu", "replica", "link", "gateway", "stream", "tier", "service"]

SABOTAGE = "sabotage"
"""The kind of an order that cuts a safety net."""

REMEDY = "remedy"
"""The kind of an order that takes back what a remedy left changed."""

UNREADABLE = "unreadable"
"""The kind of an order that was sealed and whose seal cannot be opened any more."""


class TargetError(Exception):
    """The deployment refused or could not do what was asked; the message is for people."""


@dataclass(frozen=True)
class GpuState:
    """A GPU as its node's agent reports it; `name` is `node-1/0`."""

    name: str
    node: str
    index: int
    uuid: str
    state: str
    emulated: bool


@dataclass(frozen=True)
class NodeState:
    """A node as the control plane sees it."""

    name: str
    ready: bool
    cordoned: bool
    boot_id: str


@dataclass(frozen=True)
class ReplicaState:
    """A replica as the control plane sees it; `node` is None while it has no place."""

    name: str
    model: str
    tier: str
    rank: int
    node: str | None
    gpu: int | None
    state: str
    ready: bool
    restarts: int
    generation: int


@dataclass(frozen=True)
class Inventory:
    """What is there now."""

    nodes: tuple[NodeState, ...]
    gpus: tuple[GpuState, ...]
    replicas: tuple[ReplicaState, ...]
    gateways: tuple[str, ...]

    def tier_ready_share(self, tier: str) -> float:
        """Ready replicas of a tier over all its replicas; 1.0 for a tier without replicas."""
        mine = [replica for replica in self.replicas if replica.tier == tier]
        return sum(replica.ready for replica in mine) / len(mine) if mine else 1.0


@dataclass(frozen=True)
class Proof:
    """What a witness saw: whether the fault is in effect (or gone), since when, and who says so."""

    seen: bool
    at: float
    witness: str
    detail: str


@dataclass(frozen=True)
class RemedyResult:
    """What a remedy did."""

    ok: bool
    detail: str
    data: dict[str, Any] = field(default_factory=dict)


class RemedyPort(Protocol):
    """What the playbook engine needs of a deployment: to read facts and to act. Calls are async and bounded in time."""

    async def inventory(self) -> Inventory: ...

    async def fact(self, name: str, subject: str) -> Any:
        """The value of a fact (see documents.models.playbook.Condition); TargetError if unknown or unavailable."""
        ...

    async def remedy(self, action: str, arguments: dict[str, Any]) -> RemedyResult:
        """Carry out a documents.models.playbook.Remedy; TargetError if the deployment cannot be reached."""
        ...


def is_remedy(entry: LedgerFault) -> bool:
    """Whether a ledger entry is of what a remedy left changed, and not of a fault."""
    return bool(entry.order.get("kind") == REMEDY)


@dataclass(frozen=True)
class Mechanism:
    """How a target does one kind of fault, and how long (seconds) its witnesses may take to see it there and gone."""

    text: str
    emulated: bool = False
    landed_within_s: float = 8.0
    gone_within_s: float = 10.0
    poll_s: float = 0.02


@dataclass(frozen=True)
class FaultOrder:
    """A fault bound to a target and a mechanism: all that is needed to inject, prove and undo it."""

    fault: str
    kind: str
    target: str
    target_kind: TargetKind
    mechanism: Mechanism
    parameters: dict[str, Any]
    lease_s: float

    def plain(self) -> dict[str, Any]:
        """As the ledger holds it."""
        return asdict(self)

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> FaultOrder:
        """From the ledger; entries of earlier versions have the mechanism's text alone."""
        how = data["mechanism"]
        return cls(**{**data, "mechanism": Mechanism(**how) if isinstance(how, dict) else Mechanism(how)})


class FaultPort(Protocol):
    """What faults need of a deployment. Synchronous: it runs in Chaos Toolkit's main thread and in the reaper.

    Injection goes through one component, proof through another, so that nobody vouches for their own work.
    """

    def mechanisms(self) -> Mapping[str, Mechanism]:
        """The mechanism this deployment has for each fault kind."""
        ...

    def inventory(self) -> Inventory:
        """What is there now."""
        ...

    def bind(self, order: FaultOrder) -> FaultOrder:
        """The order with what the undo and the proofs need to know of the target as it is now.

        TargetError if it is not there.
        """
        ...

    def inject(self, order: FaultOrder) -> None:
        """Do it; TargetError if the deployment refuses."""
        ...

    def revert(self, order: FaultOrder) -> None:
        """Undo; safe to call twice, and when the fault never landed."""
        ...

    def landed(self, order: FaultOrder, since: float) -> Proof:
        """Does a witness that did not inject see the fault in effect?"""
        ...

    def gone(self, order: FaultOrder) -> Proof:
        """Does a witness that did not inject see it gone?"""
        ...
