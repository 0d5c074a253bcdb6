"""The lab's slow link: the userspace proxy that all of its traffic passes holds everything back for a time."""

from tierdrill.targets.lab.links import PROBE_TIMEOUT_S, Probing, link_fault

FAULT = link_fault(
    "delay in the userspace TCP proxy",
    "delay",
    lambda p: {"delay_ms": p["delay_ms"]},
    lambda p: Probing(min(PROBE_TIMEOUT_S, p["delay_ms"] / 2000)),
    kernel=lambda means: f"{means.delay}, on what leaves the source",
)
