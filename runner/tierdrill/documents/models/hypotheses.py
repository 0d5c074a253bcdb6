"""The causes that a trainee may name as a hypothesis: one fixed list for every exercise, so that it gives nothing away.

It holds what can happen in the lab and what a responder might wrongly take it for. The ids differ from the names of the
faults on purpose: a trainee reads this list, and must not read there what was injected.
"""

CAUSES: dict[str, str] = {
    "dead-replica": "The process of one replica has died; its node and GPU are well",
    "stuck-replica": "One replica lives and accepts connections but makes no progress",
    "dead-node": "A whole node is down: power, board or kernel",
    "lost-gpu": "A GPU no longer answers on the bus; its node needs a reboot (XID 79)",
    "bad-gpu-memory": "A GPU has memory errors that it cannot correct (XID 48, 94, 95)",
    "wrong-answers": "The weights of one replica have changed in memory: its answers are wrong and nothing else is",
    "hot-gpus": "GPUs run slower because they are too hot",
    "harmless-xid": "XID lines of jobs that ended; nothing of the platform is broken",
    "slow-path": "The network path between a gateway and a node is slow or lossy",
    "cut-path": "Nothing passes between a gateway and a node; both are well",
    "request-flood": "More requests arrive than the platform can serve; nothing is broken",
    "closed-router": "The routing layer turns requests away though replicas are ready",
    "inverted-tiers": "Requests of important tiers wait behind those of less important ones",
    "leaderless-store": "The store of policy and flags has no leader: nothing of it can be read or changed",
    "short-capacity": "Replicas are missing because nothing has placed them yet; no part has failed",
    "wrong-automation": "A playbook acted on the wrong target and made it worse",
    "bad-release": "A new version or setting of a model or gateway is bad",
    "blind-monitoring": "Metrics are missing or stale; the service itself is well",
    "outside-the-platform": "A customer, a name server or another supplier; nothing of the platform is broken",
}
"""Cause id to words."""
