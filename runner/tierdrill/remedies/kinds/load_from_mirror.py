from tierdrill.remedies.remedy import CONTROL_PLANE, RemedyKind

KIND = RemedyKind(
    name="load-from-mirror", target="replica",
    help="Get a REPLICA's weights from a mirror of the model store, once, and start it if it waits for them.",
    command="mirror", harmless=True,
    needs="models", changes=("replica.ready", "replica.state"),
    witness=CONTROL_PLANE, look="came_up", seen="the replica is ready",
)
