from tierdrill.remedies.remedy import PROCESSES, RemedyKind

KIND = RemedyKind(
    name="restart-gateway", target="gateway",
    help="Start a GATEWAY again (flags and weights are lost).",
    command="restart", repeats=True,
    forgets="gateway", changes=("gateway.router", "gateway.serves"),
    witness=PROCESSES, look="restarted", seen="it ended, once; and requests through it are answered again",
)
