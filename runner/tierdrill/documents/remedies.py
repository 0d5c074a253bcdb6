"""The remedies as data: their arguments, which of them names the target, and who can see that they had an effect.

The witness of a remedy is never what carries it out: not the setting it wrote, and not its own answer.
"""

from __future__ import annotations

from dataclasses import dataclass

CONTROL_PLANE = "the control plane"
TRAFFIC = "the load's own requests"
PROCESSES = "the lab's processes"
PROMETHEUS = "Prometheus"


@dataclass(frozen=True)
class RemedyKind:
    """What is known of one remedy.

    `target` is the argument that says on what it acts. `witness` says who sees its effect ("" where nobody but the
    remedy could: such a step is judged by those after it). `halves`: it can be done by half. `repeats`: to do it twice
    is more than to do it once.
    """

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    target: str = ""
    witness: str = ""
    halves: bool = False
    repeats: bool = False


REMEDIES: dict[str, RemedyKind] = {
    "restart-replica": RemedyKind(("replica",), target="replica", witness=CONTROL_PLANE, repeats=True),
    "replace-replica": RemedyKind(("replica",), target="replica", witness=CONTROL_PLANE, repeats=True),
    "reschedule": RemedyKind(("node",), ("tiers", "models"), target="node", witness=CONTROL_PLANE, halves=True),
    "cordon": RemedyKind(("node",), target="node"),
    "uncordon": RemedyKind(("node",), target="node"),
    "drain": RemedyKind(("node",), ("tiers", "gpu"), target="node", witness=CONTROL_PLANE, halves=True),
    "power-cycle": RemedyKind(("node",), target="node", witness=CONTROL_PLANE, repeats=True),
    "rebalance": RemedyKind(witness=CONTROL_PLANE),
    "set-weight": RemedyKind(("node", "weight"), ("gateway", "gpu"), target="node", witness=TRAFFIC, halves=True),
    "shed": RemedyKind(("tier", "fraction"), target="tier", witness=TRAFFIC, halves=True),
    "set-flag": RemedyKind(("flag", "value"), ("gateway",), target="gateway"),
    "restart-gateway": RemedyKind(("gateway",), target="gateway", witness=PROCESSES, repeats=True),
    "restart-exporter": RemedyKind(("node",), target="node", witness=PROMETHEUS),
}
"""Remedies by name. `notify` takes any arguments and touches nothing."""
