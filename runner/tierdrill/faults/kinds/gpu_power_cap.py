from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="gpu-power-cap",
    target_kind="gpu",
    action="cap_gpu_power",
    undo="uncap_gpu_power",
    does="Let a power limit hold a GPU's clocks down: `clock_percent` of full speed is left, at `power_w` watts.",
    cause="a rack's power budget that is enforced, a limit that a reboot or an operator left, a failed power supply",
    source="https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html",
    visible="its clocks drop, its event reasons say power cap, its temperature falls; replicas on it slow down",
    undone="the limit is lifted and the clocks are back (a reboot lifts nothing here)",
    proof="its power is capped by its telemetry and its replicas are slow; gone when neither is so",
    settings=(
        Parameter("clock_percent", "the clock that is left, in percent of full speed", "%", (5, 80), default=50),
        Parameter("power_w", "the GPU's power draw in watts", "W", (50, 1500), default=300),
    ),
)
