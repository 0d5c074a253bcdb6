from tierdrill.remedies.facts import A_SHARE
from tierdrill.remedies.remedy import TRAFFIC, Argument, RemedyKind

KIND = RemedyKind(
    name="set-weight", target="link",
    help="Set the traffic weight of a node (or one gateway's path to it): 0 none, 1 normal.",
    command="set-weight", settings_arguments=(Argument("weight", A_SHARE, neutral=1.0),), tier_rule="weight",
    sets=("weights",), undo=("set-weight",), changes=("gpu.weight", "link.weight"),
    needs="gateway", witness=TRAFFIC, look="weighed", seen="answers from there become as few as the weight says",
)
