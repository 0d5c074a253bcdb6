"""The ledger on the cluster: one ConfigMap for each run, which holds every fault before it is injected, and how it is
undone. Whoever can reach the cluster can undo what a run has left, and the warden does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tierdrill.targets.base import FaultOrder, TargetError
from tierdrill.targets.kubernetes import warden_program
from tierdrill.targets.kubernetes.api_errors import ApiError
from tierdrill.targets.kubernetes.connect import MERGE_PATCH, Cluster, path_of
from tierdrill.targets.kubernetes.kubernetes_fault import PREFIX, UNDO, find, label_value, mark_of
from tierdrill.targets.kubernetes.permissions import Permission, may
from tierdrill.targets.kubernetes.warden_program import ENTRY, GONE, RUN_LABEL, Object

NEEDS: tuple[Permission, ...] = (
    *may("configmaps", "create", scope="own"),
    *may("configmaps", "list", "get", "patch", "delete", scope="own", undo=True),
)
RUN = f"{PREFIX}run-name"
"""The annotation with the run's whole name: a label's value is not always long enough."""
PROGRAM = Path(warden_program.__file__).name
"""The key that holds the warden's program."""


@dataclass(frozen=True)
class RunMap:
    """The ConfigMap of one run. Its methods raise TargetError where the cluster refuses or is away."""

    cluster: Cluster
    namespace: str
    run: str

    @property
    def name(self) -> str:
        """As an object's name: lower case, no longer than a label's value with its prefix."""
        return f"run-{label_value(self.run)}".lower().replace("_", "-")

    @property
    def path(self) -> str:
        """The API's path of it."""
        return path_of("configmaps", self.namespace, self.name)

    def create(self) -> str:
        """Make it, with nothing in it but the warden's program; its uid."""
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": self.name,
                "labels": {RUN_LABEL: label_value(self.run)},
                "annotations": {RUN: self.run},
            },
            "data": {PROGRAM: Path(warden_program.__file__).read_text(encoding="utf-8")},
        }
        return str(self.cluster.send("POST", path_of("configmaps", self.namespace), body)["metadata"]["uid"])

    def write(self, order: FaultOrder) -> None:
        """Write down what is about to be injected, and how it is undone; TargetError: it must not be injected."""
        bare = {key: value for key, value in order.parameters.items() if key != UNDO}
        entry = {
            "at": time.time(),
            UNDO: order.parameters.get(UNDO, []),
            "order": replace(order, parameters=bare).plain(),
        }
        self._patch(order.fault, json.dumps(entry, sort_keys=True))

    def drop(self, fault: str) -> None:
        """It has been seen gone."""
        try:
            self._patch(fault, None)
        except ApiError as error:
            if error.status != GONE:
                raise

    def _patch(self, fault: str, text: str | None) -> None:
        key = f"{ENTRY}{mark_of({'fault': fault})}"
        try:
            self.cluster.send("PATCH", self.path, {"data": {key: text}}, content_type=MERGE_PATCH)
        except ApiError as error:
            if error.status == GONE and text is not None:
                words = f"the cluster holds no ConfigMap {self.namespace}/{self.name} to write its undo into"
                raise TargetError(f"{words}: the run's Lease has lapsed, or it was never taken") from error
            raise

    def read(self) -> Object | None:
        """The object, or None where the run is over."""
        return find(self.cluster, self.path)

    def delete(self) -> None:
        """The run is over; with it goes what it owns: the warden, agents and all else that the run has made here."""
        try:
            self.cluster.send("DELETE", self.path, {"propagationPolicy": "Background"})
        except ApiError as error:
            if error.status != GONE:
                raise


def orders_in(found: Object) -> list[FaultOrder]:
    """The faults that a ConfigMap holds, newest first. What is not ours in it is passed over."""
    entries: list[dict[str, Any]] = []
    for key, text in (found.get("data") or {}).items():
        if key.startswith(ENTRY):
            try:
                entries.append(json.loads(text))
            except ValueError:
                continue
    orders = []
    for entry in sorted(entries, key=lambda one: -float(one["at"])):
        order = FaultOrder.from_plain(entry["order"])
        orders.append(replace(order, parameters={**order.parameters, UNDO: entry[UNDO]}))
    return orders


def run_maps(cluster: Cluster, namespace: str) -> Iterator[tuple[RunMap, Object]]:
    """The ConfigMap of each run that has not taken its own away."""
    for found in cluster.pages(path_of("configmaps", namespace), labels=RUN_LABEL):
        if run := (found["metadata"].get("annotations") or {}).get(RUN):
            yield RunMap(cluster, namespace, run), found
