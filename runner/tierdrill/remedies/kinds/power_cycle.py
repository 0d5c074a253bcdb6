from tierdrill.remedies.remedy import CONTROL_PLANE, RemedyKind

KIND = RemedyKind(
    name="power-cycle", target="node", help="Power a NODE off and on.",
    command="power-cycle", tier_rule="reboot", repeats=True,
    changes=("node.ready", "gpu.state", "replica.ready", "replica.state"),
    needs="power", witness=CONTROL_PLANE, look="rebooted", seen="the node has booted, once, and is ready",
)
