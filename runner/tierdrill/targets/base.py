"""What every home of a drill must offer: inventory, faults with proofs, remedies, facts.

Lab and cluster differ only behind this.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from tierdrill.targets.inventory_records import GpuState as GpuState
from tierdrill.targets.inventory_records import Inventory as Inventory
from tierdrill.targets.inventory_records import NodeState as NodeState
from tierdrill.targets.inventory_records import ReplicaState as ReplicaState
from tierdrill.text import Explained

if TYPE_CHECKING:
    from tierdrill.credentials import HttpLogin
    from tierdrill.documents.catalogue import DrillSetting
    from tierdrill.documents.models.drill import Stream
    from tierdrill.documents.models.environment import Environment
    from tierdrill.documents.models.tiers import Tiers
    from tierdrill.documents.models.workloads import Model, Workloads
    from tierdrill.documents.reading.reading_state import Absent
    from tierdrill.history.events import Event
    from tierdrill.history.ledger_tables import LedgerFault
    from tierdrill.load.load_plan import LoadPlan, Prompt
    from tierdrill.process.signals import StopSignal


TargetKind = Literal[
    "node", "gpu", "replica", "link", "gateway", "stream", "tier", "store", "prometheus", "alertmanager", "engine",
    "service",
]  # fmt: skip

SABOTAGE = "sabotage"
"""The kind of an order that cuts a safety net."""

REMEDY = "remedy"
"""The kind of an order that takes back what a remedy left changed."""

UNREADABLE = "unreadable"
"""The kind of an order that was sealed and whose seal cannot be opened any more."""


class TargetError(Explained):
    """The deployment refused or could not do what was asked; the message is for people."""


@dataclass(frozen=True)
class Proof:
    """What a witness saw: whether the fault is in effect (or gone), since when, and who says so."""

    seen: bool
    at: float
    witness: str
    detail: str


@dataclass(frozen=True)
class RemedyResult:
    ok: bool
    detail: str
    data: dict[str, Any] = field(default_factory=dict)


class RemedyPort(Protocol):
    """What the playbook engine needs of a deployment: to read facts and to act. Calls are async and bounded in time."""

    async def inventory(self) -> Inventory: ...

    async def fact(self, name: str, subject: str) -> Any:
        """The value of a fact (see documents.models.playbook.Condition); TargetError if unknown or unavailable."""

    async def remedy(self, action: str, arguments: dict[str, Any]) -> RemedyResult:
        """Carry out a documents.models.playbook.Remedy; TargetError if the deployment cannot be reached."""


def is_remedy(entry: LedgerFault) -> bool:
    """Whether a ledger entry is of what a remedy left changed, and not of a fault."""
    return bool(entry.order.get("kind") == REMEDY)


@dataclass(frozen=True)
class Mechanism:
    """How a target does one kind of fault, and how long (seconds) its witnesses may take to see it there and gone.

    So long before its planned moment (`ahead_s`) what it needs is prepared.
    """

    text: str
    emulated: bool = False
    landed_within_s: float = 8.0
    gone_within_s: float = 10.0
    poll_s: float = 0.02
    ahead_s: float = 1.0


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

    def inventory(self) -> Inventory:
        """What is there now."""

    def bind(self, order: FaultOrder) -> FaultOrder:
        """The order with what the undo and the proofs need to know of the target as it is now.

        TargetError if it is not there.
        """

    def inject(self, order: FaultOrder) -> None:
        """Do it; TargetError if the deployment refuses."""

    def revert(self, order: FaultOrder) -> str | None:
        """Undo; safe to call twice, and when the fault never landed. What there is to say of it, as where somebody else
        has changed the target since and that was left alone.
        """

    def landed(self, order: FaultOrder, since: float) -> Proof:
        """Does a witness that did not inject see the fault in effect?"""

    def gone(self, order: FaultOrder) -> Proof:
        """Does a witness that did not inject see it gone?"""


@dataclass(frozen=True)
class Endpoint:
    """A service's base URL and the login that it asks for, if any."""

    url: str
    login: HttpLogin | None = None


@dataclass(frozen=True)
class Endpoints:
    """Where a deployment takes load (base URLs), and what watches it.

    `gap_s` is how long its monitoring may show nothing new. `rename` gives its alerts the names that drills use,
    `name_of` does so for a replica or gateway that answered; only `alerts` among them say that it is not well
    before a run (None: all). `polled`: Alertmanager delivers nothing, it is asked. `listen` (host, port) is where
    it delivers by itself, with `token`. With `fault_secret` somebody signs what they say of a fault of theirs.
    """

    load: tuple[str, ...]
    prometheus: Endpoint
    alertmanager: Endpoint
    gap_s: float = 2.0
    rename: Callable[[Mapping[str, Any]], dict[str, Any]] = dict
    name_of: Callable[[str], str] = str
    alerts: frozenset[str] | None = None
    polled: bool = False
    listen: tuple[str, int] | None = None
    token: str | None = None
    fault_secret: str | None = None


@dataclass(frozen=True)
class Finding:
    """One check before a run starts; `final` where waiting cannot change it."""

    name: str
    ok: bool
    seen: str
    final: bool = False


@dataclass(frozen=True)
class Opening:
    """What a run asks its target for. `kept` names a deployment that is up and stays up; None: one of the run's own.

    `faults` are the kinds that will be injected with their targets, `planned_s` is how long the run is to last, and
    `fault_s` how long its faults are (0: not known).
    `own` is told of every process that is started. `discreet`: its logs must not tell what is injected (an
    exercise). `observed` are the kinds of custom resources (KIND.GROUP) by which playbooks of other tools are seen
    to run.
    """

    run: str
    home: Path
    tools: Path
    environment: Environment
    tiers: Tiers
    workloads: Workloads
    own: Callable[[str, int], None]
    kept: str | None = None
    discreet: bool = False
    faults: tuple[tuple[str, str], ...] = ()
    planned_s: float = 3600.0
    fault_s: float = 0.0
    observed: tuple[str, ...] = ()


class Session(Protocol):
    """A deployment while one run uses it. Its methods raise TargetError where the deployment refuses or is away."""

    name: str
    place: dict[str, Any]
    """As the ledger refers to it."""
    endpoints: Endpoints
    state: Mapping[str, Any]
    """The control plane's own view when it last changed: `nodes` and `replicas`, empty until the watchers run."""

    def inventory(self) -> Inventory:
        """`state` as an inventory."""

    def remedies(self, run: str, lease_s: float) -> RemedyPort:
        """The remedies for one run, whose ledger knows the undo of each before it is done."""

    async def subscribe(self, url: str, token: str, mark: str | None) -> None:
        """Let Alertmanager notify `url`, with a bearer token, marked as this run's."""

    async def preflight(self) -> list[Finding]:
        """What must be well besides the inventory, the alerts and the ledger."""

    def watchers(self, emit: Callable[[Event], object], stop: StopSignal) -> list[Coroutine[Any, Any, None]]:
        """What follows the deployment while the run lives: emits `platform.state` and `process.exited`, and stops the
        run where the deployment ends or undoes a fault by itself.
        """

    async def renew_leases(self, faults: Sequence[str]) -> None:
        """Let the leases that the deployment itself keeps begin anew; does nothing where it is away."""

    async def settings(self, what: str) -> Mapping[str, Mapping[str, Any]]:
        """Every gateway's `flags`, `weights`, `shed` or `caps`."""

    async def log_xid(self, node: str, gpu: int, xid: int) -> None:
        """Write a harmless XID line to a node's kernel log: the GPU works on."""

    def logs(self) -> dict[str, Path]:
        """Every log that people can read, by name."""

    def prompts(self, stream: Stream, models: Sequence[Model]) -> tuple[Prompt, ...]:
        """What a stream asks, with the right answer of each of these models where it is known."""

    def traffic(self, plan: LoadPlan, warm_up_s: float) -> LoadPlan:
        """The load plan as the deployment takes it; it is warm after so many seconds."""

    async def close(self) -> None:
        """The run leaves: give back what it changed by asking for it. Safe where the deployment is gone."""

    async def end(self) -> list[str]:
        """End a deployment of the run's own; the processes that would not end."""


@dataclass(frozen=True)
class Preview:
    """What a plan comes to as things stand where it would be carried out, in words.

    `names` are the real names of what the documents name, `falls` what goes with each fault's target, `missing` the
    permissions that are not there. With `refusals` a drill is not run; `remarks` are worth knowing.
    """

    place: str
    names: Mapping[str, str]
    falls: Mapping[str, tuple[str, ...]]
    missing: tuple[str, ...]
    refusals: tuple[str, ...]
    remarks: tuple[str, ...]


class Target(Protocol):
    """A kind of place that drills can run in, as an environment names it."""

    def mechanisms(self) -> Mapping[str, Mechanism]:
        """How it does each kind of fault."""

    def absent(self) -> Absent:
        """What documents may ask for elsewhere and not here, with the reason. Cheap: nothing is imported for it."""

    def preview(self, setting: DrillSetting, orders: Sequence[FaultOrder], fault_s: float) -> Preview | None:
        """What these faults, which stand so many seconds, come to as things are there now; None where the documents
        alone tell. TargetError where it cannot be asked.
        """

    def check(self, home: Path, tools: Path, kept: str | None) -> None:
        """TargetError says what is missing on this machine before a session can be opened."""

    async def open(self, opening: Opening) -> Session:
        """Bring a deployment up, or attach to it. TargetError where that cannot be."""
