"""A run's hold on a cluster: the Lease that nobody else has meanwhile, the ConfigMap that its faults are written into,
and the warden that undoes them when the Lease is not renewed any more.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterable

from tierdrill.targets.base import TargetError
from tierdrill.targets.kubernetes.cluster_place import Place
from tierdrill.targets.kubernetes.connect import path_of
from tierdrill.targets.kubernetes.kubernetes_fault import label_value
from tierdrill.targets.kubernetes.lease import DrillLease, LeaseLost
from tierdrill.targets.kubernetes.ledger_map import PROGRAM, RunMap, orders_in, run_maps
from tierdrill.targets.kubernetes.manifests.warden_job import warden_job
from tierdrill.targets.kubernetes.warden_program import RUN_LABEL

READY_WITHIN_S = 60.0
MARGIN_S = 600.0
LOOK_S = 0.3


class Hold:
    """One run's. Blocking, and safe to call from any thread, one call at a time; TargetError where the cluster refuses
    or is away.
    """

    def __init__(self, place: Place, run: str, lease_s: float) -> None:
        self.run, self.lease_s = run, lease_s
        self.holder = f"{run}@{socket.gethostname()}"
        self._place, self._namespace = place, place.settings.namespace
        self._lease = DrillLease(place.cluster, self._namespace)
        self._map = RunMap(place.cluster, self._namespace, run)

    def hold(self, avoid: Iterable[str], planned_s: float) -> None:
        """Take the Lease, and see the warden at its post; LeaseLost where somebody else drills the cluster or the kill
        switch is on. `avoid` are the nodes (real names) where faults will be; the run is to last so many seconds.
        """
        if self._place.settings.image is None:
            raise TargetError("the environment has no kubernetes.image, which the pod that undoes faults is made from")
        self._lease.take(self.run, self.holder, self.lease_s)
        try:
            left = [each.run for each, _ in run_maps(self._place.cluster, self._namespace)]
            if left:
                raise LeaseLost(f"run {left[0]} has left faults here: `tierdrill recover --environment NAME` first")
            self._start_warden(self._map.create(), avoid, planned_s)
            self._await_warden()
        except BaseException:
            with contextlib.suppress(TargetError):
                self.release()
            raise

    def _start_warden(self, uid: str, avoid: Iterable[str], planned_s: float) -> None:
        image = self._place.settings.image
        assert image is not None
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": self._map.name, "uid": uid}
        labels = {RUN_LABEL: label_value(self.run)}
        mine = f"?labelSelector={RUN_LABEL}%3D{label_value(self.run)}"
        own = [path_of("jobs", self._namespace, group="batch")]
        own += [path_of(what, self._namespace) for what in ("configmaps", "pods")]
        config = {
            "lease": self._lease.path,
            "map": self._map.path,
            "own": [f"{path}{mine}" for path in own],
            "holder": self.holder,
            "lease_s": self.lease_s,
        }
        name = self._map.name.replace("run-", "warden-", 1)
        job = warden_job(image, name, labels, owner, PROGRAM, config, avoid, planned_s + MARGIN_S)
        self._place.cluster.send("POST", path_of("jobs", self._namespace, group="batch"), job)

    def _await_warden(self) -> None:
        deadline, renewed = time.monotonic() + READY_WITHIN_S, time.monotonic()
        while self._lease.look().warded != self.holder:
            if time.monotonic() >= deadline:
                raise TargetError(f"the warden is not at its post after {READY_WITHIN_S:g} s: {self._warden_state()}")
            if time.monotonic() - renewed >= self.lease_s / 4:
                self.beat()
                renewed = time.monotonic()
            time.sleep(LOOK_S)

    def _warden_state(self) -> str:
        """What keeps it, in words."""
        for raw in self._place.cluster.pages(
            path_of("pods", self._namespace), labels=f"{RUN_LABEL}={label_value(self.run)}"
        ):
            status = raw.get("status") or {}
            for one in status.get("containerStatuses") or ():
                state = one["state"].get("waiting") or one["state"].get("terminated") or {}
                if state:
                    return f"{state.get('reason')}: {state.get('message', '')}".rstrip(": ")
            for one in status.get("conditions") or ():
                if one["status"] != "True" and one.get("message"):
                    return str(one["message"])
        return "its Job has made no pod; `kubectl describe job` tells why"

    def beat(self) -> None:
        """Renew the Lease; LeaseLost where the run must stop. To be called four times in a lease."""
        self._lease.beat(self.holder)

    def release(self) -> list[str]:
        """The run is over. What faults are still written down, and are left to the warden: then nothing is released,
        the Lease runs out, and the warden undoes them.
        """
        if left := [order.fault for order in orders_in(self._map.read() or {})]:
            return left
        self._map.delete()
        self._lease.release(self.holder)
        return []
