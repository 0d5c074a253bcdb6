from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="model-drift",
    target_kind="tier",
    action="drift_model",
    undo="return_model",
    does="Roll out a revision of a `model` of the tier that was not reviewed: its replicas load it while they serve.",
    cause="a tag that was moved to another build, a quantization that changed, an adapter that was left out",
    source="https://arxiv.org/abs/2307.09009",
    visible="answers have changed, in every replica alike; no error, no latency and no health check shows it",
    undone="the reviewed revision is rolled out again",
    proof="each replica answers the golden prompts wrongly; gone when each answers them rightly",
    settings=(Parameter("model", "the model's name, such as assistant", names="model"),),
)
