"""A member that waits for its disk: no disk can be made slow without root, so the process itself stands still by turns.

Unlike a slow disk this keeps it from its heartbeats as well, and its own times of writes show nothing.
"""

from tierdrill.targets.base import Mechanism
from tierdrill.targets.lab.stall_fault import stall_fault
from tierdrill.targets.lab.state_store import bind_member

RUNS_MS = 50.0

FAULT = stall_fault(
    Mechanism("emulated slow disk: SIGSTOP and SIGCONT to the member's process by turns", emulated=True),
    lambda p: (float(p["stall_ms"]), RUNS_MS),
    bind_member,
    "store",
)
