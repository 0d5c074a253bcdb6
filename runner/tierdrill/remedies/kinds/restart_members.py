from tierdrill.remedies.remedy import PROMETHEUS, RemedyKind

KIND = RemedyKind(
    name="restart-members", target="store",
    help="Start the members of a STORE that do not run, on the data they have.",
    command="restart-members",
    changes=("store.quorum",),
    needs="store", witness=PROMETHEUS, look="alert_over", seen="the alert that started the playbook is over",
)
