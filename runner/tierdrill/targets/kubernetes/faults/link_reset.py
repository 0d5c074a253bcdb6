from tierdrill.targets.kubernetes.pod_links import connected, link_fault, none

FAULT = link_fault(
    "a chain that answers with TCP resets, first in the filters of the gateway pod's network",
    "drop",
    lambda p: {"reject": True},
    faulty=none("refused"),
    well=connected,
)
