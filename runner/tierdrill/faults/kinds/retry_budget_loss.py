from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="retry-budget-loss",
    target_kind="tier",
    action="lose_retry_budget",
    undo="return_retry_budget",
    does="Let gateways try a tier's failed requests again up to `retries` times each, whatever its retry budget says.",
    cause="a proxy's or a library's default of some retries for each request, rolled out without a budget",
    source="https://sre.google/sre-book/addressing-cascading-failures/",
    visible="nothing while nothing fails; then every failure is multiplied, and with it the work of whoever fails",
    undone="the tier's retry budget is as configured (a restart of a gateway has the same effect)",
    proof="the gateways' metrics tell of more retries of one request than the tier has; gone when it is the tier's own",
    settings=(Parameter("retries", "further attempts of one request", "retries", (1, 20), default=5),),
)
