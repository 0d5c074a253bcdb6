from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="poison-request",
    target_kind="stream",
    action="poison_requests",
    undo="end_poison",
    does="Let a share of a stream's requests be ones that end whatever replica serves them, sent again and again.",
    cause="a query of death: a token outside the vocabulary, a size nobody checks, and clients that try it again",
    source="https://github.com/vllm-project/vllm/pull/16529",
    visible="one replica after the other ends with a request under way, whatever node it is on",
    undone="the requests are those that were planned again, and replicas that ended are started",
    proof=(
        "the control plane has a replica that ended by it, or the gateways refuse it; gone when no gateway has seen it "
        "for a while and no such replica is left"
    ),
    settings=(
        Parameter("share_percent", "how many of the stream's requests are such, in percent", "%", (1, 100), default=20),
    ),
)
