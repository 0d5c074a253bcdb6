"""The gateways' protections, by name. Imports nothing, so that tab completion can have them at once."""

FLAGS = (
    "priority_queue", "reserved_slots", "preemption", "shedding", "retries", "ejection", "circuit_breaker", "fallback",
    "latency_routing", "health_checks", "customer_class",
)  # fmt: skip
"""On unless they are taken away."""

ALL_FLAGS = (*FLAGS, "fail_open")
