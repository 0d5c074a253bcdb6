"""Chaos Toolkit actions: for each kind of fault the one that injects it and the one that undoes it, made from the
registry. They return plain numbers and names, for the journal.

Every fault action writes its intent and its undo to the ledger first, returns once a witness has seen the fault in
effect, and keeps a lease (`lease_s`, seconds) after which the reaper undoes it whatever became of the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import Parameter, Signature
from typing import Any

from tierdrill.chaos.injection import inject, undo
from tierdrill.documents.reading.fault_actions import LEASE
from tierdrill.faults.kind import FaultKind
from tierdrill.faults.kind import Parameter as FaultParameter
from tierdrill.faults.registry import ACTIONS, UNDOS, arguments_of

Action = Callable[..., dict[str, Any]]


def _injecting(fault: FaultKind) -> Action:
    def act(*given: Any, **named: Any) -> dict[str, Any]:
        arguments = _bound(act, given, named)
        return inject(fault.kind, arguments, arguments.pop(LEASE))

    lease = Parameter(LEASE, Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=float | None)
    return _named(act, fault.action, f"{fault.does}\n\nIn the real world: {fault.cause}.", lease)


def _undoing(name: str, faults: Sequence[FaultKind]) -> Action:
    def act(*given: Any, **named: Any) -> dict[str, Any]:
        return undo(tuple(fault.kind for fault in faults), _bound(act, given, named))

    return _named(act, name, f"Undo {' and '.join(fault.action for fault in faults)}: {faults[0].undone}.")


def _bound(act: Action, given: Sequence[Any], named: dict[str, Any]) -> dict[str, Any]:
    """The arguments by name, with what was left out; TypeError as for any function."""
    bound = Signature.from_callable(act).bind(*given, **named)
    bound.apply_defaults()
    return dict(bound.arguments)


def _named(act: Action, name: str, doc: str, *more: Parameter) -> Action:
    """The function as if it had been written down: Chaos Toolkit reads its name, its signature and its docstring."""
    parameters = [_parameter(one) for one in arguments_of(name)]
    act.__name__ = act.__qualname__ = name
    act.__doc__ = doc
    act.__signature__ = Signature([*parameters, *more], return_annotation=dict[str, Any])  # type: ignore[attr-defined]
    return act


def _parameter(one: FaultParameter) -> Parameter:
    default = Parameter.empty if one.default is None else one.default
    kind = Parameter.POSITIONAL_OR_KEYWORD
    return Parameter(one.name, kind, default=default, annotation=str if one.bounds is None else int)


_ALL = {fault.action: _injecting(fault) for fault in ACTIONS.values()}
_ALL |= {name: _undoing(name, faults) for name, faults in UNDOS.items()}
globals().update(_ALL)
__all__ = sorted(_ALL)
