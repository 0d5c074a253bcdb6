from tierdrill.targets.kubernetes.pod_links import connected, link_fault, none

FAULT = link_fault(
    "a chain that answers with TCP resets, first in the filters of the pods' networks at one end",
    "drop",
    lambda p, outward: {"reject": True},
    faulty=none("refused"),
    well=connected,
)
