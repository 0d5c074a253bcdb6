"""How long faults stand: to their planned end, and no longer than whoever injected them is heard. A dead man's timer.

A session that gives no order for as long as its lease, or whose line has ended, is taken for dead, and what it has
injected is undone. An undo that fails is tried again until it works.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Callable

from fault import Fault, Record, Refused
from journal import Journal
from sessions import Session

LEASE_S = (0.2, 3600.0)
ENDS_IN_S = (0.05, 3600.0)
AGAIN_S = 0.3
"""After so long an undo that failed is tried again."""

ANSWERED_S = 0.3
"""So long after the answer a fault begins that would hold the answer back."""


def lease_of(order: dict[str, Any]) -> float:
    """The lease that an order asks for, in seconds; Refused if it is none."""
    lease_s = order.get("lease_s")
    if not isinstance(lease_s, (int, float)) or not LEASE_S[0] <= lease_s <= LEASE_S[1]:
        raise Refused(f"lease_s: got {lease_s!r}, expected a number from {LEASE_S[0]} to {LEASE_S[1]:g}")
    return float(lease_s)


def dead(session: Session) -> str:
    """Why its giver of orders is taken for dead; "" while it is not."""
    if session.ended:
        return "its giver left"
    lapsed = session.lease_s is not None and time.monotonic() >= session.heard + session.lease_s
    return f"no order came for {session.lease_s:g} s" if lapsed else ""


class Standing:
    """A fault in effect, or one whose undo has not worked yet (`why` says what for)."""

    def __init__(self, fault: Fault, session: Session | None) -> None:
        self.fault, self.session = fault, session
        self.begins_at: float | None = None
        self.ends_at: float | None = None
        self.self_timed = False
        self.why = ""
        self.due = time.monotonic()

    def plan(self, order: dict[str, Any]) -> None:
        """When it begins and ends, if the order says so; Refused if that is no time."""
        ends_in_s, self.self_timed = order.get("ends_in_s"), bool(order.get("self_timed"))
        if ends_in_s is not None or self.self_timed:
            if not isinstance(ends_in_s, (int, float)) or not ENDS_IN_S[0] <= ends_in_s <= ENDS_IN_S[1]:
                raise Refused(f"ends_in_s: got {ends_in_s!r}, expected a number up to {ENDS_IN_S[1]:g}")
            self.begins_at = time.monotonic() + ANSWERED_S if self.self_timed else None
            self.ends_at = time.monotonic() + ends_in_s + ANSWERED_S * self.self_timed


class Leases:
    """The faults that stand, by name. `undone` tells what an earlier life had left; `tell` tells every session."""

    def __init__(self, journal: Journal | None, tell: Callable[..., None]) -> None:
        self.journal = journal
        self.standing: dict[str, Standing] = {}
        self.undone: list[dict[str, Any]] = []
        self._tell = tell

    def begin(self, one: Standing) -> None:
        """Write it down, then apply it, unless that is planned for later."""
        if self.journal is not None:
            self.journal.intend(one.fault.record)
        self.standing[one.fault.record["fault"]] = one
        if one.begins_at is None:
            self._apply(one)

    def undo_earlier(self, made: Callable[[Record], Fault]) -> None:
        """What stands by the journal is of an earlier life: it comes off first."""
        for record in list(self.journal.faults.values() if self.journal is not None else ()):
            self.standing[record["fault"]] = one = Standing(made(record), None)
            self.undo(one, "this program was started again")

    def wait_s(self, sessions: Iterable[Session]) -> float:
        """How long nothing is due."""
        now = time.monotonic()
        times = [one.heard + one.lease_s for one in sessions if one.lease_s is not None]
        for one in self.standing.values():
            times += [at for at in (one.begins_at, one.ends_at) if at is not None]
            ticks = one.fault.tick_s is not None and one.begins_at is None
            times += [one.due] if one.why or ticks else []
        return max(0.0, min(times) - now) if times else 60.0

    def do_what_is_due(self) -> None:
        """Begin, hold and end what is to be by now."""
        for one in list(self.standing.values()):
            now = time.monotonic()
            if one.begins_at is not None and now >= one.begins_at:
                one.begins_at = None
                try:
                    self._apply(one)
                except (Refused, OSError) as error:
                    self._tell("trouble", fault=one.fault.record["fault"], error=str(error))
            elif one.ends_at is not None and now >= one.ends_at and not one.why:
                self.undo(one, "its planned end")
            elif now >= one.due and one.why:
                self.undo(one, one.why)
            elif now >= one.due and one.fault.tick_s is not None and one.begins_at is None:
                one.due = now + one.fault.tick_s
                try:
                    one.fault.tick()
                except (Refused, OSError) as error:
                    self._tell("trouble", fault=one.fault.record["fault"], error=str(error))

    def end_all(self, why: str, session: Session | None = None) -> None:
        """Undo all faults, or those of one session: of these, a self-timed one ends as planned."""
        for one in list(self.standing.values()):
            if session is None or (one.session is session and not one.self_timed):
                self.undo(one, one.why or why)

    def undo(self, one: Standing, why: str) -> str:
        """Undo it, or try again in a moment; the outcome, or what is in the way."""
        fault = one.fault.record["fault"]
        one.why, one.due = why, time.monotonic() + AGAIN_S
        try:
            outcome = one.fault.undo()
        except (Refused, OSError) as error:
            self._tell("stuck", fault=fault, why=why, error=str(error))
            return str(error)
        del self.standing[fault]
        if self.journal is not None:
            self.journal.over(fault)
        told = {"fault": fault, "why": why, "outcome": outcome}
        if one.session is None:
            self.undone.append(told)
        self._tell("reverted", **told)
        return outcome

    def _apply(self, one: Standing) -> None:
        try:
            one.fault.apply()
        except BaseException:
            self.undo(one, "it could not be applied")
            raise
        one.due = time.monotonic() + (one.fault.tick_s or 0.0)
