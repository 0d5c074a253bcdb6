"""Ablation: one protection of the gateways, or one playbook, taken away and nothing else.

A drill's `proves` names those that it is there to show are needed; a run without one is a sabotage of the name
`without-NAME`, whether or not the drill has written it.
"""

from __future__ import annotations

from itertools import chain

from tierdrill.documents.catalogue import DrillSetting
from tierdrill.documents.models.drill import Sabotage, SabotageAction
from tierdrill.documents.models.protections import FLAGS

PREFIX = "without-"
ANY_PROMISE = "any promise"
"""In place of a check's pattern: any objective of a tier, any invariant. A missing alert or playbook is no promise."""


def ablation_name(part: str) -> str:
    """The sabotage that goes without a protection (`priority_queue`) or a playbook (`reschedule-critical`)."""
    return PREFIX + part.replace("_", "-")


def find_sabotage(setting: DrillSetting, name: str) -> Sabotage | None:
    """A sabotage that the drill has written, or the run without one protection or playbook; None if it is neither."""
    for one in setting.drill.sabotages:
        if one.name == name:
            return one
    for part in parts_of(setting):
        if ablation_name(part) == name:
            do = SabotageAction(flags_off=(part,)) if part in FLAGS else SabotageAction(disable_playbook=part)
            why = f"{what(part)} is taken away, and nothing else"
            return Sabotage(name=name, why=why, do=do, fails=(ANY_PROMISE,))
    return None


def parts_of(*settings: DrillSetting) -> tuple[str, ...]:
    """Everything that can be taken away from the platforms of drills, one at a time: the protections that each has,
    then its playbooks.
    """
    parts = ((*one.environment.lab.protections, *(book.metadata.name for book in one.playbooks)) for one in settings)
    return tuple(dict.fromkeys(chain.from_iterable(parts)))


def what(part: str) -> str:
    """A part in words: `protection retries`, `playbook restart-replica`."""
    return f"{'protection' if part in FLAGS else 'playbook'} {part}"
