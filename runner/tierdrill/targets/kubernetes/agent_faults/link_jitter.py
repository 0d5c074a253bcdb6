from tierdrill.targets.kubernetes.pod_links import link_fault, prompt

FAULT = link_fault(
    "netem, or a queue where the kernel has none, on what leaves the pods' networks at one end",
    "shape",
    lambda p, outward: {"delay_ms": p["jitter_ms"] / 2, "jitter_ms": p["jitter_ms"] / 2},
    faulty=lambda results, p: not prompt(results, p),
    well=prompt,
    within_s=lambda p: min(10.0, 1.0 + 2 * p["jitter_ms"] / 1000),
)
