"""The lab's flapping link: the userspace proxy lets nothing through for a part of each period."""

from tierdrill.targets.lab.lab_fault import Parameters
from tierdrill.targets.lab.links import PROBE_TIMEOUT_S, Probing, link_fault


def _spread(p: Parameters) -> Probing:
    """Two requests in each time that it is down: the first of them is late by half of it."""
    period_s = p["period_ms"] / 1000
    late_s = period_s * p["down_percent"] / 200
    return Probing(min(PROBE_TIMEOUT_S, late_s), -(-200 // p["down_percent"]) + 1, over_s=period_s)


FAULT = link_fault(
    "black hole in the userspace TCP proxy, which comes and goes",
    "blackhole",
    lambda p: {"period_ms": p["period_ms"], "down_percent": p["down_percent"]},
    _spread,
    kernel=lambda means: f"{means.drop}, put there and taken away by turns, at the source",
)
