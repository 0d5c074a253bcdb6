from tierdrill.targets.kubernetes.stalled_pods import stalled_pods

PERIOD_MS = 100.0
"""The kernel's own, of CPU quotas."""

FAULT = stalled_pods(
    "SIGSTOP and SIGCONT to the tiers' pods on the node in each 100 ms, as a CPU quota would",
    lambda p: (PERIOD_MS * (1 - p["cpu_percent"] / 100), PERIOD_MS * p["cpu_percent"] / 100),
)
