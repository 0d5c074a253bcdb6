from tierdrill.remedies.remedy import PROMETHEUS, Argument, RemedyKind

KIND = RemedyKind(
    name="roll-back-model", target="tier", help="Roll the reviewed revision of a model of the tier out again.",
    command="", settings_arguments=(Argument("model", "model"),), harmless=True,
    needs="models", changes=("model.revision", "model.answers"),
    witness=PROMETHEUS, look="alert_over", seen="the alert that started the playbook is over",
)
