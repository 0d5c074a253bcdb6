from tierdrill.remedies.remedy import PROMETHEUS, RemedyKind

KIND = RemedyKind(
    name="revert-policy", target="", help="Put the tiers' policy in all gateways back to what they were started with.",
    command="", harmless=True,
    needs="gateway", changes=("tier.policy",),
    witness=PROMETHEUS, look="alert_over", seen="the alert that started the playbook is over",
)
