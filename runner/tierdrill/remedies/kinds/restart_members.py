from tierdrill.remedies.remedy import PROMETHEUS, RemedyKind

KIND = RemedyKind(
    name="restart-members", target="store",
    help="Start the members of a STORE that do not run, or the one named, on the data they have.",
    command="restart-members",
    changes=("store.quorum", "store.whole"),
    needs="store", witness=PROMETHEUS, look="alert_over", seen="the alert that started the playbook is over",
)
