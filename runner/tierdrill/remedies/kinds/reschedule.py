from tierdrill.remedies.remedy import CONTROL_PLANE, MODELS, TIERS, RemedyKind

KIND = RemedyKind(
    name="reschedule", target="node", help="Move a lost NODE's replicas elsewhere.",
    command="reschedule", settings_arguments=(TIERS, MODELS), tier_rule="move",
    sets=("places",), changes=("tier.ready_share", "tier.unplaced"),
    ends_replicas=True,
    witness=CONTROL_PLANE, look="moved", seen="what was on the node, of those tiers, is ready elsewhere",
)
