"""A deletion: no disruption budget is asked."""

from __future__ import annotations

from tierdrill.targets.base import Mechanism
from tierdrill.targets.kubernetes.kubernetes_fault import KubernetesFault
from tierdrill.targets.kubernetes.permissions import may
from tierdrill.targets.kubernetes.pod_ends import OWNERS, bind_pod, delete, ends, replaced

FAULT = KubernetesFault(
    Mechanism("DELETE of the pod, if it is still the same", landed_within_s=60.0, gone_within_s=180.0, poll_s=0.5),
    bind=bind_pod(dry_run=False),
    inject=delete,
    landed=ends,
    gone=replaced,
    keeper="none",
    needs=(*OWNERS, *may("pods", "delete", scope="drilled")),
)
