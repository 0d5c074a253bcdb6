"""The lab's uneven link: the userspace proxy holds each chunk back for another time."""

from tierdrill.targets.lab.links import PROBE_TIMEOUT_S, Probing, link_fault

FAULT = link_fault(
    "random delay in the userspace TCP proxy, in order",
    "delay",
    # Half of it always and the other half up or down: from nothing to all of it.
    lambda p: {"delay_ms": p["jitter_ms"] / 2, "jitter_ms": p["jitter_ms"]},
    lambda p: Probing(min(PROBE_TIMEOUT_S, p["jitter_ms"] / 4000), requests=8),
    kernel=lambda means: f"random delay by {means.delay}, on what leaves the source",
)
