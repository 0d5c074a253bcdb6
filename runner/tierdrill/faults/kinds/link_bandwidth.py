from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="link-bandwidth",
    target_kind="link",
    action="narrow_link",
    undo="heal_link",
    does="Let only so many kilobits a second pass between two hosts, each way.",
    cause="a port that negotiated a lower speed, a rate limit, a backup that fills the link",
    source="https://www.usenix.org/conference/fast18/presentation/gunawi",
    visible="small requests pass nearly as before, large ones and many at once queue up; nothing is lost",
    undone="the link is as before",
    proof="a large request through the link takes twice as long as it may; gone when it is answered at once",
    settings=(
        Parameter("bandwidth_kbps", "what the link carries, in kilobits a second", "kbit/s", (8, 10_000), default=64),
    ),
)
