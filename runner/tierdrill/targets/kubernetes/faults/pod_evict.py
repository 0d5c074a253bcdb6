"""An eviction, asked for as a drain does: disruption budgets have their say."""

from __future__ import annotations

from tierdrill.targets.base import Mechanism
from tierdrill.targets.kubernetes.kubernetes_fault import KubernetesFault
from tierdrill.targets.kubernetes.permissions import may
from tierdrill.targets.kubernetes.pod_ends import OWNERS, bind_pod, ends, evict, replaced

FAULT = KubernetesFault(
    Mechanism("the Eviction API, after a dry run", landed_within_s=60.0, gone_within_s=180.0, poll_s=0.5),
    bind=bind_pod(dry_run=True),
    inject=evict,
    landed=ends,
    gone=replaced,
    keeper="none",
    needs=(*OWNERS, *may("pods", "create", subresource="eviction", scope="drilled")),
)
