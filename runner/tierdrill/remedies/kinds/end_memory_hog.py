from tierdrill.remedies.remedy import PROMETHEUS, RemedyKind

KIND = RemedyKind(
    name="end-memory-hog", target="place", help="End what holds memory of a GPU and is none of its replicas.",
    command="end-memory-hog",
    changes=("gpu.memory_held",),
    needs="processes", witness=PROMETHEUS, look="alert_over", seen="the alert that started the playbook is over",
)
