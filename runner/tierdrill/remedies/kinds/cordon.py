from tierdrill.remedies.remedy import RemedyKind

KIND = RemedyKind(
    name="cordon", target="place", help="Mark a node or a GPU as unschedulable.",
    command="cordon",
    sets=("cordon",), undo=("uncordon",), changes=("node.cordoned",),
)
