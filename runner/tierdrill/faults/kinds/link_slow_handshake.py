from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="link-slow-handshake",
    target_kind="link",
    action="slow_handshakes",
    undo="heal_link",
    does="Let each new connection between two hosts take longer (milliseconds); open ones are as fast as ever.",
    cause="a full accept queue or connection table, a firewall that inspects each new flow, lost SYNs",
    source="https://blog.cloudflare.com/syn-packet-handling-in-the-wild/",
    visible="who opens a connection for each request is late, who keeps connections is not until one is closed",
    undone="the link is as before",
    proof="a request on a new connection through the link is answered late; gone when it is answered at once",
    settings=(Parameter("handshake_ms", "added to each handshake, in milliseconds", "ms", (10, 60_000), default=1000),),
)
