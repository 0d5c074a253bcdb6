from tierdrill.targets.kubernetes.pod_links import connected, link_fault, prompt

FAULT = link_fault(
    "netem, or a queue where the kernel has none, on what leaves the pods' networks at one end",
    "shape",
    lambda p, outward: {"delay_ms": p["delay_ms"]},
    faulty=lambda results, p: (
        connected(results, p) and all(one["connect_ms"] >= 0.7 * p["delay_ms"] for one in results)
    ),
    well=prompt,
    within_s=lambda p: min(10.0, 1.0 + 2 * p["delay_ms"] / 1000),
)
