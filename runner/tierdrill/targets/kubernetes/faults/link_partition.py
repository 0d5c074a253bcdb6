from tierdrill.targets.kubernetes.pod_links import connected, link_fault, none

FAULT = link_fault(
    "a chain that drops packets, first in the filters of the gateway pod's network",
    "drop",
    lambda p: {},
    faulty=none("no answer"),
    well=connected,
)
