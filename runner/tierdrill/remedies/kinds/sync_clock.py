from tierdrill.remedies.remedy import PROMETHEUS, RemedyKind

KIND = RemedyKind(
    name="sync-clock", target="node", help="Set the clock of a NODE by the true time.",
    command="sync-clock", harmless=True,
    changes=("node.clock_off",),
    needs="processes", witness=PROMETHEUS, look="alert_over", seen="the alert that started the playbook is over",
)
