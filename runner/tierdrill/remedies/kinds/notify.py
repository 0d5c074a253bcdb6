from tierdrill.remedies.remedy import RemedyKind

KIND = RemedyKind(
    name="notify", target="", help="Tell somebody; it takes any arguments and touches nothing.",
    command="", any_arguments=True, harmless=True,
)
