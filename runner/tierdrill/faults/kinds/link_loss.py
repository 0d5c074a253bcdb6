from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="link-loss",
    target_kind="link",
    action="lose_on_link",
    undo="heal_link",
    does="Lose a share of what is sent between two hosts, both ways or only from source to destination.",
    cause="a failing transceiver, a dirty fibre, a buffer that overflows; one way where only one direction is hit",
    source="https://doi.org/10.1145/3102980.3103005",
    visible="some answers come whole retransmission timeouts late (0.2 s and more); at 100% nothing comes at all",
    undone="the link is as before",
    proof="one of many requests sent through the link is late or not answered; gone when none is",
    settings=(
        Parameter("loss_percent", "the share that is lost, in percent", "%", (5, 100), default=20),
        Parameter("one_way", "1: only what is sent from source to destination", "", (0, 1), default=0),
    ),
)
