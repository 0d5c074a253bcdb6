from tierdrill.remedies.remedy import RemedyKind

KIND = RemedyKind(
    name="uncordon", target="place", help="Mark a node or a GPU as schedulable.",
    command="uncordon", harmless=True,
    sets=("cordon",), undo=("cordon",), changes=("node.cordoned",),
)
