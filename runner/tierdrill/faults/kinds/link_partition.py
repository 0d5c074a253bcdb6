from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="link-partition",
    target_kind="link",
    action="partition_link",
    undo="heal_link",
    does="Let nothing pass between two hosts (a blackhole): what is sent is lost without a word.",
    cause="a switch port, a cable, a wrong network policy",
    source="https://queue.acm.org/detail.cfm?id=2655736",
    visible="nothing passes between the two; open connections go silent",
    undone="the link is as before",
    proof="a request sent through the link is not answered; gone when it is",
)
