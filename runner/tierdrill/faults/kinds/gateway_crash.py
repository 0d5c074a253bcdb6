from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="gateway-crash",
    target_kind="gateway",
    action="crash_gateway",
    undo="recover_gateway",
    does="Kill a gateway's process (SIGKILL), as a crash or the OOM killer would.",
    cause="a crash of the proxy, the OOM killer, an endpoint picker that was evicted with its node",
    source="https://gateway-api-inference-extension.sigs.k8s.io/reference/spec",
    visible="its port refuses and its metrics are gone; clients that have a second gateway go there",
    undone="the gateway is started again",
    proof="the kernel has no such process any more; gone when a request through it is served",
)
