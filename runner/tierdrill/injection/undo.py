"""Undoing a fault from its ledger entry alone, by whoever notices: the experiment's rollback, the runner, the reaper,
`recover`.

All of them may do so at once: reverting is safe to repeat, and the ledger says gone only after a witness has said so.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from tierdrill.history.events import Emit, event
from tierdrill.history.kinds import run_kinds
from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.history.ledger_tables import LedgerFault
from tierdrill.history.payload import Payload
from tierdrill.history.sealed import SealBroken, open_order
from tierdrill.targets.base import (
    UNREADABLE,
    FaultOrder,
    FaultPort,
    Mechanism,
    Proof,
    TargetError,
    is_remedy,
)
from tierdrill.targets.target_registry import open_place

TOLD = {
    "reverting": (run_kinds.FaultReverting, run_kinds.RemedyReverting),
    "gone": (run_kinds.FaultGone, run_kinds.RemedyGone),
    "not_gone": (run_kinds.FaultNotGone, run_kinds.RemedyNotGone),
}
"""What is told of a fault, and of what a remedy left changed."""
AGAIN_S = 1.0
"""So long the effect of an undo is waited for, at the least, before it is done again."""
logger = logging.getLogger("tierdrill")


def order_of(entry: LedgerFault) -> FaultOrder:
    """The fault's order as it was written down.

    An exercise's is sealed. Without its key nobody can tell what to revert, but a fault in a lab that has ended is gone
    all the same: such an order can still be held against its place.
    """
    try:
        return FaultOrder.from_plain(open_order(entry.order))
    except SealBroken as error:
        logger.error("order of %s: %s", entry.id, error)
        return FaultOrder(entry.id, UNREADABLE, "", "service", Mechanism(""), {}, entry.lease_s)


def undo_fault(
    ledger: Ledger,
    entry: LedgerFault,
    by: str,
    emit: Emit,
    *,
    within_s: float | None = None,
    port: FaultPort | None = None,
) -> bool:
    """Revert one fault and wait until a witness sees it gone; False when that did not happen in time.

    What could not be undone stays in the ledger. Bookkeeping never stands in the way: with a full disk or a broken
    pipe the fault is reverted all the same, and its entry stays open for whoever can write again.
    """
    order = order_of(entry)
    books = UndoRecord(ledger, entry, emit)
    books.tell("reverting", by, by=by)
    how = order.mechanism
    poll_s, again_s = how.poll_s, max(AGAIN_S, how.gone_within_s / 10)
    deadline = time.monotonic() + (how.gone_within_s if within_s is None else within_s)
    proof: Proof | None = None
    problem = ""
    while True:
        try:
            # A node may take longer to boot than a lease is: others come to help only once it has had its time.
            books.mark("reverting", by, for_s=how.gone_within_s)
            place = port or open_place(entry.place)
            said = place.revert(order)
            proof = await_proof(partial(place.gone, order), min(again_s, max(0.0, deadline - time.monotonic())), poll_s)
            if proof.seen:
                proof = replace(proof, detail=f"{proof.detail} ({said})") if said else proof
                closed = books.close(proof.detail)
                if closed is not False:
                    break
            problem = proof.detail
        except Exception as error:
            # Whatever one undo throws, the faults after it must still be undone.
            problem = str(error) if isinstance(error, TargetError) else f"{type(error).__name__}: {error}"
            time.sleep(poll_s)
        if time.monotonic() >= deadline:
            books.mark("stuck", problem)
            books.tell("not_gone", by, witness=proof.witness if proof else "", seen=problem)
            return False
    books.tell("gone", by, gone_at=proof.at, witness=proof.witness, seen=proof.detail)
    return bool(closed)


def in_order_of_undo(entries: Iterable[LedgerFault]) -> list[LedgerFault]:
    """Newest first; replicas go home last, when there is a home for all of them again."""
    newest_first = sorted(entries, key=lambda entry: entry.intended_at, reverse=True)
    return sorted(newest_first, key=lambda entry: is_remedy(entry) and entry.order.get("target") == "places")


class UndoRecord:
    """An undo in ledger and history, as far as they can be written."""

    def __init__(self, ledger: Ledger, entry: LedgerFault, emit: Emit) -> None:
        self._ledger, self._fault, self._emit = ledger, entry.id, emit
        # What a witness says of it would tell a trainee what it is.
        self._silent = "sealed" in entry.order
        self._remedy = is_remedy(entry)

    def mark(self, state: str, note: str, *, for_s: float = 0.0) -> None:
        try:
            shown = "" if self._silent and state != "reverting" else note
            self._ledger.mark(self._fault, state, shown, for_s=for_s)
        except (LedgerError, OSError) as error:
            logger.error("ledger of %s: %s", self._fault, error)

    def close(self, note: str) -> bool | None:
        """False where it was landed anew meanwhile; None where that cannot be written down."""
        try:
            return self._ledger.close_entry(self._fault, "" if self._silent else note)
        except (LedgerError, OSError) as error:
            logger.error("ledger of %s: %s", self._fault, error)
            return None

    def tell(self, what: str, source: str, **data: Any) -> None:
        try:
            kind: Callable[..., Payload] = TOLD[what][self._remedy]
            name = "remedy" if self._remedy else "fault"
            self._emit(event(kind(**{name: self._fault}, **data), source))
        except Exception:
            logger.exception("history of %s", self._fault)


def await_proof(look: Callable[[], Proof], within_s: float, poll_s: float = Mechanism.poll_s) -> Proof:
    """Look until seen or the time is up; the last look is returned."""
    deadline = time.monotonic() + within_s
    while True:
        proof = look()
        if proof.seen or time.monotonic() >= deadline:
            return proof
        time.sleep(poll_s)
