"""The lab's link that resets: the userspace proxy ends open connections with RST, and every new one."""

from tierdrill.targets.lab.links import link_fault

FAULT = link_fault(
    "RST from the userspace TCP proxy",
    "reset",
    kernel=lambda means: f"{means.reset}, at the source",
    refuses=True,
)
