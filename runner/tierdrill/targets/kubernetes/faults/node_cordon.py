from tierdrill.targets.base import Mechanism
from tierdrill.targets.kubernetes.kubernetes_fault import KubernetesFault
from tierdrill.targets.kubernetes.node_marks import NEEDS, bind_cordon, cordon, is_cordoned, takes_pods

FAULT = KubernetesFault(
    Mechanism("spec.unschedulable of the node", landed_within_s=15.0, gone_within_s=15.0, poll_s=0.5),
    bind_cordon, cordon, is_cordoned, takes_pods, keeper="warden", needs=NEEDS,
)  # fmt: skip
