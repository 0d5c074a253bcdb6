from tierdrill.remedies.remedy import CONTROL_PLANE, RemedyKind

KIND = RemedyKind(
    name="rebalance", target="", help="Bring every replica home, and place those that wait.",
    command="rebalance", harmless=True,
    sets=("places",), changes=("tier.ready_share", "tier.unplaced"),
    witness=CONTROL_PLANE, look="whole", seen="every replica is ready",
)
