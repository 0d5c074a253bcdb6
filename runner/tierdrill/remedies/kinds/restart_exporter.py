from tierdrill.remedies.remedy import PROMETHEUS, RemedyKind

KIND = RemedyKind(
    name="restart-exporter", target="node", help="Start a NODE's exporter of metrics again.",
    command="restart-exporter",
    changes=("exporter.lost",),
    witness=PROMETHEUS, look="told_again", seen="the alert of the missing metrics is over",
)
