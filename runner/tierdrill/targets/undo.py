"""Undoing a fault from its ledger entry alone, by whoever notices: the experiment's rollback, the runner, the reaper,
`recover`.

All of them may do so at once: reverting is safe to repeat, and the ledger says gone only after a witness has said so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tierdrill.history.events import Event, event
from tierdrill.history.ledger import Ledger, LedgerFault
from tierdrill.targets.base import FaultOrder, FaultPort, Proof, TargetError
from tierdrill.targets.places import open_place

POLL_S = 0.02
Emit = Callable[[Event], object]


def order_of(entry: LedgerFault) -> FaultOrder:
    """The fault's order as it was written down."""
    return FaultOrder(**entry.order)


def undo_fault(
    ledger: Ledger, entry: LedgerFault, by: str, emit: Emit, *, within_s: float = 10.0, port: FaultPort | None = None
) -> bool:
    """Revert one fault and wait until a witness sees it gone.

    False when that did not happen in time (it stays in the ledger).
    """
    order = order_of(entry)
    emit(event("fault.reverting", by, fault=entry.id, by=by))
    ledger.mark(entry.id, "reverting", by)
    deadline = time.monotonic() + within_s
    proof: Proof | None = None
    problem = ""
    while True:
        try:
            place = port or open_place(entry.place)
            place.revert(order)
            proof = await_proof(partial(place.gone, order), min(1.0, max(0.0, deadline - time.monotonic())))
            if proof.seen:
                break
            problem = proof.detail
        except TargetError as error:
            problem = str(error)
            time.sleep(POLL_S)
        if time.monotonic() >= deadline:
            ledger.mark(entry.id, "stuck", problem)
            emit(event("fault.not_gone", by, fault=entry.id, witness=proof.witness if proof else "", seen=problem))
            return False
    ledger.mark(entry.id, "gone", proof.detail)
    emit(event("fault.gone", by, fault=entry.id, gone_at=proof.at, witness=proof.witness, seen=proof.detail))
    return True


def await_proof(look: Callable[[], Proof], within_s: float) -> Proof:
    """Look until seen or the time is up; the last look is returned."""
    deadline = time.monotonic() + within_s
    while True:
        proof = look()
        if proof.seen or time.monotonic() >= deadline:
            return proof
        time.sleep(POLL_S)


def lab_place(home: Path, lab: str) -> dict[str, Any]:
    """How the ledger refers to an embedded lab."""
    return {"target": "lab", "home": str(home), "lab": lab}
