from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="bit-flip",
    target_kind="replica",
    action="flip_bit",
    undo="unflip_bit",
    does="Flip one bit of one weight in a replica's memory: some of its answers are wrong from then on.",
    cause="silent data corruption: a bad cell of the GPU's memory that its error correction did not catch",
    source="https://arxiv.org/abs/2102.11245",
    visible="answers that read the weight are wrong; latency, errors, readiness and telemetry are as before",
    undone="the bit is as it was made (a new process has the same effect)",
    proof="the replica answers the golden prompts wrongly; gone when it answers them rightly",
    settings=(
        Parameter("weight", "which weight of the model", "", (0, 4095), default=500),
        Parameter("bit", "which bit of the weight", "", (0, 31), default=13),
    ),
)
