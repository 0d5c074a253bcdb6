"""XID lines in the kernel's log of a real node, written by its agent and counted by another reader."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from tierdrill.faults.xids import XIDS
from tierdrill.targets.base import Proof
from tierdrill.targets.kubernetes import drilled
from tierdrill.targets.kubernetes.agent_fault import MECHANISM, Aim, Found, agent_fault, kernel_sees
from tierdrill.targets.kubernetes.kubernetes_fault import KubernetesFault, Parameters, Place, mark_of, seen

QUIET_S, QUIET_LINES = 0.3, 3


def xid_lines(text: str, settings: Callable[[Parameters], tuple[int, int, int, float]]) -> KubernetesFault:
    """`settings` gives the XID, the GPU's index, how many lines there are in all, and how many come in a second."""

    def aim(place: Place, p: Parameters) -> Found:
        xid, gpu, count, per_second = settings(p)
        node, number = drilled.node(place, p["node"]), place.names.gpu_number(p["node"], gpu)
        mark = f"drill-{mark_of(p)}"
        message = XIDS[xid].line if xid in XIDS else "unrecognised error"
        line = f"NVRM: Xid (PCI:{{pci}}): {xid}, pid=1, name={mark}, {message}"
        lines = {"lines": [line], "mark": mark, "gpu": number, "count": count, "per_second": per_second}
        return [Aim(node, "lines", {"host": True}, lines)], {}

    def gone(place: Place, p: Parameters) -> Proof:
        """What was written stays: it is over when no more comes in a time in which some should have."""
        before = kernel_sees(place, p)
        time.sleep(max(QUIET_S, QUIET_LINES / settings(p)[3]))
        after = kernel_sees(place, p)
        return seen(before.detail == after.detail, after.witness, f"before: {before.detail}; now: {after.detail}")

    return agent_fault(text, aim, kernel_sees, gone, times=replace(MECHANISM, emulated=True))
