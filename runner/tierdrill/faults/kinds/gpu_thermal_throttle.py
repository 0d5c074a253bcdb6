from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="gpu-thermal-throttle",
    target_kind="gpu",
    action="throttle_gpu",
    undo="cool_gpu",
    does=(
        "Let heat hold a GPU's clocks down: `clock_percent` of full speed is left, at `temperature_c` "
        "degrees Celsius."
    ),
    cause="a failed fan, a blocked inlet, a hot aisle: hardware thermal slowdown",
    source="https://docs.nvidia.com/deploy/nvml-api/group__nvmlClocksEventReasons.html",
    visible="its temperature rises, its clocks drop, its event reasons say thermal; replicas on it slow down",
    undone="the temperature falls and the clocks are back (a reboot cools nothing)",
    proof=(
        "the GPU is hot by its telemetry and its replicas are slow; gone when it is cool and they are as "
        "fast as before"
    ),
    settings=(
        Parameter("clock_percent", "the clock that is left, in percent of full speed", "%", (5, 80), default=40),
        Parameter("temperature_c", "the GPU's temperature in degrees Celsius", "°C", (60, 130), default=92),
    ),
)
