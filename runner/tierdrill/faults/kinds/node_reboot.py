from tierdrill.faults.kind import FaultKind

KIND = FaultKind(
    kind="node-reboot",
    target_kind="node",
    action="reboot_node",
    undo="await_node_reboot",
    does="Switch a node off and on again: it boots, and is back without anybody's help.",
    cause="a kernel panic with a reboot, a watchdog, an update that nobody announced",
    source="https://www.kernel.org/doc/html/latest/admin-guide/kdump/kdump.html",
    visible="its replicas are gone at once and heartbeats stop until it has booted; then it is empty and ready",
    undone="it boots by itself; where it was left without power, power is switched on",
    proof="another node does not reach it, or it runs another boot; gone when that boot is ready",
    pods="lost",
    boots=True,
)
