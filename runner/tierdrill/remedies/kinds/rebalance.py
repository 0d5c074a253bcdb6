from tierdrill.remedies.remedy import CONTROL_PLANE, RemedyKind

KIND = RemedyKind(
    name="rebalance", target="", help="Move replicas back home and place pending ones.",
    command="rebalance", harmless=True,
    sets=("places",), changes=("tier.ready_share", "tier.unplaced"),
    ends_replicas=True,
    witness=CONTROL_PLANE, look="whole", seen="every replica is ready",
)
