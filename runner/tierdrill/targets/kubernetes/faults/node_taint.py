from tierdrill.targets.base import Mechanism, Proof
from tierdrill.targets.kubernetes.cluster_place import Place
from tierdrill.targets.kubernetes.kubernetes_fault import KubernetesFault, Parameters, seen
from tierdrill.targets.kubernetes.node_marks import NEEDS, bind_taint, taint, untainted
from tierdrill.targets.kubernetes.pod_ends import still_there


def landed(place: Place, p: Parameters) -> Proof:
    """Has the taint controller made a pod leave?"""
    for ref in p["pods"]:
        pod = still_there(place, ref)
        if pod is None or pod.deleting:
            why = f": {pod.disruption}" if pod is not None and pod.disruption else ""
            return seen(True, "the taint controller", f"pod {ref['name']} has to leave{why}")
    return seen(False, "the taint controller", "no pod has to leave yet")


FAULT = KubernetesFault(
    Mechanism("a NoExecute taint on the node", landed_within_s=15.0, gone_within_s=10.0, poll_s=0.5),
    bind_taint, taint, landed, untainted, keeper="warden", needs=NEEDS,
)  # fmt: skip
