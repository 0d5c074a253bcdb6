"""Injecting one fault, by the rules: kill switch, intent, a second look at the kill switch, proof, and the undo of what
failed.

Drills, stock experiments, exercises and sabotages all go through here. The ledger is written before the history, and
both before anything is done.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tierdrill.faults.blast_radius import ConcurrentFaults, Limits
from tierdrill.faults.kind import UnknownFault
from tierdrill.faults.known_kinds import KINDS, checked_parameters
from tierdrill.history.events import Emit, event
from tierdrill.history.kinds import run_kinds
from tierdrill.history.ledger import Ledger, LedgerError
from tierdrill.injection.undo import await_proof, order_of, undo_fault
from tierdrill.targets.base import FaultOrder, FaultPort, Proof, TargetError
from tierdrill.targets.target_registry import open_place

NOTE_CHARACTERS = 300
_one_at_a_time = threading.Lock()


class NotInjected(Exception):
    """A fault was refused, failed, or was not seen to land; what there was of it is being undone."""


class Refused(NotInjected):
    """It was refused before anything was written down or touched."""


@dataclass(frozen=True)
class Injector:
    """Injects the faults of one run into one place. `source` is who tells of them, `seal` hides their orders,
    `limits` are the environment's where one is known.
    """

    home: Path
    run: str
    place: Mapping[str, Any]
    source: str
    emit: Emit
    seal: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    limits: Limits | None = None

    def inject(
        self,
        kind: str,
        parameters: Mapping[str, Any],
        lease_s: float,
        *,
        fault: str | None = None,
        planned_at: float | None = None,
        keeper: Callable[[], bool] = lambda: True,
    ) -> tuple[FaultOrder, Proof]:
        """Inject a fault of a known kind at that moment (Unix seconds); its order and what a witness saw of it.

        `fault` is its id, RUN/KIND/TARGET unless given; `keeper` says whether somebody is at their post who undoes it
        when its lease runs out. NotInjected where it is not in effect.
        """
        try:
            checked = checked_parameters(kind, parameters)
            port = open_place(dict(self.place))
            if kind not in port.mechanisms():
                raise TargetError(f"no mechanism for {kind} here")
            known = KINDS[kind]
            target = known.target(checked)
            order = FaultOrder(
                fault=fault or f"{self.run}/{kind}/{target}",
                kind=kind,
                target=target,
                target_kind=known.target_kind,
                mechanism=port.mechanisms()[kind],
                parameters=checked,
                lease_s=lease_s,
            )
        except (TargetError, UnknownFault) as error:
            raise Refused(str(error)) from error
        return self.carry_out(order, port, undo=known.undo, planned_at=planned_at, keeper=keeper)

    def carry_out(
        self,
        order: FaultOrder,
        port: FaultPort,
        *,
        undo: str,
        planned_at: float | None = None,
        keeper: Callable[[], bool] = lambda: True,
    ) -> tuple[FaultOrder, Proof]:
        """As `inject`, for an order; `undo` is the name of what undoes it."""
        what = f"{order.kind} on {order.target}"
        try:
            with self.ledger() as ledger:
                refuse_if_halted(ledger)
            asked, order = order.parameters, port.bind(order)
            life = FaultLife(self, order, asked)
            # Of two at the same time the second must see the first.
            with _one_at_a_time:
                self._check_radius(order, port)
                life.intend(planned_at, undo)
        except (TargetError, LedgerError) as error:
            raise Refused(str(error)) from error
        try:
            if not keeper():
                raise LedgerError("the reaper that renews its lease was not ready in time")
            life.confirm(planned_at)
            since = time.time()
            port.inject(order)
        except (TargetError, LedgerError) as error:
            life.tell(run_kinds.FaultFailed, error=str(error))
            self._give_up(order.fault, port)
            raise NotInjected(f"{what} was not injected: {error}") from error
        life.tell(run_kinds.FaultInjected)
        how = order.mechanism
        proof = await_proof(partial(port.landed, order, since), how.landed_within_s, how.poll_s)
        life.proven(proof)
        if not proof.seen:
            self._give_up(order.fault, port)
            raise NotInjected(f"{what} was not seen to land: {proof.detail}")
        return order, proof

    def _check_radius(self, order: FaultOrder, port: FaultPort) -> None:
        """TargetError if the fault, on top of all that stands in this place, reaches too far or what is protected."""
        if self.limits is None or order.kind not in KINDS:
            return
        reach = ConcurrentFaults(self.limits, port.inventory().layout)
        with self.ledger() as ledger:
            standing = [order_of(one) for one in ledger.open_faults() if one.place == self.place]
        for one in standing:
            if one.fault != order.fault:
                reach.add(one.kind, one.target)
        if found := reach.add(order.kind, order.target):
            raise TargetError(str(found[0]))

    def _give_up(self, fault: str, port: FaultPort) -> None:
        with self.ledger() as ledger:
            for entry in ledger.open_faults(self.run):
                if entry.id == fault:
                    undo_fault(ledger, entry, self.source, self.emit, port=port)

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """The ledger, for the calling thread."""
        with closing(Ledger(self.home)) as ledger:
            yield ledger


class FaultLife:
    """One fault from its intent to its proof, in ledger and history. What raises means that it must not be injected."""

    def __init__(self, injector: Injector, order: FaultOrder, parameters: Mapping[str, Any]) -> None:
        """`parameters` are those that were asked for: the history tells no others."""
        self._injector, self._order, self._parameters = injector, order, dict(parameters)

    def intend(self, planned_at: float | None, undo: str) -> None:
        """Write down what is about to be injected; LedgerError where the kill switch is thrown."""
        order, injector = self._order, self._injector
        plain = order.plain()
        with injector.ledger() as ledger:
            refuse_if_halted(ledger)
            sealed = injector.seal(plain) if injector.seal is not None else plain
            ledger.intend(order.fault, injector.run, sealed, dict(injector.place), order.lease_s)
        self.tell(
            run_kinds.FaultIntended,
            kind=order.kind,
            target=order.target,
            target_kind=order.target_kind,
            parameters=self._parameters,
            mechanism=order.mechanism.text,
            undo=undo,
            lease_s=order.lease_s,
            planned_at=planned_at,
            emulated=order.mechanism.emulated,
            gone_within_s=order.mechanism.gone_within_s,
        )

    def confirm(self, planned_at: float | None) -> None:
        """Wait for the planned instant and look once more; LedgerError if the kill switch was thrown or it lapsed."""
        with self._injector.ledger() as ledger:
            wait_until(planned_at)
            ledger.confirm(self._order.fault)

    def proven(self, proof: Proof) -> None:
        if not proof.seen:
            self.tell(run_kinds.FaultNotLanded, witness=proof.witness, seen=proof.detail)
            return
        note = proof.detail[:NOTE_CHARACTERS] if self._injector.seal is None else ""
        with self._injector.ledger() as ledger:
            ledger.mark(self._order.fault, "landed", note)
        self.tell(run_kinds.FaultLanded, effective_at=proof.at, witness=proof.witness, seen=proof.detail)

    def reverted(self, proof: Proof) -> None:
        """The witness of its end has spoken. An entry is closed with that, and no sooner: its lease goes on."""
        if not proof.seen:
            self.tell(run_kinds.FaultNotGone, witness=proof.witness, seen=proof.detail)
            return
        with self._injector.ledger() as ledger:
            ledger.mark(self._order.fault, "reverting", self._injector.source)
            ledger.close_entry(self._order.fault, proof.detail[:NOTE_CHARACTERS])
        self.tell(run_kinds.FaultGone, gone_at=proof.at, witness=proof.witness, seen=proof.detail)

    def tell(self, kind: Callable[..., run_kinds.FaultEvent], /, **data: Any) -> None:
        self._injector.emit(event(kind(fault=self._order.fault, **data), self._injector.source))


def refuse_if_halted(ledger: Ledger) -> None:
    """LedgerError where the kill switch is thrown."""
    if halt := ledger.halted():
        raise LedgerError(f"the kill switch is on: {halt.reason} ({halt.author}); `tierdrill resume` turns it off")


def wait_until(at: float | None) -> None:
    """Return at that moment (Unix seconds): what can be done before the planned instant has been done by now."""
    if at is None:
        return
    until = time.monotonic() + (at - time.time())
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.05) if left > 0.002 else left)
