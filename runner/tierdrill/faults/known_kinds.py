"""Every kind of fault there is, found by walking `kinds/`: what documents, plans, actions, targets and reports share.

How an environment really does a fault belongs to its target.
"""

from collections.abc import Mapping
from typing import Any

from tierdrill.faults import kinds
from tierdrill.faults.kind import IDENTITY, FaultKind, Parameter, UnknownFault, modules_by_kind

KINDS: Mapping[str, FaultKind] = {kind: module.KIND for kind, module in modules_by_kind(kinds)}
ACTIONS: Mapping[str, FaultKind] = {fault.action: fault for fault in KINDS.values()}
"""By the action that injects it."""

UNDOS: Mapping[str, tuple[FaultKind, ...]] = {
    undo: tuple(fault for fault in KINDS.values() if fault.undo == undo)
    for undo in dict.fromkeys(fault.undo for fault in KINDS.values())
}
"""By the action that undoes it: several of one target kind may share one."""


def arguments_of(function: str) -> tuple[Parameter, ...]:
    """What an action takes; of an undo, what says which fault it undoes. KeyError for neither."""
    return ACTIONS[function].parameters if function in ACTIONS else IDENTITY[UNDOS[function][0].target_kind]


def disrupts(kind: str) -> bool:
    """Whether a fault harms its target; a kind that is not ours is taken to."""
    return kind not in KINDS or KINDS[kind].disrupts


def checked_parameters(kind: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a fault with their types made right and what was left out filled in; UnknownFault names the
    first that is not allowed.
    """
    if kind not in KINDS:
        raise UnknownFault(f"got fault {kind!r}, expected one of: {', '.join(sorted(KINDS))}")
    checked: dict[str, Any] = {}
    for parameter in KINDS[kind].parameters:
        value = parameters.get(parameter.name, parameter.default)
        if value is None and parameter.name not in parameters:
            raise UnknownFault(f"{kind}: {parameter.name} is missing ({parameter.meaning})")
        checked[parameter.name] = parameter.checked(kind, value)
    return checked
