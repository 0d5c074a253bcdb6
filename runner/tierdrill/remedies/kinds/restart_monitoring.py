from tierdrill.remedies.remedy import RECEIVER, RemedyKind

KIND = RemedyKind(
    name="restart-monitoring", target="", help="Start what is down of Prometheus and Alertmanager.",
    command="", harmless=True, needs="monitoring",
    witness=RECEIVER, look="alert_over", seen="the Watchdog is heard again",
)
