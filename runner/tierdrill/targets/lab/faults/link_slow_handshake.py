"""The lab's link with slow handshakes. A TCP proxy accepts by itself: it lets nothing through until it is time."""

from tierdrill.targets.lab.links import PROBE_TIMEOUT_S, Probing, link_fault

FAULT = link_fault(
    "new connections held back in the userspace TCP proxy",
    "delay",
    lambda p: {"handshake_ms": p["handshake_ms"]},
    lambda p: Probing(min(PROBE_TIMEOUT_S, p["handshake_ms"] / 2000)),
    kernel=lambda means: f"{means.delay}, of SYN packets that leave the source",
    emulated=True,
)
