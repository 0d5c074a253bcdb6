"""What the faults share that let a lab's node stand still: by turns or for good. The witness is the kernel's process
table, looked at again and again for as long as a turn takes.
"""

import time
from collections.abc import Callable

from tierdrill.lab.client import LabClient
from tierdrill.process.identity import STOPPED, here
from tierdrill.targets.base import Mechanism, Proof
from tierdrill.targets.lab.lab_fault import KERNEL, LabFault, Parameters, State, bind_node, seen

LOOK_EVERY_S = 0.007
"""No part of a turn, so that looks and turns do not go in step."""


def stall_fault(
    mechanism: Mechanism,
    turns: Callable[[Parameters], tuple[float, float]],
    bind: Callable[[LabClient, State, Parameters], Parameters] = bind_node,
    named: str = "node",
) -> LabFault:
    """A fault that stops the processes of a node, or of what `named` names, for so many milliseconds and lets them run
    for so many, again and again; 0: they do not run again.
    """

    def inject(client: LabClient, p: Parameters) -> object:
        return client.stall(p[named], *turns(p))

    def landed(client: LabClient, p: Parameters) -> Proof:
        stopped_ms, runs_ms = turns(p)
        # By turns: a busy machine is late with the one as with the other.
        least = stopped_ms / (stopped_ms + runs_ms) / 2 if runs_ms else 1.0
        began = time.time()
        share = stopped_share(p, turns(p))
        return seen(share is not None and share >= least, KERNEL, _words(p[named], share), began)

    def gone(client: LabClient, p: Parameters) -> Proof:
        share = stopped_share(p, turns(p))
        return seen(not share, KERNEL, _words(p[named], share))

    return LabFault(mechanism, bind, inject, lambda client, p: client.end_stall(p[named]), landed, gone)


def stopped_share(p: Parameters, turns: tuple[float, float]) -> float | None:
    """The share of looks in which the node's processes are all stopped; None where none of them lives."""
    processes = [here(pid, ticks) for pid, ticks in p["pids"]]
    until = time.monotonic() + (1.2 * sum(turns) / 1000 if turns[1] else 0.0)
    looks: list[bool] = []
    while not looks or time.monotonic() < until:
        living = [state for process in processes if (state := process.state()) not in (None, "Z", "X")]
        if not living:
            return None
        looks.append(all(state == STOPPED for state in living))
        time.sleep(LOOK_EVERY_S)
    return sum(looks) / len(looks)


def _words(name: str, share: float | None) -> str:
    if share is None:
        return f"the processes of {name} have ended"
    return f"the processes of {name} are stopped in {share:.0%} of looks"
