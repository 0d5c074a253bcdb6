from tierdrill.faults.kind import FaultKind, Parameter

KIND = FaultKind(
    kind="dns-wrong-answer",
    target_kind="replica",
    action="misdirect_name",
    undo="redirect_name",
    does="Let the resolver give another replica's address for a replica's name.",
    cause="an IP address that was given to another pod while its old record is still cached, a record with a typo",
    source="https://www.rfc-editor.org/rfc/rfc8767",
    visible="who looks the name up reaches a server that is well and is another one, perhaps with another model",
    undone="the resolver gives the right address again",
    proof="the address that it gives is the other replica's; gone when it is the replica's own",
    settings=(Parameter("leads_to", "the replica whose address is given, such as draft-0", names="replica"),),
)
