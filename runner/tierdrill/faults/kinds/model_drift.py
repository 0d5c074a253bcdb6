from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="model-drift",
    target_kind="tier",
    action="drift_model",
    undo="return_model",
    does="Let all replicas of a `model` of the tier have other weights than were reviewed, the same in each.",
    cause="a tag that was moved to another build, a quantization that changed, an adapter that was left out",
    source="https://arxiv.org/abs/2307.09009",
    visible="answers have changed, in every replica alike; no error, no latency and no health check shows it",
    undone="the weights are as they were made (a new process has the same effect)",
    proof="each replica answers the golden prompts wrongly; gone when each answers them rightly",
    settings=(Parameter("model", "the model's name, such as assistant"),),
)
