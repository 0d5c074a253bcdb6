from tierdrill.remedies.facts import A_SHARE
from tierdrill.remedies.remedy import TRAFFIC, Argument, RemedyKind

KIND = RemedyKind(
    name="shed", target="tier", help="Reject a share of a TIER's requests; 0 admits all again.",
    command="shed", settings_arguments=(Argument("fraction", A_SHARE, neutral=0.0),), tier_rule="shed-order",
    sets=("shed",), undo=("shed",), changes=("tier.shed",),
    needs="gateway", witness=TRAFFIC, look="shed", seen="so many of the tier are turned away with reason `shed`",
)
