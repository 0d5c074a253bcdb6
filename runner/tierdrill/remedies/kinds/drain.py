from tierdrill.remedies.remedy import CONTROL_PLANE, MODELS, TIERS, RemedyKind

KIND = RemedyKind(
    name="drain", target="place", help="Cordon a node or a GPU and move its replicas away.",
    command="drain", settings_arguments=(TIERS, MODELS), tier_rule="move",
    sets=("cordon", "places"), undo=("uncordon", "rebalance"),
    changes=("node.cordoned", "tier.ready_share", "tier.unplaced"),
    ends_replicas=True,
    witness=CONTROL_PLANE, look="emptied", seen="nothing that was there is left on the node or GPU",
)
