from tierdrill.remedies.remedy import PROMETHEUS, RemedyKind

KIND = RemedyKind(
    name="free-disk", target="node", help="Delete the weights on a NODE's disk that none of its replicas needs.",
    command="free-disk", harmless=True,
    changes=("node.disk_full",),
    needs="models", witness=PROMETHEUS, look="alert_over", seen="the alert that started the playbook is over",
)
