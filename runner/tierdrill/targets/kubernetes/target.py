"""A Kubernetes cluster as a target. The official client is imported only when the cluster is asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tierdrill.faults.kind import kinds_in, modules_by_kind
from tierdrill.faults.registry import KINDS
from tierdrill.targets.base import Mechanism, Opening, Session, TargetError

if TYPE_CHECKING:
    from tierdrill.documents.models.environment import Environment
    from tierdrill.documents.reading.reading_state import Absent


class KubernetesTarget:
    """Target over the cluster that one Environment document names; without one it says only what there is."""

    def __init__(self, environment: Environment | None = None) -> None:
        self._environment = environment

    def mechanisms(self) -> Mapping[str, Mechanism]:
        from tierdrill.targets.kubernetes import faults

        return {kind: module.FAULT.mechanism for kind, module in modules_by_kind(faults)}

    def absent(self) -> Absent:
        there = kinds_in(Path(__file__).parent / "faults")
        return {
            "fault": {kind: "a cluster has no mechanism for it" for kind in KINDS if kind not in there},
            "use": {"exercise": "exercises take place in the lab"},
        }

    def check(self, home: Path, tools: Path, kept: str | None) -> None:
        """The cluster that is meant answers, and every secret and certificate that the document names is there."""
        from tierdrill.targets.external.target import ExternalTarget
        from tierdrill.targets.kubernetes.connect import Cluster

        ExternalTarget(self._environment).check(home, tools, kept)
        if self._environment is not None and self._environment.kubernetes is not None:
            Cluster.of(self._environment.kubernetes).fingerprint()

    async def open(self, opening: Opening) -> Session:
        raise TargetError("drills do not run on a cluster yet; `tierdrill plan` and `tierdrill kubernetes check` do")
