from tierdrill.remedies.facts import YES_OR_NO
from tierdrill.remedies.remedy import ONE_GATEWAY, Argument, RemedyKind

KIND = RemedyKind(
    name="set-flag", target="flag", help="Turn a gateway feature on or off.",
    command="flag", settings_arguments=(Argument("value", YES_OR_NO), ONE_GATEWAY), tier_rule="order-guard",
    needs="gateway", sets=("flags",), undo=("set-flag",), changes=("gateway.router", "gateway.serves"),
)
