from tierdrill.remedies.remedy import CONTROL_PLANE, RemedyKind

KIND = RemedyKind(
    name="restart-replica", target="replica", help="Start a REPLICA again where it is.",
    command="restart", tier_rule="last-replica", repeats=True,
    changes=("replica.ready", "replica.state"),
    ends_replicas=True,
    witness=CONTROL_PLANE, look="renewed", seen="the replica has started again, once, and is ready",
)
