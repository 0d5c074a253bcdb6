"""The lab's node without enough memory, as its processes feel it: they stall as in direct reclaim. None is taken."""

from tierdrill.targets.base import Mechanism
from tierdrill.targets.lab.stall_fault import stall_fault

FAULT = stall_fault(
    Mechanism("stalls as those of direct reclaim: SIGSTOP and SIGCONT to the node's process group", emulated=True),
    lambda p: (p["stall_ms"], p["stall_ms"] * (100 / p["stalled_percent"] - 1)),
)
