"""What the documents may ask of `tierdrill.chaos.actions`: each fault action, its undo, its arguments and its reach.

Written down here because a document is checked without importing Chaos Toolkit or the extension.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

MODULE = "tierdrill.chaos.actions"
OUR_MODULES = (MODULE, "tierdrill.chaos.probes")
LEASE = "lease_s"
DELAY_MS = 400
DELAY_MS_MAX = 60_000
CLOCK_PERCENT = 40
WEIGHT = 500
BIT = 13
TEMPERATURE_C = 92
NOISE_COUNT = 500
NOISE_PER_SECOND = 50
RATE_PERCENT = 300
ERROR_PERCENT = 100

Reach = Literal["node", "gpu", "replica", "link", "gateway", "stream"]


@dataclass(frozen=True)
class FaultAction:
    """A fault: `identity` are the arguments that say what is hit, and that its undo must repeat.

    `defaults` are the arguments that may be left out, with what they then are.
    """

    undo: str
    reach: Reach
    identity: tuple[str, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @property
    def required(self) -> tuple[str, ...]:
        """Arguments that must be given."""
        return tuple(name for name in self.identity if name not in self.defaults)

    @property
    def optional(self) -> tuple[str, ...]:
        """Arguments that the fault may have besides."""
        return (*self.defaults, LEASE)

    @property
    def optional_for_undo(self) -> tuple[str, ...]:
        """Arguments that the undo may have besides."""
        return tuple(name for name in self.identity if name in self.defaults)


FAULTS: dict[str, FaultAction] = {
    "crash_replica": FaultAction("recover_replica", "replica", ("replica",)),
    "hang_replica": FaultAction("resume_replica", "replica", ("replica",)),
    "flip_bit": FaultAction("unflip_bit", "replica", ("replica",), {"weight": WEIGHT, "bit": BIT}),
    "begin_replica_errors": FaultAction(
        "end_replica_errors", "replica", ("replica",), {"error_percent": ERROR_PERCENT}
    ),
    "power_off_node": FaultAction("power_on_node", "node", ("node",)),
    "drop_gpu_off_bus": FaultAction("restore_gpu", "gpu", ("node", "gpu"), {"gpu": 0}),
    "throttle_gpu": FaultAction(
        "cool_gpu",
        "gpu",
        ("node", "gpu"),
        {"gpu": 0, "clock_percent": CLOCK_PERCENT, "temperature_c": TEMPERATURE_C},
    ),
    "begin_xid_noise": FaultAction(
        "end_xid_noise", "node", ("node",), {"count": NOISE_COUNT, "per_second": NOISE_PER_SECOND}
    ),
    "stop_exporter": FaultAction("start_exporter", "node", ("node",)),
    "delay_link": FaultAction("heal_link", "link", ("source", "destination"), {"delay_ms": DELAY_MS}),
    "partition_link": FaultAction("heal_link", "link", ("source", "destination")),
    "lose_picker": FaultAction("return_picker", "gateway", ("gateway",)),
    "begin_load_surge": FaultAction("end_load_surge", "stream", ("stream",), {"rate_percent": RATE_PERCENT}),
}
UNDOS: dict[str, FaultAction] = {fault.undo: fault for fault in FAULTS.values()}
FUNCTIONS = (*FAULTS, *UNDOS)


@dataclass(frozen=True)
class Call:
    """One use of our extension in an experiment: where it stands, and its arguments as written or filled in."""

    section: Literal["method", "rollbacks"]
    index: int
    func: str
    arguments: Mapping[str, Any]

    @property
    def fault(self) -> FaultAction:
        """The fault that this injects or undoes."""
        return FAULTS.get(self.func) or UNDOS[self.func]

    @property
    def words(self) -> list[str]:
        """The identity arguments, in order; "" for one that is missing."""
        return [str(self.arguments.get(name, self.fault.defaults.get(name, ""))) for name in self.fault.identity]

    @property
    def target(self) -> str:
        """The target as alerts and playbooks name it: `node-1`, `node-1/0`, `assistant-0` or `gateway-a>node-2`."""
        return {"gpu": "/", "link": ">"}.get(self.fault.reach, "").join(self.words)

    @property
    def identity(self) -> tuple[str, ...]:
        """The target for comparing a fault with its undo; a link has no direction."""
        return tuple(sorted(self.words)) if self.fault.reach == "link" else tuple(self.words)


def calls(content: Mapping[str, Any]) -> Iterator[Call]:
    """Every use of our fault actions and undos in an experiment, `ref`s followed, in the order they would run."""
    by_name = {
        activity.get("name"): activity
        for activity in (*_activities(content, "method"), *_activities(content, "rollbacks"))
        if isinstance(activity.get("name"), str)
    }
    for section in ("method", "rollbacks"):
        for index, written in enumerate(_list(content, section)):
            if not isinstance(written, dict):
                continue
            ref = written.get("ref")
            activity = by_name.get(ref, written) if isinstance(ref, str) else written
            provider = activity.get("provider")
            if not isinstance(provider, dict) or provider.get("module") != MODULE:
                continue
            func, arguments = provider.get("func"), provider.get("arguments", {})
            if func in FUNCTIONS and isinstance(arguments, dict):
                yield Call("method" if section == "method" else "rollbacks", index, str(func), arguments)


def _list(content: Mapping[str, Any], section: str) -> list[Any]:
    found = content.get(section)
    return found if isinstance(found, list) else []


def _activities(content: Mapping[str, Any], section: str) -> list[dict[str, Any]]:
    return [activity for activity in _list(content, section) if isinstance(activity, dict)]
