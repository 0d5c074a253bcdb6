"""Injecting and undoing one fault, by the rules.

Intent before fault, a lease, a proof that it landed, a proof that it is gone.
"""

from __future__ import annotations

import time
from typing import Any

from chaoslib.exceptions import ActivityFailed

from tierdrill.chaos.context import Context, current_context, wait_until
from tierdrill.documents.models.environment import LONGEST_LEASE_S, SHORTEST_LEASE_S
from tierdrill.faults.kind import UnknownFault
from tierdrill.faults.registry import KINDS, checked_parameters
from tierdrill.history.events import event
from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.process.child import shared_pipe, start
from tierdrill.process.programs import Program, program, user_environment
from tierdrill.process.spawn import await_ready
from tierdrill.targets.base import FaultOrder, TargetError
from tierdrill.targets.places import open_place
from tierdrill.targets.undo import await_proof, undo_fault

KEEPER_WITHIN_S = 10.0
_waited = False


def fault_id(run: str, kind: str, target: str) -> str:
    """A fault's name in ledger and history: unique within the run, and the same for its undo."""
    return f"{run}/{kind}/{target}"


def inject(kind: str, parameters: dict[str, Any], lease_s: float | None = None) -> dict[str, Any]:
    """Inject a fault and return what a witness saw of it; ActivityFailed if it is refused or was not seen to land."""
    global _waited
    try:
        context = current_context()
        checked = checked_parameters(kind, parameters)
        ledger = Ledger(context.home)
        if halt := ledger.halted():
            raise ActivityFailed(
                f"the kill switch is thrown: {halt.reason} ({halt.author}); `tierdrill resume` lifts it"
            )
        port = open_place(context.place)
        target = KINDS[kind].target(checked)
        lease = context.lease_s if lease_s is None else float(lease_s)
        if not SHORTEST_LEASE_S <= lease <= LONGEST_LEASE_S:
            allowed = f"allowed is {SHORTEST_LEASE_S:g} to {LONGEST_LEASE_S:g} seconds"
            raise ActivityFailed(f"found lease_s={lease:g}; {allowed}")
        order = port.bind(
            FaultOrder(
                fault=fault_id(context.run, kind, target),
                kind=kind,
                target=target,
                target_kind=KINDS[kind].target_kind,
                mechanism=port.mechanisms()[kind],
                parameters=checked,
                lease_s=lease,
            )
        )
        ledger.intend(order.fault, context.run, order.plain(), context.place, lease)
    except (TargetError, LedgerError, UnknownFault) as error:
        raise ActivityFailed(str(error)) from error
    first = not _waited
    _waited = True
    planned = context.inject_at if first else None
    context.emit(
        event(
            "fault.intended",
            "experiment",
            fault=order.fault,
            kind=kind,
            target=target,
            target_kind=order.target_kind,
            parameters=checked,
            mechanism=order.mechanism.text,
            undo=KINDS[kind].undo,
            lease_s=lease,
            planned_at=planned,
            emulated=order.mechanism.emulated,
            gone_within_s=order.mechanism.gone_within_s,
        )
    )
    keeper = context.supervised or _keep_lease(context)
    wait_until(planned)
    try:
        if not keeper:
            ledger.mark(order.fault, "gone", "never there: nobody keeps its lease")
            raise LedgerError("the reaper that would keep its lease was not at its post in time")
        ledger.confirm(order.fault)
    except LedgerError as error:
        context.emit(event("fault.failed", "experiment", fault=order.fault, error=str(error)))
        raise ActivityFailed(f"{kind} on {target} was not injected: {error}") from error
    since = time.time()
    try:
        port.inject(order)
    except TargetError as error:
        context.emit(event("fault.failed", "experiment", fault=order.fault, error=str(error)))
        undo_fault(ledger, _entry(ledger, order.fault), "experiment", context.emit, port=port)
        raise ActivityFailed(f"{kind} on {target}: {error}") from error
    context.emit(event("fault.injected", "experiment", fault=order.fault))
    proof = await_proof(lambda: port.landed(order, since), order.mechanism.landed_within_s, order.mechanism.poll_s)
    if not proof.seen:
        context.emit(
            event("fault.not_landed", "experiment", fault=order.fault, witness=proof.witness, seen=proof.detail)
        )
        raise ActivityFailed(f"{kind} on {target} was not seen to land: {proof.detail}")
    ledger.mark(order.fault, "landed", proof.detail)
    context.emit(
        event(
            "fault.landed",
            "experiment",
            fault=order.fault,
            effective_at=proof.at,
            witness=proof.witness,
            seen=proof.detail,
        )
    )
    return {"fault": order.fault, "effective_at": proof.at, "witness": proof.witness, "seen": proof.detail}


def undo(kinds: tuple[str, ...], parameters: dict[str, Any]) -> dict[str, Any]:
    """Undo the open faults of these kinds on a target.

    Nothing to do is a success, a fault that stays is ActivityFailed.
    """
    try:
        context = current_context()
        ledger = Ledger(context.home)
        names = {(kind, KINDS[kind].target(checked_parameters(kind, parameters))) for kind in kinds}
        entries = [
            entry
            for entry in ledger.open_faults(context.run if context.supervised else None)
            if (entry.order.get("kind"), entry.order.get("target")) in names
            # Every lab has a node-2; that of a drill which runs beside is none of this experiment's.
            and (context.supervised or entry.place == context.place)
        ]
        left = [entry.id for entry in entries if not undo_fault(ledger, entry, "experiment", context.emit)]
    except (TargetError, LedgerError, UnknownFault) as error:
        raise ActivityFailed(str(error)) from error
    if left:
        raise ActivityFailed(f"still in effect: {', '.join(left)}; `tierdrill recover` tries again")
    return {"undone": [entry.id for entry in entries]}


def _entry(ledger: Ledger, fault: str) -> Any:
    return next(entry for entry in ledger.open_faults() if entry.id == fault)


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
