from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="link-jitter",
    target_kind="link",
    action="jitter_link",
    undo="heal_link",
    does="Let round trips between two hosts take anything up to `jitter_ms` longer, each another time.",
    cause="queues that fill and drain on an overloaded switch, a path that flaps between a short and a long way",
    source="https://www.rfc-editor.org/rfc/rfc3393",
    visible="some round trips over the link are as fast as ever and some are late; nothing is lost",
    undone="the link is as before",
    proof="one of eight requests sent through the link is late; gone when none is",
    settings=(
        Parameter("jitter_ms", "the most that is added to a round trip", "ms", (2, 60_000), default=400),
    ),
)
