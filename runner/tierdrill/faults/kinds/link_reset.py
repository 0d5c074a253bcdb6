from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="link-reset",
    target_kind="link",
    action="reset_link",
    undo="heal_link",
    does="Reset every connection between two hosts, those that are open and each new one.",
    cause="a firewall or NAT that lost its table, a load balancer that restarts, a conntrack table that is full",
    source="https://www.kernel.org/doc/html/latest/networking/nf_conntrack-sysctl.html",
    visible="open connections end with ECONNRESET at once and new ones do not live; nothing is slow",
    undone="the link is as before",
    proof="a request through the link is reset while the same server answers directly; gone when it is answered",
)
