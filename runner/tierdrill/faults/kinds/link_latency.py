from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="link-latency",
    target_kind="link",
    action="delay_link",
    undo="heal_link",
    does="Add round-trip time (milliseconds) between two hosts, both ways together.",
    cause="a congested or rerouted path, a failing transceiver",
    source="https://doi.org/10.1145/3102980.3103005",
    visible="round trips over the link take the added time; nothing is lost",
    undone="the link is as before",
    proof="a request sent through the link is answered late; gone when it is answered at once",
    settings=(
        Parameter("delay_ms", "added round-trip time in milliseconds", "ms", (1, 60_000), default=400),
    ),
)
