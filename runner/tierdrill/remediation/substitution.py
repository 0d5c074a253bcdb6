"""Filling `${target}`, `${alert}` and `${labels.NAME}` into a playbook: a plain look-up, never code.

What is filled in is not looked at again, so a label's value cannot smuggle in another look-up.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tierdrill.documents.models.playbook import Action, Condition, Playbook, Step

ConditionT = TypeVar("ConditionT", bound=Condition)
ActionT = TypeVar("ActionT", bound=Action)
_NAME = re.compile(r"\$\{([^{}]*)\}")


class SubstitutionError(ValueError):
    """A playbook asks for a name the alert does not carry."""


@dataclass(frozen=True)
class Scope:
    """What names stand for in one execution."""

    alert: str
    labels: Mapping[str, str]
    target: str | None = None

    def look_up(self, name: str) -> str:
        """The value of a name; SubstitutionError names what there is instead."""
        if name == "alert":
            return self.alert
        if name == "target" and self.target is not None:
            return self.target
        if name.startswith("labels.") and name[7:] in self.labels:
            return self.labels[name[7:]]
        allowed = [
            "alert",
            *(["target"] if self.target is not None else []),
            *(f"labels.{x}" for x in sorted(self.labels)),
        ]
        raise SubstitutionError(f"unknown name ${{{name}}}; {self.alert} offers {', '.join(allowed)}")


def fill(text: str, scope: Scope) -> str:
    """The text with every name replaced."""
    pieces: list[str] = []
    end = 0
    for found in _NAME.finditer(text):
        pieces += [_plain(text[end : found.start()]), scope.look_up(found[1])]
        end = found.end()
    return "".join([*pieces, _plain(text[end:])])


def _plain(text: str) -> str:
    if "${" in text:
        raise SubstitutionError(f"unfinished name in {text!r}, expected ${{NAME}}")
    return text


def fill_arguments(arguments: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """Arguments with their texts filled; numbers and booleans stay what they are."""

    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return fill(value, scope)
        return [filled(item) for item in value] if isinstance(value, list | tuple) else value

    return {name: filled(value) for name, value in arguments.items()}


def bind_condition(condition: ConditionT, scope: Scope) -> ConditionT:
    """The condition about this incident's subject."""
    update = {"subject": fill(condition.subject, scope)}
    if isinstance(condition.equals, str):
        update["equals"] = fill(condition.equals, scope)
    return condition.model_copy(update=update)


def bind_action(action: ActionT, scope: Scope) -> ActionT:
    return action.model_copy(update={"arguments": fill_arguments(action.arguments, scope)})


def bind_step(step: Step, scope: Scope) -> Step:
    """The step with every text in it filled, its check and its rollback included."""
    return bind_action(step, scope).model_copy(
        update={
            "verify": bind_condition(step.verify, scope) if step.verify else None,
            "rollback": bind_action(step.rollback, scope) if step.rollback else None,
        }
    )


def scope_of(playbook: Playbook, alert: str, labels: Mapping[str, str]) -> Scope:
    """The names of one incident, the target among them."""
    bare = Scope(alert, labels)
    return replace(bare, target=fill(playbook.target, bare))


def retarget(scope: Scope, kind: str, target: str) -> Scope:
    """The scope of a sabotage that sends the playbook to another target: the labels that name the target follow it."""
    labels = dict(scope.labels)
    if kind == "gpu":
        labels["node"], _, labels["gpu"] = target.partition("/")
    elif kind == "link":
        labels["gateway"], _, labels["node"] = target.partition(">")
    elif kind in ("node", "replica", "gateway", "tier", "store"):
        labels[kind] = target
    return Scope(scope.alert, labels, target)


def nodes_of(kind: str, target: str, labels: Mapping[str, str]) -> frozenset[str]:
    """The nodes a playbook touches, for its fuse: a tier or a service is on no node."""
    if kind == "node":
        return frozenset({target})
    if kind == "gpu":
        return frozenset({target.partition("/")[0]})
    if kind == "link":
        return frozenset({target.partition(">")[2]} - {""})
    return frozenset({labels["node"]}) if kind == "replica" and labels.get("node") else frozenset()


Guard = Condition | SubstitutionError
"""A condition about this incident, or why it cannot be asked."""


@dataclass(frozen=True)
class Bound:
    """A playbook with every name filled in for one incident.

    The guards look at the incident itself; the steps act on the target, which a sabotage may have bent. A name that
    is missing counts only once it is needed: a replica without a node has no node label, and a guard before that one
    may already say that the playbook does not apply.
    """

    playbook: Playbook
    target: str
    retargeted: bool
    nodes: frozenset[str]
    group: tuple[str, ...]
    slot: str
    when: tuple[Guard, ...]
    forbidden_when: tuple[Guard, ...]
    steps: tuple[Step, ...] = ()
    on_resolve: tuple[Step, ...] = ()
    summary: str = ""
    problem: str | None = None


def bind(playbook: Playbook, alert: str, labels: Mapping[str, str], wrong_target: str | None = None) -> Bound:
    """Fill the whole playbook before anything is touched. `problem` says which name is unknown in what it would do."""
    seen = Scope(alert, labels)
    problem: str | None = None
    try:
        seen = scope_of(playbook, alert, labels)
    except SubstitutionError as error:
        problem = f"target: {error}"
    acting = seen if wrong_target is None else retarget(seen, playbook.target_kind, wrong_target)
    target = playbook.target if acting.target is None else acting.target
    bound = Bound(
        playbook=playbook,
        target=target,
        retargeted=wrong_target is not None,
        nodes=nodes_of(playbook.target_kind, target, acting.labels),
        group=tuple(labels.get(name, "") for name in playbook.throttle.group_by),
        slot=labels.get(playbook.concurrency.key, "") if playbook.concurrency.key else "",
        when=tuple(_guard(condition, seen) for condition in playbook.when),
        forbidden_when=tuple(_guard(condition, seen) for condition in playbook.forbidden_when),
        problem=problem,
    )
    if problem:
        return bound
    try:
        return replace(
            bound,
            steps=tuple(bind_step(step, acting) for step in playbook.steps),
            on_resolve=tuple(bind_step(step, acting) for step in playbook.on_resolve.steps),
            summary=fill(playbook.escalation.summary, acting) if playbook.escalation else "",
        )
    except SubstitutionError as error:
        return replace(bound, problem=str(error))


def _guard(condition: Condition, scope: Scope) -> Guard:
    try:
        return bind_condition(condition, scope)
    except SubstitutionError as error:
        return error
