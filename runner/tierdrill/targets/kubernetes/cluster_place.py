"""One cluster as the ledger refers to it: plain data without secrets, enough to inject and undo without documents."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from tierdrill.documents.models.kubernetes import KubernetesSettings
from tierdrill.documents.models.tiers import Tiers
from tierdrill.documents.models.workloads import Workloads
from tierdrill.targets.base import Inventory
from tierdrill.targets.kubernetes.connect import Cluster
from tierdrill.targets.kubernetes.kubeconfig import kubeconfig_path
from tierdrill.targets.kubernetes.names import GPU, NameTable, Slot
from tierdrill.targets.kubernetes.records import ObjectRef
from tierdrill.targets.kubernetes.survey import Survey, look, pods_in

REF = tuple(field.name for field in fields(ObjectRef))


def described(
    environment: str,
    settings: KubernetesSettings,
    tiers: Tiers,
    workloads: Workloads,
    cluster: Cluster,
    names: NameTable,
) -> dict[str, Any]:
    """The place, as the ledger holds it. The cluster that this process itself runs in has no kubeconfig."""
    path = kubeconfig_path(settings.kubeconfig)
    return {
        "target": "kubernetes",
        "environment": environment,
        "kubeconfig": path if any(Path(one).is_file() for one in path.split(os.pathsep)) else None,
        "context": settings.context,
        "cluster": cluster.fingerprint(),
        "namespace": settings.namespace,
        "settings": settings.model_dump(mode="json", exclude_defaults=True),
        "ranks": {tier.name: tier.rank for tier in tiers.tiers},
        "workloads": workloads.model_dump(mode="json", exclude_defaults=True),
        "names": names.plain(),
    }


@dataclass
class Place:
    """A cluster while faults are injected into it. The cluster that answers must be the one that was meant."""

    told: Mapping[str, Any]

    @cached_property
    def cluster(self) -> Cluster:
        """Its API; TargetError where the credentials cannot be read, or another cluster answers."""
        return Cluster(self.told.get("kubeconfig"), self.told.get("context"), self.told["cluster"])

    @cached_property
    def settings(self) -> KubernetesSettings:
        """The environment's `kubernetes:`, as it was when the run began."""
        return KubernetesSettings.model_validate(self.told["settings"])

    @property
    def ranks(self) -> Mapping[str, int]:
        """The rank of each tier: 1 is the last one to be given up."""
        found: Mapping[str, int] = self.told["ranks"]
        return found

    @cached_property
    def names(self) -> NameTable:
        """Which object each name of the documents stands for."""
        return names_from(self.told["names"])

    @cached_property
    def _workloads(self) -> Workloads:
        return Workloads.model_validate(self.told["workloads"])

    def names_now(self) -> NameTable:
        """As `names`, but pods that were replaced since the run began have given their names to those that came."""
        return self._now(pods_in(self.cluster, self.settings))

    def _now(self, seen: Survey) -> NameTable:
        return seen.names(self.settings, self._workloads, self.names)

    def inventory(self) -> Inventory:
        """What the names stand for now."""
        seen = look(self.cluster, self.settings)
        return seen.inventory(self._now(seen), self.settings, self._workloads, self.ranks)


def names_from(plain: Mapping[str, Mapping[str, str]]) -> NameTable:
    """The table that `NameTable.plain` has written."""
    refs = {alias: ObjectRef(**{key: ref[key] for key in REF}) for alias, ref in plain.items()}
    workloads = {alias: tuple(ref.get("workload", "").split(" ", 1)) for alias, ref in plain.items()}
    pods = {
        alias: Slot(ref, (workloads[alias][0], workloads[alias][-1]) if len(workloads[alias]) > 1 else None)
        for alias, ref in refs.items()
        if ref.kind == "Pod"
    }
    return NameTable(
        nodes={alias: ref for alias, ref in refs.items() if ref.kind == "Node"},
        replicas={alias: slot for alias, slot in pods.items() if not alias.startswith("gateway-")},
        gateways={alias: slot for alias, slot in pods.items() if alias.startswith("gateway-")},
        gpus={alias: int(ref.name.rpartition("/")[2]) for alias, ref in refs.items() if ref.kind == GPU},
    )
