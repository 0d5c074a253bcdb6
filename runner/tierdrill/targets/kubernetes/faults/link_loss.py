from tierdrill.targets.kubernetes.pod_links import connected, link_fault

FAULT = link_fault(
    "a chain that drops a share of the packets, first in the filters of the gateway pod's network",
    "drop",
    lambda p: {"percent": p["loss_percent"], "direction": "out" if p["one_way"] else "both"},
    # A lost packet of a handshake is sent again after a second.
    faulty=lambda results, p: not connected(results, p),
    well=connected,
)
