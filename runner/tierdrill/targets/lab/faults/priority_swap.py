from tierdrill.targets.lab.lab_fault import Parameters
from tierdrill.targets.lab.tier_policy import policy_fault


def _swapped(p: Parameters) -> dict[str, dict[str, str]]:
    return {p["tier"]: {"like": p["of_tier"]}, p["of_tier"]: {"like": p["tier"]}}


FAULT = policy_fault(
    "a policy rolled out to all gateways in which the two tiers have each other's order",
    "tierdrill_tier_rank",
    _swapped,
)
