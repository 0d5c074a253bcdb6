from tierdrill.remedies.remedy import PROMETHEUS, RemedyKind

KIND = RemedyKind(
    name="restart-exporter", target="node", help="Restart a NODE's metrics exporter.",
    command="restart-exporter",
    changes=("exporter.lost",),
    needs="exporter", witness=PROMETHEUS, look="alert_over", seen="the alert that started the playbook is over",
)
