"""A Kubernetes cluster as a target. The official client is imported only when the cluster is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tierdrill.faults.kind import kinds_in
from tierdrill.faults.kinds import load_surge, router_fail_closed, telemetry_loss
from tierdrill.faults.known_kinds import KINDS
from tierdrill.remedies.known_remedies import REMEDIES, of_gpu
from tierdrill.targets.base import FaultOrder, Mechanism, Opening, Preview, Session
from tierdrill.targets.kubernetes.power import BY_POWER

if TYPE_CHECKING:
    from tierdrill.documents.catalogue import DrillSetting
    from tierdrill.documents.models.environment import Environment
    from tierdrill.documents.reading.reading_state import Absent


NO_ADMIN = "the environment has no kubernetes.gateways.admin, by which tierdrill's own gateways are told"
NO_POWER = "the environment has no kubernetes.power, commands that switch a node off and on"
NO_IMAGE = "the environment has no kubernetes.image, with a Python for the pod on the node that does it"
NO_AGENT = "the environment forbids privileged pods on nodes (kubernetes.agent: forbidden)"
NO_PICKER = "the environment has neither kubernetes.gateways.picker, which says which pods those are, nor an admin"
NO_EXPORTER = "the environment has no kubernetes.exporter, which says which pods those are"
NO_GPU_ALONE = "Kubernetes takes whole nodes out of service, not a GPU"
NO_SURGE = "load that Jobs send (kubernetes.load) keeps to its schedule"
PICKER_LOST, EXPORTER_LOST, SURGE = router_fail_closed.KIND.kind, telemetry_loss.KIND.kind, load_surge.KIND.kind


class KubernetesTarget:
    """Target over the cluster that one Environment document names; without one it says only what there is."""

    def __init__(self, environment: Environment | None = None) -> None:
        self._environment = environment

    def mechanisms(self) -> Mapping[str, Mechanism]:
        from tierdrill.targets.kubernetes.fault_port import mechanisms_with

        absent, of = self.absent()["fault"], self._environment
        found = mechanisms_with(of.kubernetes if of is not None else None)
        return {kind: how for kind, how in found.items() if kind not in absent}

    def absent(self) -> Absent:
        by_agent = kinds_in(Path(__file__).parent / "agent_faults")
        by_exporter = kinds_in(Path(__file__).parent / "gpu_faults")
        there = kinds_in(Path(__file__).parent / "faults") | by_agent | by_exporter
        faults = {kind: "a cluster has no mechanism for it" for kind in KINDS if kind not in there}
        lacks = {
            "store": "a cluster's state store is not ours to start",
            "monitoring": "who runs a cluster's Prometheus and Alertmanager starts them",
            "models": "a cluster's own release tool says where its models come from",
            "processes": "processes of others on a node are not ended here",
        }
        sabotages = dict[str, str]()
        if self._environment is not None and (cluster := self._environment.kubernetes) is not None:
            if cluster.image is None or cluster.agent == "forbidden":
                faults |= dict.fromkeys(by_agent, NO_IMAGE if cluster.image is None else NO_AGENT)
            if cluster.gateways is None or cluster.gateways.picker is None:
                faults.pop(PICKER_LOST, None)
                if cluster.gateways is None or cluster.gateways.admin is None:
                    faults[PICKER_LOST] = NO_PICKER
            if cluster.power is None:
                faults |= dict.fromkeys(BY_POWER, NO_POWER)
                lacks["power"] = NO_POWER
            if cluster.gateways is None or cluster.gateways.admin is None:
                lacks["gateway"] = NO_ADMIN
                sabotages["flags_off"] = NO_ADMIN
            if cluster.load is not None:
                faults[SURGE] = NO_SURGE
            if cluster.exporter is None:
                faults |= dict.fromkeys({*by_exporter, EXPORTER_LOST}, NO_EXPORTER)
                lacks["exporter"] = sabotages["freeze_exporter"] = NO_EXPORTER
            if not cluster.silence_alerts:
                sabotages["silence_alert"] = "the environment does not allow it by kubernetes.silence_alerts: true"
        offered = {name: one for name, one in REMEDIES.items() if one.needs not in lacks}
        remedies = {name: lacks[one.needs] for name, one in REMEDIES.items() if name not in offered}
        remedies |= {of_gpu(name): NO_GPU_ALONE for name, one in offered.items() if one.target == "place"}
        return {
            "fault": {kind: why for kind, why in faults.items() if kind in KINDS},
            "remedy": remedies,
            "sabotage": sabotages,
            "use": {"exercise": "exercises take place in the lab"},
        }

    def preview(self, setting: DrillSetting, orders: Sequence[FaultOrder], fault_s: float) -> Preview | None:
        from tierdrill.targets.kubernetes.preview import preview

        return preview(setting, orders, fault_s)

    def check(self, home: Path, tools: Path, kept: str | None) -> None:
        """The cluster that is meant answers, and every secret and certificate that the document names is there."""
        from tierdrill.targets.external.target import ExternalTarget
        from tierdrill.targets.kubernetes.connect import Cluster

        ExternalTarget(self._environment).check(home, tools, kept)
        if self._environment is not None and self._environment.kubernetes is not None:
            Cluster.of(self._environment.kubernetes).fingerprint()

    async def open(self, opening: Opening) -> Session:
        from tierdrill.targets.kubernetes.session import open_session

        return await open_session(opening)
