"""The Lease `drill` in tierdrill's namespace: one drill for each cluster at a time, and a sign of life of its runner.

Its annotation `tierdrill.io/halt` is the kill switch of everybody who has no runner: with it no run starts, and the
one that holds the Lease stops.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.connect import JSON_PATCH, MERGE_PATCH, Cluster, path_of
from tierdrill.targets.kubernetes.kubernetes_fault import PREFIX, find, label_value
from tierdrill.targets.kubernetes.permissions import may
from tierdrill.targets.kubernetes.warden_program import CONFLICT, GONE, INVALID, RUN_LABEL, UNDONE, WARDED, Object

GROUP = "coordination.k8s.io"
NEEDS = (
    *may("leases", "create", "update", group=GROUP, scope="own"),
    *may("leases", "get", "list", "watch", "patch", group=GROUP, scope="own", undo=True),
)
NAME = "drill"
HALT = f"{PREFIX}halt"
LOOK_S, ATTEMPTS = 0.5, 10


class LeaseLost(TargetError):
    """The Lease is not ours any more, or the kill switch is on: the run must stop."""


@dataclass(frozen=True)
class LeaseState:
    """What a Lease says. `holder` is `RUN@HOST` or "", `halt` the kill switch's reason or "", `undone` what the last
    warden that had to act has done.
    """

    holder: str = ""
    renewed: str = ""
    lease_s: float = 0.0
    halt: str = ""
    undone: str = ""
    warded: str = ""

    @property
    def run(self) -> str:
        """The run that holds it."""
        return self.holder.rpartition("@")[0]


class DrillLease:
    """The Lease of one cluster. Blocking; TargetError where the cluster refuses or is away."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster, self._namespace = cluster, namespace
        self.path = path_of("leases", namespace, NAME, group=GROUP)

    def look(self) -> LeaseState:
        """What it says now."""
        return _state(find(self._cluster, self.path))

    def lives(self) -> bool:
        """Whether somebody renews it: true as soon as it was seen to change, false once it did not in its time."""
        first = self.look()
        if not first.holder:
            return False
        deadline = time.monotonic() + first.lease_s
        while time.monotonic() < deadline:
            time.sleep(min(LOOK_S, first.lease_s / 4))
            if (now := self.look()).renewed != first.renewed:
                return bool(now.holder)
        return False

    def take(self, run: str, holder: str, lease_s: float) -> None:
        """Take it; LeaseLost where somebody else holds it, or the kill switch is on."""
        found = find(self._cluster, self.path)
        state = _state(found)
        if state.halt:
            raise LeaseLost(_halted(state.halt))
        if state.holder and self.lives():
            raise LeaseLost(f"run {state.run} ({state.holder}) drills this cluster; it is one drill at a time")
        now = _now()
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": math.ceil(lease_s),
            "acquireTime": now,
            "renewTime": now,
        }
        labels = {RUN_LABEL: label_value(run)}
        try:
            if found is None:
                body = {"apiVersion": f"{GROUP}/v1", "kind": "Lease", "metadata": {"name": NAME, "labels": labels}}
                collection = path_of("leases", self._namespace, group=GROUP)
                self._cluster.send("POST", collection, {**body, "spec": spec})
            else:
                metadata = {"resourceVersion": found["metadata"]["resourceVersion"], "labels": labels}
                self._patch({"metadata": {**metadata, "annotations": {UNDONE: None, WARDED: None}}, "spec": spec})
        except ApiError as error:
            if error.status == CONFLICT:
                raise LeaseLost("somebody else has taken the cluster's Lease at the same moment") from error
            if error.status == GONE:
                text = f"the cluster has no namespace {self._namespace}: `tierdrill kubernetes rbac` prints it"
                raise TargetError(f"{text}, to be applied by its owner") from error
            raise

    def beat(self, holder: str) -> LeaseState:
        """Renew it, and what it says; LeaseLost where the run must stop."""
        patch = [
            {"op": "test", "path": "/spec/holderIdentity", "value": holder},
            {"op": "replace", "path": "/spec/renewTime", "value": _now()},
        ]
        try:
            state = _state(self._cluster.send("PATCH", self.path, patch, content_type=JSON_PATCH))
        except ApiError as error:
            if error.status not in (GONE, INVALID):
                raise
            now = self.look()
            if now.holder == holder:
                raise
            whose = f"is held by {now.holder}" if now.holder else "was given up for us"
            told = f": {now.undone}" if now.undone else ""
            raise LeaseLost(f"the cluster's Lease {whose}{told}") from error
        if state.halt:
            raise LeaseLost(_halted(state.halt))
        return state

    def release(self, holder: str) -> None:
        """Give it up, if it is ours. Our own beat, or the warden, may change it meanwhile."""
        for left in reversed(range(ATTEMPTS)):
            found = find(self._cluster, self.path)
            if found is None or _state(found).holder != holder:
                return
            version = found["metadata"]["resourceVersion"]
            gone = {"labels": {RUN_LABEL: None}, "annotations": {WARDED: None}}
            try:
                self._patch({"metadata": {"resourceVersion": version, **gone}, "spec": {"holderIdentity": None}})
                return
            except ApiError as error:
                if error.status != CONFLICT or not left:
                    raise

    def halt(self, why: str | None) -> None:
        """Set the kill switch with its reason, or lift it (None)."""
        body = {"metadata": {"annotations": {HALT: why}}}
        try:
            self._patch(body)
        except ApiError as error:
            if error.status != GONE:
                raise
            if why is not None:
                lease = {"apiVersion": f"{GROUP}/v1", "kind": "Lease", "spec": {}}
                lease["metadata"] = {"name": NAME, "annotations": {HALT: why}}
                self._cluster.send("POST", path_of("leases", self._namespace, group=GROUP), lease)

    def _patch(self, body: dict[str, Any]) -> None:
        self._cluster.send("PATCH", self.path, body, content_type=MERGE_PATCH)


def lease_of(settings: KubernetesSettings) -> DrillLease:
    """The Lease of the cluster that an environment means."""
    return DrillLease(Cluster.of(settings), settings.namespace)


def _state(found: Object | None) -> LeaseState:
    if found is None:
        return LeaseState()
    spec, notes = found.get("spec") or {}, found["metadata"].get("annotations") or {}
    return LeaseState(
        spec.get("holderIdentity") or "",
        spec.get("renewTime") or "",
        float(spec.get("leaseDurationSeconds") or 0),
        notes.get(HALT, ""),
        notes.get(UNDONE, ""),
        notes.get(WARDED, ""),
    )


def _halted(why: str) -> str:
    return f"the cluster's kill switch is on: {why}; `tierdrill resume --environment NAME` turns it off"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
