"""Playbooks of other tools: how they are known to run, by signed reports or by what the cluster's API shows."""

import re

from tierdrill.documents.check.dependencies import check_url
from tierdrill.documents.models.drill import PlaybookExpectation
from tierdrill.documents.models.environment import Environment
from tierdrill.documents.models.playbook import External, Look, Playbook
from tierdrill.documents.problems import shown
from tierdrill.documents.reading.reading_state import Place
from tierdrill.text import either

ACTOR_TOLD = ("cordon", "taint", "label", "scale", "rollout", "budget", "job", "custom-resource")
"""Kubernetes keeps who set a field, and not who took one away or deleted an object."""
TAKES = {
    "kind": ("custom-resource", "scale", "rollout"),
    "key": ("taint", "untaint", "label"),
    "done": ("custom-resource", "job"),
}
NEEDS = {"custom-resource": "kind", "label": "key"}
_KIND = re.compile(r"[A-Z][A-Za-z0-9]*(\.[a-z0-9-]+)+\Z")
_ENVIRONMENT_NAME = re.compile(r"[A-Z_][A-Z0-9_]*\Z")


def check_external_tool(place: Place, playbook: Playbook) -> None:
    """What starts it, and how it is known what it does."""
    external, spot = playbook.external, place.at("external")
    observe = playbook.observed
    starts = [name for name in ("alert", "condition") if getattr(playbook.match, name)]
    if len(starts) != 1:
        place.at("match").report(" and ".join(starts) or "a match of nothing", "an alert or a condition", key=True)
    elif starts == ["condition"] and not observe:
        place.at("match", "condition").report(
            "a condition starts it", "an alert, as for all that is not observed (external.observe)", key=True
        )
    if external is None:
        return
    _check_reports(spot, external)
    if external.opt_out and not (observe and playbook.target_kind == "node"):
        found = "opt_out for what is not observed on nodes"
        spot.at("opt_out").report(found, "observe, and target_kind: node, whose labels they are", key=True)
    for number, look in enumerate(observe):
        _check_look(spot.at("observe", number), look)
    if observe and playbook.escalation is not None:
        place.at("escalation").report(
            "escalation for a playbook that is observed", "its own tool calls people, nobody here does", key=True
        )


def check_observed(
    place: Place, expectation: PlaybookExpectation, playbook: Playbook, environment: Environment | None
) -> None:
    """What a drill may expect of a playbook that is observed, and where."""
    if not playbook.observed:
        return
    if environment is not None and environment.target != "kubernetes":
        place.at("playbook").report(
            f"{playbook.metadata.name} is observed, and environment {environment.metadata.name} is no cluster",
            "an environment with target: kubernetes",
        )
    if expectation.escalation is not None:
        place.at("escalation").report(
            "escalation of a playbook that is observed", "its own tool calls people, nobody here does", key=True
        )


def _check_reports(place: Place, external: External) -> None:
    if external.observe:
        for name in {"secret_env", "webhook", "start_within"} & external.model_fields_set:
            place.at(name).report(f"{name} beside observe", "what is observed reports nothing", key=True)
    elif external.secret_env is None:
        place.report(
            "external without secret_env and observe", "secret_env for a tool that reports, or observe", key=True
        )
    elif not _ENVIRONMENT_NAME.match(name := external.secret_env):
        place.at("secret_env").report(
            f"secret_env: got {shown('…' if len(name) > 40 else name)}",
            "the name of an environment variable, such as DRILL_WEBHOOK_SECRET; never the secret itself",
        )
    for name in ("start_within", "finish_within"):
        if getattr(external, name) <= 0:
            place.at(name).report(f"{name} of no time", "a time above 0")
    if external.webhook is not None:
        check_url(place.at("webhook"), external.webhook)


def _check_look(place: Place, look: Look) -> None:
    if look.by is not None and look.do not in ACTOR_TOLD:
        place.at("by").report(
            f"by for {look.do}", f"Kubernetes tells who did it of {either(ACTOR_TOLD)} only", key=True
        )
    for name, does in TAKES.items():
        if getattr(look, name) is not None and look.do not in does:
            place.at(name).report(f"{name} for {look.do}", f"{name} is for {either(does)}", key=True)
    if look.do == "custom-resource" and look.kind is not None and not _KIND.match(look.kind):
        example = "the kind with its group: RebootNode.janitor.dgxc.nvidia.com"
        place.at("kind").report(f"kind: got {shown(look.kind)}", example)
    if (name := NEEDS.get(look.do, "")) and getattr(look, name) is None:
        place.at("do").report(f"{look.do} without {name}", f"{name} says which")
