"""Chaos Toolkit actions: for each kind of fault the one that injects it and the one that undoes it, made from the
registry. They return plain numbers and names, for the journal.

Every fault action writes its intent and its undo to the ledger first, returns once a witness has seen the fault in
effect, and keeps a lease (`lease_s`, seconds) after which the reaper undoes it whatever became of the caller.
"""

from collections.abc import Callable, Sequence
from inspect import Parameter, Signature
from typing import Any

from chaoslib.exceptions import ActivityFailed

from tierdrill.chaos.context import Context, current_context
from tierdrill.documents.models.environment import LONGEST_LEASE_S, SHORTEST_LEASE_S
from tierdrill.documents.reading.fault_actions import LEASE
from tierdrill.faults.kind import FaultKind
from tierdrill.faults.kind import Parameter as FaultParameter
from tierdrill.faults.known_kinds import ACTIONS, KINDS, UNDOS, arguments_of
from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.injection.injector import Injector, NotInjected, wait_until
from tierdrill.injection.undo import undo_fault
from tierdrill.process.programs import Program, program, user_environment
from tierdrill.process.ready_line import await_ready
from tierdrill.process.spawn import shared_pipe, start
from tierdrill.targets.base import TargetError

KEEPER_WITHIN_S = 10.0
_waited = False
Action = Callable[..., dict[str, Any]]


def _injecting(fault: FaultKind) -> Action:
    def act(*given: Any, **named: Any) -> dict[str, Any]:
        arguments = _bound(act, given, named)
        return inject_fault(fault.kind, arguments, arguments.pop(LEASE))

    lease = Parameter(LEASE, Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=float | None)
    return _named(act, fault.action, f"{fault.does}\n\nIn the real world: {fault.cause}.", lease)


def _undoing(name: str, faults: Sequence[FaultKind]) -> Action:
    def act(*given: Any, **named: Any) -> dict[str, Any]:
        return undo_faults(tuple(fault.kind for fault in faults), _bound(act, given, named))

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


def inject_fault(kind: str, parameters: dict[str, Any], lease_s: float | None = None) -> dict[str, Any]:
    """Inject a fault and return what a witness saw of it; ActivityFailed if it is refused or was not seen to land."""
    global _waited
    try:
        context = current_context()
    except TargetError as error:
        raise ActivityFailed(str(error)) from error
    lease = context.lease_s if lease_s is None else float(lease_s)
    if not SHORTEST_LEASE_S <= lease <= LONGEST_LEASE_S:
        allowed = f"expected {SHORTEST_LEASE_S:g} to {LONGEST_LEASE_S:g} seconds"
        raise ActivityFailed(f"got lease_s={lease:g}, {allowed}")
    planned_at = None if _waited else context.inject_at
    if _waited:
        # What is prepared long before the planned instant must not let a second fault come before it.
        wait_until(context.inject_at)

    def keeper() -> bool:
        global _waited
        _waited = True
        return context.supervised or _keep_lease(context)

    injector = Injector(
        context.home, context.run, context.place, "experiment", context.emit, limits=context.limits
    )
    try:
        order, proof = injector.inject(kind, parameters, lease, planned_at=planned_at, keeper=keeper)
    except NotInjected as error:
        raise ActivityFailed(str(error)) from error
    return {"fault": order.fault, "effective_at": proof.at, "witness": proof.witness, "seen": proof.detail}


def undo_faults(kinds: tuple[str, ...], parameters: dict[str, Any]) -> dict[str, Any]:
    """Undo the open faults of these kinds on a target.

    Nothing to do is a success, a fault that stays is ActivityFailed.
    """
    try:
        context = current_context()
        ledger = Ledger(context.home)
        names = {(kind, KINDS[kind].target(parameters)) for kind in kinds}
        entries = [
            entry
            for entry in ledger.open_faults(context.run if context.supervised else None)
            if (entry.order.get("kind"), entry.order.get("target")) in names
            # Every lab has a node-2; that of a drill which runs beside is none of this experiment's.
            and (context.supervised or entry.place == context.place)
        ]
        left = [entry.id for entry in entries if not undo_fault(ledger, entry, "experiment", context.emit)]
    except (TargetError, LedgerError) as error:
        raise ActivityFailed(str(error)) from error
    if left:
        raise ActivityFailed(f"still in effect: {', '.join(left)}; `tierdrill recover` tries again")
    return {"undone": [entry.id for entry in entries]}


def _keep_lease(context: Context) -> bool:
    """Start who undoes the fault if this process is killed, as nobody else would under plain `chaos run`.

    Whether it is at its post.
    """
    try:
        with shared_pipe() as (heard, ready):
            start(
                [
                    *program(Program.REAPER, "--home", context.home, "--run", context.run),
                    *("--until-clean", "--ready-fd", str(ready)),
                ],
                None,
                pass_fds=(ready,),
                session=True,
                outlives=True,
                env={**user_environment(), "TIERDRILL_HOME": str(context.home)},
            )
    except OSError:
        return False
    return await_ready(heard, KEEPER_WITHIN_S)


_ALL = {fault.action: _injecting(fault) for fault in ACTIONS.values()}
_ALL |= {name: _undoing(name, faults) for name, faults in UNDOS.items()}
globals().update(_ALL)
__all__ = sorted(_ALL)
