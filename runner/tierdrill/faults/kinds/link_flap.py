from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="link-flap",
    target_kind="link",
    action="flap_link",
    undo="heal_link",
    does="Let the link between two hosts go down and come up again and again, once in each period.",
    cause="a loose cable or dirty optic, a failing transceiver, a port that negotiates anew, a route that is withdrawn",
    source="https://doi.org/10.1145/3102980.3103005",
    visible="nothing passes for a part of each period and all does in between; health checks see both by turns",
    undone="the link is as before",
    proof="one of several requests spread over a period is not answered; gone when all of a whole period are",
    settings=(
        Parameter("period_ms", "from one time it goes down to the next", "ms", (500, 4000), default=2000),
        Parameter("down_percent", "the share of each period in which it is down", "%", (20, 90), default=50),
    ),
)
