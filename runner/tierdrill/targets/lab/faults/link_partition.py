"""The lab's cut link: the userspace proxy that all of its traffic passes lets nothing through."""

from tierdrill.targets.lab.links import link_fault

FAULT = link_fault(
    "blackhole in the userspace TCP proxy", "blackhole", kernel=lambda means: f"{means.drop}, at the source"
)
