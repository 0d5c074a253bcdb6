from tierdrill.remedies.facts import A_SHARE
from tierdrill.remedies.remedy import PROMETHEUS, Argument, RemedyKind

KIND = RemedyKind(
    name="set-retry-budget", target="tier", help="Hold a TIER's retries to a share of its requests; 1 leaves its own.",
    command="", settings_arguments=(Argument("ratio", A_SHARE, neutral=1.0),),
    needs="gateway", sets=("retries",), undo=("set-retry-budget",),
    witness=PROMETHEUS, look="alert_over", seen="the alert that started the playbook is over",
)
