from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="router-fail-closed",
    target_kind="gateway",
    action="lose_picker",
    undo="return_picker",
    does="Take a gateway's endpoint picker away: it fails closed and refuses every request, of every tier.",
    cause="the endpoint picker is lost, and the pool's failureMode is FailClose, the default",
    source="https://gateway-api-inference-extension.sigs.k8s.io/reference/spec",
    visible="the gateway answers every tier with errors at once, though replicas are ready and idle",
    undone="the picker answers again (a restart of the gateway has the same effect)",
    proof="a request sent through the gateway is refused for want of a picker; gone when it is served by its pick",
)
