"""The lab's narrow link: the userspace proxy lets so many bits a second through, shared by all connections.

The witness sends as much as takes twice the time in which a link that is well carries it.
"""

from tierdrill.targets.lab.links import BURST_BYTES, PROBE_TIMEOUT_S, Probing, link_fault

FAULT = link_fault(
    "bandwidth limit in the userspace TCP proxy",
    "delay",
    lambda p: {"bandwidth_kbps": p["bandwidth_kbps"]},
    lambda p: Probing(size=BURST_BYTES + int(p["bandwidth_kbps"] * 1000 / 8 * 2 * PROBE_TIMEOUT_S)),
    kernel=lambda means: f"{means.rate}, on what leaves either end",
)
