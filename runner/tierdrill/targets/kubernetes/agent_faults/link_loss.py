from tierdrill.targets.kubernetes.pod_links import connected, link_fault

FAULT = link_fault(
    "a chain that drops a share of the packets, first in the filters of the pods' networks at one end",
    "drop",
    lambda p, outward: {
        "percent": p["loss_percent"],
        "direction": "both" if not p["one_way"] else "out" if outward else "in",
    },
    # A lost packet of a handshake is sent again after a second.
    faulty=lambda results, p: not connected(results, p),
    well=connected,
)
