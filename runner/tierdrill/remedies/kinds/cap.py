from tierdrill.remedies.remedy import A_RATE, Argument, RemedyKind

KIND = RemedyKind(
    name="cap", target="tier", help="Limit a TIER's request rate; `off` removes the limit.",
    command="cap", settings_arguments=(Argument("rate", A_RATE, neutral=None),), tier_rule="cap-order",
    in_playbooks=False,
    needs="gateway", sets=("caps",), undo=("cap",),
)
