from tierdrill.targets.kubernetes.pod_links import connected, link_fault, none

FAULT = link_fault(
    "a chain that drops packets, first in the filters of the pods' networks at one end",
    "drop",
    lambda p, outward: {},
    faulty=none("no answer"),
    well=connected,
)
