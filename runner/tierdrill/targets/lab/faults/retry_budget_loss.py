from tierdrill.targets.lab.tier_policy import policy_fault

FAULT = policy_fault(
    "a policy rolled out to all gateways in which the tier has retries and no budget for them",
    "tierdrill_retries_most",  # no playbook that holds the retries hides it
    lambda p: {p["tier"]: {"retry_ratio": p["retries"], "retries": p["retries"]}},
)
