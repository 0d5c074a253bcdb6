from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="load-surge",
    target_kind="stream",
    action="begin_load_surge",
    undo="end_load_surge",
    does="Let more requests of one of the drill's streams come: its rate becomes `rate_percent` of what it would be.",
    cause="a batch job without a limit, a launch, a customer's script in a loop, clients that retry in step",
    source="https://sre.google/sre-book/addressing-cascading-failures/",
    visible="more requests of one kind arrive at the gateways than they were sized for; nothing is broken",
    undone="the requests on top stop (they also do when the load ends)",
    proof="the gateways count arrivals at the higher rate; gone when they count those that were planned",
    settings=(
        Parameter("rate_percent", "its rate, in percent of what it would be", "%", (110, 10_000), default=300),
    ),
)
