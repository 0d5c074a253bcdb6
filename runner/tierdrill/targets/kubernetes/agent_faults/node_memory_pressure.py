from tierdrill.targets.kubernetes.stalled_pods import stalled_pods

FAULT = stalled_pods(
    "stalls as those of direct reclaim: SIGSTOP and SIGCONT to the tiers' pods on the node",
    lambda p: (p["stall_ms"], p["stall_ms"] * (100 / p["stalled_percent"] - 1)),
    emulated=True,
)
