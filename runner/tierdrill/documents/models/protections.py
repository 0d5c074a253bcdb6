"""The gateways' protections, by name. Imports nothing, so that tab completion can have them at once."""

FLAGS = (
    "priority_queue", "reserved_slots", "preemption", "shedding", "retries", "ejection", "circuit_breaker", "fallback",
    "latency_routing", "health_checks", "stale_answers", "identity_check", "poison_quarantine", "connection_reuse",
    "customer_class", "keep_last_policy", "autoscaling",
)  # fmt: skip
"""On unless they are taken away."""

KEEPS_POLICY = "keep_last_policy"
"""Of gateways with a state store alone."""

ALL_FLAGS = (*FLAGS, "fail_open")

LIFTABLE = {
    "shed-order": "none of its requests is shed, or makes room in the queue for a tier above",
    "queue-limit": "as many of its requests may wait as come",
    "queue-wait": "its requests may wait until their deadline",
    "reserved-slots": "the slots that are kept for it are open to every tier",
    "preemption": "it takes no slot from a running request",
    "retry-budget": "its retries are not held to their share of its requests",
}
"""Rules of a tier that an override can lift for a while, and what gateways do then."""

NEVER_LIFTED = {
    "residency": "where data may be is the law's and the contract's, and no role of the platform may set it aside",
    "integrity": "a wrong answer is worse than none",
    "authentication": "who asks, and for whom, is never taken on trust",
}
"""What no override lifts, and why."""
