from tierdrill.remedies.remedy import RemedyKind

KIND = RemedyKind(
    name="uncordon", target="place", help="Allow placement again.",
    command="uncordon", harmless=True,
    sets=("cordon",), undo=("cordon",), changes=("node.cordoned",),
)
