"""The lab's node without enough CPU: its processes run for a share of each tenth of a second, as under a CPU quota.

Nothing else uses up the CPU meanwhile: the machine that the lab is on stays as free as it was.
"""

from tierdrill.targets.base import Mechanism
from tierdrill.targets.lab.stall_fault import stall_fault

PERIOD_MS = 100.0
"""The kernel's own, of CPU quotas."""

FAULT = stall_fault(
    Mechanism("SIGSTOP and SIGCONT to the node's process group in each 100 ms"),
    lambda p: (PERIOD_MS * (1 - p["cpu_percent"] / 100), PERIOD_MS * p["cpu_percent"] / 100),
)
