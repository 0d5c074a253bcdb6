from tierdrill.remedies.remedy import RemedyKind

KIND = RemedyKind(
    name="cordon", target="place", help="Place nothing new on a node or a GPU.",
    command="cordon",
    sets=("cordon",), undo=("uncordon",), changes=("node.cordoned",),
)
