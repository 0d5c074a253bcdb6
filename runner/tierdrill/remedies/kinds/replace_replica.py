from tierdrill.remedies.remedy import CONTROL_PLANE, RemedyKind

KIND = RemedyKind(
    name="replace-replica", target="replica", help="Replace a REPLICA with a new one, elsewhere if there is room.",
    command="replace", tier_rule="last-replica", repeats=True,
    sets=("places",), changes=("replica.ready", "replica.state", "replica.answers"),
    ends_replicas=True,
    witness=CONTROL_PLANE, look="renewed", seen="the replica has started again, once, and is ready",
)
