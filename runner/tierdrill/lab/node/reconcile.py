"""What the node should do next about its replicas: a pure comparison of what is desired with what is."""

from collections.abc import Iterable
from dataclasses import dataclass

from tierdrill.lab.lab_config import ReplicaSpec

STARTING, READY, EXITED, STOPPED, BLOCKED = "starting", "ready", "exited", "stopped", "blocked"


@dataclass(frozen=True)
class Actual:
    """A replica as it is on this node. Blocked is one whose weights cannot be had; nothing of it before `retry_at`."""

    name: str
    generation: int
    gpu: int
    phase: str
    ended_at: float | None = None
    weights: str = ""
    retry_at: float = 0.0


def reconcile(
    desired: Iterable[ReplicaSpec], actual: Iterable[Actual], now: float, restart_backoff_s: float
) -> dict[str, ReplicaSpec | None]:
    """By name: what to start, killing its former self first if that is alive, or None: stop it and forget it.
    Removals come first: they free the memory that starts may need.

    One that exited by itself is left alone until the backoff is over (the kubelet's CrashLoopBackOff); one that was
    stopped on request stays stopped. A new generation, or another GPU, overrides both. Other weights are loaded into a
    replica that is ready, as it serves; see `Replicas`.
    """
    wanted = {spec.name: spec for spec in desired}
    present = {replica.name: replica for replica in actual}
    gone: dict[str, ReplicaSpec | None] = {name: None for name in present if name not in wanted}
    return gone | {
        name: spec for name, spec in wanted.items() if _needs_start(spec, present.get(name), now, restart_backoff_s)
    }


def _needs_start(spec: ReplicaSpec, replica: Actual | None, now: float, restart_backoff_s: float) -> bool:
    if replica is not None and now < replica.retry_at:
        return False
    if replica is None or (replica.generation, replica.gpu) != (spec.generation, spec.gpu):
        return True
    if replica.phase == BLOCKED or (replica.phase == READY and replica.weights != spec.weights):
        return True
    if replica.phase != EXITED:
        return False
    return replica.ended_at is not None and now - replica.ended_at >= restart_backoff_s
