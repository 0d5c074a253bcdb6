from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="dns-failure",
    target_kind="gateway",
    action="fail_resolver",
    undo="mend_resolver",
    does="Let the resolver of a gateway fail: it answers every question with SERVFAIL, or (`silent`) not at all.",
    cause="an overloaded or crashed CoreDNS, a conntrack race that loses UDP packets, an upstream that is gone",
    source="https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/",
    visible="replicas that were found before are served from as ever, new ones are not found",
    undone="the resolver answers again",
    proof="a question to it is answered with SERVFAIL or not at all; gone when it is answered",
    settings=(Parameter("silent", "1: no answer at all in place of SERVFAIL", "", (0, 1), default=0),),
)
